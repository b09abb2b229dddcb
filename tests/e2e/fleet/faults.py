"""The fault table of hosts: what happens to one of them, or to kdeploy, while brokers are restarted one by one.

Invariant: only data; the rows are of the same kind as those on this machine, each with a name of its own.
"""

from __future__ import annotations

import random

from tests.e2e.local.faults import Fault

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

ZOOKEEPER = tuple(Fault("hosts-zk", "trouble", (what,)) for what in TROUBLES)
KRAFT = tuple(Fault("hosts-kraft", "trouble", (what,)) for what in TROUBLES)


def chosen(seed: int) -> tuple[Fault, ...]:
    """What an ordinary run takes on KRaft: one row, drawn by a seed."""
    return (random.Random(seed).choice(KRAFT),)
