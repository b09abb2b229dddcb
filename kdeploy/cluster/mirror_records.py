"""What MirrorMaker writes for itself, as values: heartbeats, checkpoints, pairs of offsets, and how far Connect has it.

The layout is that of org.apache.kafka.connect.mirror's Heartbeat, Checkpoint and OffsetSync (Kafka 3.9 to 4.3, read
2026-11-27): Kafka's own types (a string is an int16 with its length and UTF-8; numbers are big-endian); values of
heartbeats and checkpoints begin with an int16 that is their version, 0, and those of pairs with none. What Connect notes
of a connector is JSON without a schema (OffsetStorageWriter and MirrorUtils, same versions).

Invariant: pure. Bytes that are not of this layout, or of another version, are None and never a wrong number.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Final

VERSION: Final = 0
"""The one version of values that there is."""


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat.

    Attributes:
        source: Alias of the cluster that is mirrored.
        target: Alias of the cluster that it was written for.
        timestamp: When it was made, by the clock of the worker that made it, in seconds since 1970.
    """

    source: str
    target: str
    timestamp: float


@dataclass(frozen=True)
class Checkpoint:
    """Where a group is, on both sides.

    Attributes:
        group: The consumer group.
        topic: Name of the topic on the target.
        partition: Its partition.
        upstream: What the group had committed on the source.
        downstream: Offset on the target that stands for it, or for one before it.
    """

    group: str
    topic: str
    partition: int
    upstream: int
    downstream: int


@dataclass(frozen=True)
class OffsetSync:
    """One record on both sides.

    Attributes:
        topic: Name of the topic on the source.
        partition: Its partition.
        upstream: The record's offset on the source.
        downstream: Its offset on the target.
    """

    topic: str
    partition: int
    upstream: int
    downstream: int


@dataclass(frozen=True)
class Reached:
    """How far a connector was when it began to commit.

    Attributes:
        connector: Its name.
        topic: Name of the topic on the source.
        partition: Its partition.
        upstream: Offset of the last record that it committed.
    """

    connector: str
    topic: str
    partition: int
    upstream: int


def heartbeat(key: bytes | None, value: bytes | None) -> Heartbeat | None:
    """The heartbeat that a record is."""
    try:
        names, stamp = _Bytes(key), _Bytes(value)
        found = Heartbeat(names.string(), names.string(), _versioned(stamp).int64() / 1000)
    except (struct.error, ValueError):
        return None
    return found if names.over and stamp.over else None


def checkpoint(key: bytes | None, value: bytes | None) -> Checkpoint | None:
    """The checkpoint that a record is."""
    try:
        whose, where = _Bytes(key), _Bytes(value)
        group, topic, partition = whose.string(), whose.string(), whose.int32()
        upstream, downstream = _versioned(where).int64(), where.int64()
        where.string()  # what the consumer had written beside its offset
    except (struct.error, ValueError):
        return None
    return Checkpoint(group, topic, partition, upstream, downstream) if whose.over and where.over else None


def offset_sync(key: bytes | None, value: bytes | None) -> OffsetSync | None:
    """The pair of offsets that a record is."""
    try:
        which, where = _Bytes(key), _Bytes(value)
        found = OffsetSync(which.string(), which.int32(), where.int64(), where.int64())
    except (struct.error, ValueError):
        return None
    return found if which.over and where.over else None


def reached(key: bytes | None, value: bytes | None) -> Reached | None:
    """How far a connector was, by a record of Connect's own topic of offsets."""
    try:
        connector, place = json.loads(key or b"")
        where = json.loads(value or b"")
        found = Reached(connector, place["topic"], place["partition"], where["offset"])
    except (ValueError, TypeError, KeyError):
        return None
    numbers = (found.partition, found.upstream)
    right = isinstance(found.connector, str) and isinstance(found.topic, str)
    return found if right and all(type(one) is int for one in numbers) else None


class _Bytes:
    """Kafka's types, one after the other; raises struct.error or ValueError where they are none."""

    def __init__(self, held: bytes | None) -> None:
        self._held, self._at = held or b"", 0

    @property
    def over(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._held)

    def _number(self, form: str) -> int:
        (found,) = struct.unpack_from(form, self._held, self._at)
        self._at += struct.calcsize(form)
        return int(found)

    def int16(self) -> int:
        return self._number(">h")

    def int32(self) -> int:
        return self._number(">i")

    def int64(self) -> int:
        return self._number(">q")

    def string(self) -> str:
        length = self.int16()
        held = self._held[self._at : self._at + max(0, length)]
        if length < 0 or len(held) != length:
            raise ValueError(length)
        self._at += length
        return held.decode()


def _versioned(value: _Bytes) -> _Bytes:
    if value.int16() != VERSION:
        raise ValueError("another version")
    return value
