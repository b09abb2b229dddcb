"""A compacted topic of one partition, as a map: read whole, and written in batches, by librdkafka
(through a proxy, by `proxied`).

Invariant: read to the end as it was when reading began, in one pass; what is written is acknowledged by
all in-sync replicas (acks=all, idempotent) before `write` returns. As the administrator, over mutual TLS.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from kdeploy.cluster import Access, Proxy, proxied
from kdeploy.cluster.client import Foreign
from kdeploy.cluster.failure import ClusterError, Refusal
from kdeploy.cluster.roundtrip import LONGEST, PATIENCE, SILENT, enqueue, flush

AT_ONCE: Final = 10_000
"""Records handed over from librdkafka at a time."""

LARGEST_BATCH: Final = 8 * 2**20
"""Bytes of one request to write; the topic allows as much (max.message.bytes)."""

LEADER_WITHIN: Final = 60.0
"""Seconds that a topic which was just created has to get its leader, on a starved machine; and that one whose leader
stopped answering has to get another, which ZooKeeper lets it have after 18 s (zookeeper.session.timeout.ms)."""

ASKING: Final = 10.0
"""Seconds that a leader has for one answer."""

FORGOTTEN: Final = -137
"""librdkafka's code (_DESTROY_BROKER, as of 2.16) where the other brokers forgot one while it was being asked."""


class _SilentLeader(Exception):
    """Whoever leads a topic does not answer, in the words for a person; another may lead it soon."""


def read(access: Access, topic: str) -> dict[str, str]:
    """The last value of each key; keys whose last value is empty are left out.

    Raises:
        ClusterError: The cluster does not answer, or turns the administrator away.
    """
    if access.proxy is not None:
        return _read_through(access, access.proxy, topic)
    deadline = time.monotonic() + LEADER_WITHIN
    while True:
        try:
            return _read_once(access, topic)
        except _SilentLeader as error:
            if time.monotonic() > deadline:
                raise ClusterError(str(error)) from None


def _read_once(access: Access, topic: str) -> dict[str, str]:
    """Read it with a client that is new: one that asked a leader which then froze goes on asking that one."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    problems: list[Foreign] = []
    settings = {**_common(access, problems), "group.id": topic, "enable.auto.commit": False}
    try:
        consumer = Consumer({**settings, "auto.offset.reset": "earliest"}, logger=SILENT)
        try:
            place = TopicPartition(topic, 0)
            first, end = _ends(consumer, place)
            return _read(consumer, TopicPartition(topic, 0, first), end, problems) if end > first else {}
        finally:
            consumer.close()
    except KafkaException as error:
        raise _refusal(f"reading topic {topic} was refused", error.args[0]) from None


def _read_through(access: Access, proxy: Proxy, topic: str) -> dict[str, str]:
    found, left = proxied.compacted(administrator(access), topic, proxy, patience=PATIENCE)
    if left:
        raise ClusterError(f"topic {topic} was read up to {left} records before its end only")
    values: dict[str, str] = {}
    for key, value in found:
        values.pop(key.decode(errors="replace"), None)
        if value:
            values[key.decode(errors="replace")] = value.decode(errors="replace")
    return values


def _read(consumer: Foreign, start: Foreign, end: int, problems: list[Foreign]) -> dict[str, str]:
    values: dict[str, str] = {}
    consumer.assign([start])
    moved = time.monotonic()
    # The position and not the last record tells the end: compaction and transactions leave gaps before it.
    while (position := consumer.position([start])[0].offset) < end:
        for message in consumer.consume(AT_ONCE, timeout=0.2):
            moved = time.monotonic()
            if message.error() is not None:
                raise _refusal(f"reading topic {start.topic} was refused", message.error())
            key = (message.key() or b"").decode(errors="replace")
            if message.offset() >= end:
                return values
            if message.value():
                values[key] = message.value().decode(errors="replace")
            else:
                values.pop(key, None)
        if time.monotonic() > moved + PATIENCE:
            said = f": {problems[-1].str()}" if problems else ""
            raise ClusterError(f"topic {start.topic} was read up to {max(position, 0)} of {end} only{said}")
    return values


def write(access: Access, topic: str, values: Mapping[str, str | None]) -> None:
    """Give keys new values; None writes an empty one, which removes the key.

    Raises:
        ClusterError: One of them was not acknowledged.
    """
    if access.proxy is not None:
        texts = ((key, None if value is None else value.encode()) for key, value in values.items())
        sent = [proxied.Sent(0, text, key.encode()) for key, text in texts]
        client = administrator(access)
        proxied.produce(client, topic, sent, access.proxy, patience=LEADER_WITHIN, largest=LARGEST_BATCH)
    else:
        _write(access, topic, values)


def _write(access: Access, topic: str, values: Mapping[str, str | None]) -> None:
    from confluent_kafka import KafkaException, Producer

    problems: list[Foreign] = []
    failed: list[Foreign] = []
    settings = {
        **_common(access, problems),
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": LARGEST_BATCH,
        "message.timeout.ms": int(LONGEST * 1000),
    }

    def delivered(error: Foreign, _: Foreign) -> None:
        if error is not None:
            failed.append(error)

    try:
        producer = Producer(settings, logger=SILENT)
        for key, value in values.items():
            text = None if value is None else value.encode()
            send = partial(producer.produce, topic, text, key.encode(), partition=0, on_delivery=delivered)
            enqueue(producer, send)
        left = flush(producer)
    except KafkaException as error:
        raise _refusal(f"writing to topic {topic} was refused", error.args[0]) from None
    if failed:
        raise _refusal(f"{len(failed)} of {len(values)} records of {topic} were not taken", failed[0])
    if left:
        said = f": {problems[-1].str()}" if problems else ""
        raise ClusterError(f"{left} of {len(values)} records of {topic} were not acknowledged in time{said}")


def _ends(consumer: Foreign, place: Foreign) -> tuple[int, int]:
    """The first offset of a partition and the one after its last, as soon as it has a leader.

    Raises:
        _SilentLeader: It has one that does not answer, or that was lost meanwhile.
    """
    from confluent_kafka import KafkaError, KafkaException

    deadline = time.monotonic() + LEADER_WITHIN
    while True:
        try:
            found: tuple[int, int] = consumer.get_watermark_offsets(place, timeout=ASKING)
            return found
        except KafkaException as error:
            if error.args[0].code() in (
                KafkaError._TIMED_OUT,
                KafkaError._TRANSPORT,
                FORGOTTEN,
            ):
                raise _SilentLeader(_silence(consumer, place.topic)) from None
            if time.monotonic() > deadline or not error.args[0].retriable():
                raise
            time.sleep(0.2)


def _silence(consumer: Foreign, topic: str) -> str:
    """Who it is that does not answer for a topic, as the others tell it."""
    from confluent_kafka import KafkaException

    try:
        (partition, *_) = consumer.list_topics(topic, timeout=ASKING).topics[topic].partitions.values()
    except (KafkaException, ValueError):
        return f"topic {topic} cannot be read: no broker says who leads it"
    leads = (
        f"its leader, broker {partition.leader}, does not answer"
        if partition.leader >= 0
        else "it has no leader"
    )
    return f"topic {topic} cannot be read: {leads}"


def administrator(access: Access) -> dict[str, str]:
    """The settings of librdkafka for the administrator: where, and as whom."""
    return {
        "bootstrap.servers": access.bootstrap,
        "security.protocol": "SSL",
        "ssl.ca.location": str(access.authority),
        "ssl.certificate.location": str(access.certificate),
        "ssl.key.location": str(access.certificate),
    }


def _common(access: Access, problems: list[Foreign]) -> dict[str, Foreign]:
    return {**administrator(access), "log_level": 0, "error_cb": problems.append, "client.id": "kdeploy"}


def _refusal(what: str, error: Foreign) -> Refusal:
    return Refusal(f"{what}: {error.str()}", error.name())
