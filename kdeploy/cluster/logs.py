"""Records of partitions as readers of committed ones see them: all between two offsets, the first, or the last.

By librdkafka; where the cluster is reached through a proxy, by kafka-python (`proxied`), which can use one.

Invariant: read-only, as nobody's group: no offset is committed. Records of transactions that were aborted, and the
marks that end transactions, are never among them (read_committed). Every look ends: at the offset asked for, or
with an error once nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from kdeploy.cluster import Access, Proxy, proxied
from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.compacted import administrator
from kdeploy.cluster.failure import ClusterError, Refusal, translate
from kdeploy.cluster.roundtrip import PATIENCE, SILENT
from kdeploy.cluster.state import LogRecord, Place, Spans

AT_ONCE: Final = 10_000
"""Records handed over at a time."""

PARTITION_BYTES: Final = 256 * 2**10
"""Bytes of a partition that one answer brings where one record of many partitions is wanted; a batch that is larger
comes alone (KIP-74)."""

STEPS: Final = (64, 4_096, 262_144)
"""How many offsets before the end are looked at for the last record, one try after the other: a mark follows each
transaction of the mirror, and a transaction that was aborted may be long."""


class Reader(Protocol):
    """A client that was given partitions, and where in each to begin."""

    def look(self) -> list[LogRecord]:
        """Records that have come, within a fraction of a second."""
        ...

    def reached(self, ends: Mapping[Place, int]) -> set[Place]:
        """Partitions that were read up to an offset."""
        ...

    def enough(self, places: Sequence[Place]) -> None:
        """Read no more of some partitions."""
        ...


def each(access: Access, spans: Spans, patience: float = PATIENCE) -> Iterator[LogRecord]:
    """All committed records within spans, in the order of each partition.

    Args:
        access: The cluster, and as whom.
        spans: Where from and to; the first offset must still be there.
        patience: Seconds without any progress after which the rest is not waited for.

    Raises:
        ClusterError: The cluster does not answer, or turned the reader away.
    """
    left = {place: end for place, (start, end) in spans.items() if end > start}
    if not left:
        return
    with reader(access, {place: spans[place][0] for place in left}, 0) as client:
        yield from _each(client, left, patience)


def _each(client: Reader, left: dict[Place, int], patience: float) -> Iterator[LogRecord]:
    ends = dict(left)
    moved = time.monotonic()
    while left:
        some = client.look()
        yield from (one for one in some if one.offset < ends[one.place])
        done = client.reached(left)
        client.enough(sorted(done))
        for place in done:
            del left[place]
        if some or done:
            moved = time.monotonic()
        elif time.monotonic() > moved + patience:
            topic, partition = min(left)
            raise ClusterError(
                f"{len(left)} of {len(ends)} partitions were not read to their end within {patience:g} s, "
                f"among them {topic}-{partition}\n  look at the brokers with `kdeploy status`"
            )


def first(access: Access, spans: Spans, patience: float = PATIENCE) -> dict[Place, LogRecord]:
    """The first committed record of each span; those that have none are left out."""
    left = {place: end for place, (start, end) in spans.items() if end > start}
    found: dict[Place, LogRecord] = {}
    if not left:
        return found
    with reader(access, {place: spans[place][0] for place in left}, PARTITION_BYTES) as client:
        for one in _each(_Until(client, found), left, patience):
            found.setdefault(one.place, one)
    return found


class _Until:
    """A reader for which a partition is read to its end as soon as a record of it was found."""

    def __init__(self, client: Reader, found: Mapping[Place, LogRecord]) -> None:
        self._client, self._found = client, found
        self.look, self.enough = client.look, client.enough

    def reached(self, ends: Mapping[Place, int]) -> set[Place]:
        """As a reader's."""
        return self._client.reached(ends) | (ends.keys() & self._found.keys())


def last(access: Access, spans: Spans, patience: float = PATIENCE) -> dict[Place, LogRecord]:
    """The last committed record of each span, where one is among its last `STEPS`; those that have none are left out."""
    found: dict[Place, LogRecord] = {}
    before = 0
    for step in STEPS:
        near = {
            place: (max(start, end - step), end)
            for place, (start, end) in spans.items()
            if place not in found and end - before > start
        }
        for one in each(access, near, patience):
            found[one.place] = one
        before = step
    return found


@contextmanager
def reader(access: Access, starts: Mapping[Place, int], partition_bytes: int) -> Iterator[Reader]:
    """A reader for the block.

    Args:
        access: The cluster, and as whom.
        starts: By partition, the offset to begin at.
        partition_bytes: Bytes of a partition that one answer brings; 0 for the client's own default.
    """
    if access.proxy is not None:
        with _through(access, access.proxy, starts, partition_bytes) as client:
            yield client
        return
    from confluent_kafka import KafkaException

    direct = _Direct(access, starts, partition_bytes)
    try:
        yield direct
    except KafkaException as error:
        raise _refused(error.args[0]) from None
    finally:
        direct.close()


class _Direct:
    """By librdkafka: it says when it has come to the end of a partition, also where nothing is left before it."""

    def __init__(self, access: Access, starts: Mapping[Place, int], partition_bytes: int) -> None:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        settings: dict[str, Foreign] = {
            **administrator(access),
            "client.id": "kdeploy",
            "group.id": "__kdeploy-tail",  # the client asks for one; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "log_level": 0,
            "error_cb": lambda _: None,
        }
        if partition_bytes:
            settings["max.partition.fetch.bytes"] = partition_bytes
        self._place = TopicPartition
        self._ends: dict[Place, int] = {}
        try:
            self._consumer = Consumer(settings, logger=SILENT)
            self._consumer.assign([TopicPartition(topic, index, at) for (topic, index), at in starts.items()])
        except KafkaException as error:
            raise _refused(error.args[0]) from None

    def look(self) -> list[LogRecord]:
        from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError

        found = []
        for one in self._consumer.consume(AT_ONCE, timeout=0.2):
            place = (one.topic(), one.partition())
            if one.error() is None:
                kind, stamp = one.timestamp()
                headers = tuple((name, value) for name, value in one.headers() or ())
                appended = kind == TIMESTAMP_LOG_APPEND_TIME
                found.append(
                    LogRecord(*place, one.offset(), stamp / 1000, appended, one.key(), one.value(), headers)
                )
                self._ends[place] = one.offset() + 1
            elif one.error().code() == KafkaError._PARTITION_EOF:
                self._ends[place] = one.offset()
            else:
                raise _refused(one.error())
        return found

    def reached(self, ends: Mapping[Place, int]) -> set[Place]:
        return {place for place, end in ends.items() if self._ends.get(place, -1) >= end}

    def enough(self, places: Sequence[Place]) -> None:
        if places:
            self._consumer.pause([self._place(topic, index) for topic, index in places])

    def close(self) -> None:
        """Close every connection."""
        self._consumer.close()


@contextmanager
def _through(
    access: Access, proxy: Proxy, starts: Mapping[Place, int], partition_bytes: int
) -> Iterator[Reader]:
    settings: dict[str, Foreign] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
    }
    if partition_bytes:
        settings["max_partition_fetch_bytes"] = partition_bytes
    with proxied.reading(administrator(access), proxy, settings) as consumer:
        try:
            yield _Through(consumer, starts)
        except (kafka().errors.KafkaError, RuntimeError, OSError) as error:
            raise translate(error, "read records") from None


class _Through:
    """By kafka-python: the position tells where it is, and goes past what is not handed over."""

    def __init__(self, consumer: Foreign, starts: Mapping[Place, int]) -> None:
        self._consumer = consumer
        self._places = {place: kafka().TopicPartition(*place) for place in starts}
        consumer.assign(list(self._places.values()))
        for place, start in starts.items():
            consumer.seek(self._places[place], start)

    def look(self) -> list[LogRecord]:
        some = self._consumer.poll(timeout_ms=int(proxied.POLL * 1000), max_records=AT_ONCE)
        return [
            LogRecord(
                one.topic,
                one.partition,
                one.offset,
                one.timestamp / 1000,
                one.timestamp_type == 1,
                one.key,
                one.value,
                tuple((name, value) for name, value in one.headers or ()),
            )
            for records in some.values()
            for one in records
        ]

    def reached(self, ends: Mapping[Place, int]) -> set[Place]:
        return {place for place, end in ends.items() if self._consumer.position(self._places[place]) >= end}

    def enough(self, places: Sequence[Place]) -> None:
        if places:
            self._consumer.pause(*(self._places[place] for place in places))


def _refused(error: Foreign) -> Refusal:
    return Refusal(f"reading was refused: {error.str()}", error.name())
