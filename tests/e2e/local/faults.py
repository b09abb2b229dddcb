"""The fault table: what is killed, where and when, in both coordination modes.

Invariant: only data. Each row's name is unique and says what happens; every row is in
docs/evidence.json with result `passed`, or `tests/test_evidence.py` fails.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Deed = Literal["nodes", "roll", "ctrl-c", "clients", "vault", "down", "delete", "up", "trouble"]
"""nodes: SIGKILL of nodes, then `up`. The others: SIGKILL of kdeploy during a rolling change by `up`,
`clients`, `vault create` for a new user, `down`, `down --delete-data`, or `up` from nothing; then the
same command again. ctrl-c: SIGINT instead, during a rolling change and the verify after it. trouble: on hosts,
what happens to one of them or to kdeploy during a rolling change; then the same command again."""


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
            "ctrl-c": "rolling change stopped by Ctrl-C at",
            "clients": "clients killed at",
            "vault": "vault create killed at",
            "down": "down killed at",
            "delete": "down --delete-data killed at",
            "up": "up from nothing killed at",
            "trouble": "during a rolling change on hosts:",
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
    ("vault", ("vault-completed", "vault-written", "random", "random")),
    ("ctrl-c", ("random", "random", "random")),
    ("up", ("brokers-ready",)),
    ("up", ("random", "random", "random", "random", "random")),
)

FAULTS: tuple[Fault, ...] = tuple(
    Fault(environment, deed, at) for environment in ("local", "local-kraft") for deed, at in _EVERYWHERE
)


def chosen(seed: int) -> tuple[Fault, ...]:
    """What an ordinary run takes, in the table's order: the first row, one drawn by a seed, the last."""
    return FAULTS[0], random.Random(seed).choice(FAULTS[1:-1]), FAULTS[-1]
