"""How much goes into one request.

Invariant: pure; every batch is one that a KRaft controller takes whole and that a controller with
ZooKeeper, which writes each thing by itself, answers within a request's time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

from kdeploy.cluster.state import Binding, NewTopic

T = TypeVar("T")

RECORDS: Final = 2000
"""Records of metadata that one request may make. A KRaft controller takes at most 10,000 (QuorumController,
MAX_RECORDS_PER_USER_OP, Kafka 3.9 to 4.3), and other requests wait behind a long one."""

UNKNOWN_PARTITIONS: Final = 12
"""Partitions that a topic made from the cluster's default is counted with: twice kdeploy's own default."""

SETTINGS_READ: Final = 500
"""Topics whose settings are asked for together: an answer of a few MB."""

SETTINGS_WRITTEN: Final = 200
"""Topics whose settings are altered together."""

GROWTHS: Final = 100
"""Topics that get partitions together."""

DELETIONS: Final = 200
"""Topics that are deleted together."""

REASSIGNMENTS: Final = 500
"""Partitions whose replicas are changed together."""

ENTRIES: Final = 500
"""Access list entries that are made together."""

REMOVALS: Final = 50
"""Access list entries that are removed together: a KRaft controller looks through all entries for each of them
(AclControlManager.deleteAcls, Kafka 3.9 to 4.3); 500 of 20,000 took longer than a request may (2026-11-27)."""

QUOTAS: Final = 200
"""Entities that get limits together."""

USERS: Final = 200
"""Users that get passwords together."""

GROUPS: Final = 200
"""Consumer groups whose offsets are asked for together: an answer of a few MB where each has thousands."""


def of(things: Sequence[T], size: int) -> Iterator[list[T]]:
    """Things in batches of at most `size`, in their order."""
    for start in range(0, len(things), size):
        yield list(things[start : start + size])


def of_topics(topics: Sequence[NewTopic]) -> Iterator[list[NewTopic]]:
    """Topics in batches of at most `RECORDS` records each; a topic that has more comes alone."""
    batch: list[NewTopic] = []
    held = 0
    for topic in topics:
        partitions = len(topic.assignment) or topic.partitions or UNKNOWN_PARTITIONS
        records = 1 + partitions + len(topic.config)
        if batch and held + records > RECORDS:
            yield batch
            batch, held = [], 0
        batch.append(topic)
        held += records
    if batch:
        yield batch


def of_bindings(
    bindings: Collection[Binding], size: int = ENTRIES, *, removing: bool = False
) -> Iterator[list[Binding]]:
    """Access list entries in batches, denials first where they are made and last where they are removed:
    nobody is to be allowed for a moment what is denied.

    Those of one resource stand together: with ZooKeeper they are written at once.
    """
    ordered = sorted(
        bindings, key=lambda one: ((one.permission == "deny") == removing, one.resource, one.name, one)
    )
    yield from of(ordered, size)
