"""The fault table of hosts: what happens to one of them, or to kdeploy, while brokers are restarted one by one.

Invariant: only data; the rows are of the same kind as those on this machine, each with a name of its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from tests.e2e.local.faults import Fault

T = TypeVar("T")

TROUBLES = (
    "a broker killed",
    "a broker frozen",
    "a broker cut off",
    "a disk full",
    "kdeploy killed",
    "the host under change rebooted",
    "the leader killed",
)
"""`a broker` and `a disk` are of another broker than the one that is being restarted; `the leader` is
ZooKeeper's, or the active controller."""

LOST = Fault("hosts-zk", "trouble", ("the connection to the host under change lost",))
"""Beside the table: kdeploy alone loses the host, which goes on."""

ZOOKEEPER = tuple(Fault("hosts-zk", "trouble", (what,)) for what in TROUBLES)
KRAFT = tuple(Fault("hosts-kraft", "trouble", (what,)) for what in TROUBLES)


def together(rows: Sequence[Fault], seed: int) -> Fault:
    """All that a table names as one row, in an order drawn by a seed: few rolls do for many things that happen."""
    found = [what for row in rows for what in row.at]
    random.Random(seed).shuffle(found)
    return Fault(rows[0].environment, rows[0].deed, tuple(found))


def drawn(rows: Sequence[T], seed: int, table: str) -> T:
    """The row that an ordinary run takes of a table, drawn by a seed; of two tables not always the same one."""
    return random.Random(f"{seed} {table}").choice(rows)
