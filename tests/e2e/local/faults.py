"""The fault table: what is killed, where and when, in both coordination modes.

Invariant: only data. Each row's name is unique and says what happens; a row in `PROVEN` is in
docs/evidence.json with result `passed`, or `tests/test_evidence.py` fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Deed = Literal["nodes", "roll", "clients", "down", "delete", "up"]
"""nodes: SIGKILL of nodes, then `up`. The others: SIGKILL of kdeploy during a rolling change by `up`,
`clients`, `down`, `down --delete-data`, or `up` from nothing; then the same command again."""


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        environment: The shipped environment it happens to.
        deed: What is killed.
        at: Names of kill points, one kill each, in this order; `random` for a random moment; for
            `nodes` the nodes killed at the same time.
    """

    environment: str
    deed: Deed
    at: tuple[str, ...]

    @property
    def name(self) -> str:
        words = {
            "nodes": "killed:",
            "roll": "rolling change killed at",
            "clients": "clients killed at",
            "down": "down killed at",
            "delete": "down --delete-data killed at",
            "up": "up from nothing killed at",
        }
        return f"{self.environment}: {words[self.deed]} {', '.join(self.at)}"


_EVERYWHERE: tuple[tuple[Deed, tuple[str, ...]], ...] = (
    ("nodes", ("a broker",)),
    ("clients", ("random", "random", "random")),
    ("up", ("nodes-applied", "coordination-started", "coordination-ready", "first-broker-started")),
    ("up", ("brokers-started", "reconcile-begun", "first-change-applied", "reconciled")),
    ("nodes", ("every process",)),
    ("down", ("brokers-stopped", "coordination-stopped")),
    ("delete", ("brokers-stopped", "first-node-deleted")),
    ("up", ("lease-taken", "lock-written", "vault-written", "provisioned", "first-node-applied")),
    ("roll", ("broker-stopped-in-roll", "broker-applied-in-roll", "broker-started-in-roll")),
    ("nodes", ("a broker", "a coordinator")),
    ("nodes", ("the controller",)),
    ("nodes", ("every broker",)),
    ("roll", ("coordinator-stopped-in-roll", "random")),
    ("nodes", ("a coordinator",)),
    ("up", ("brokers-ready",)),
    ("up", ("random", "random", "random", "random", "random")),
)

FAULTS: tuple[Fault, ...] = tuple(
    Fault(environment, deed, at) for environment in ("local", "local-kraft") for deed, at in _EVERYWHERE
)


PROVEN: frozenset[str] = frozenset(
    {
        "local-kraft: down --delete-data killed at brokers-stopped, first-node-deleted",
        "local-kraft: down killed at brokers-stopped, coordination-stopped",
        "local-kraft: killed: a broker",
        "local-kraft: killed: a coordinator",
        "local-kraft: killed: every process",
        "local-kraft: up from nothing killed at brokers-ready",
        "local-kraft: up from nothing killed at brokers-started, reconcile-begun, first-change-applied, reconciled",
        "local-kraft: up from nothing killed at lease-taken, lock-written, vault-written, provisioned, first-node-applied",
        "local-kraft: up from nothing killed at nodes-applied, coordination-started, coordination-ready, first-broker-started",
        "local-kraft: up from nothing killed at random, random, random, random, random",
    }
)
"""Names of the rows that a soak has run to their end. Those not named here are written, and `make soak` runs
them, but nothing is claimed of them yet; `tests/test_evidence.py` demands evidence of each one named here, and
that a row with evidence is named."""


def chosen() -> tuple[Fault, ...]:
    """What an ordinary run takes of the rows that are proven: the first and the last.

    One drawn by a seed comes to them when every row of the table is proven.
    """
    proven = [fault for fault in FAULTS if fault.name in PROVEN]
    return proven[0], proven[-1]
