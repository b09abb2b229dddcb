"""Records through one broker and back, by librdkafka as a client would: equal, in order, all acknowledged.

Where the cluster is reached through a proxy, `proxied` carries them.

Invariant: a passed round trip means that every record was acknowledged by all in-sync
replicas (acks=all, idempotent) and read back at its own place. Nothing is logged, and
both clients are closed when it returns.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from kdeploy.cluster import Proxy, proxied
from kdeploy.cluster.client import Foreign
from kdeploy.cluster.failure import ClusterError, Refusal

RECORDS: Final = 10_000
"""Records through each broker."""

SIZE: Final = 100
"""Bytes of each record's value."""

PATIENCE: Final = 45.0
"""Seconds without any progress after which the rest is not waited for. A machine that just started six nodes
on two processors is slow; what does not move at all is broken."""

LONGEST: Final = 300.0
"""Seconds for all to be acknowledged, and again for all to be read."""

SILENT = logging.getLogger("kdeploy.cluster.librdkafka")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


def round_trip(
    client: Mapping[str, str], topic: str, partition: int, proxy: Proxy | None, records: int = RECORDS
) -> float:
    """Produce records to a partition and read them back.

    Args:
        client: librdkafka settings: where, and as whom.
        topic: A topic that holds nothing else.
        partition: The partition to go through.
        proxy: What to go through to get there, if anything.
        records: How many.

    Returns:
        Seconds it took.

    Raises:
        ClusterError: Something was refused, lost, doubled, changed or out of order.
    """
    began = time.monotonic()
    values = [f"{topic}/{partition}/{number}".encode().ljust(SIZE, b".") for number in range(records)]
    produce(client, topic, partition, values, proxy)
    read = consume(client, topic, partition, records, proxy)
    if read != values:
        wrong = next((n for n, (a, b) in enumerate(zip(read, values, strict=False)) if a != b), len(read))
        raise ClusterError(
            f"{len(read)} records came back of {records}, and number {wrong} is not the one sent"
        )
    return time.monotonic() - began


def produce(
    client: Mapping[str, str], topic: str, partition: int, values: list[bytes], proxy: Proxy | None
) -> None:
    """Send records and wait until all are acknowledged by all in-sync replicas.

    Raises:
        Refusal: The first one that was not.
    """
    if proxy is not None:
        sent = [proxied.Sent(partition, value) for value in values]
        proxied.produce(client, topic, sent, proxy, patience=PATIENCE)
    else:
        _produce(client, topic, partition, values)


def _produce(client: Mapping[str, str], topic: str, partition: int, values: list[bytes]) -> None:
    from confluent_kafka import KafkaException, Producer

    problems: list[Foreign] = []
    settings = {"acks": "all", "enable.idempotence": "true", "linger.ms": "5", **_common(client, problems)}
    settings["message.timeout.ms"] = str(int(LONGEST * 1000))
    failed: list[Foreign] = []

    def delivered(error: Foreign, _: Foreign) -> None:
        if error is not None:
            failed.append(error)

    try:
        producer = Producer(settings, logger=SILENT)
        for value in values:
            enqueue(
                producer, partial(producer.produce, topic, value, partition=partition, on_delivery=delivered)
            )
        left = flush(producer)
    except KafkaException as error:
        # A client that cannot be made, or a fatal error: no right to the producer id of an idempotent producer.
        raise _refusal("producing was refused", error.args[0]) from None
    if failed:
        raise _refusal(f"{len(failed)} of {len(values)} records were not taken", failed[0])
    if left:
        said = f": {problems[-1].str()}" if problems else ""
        raise ClusterError(f"{left} of {len(values)} records were not acknowledged in time{said}")


def flush(producer: Foreign) -> int:
    """Wait until nothing is on its way, or nothing moves any more; how many records are left."""
    began = moved = time.monotonic()
    left: int = len(producer)
    while left and time.monotonic() < min(moved + PATIENCE, began + LONGEST):
        before, left = left, producer.flush(1.0)
        if left < before:
            moved = time.monotonic()
    producer.purge()
    return left


def enqueue(producer: Foreign, send: Callable[[], None]) -> None:
    """Hand over a record; where the producer's buffer is full, wait for room."""
    while True:
        try:
            return send()
        except BufferError:
            producer.poll(0.1)


def consume(
    client: Mapping[str, str], topic: str, partition: int, records: int, proxy: Proxy | None
) -> list[bytes]:
    """Read records from the beginning of a partition.

    Returns:
        Their values, in order; fewer than asked for when the rest did not come in time.

    Raises:
        Refusal: The cluster turned the reader away.
    """
    if proxy is not None:
        return proxied.consume(client, topic, partition, proxy, patience=PATIENCE, records=records)
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    problems: list[Foreign] = []
    settings = {"group.id": topic, "enable.auto.commit": "false", **_common(client, problems)}
    settings["auto.offset.reset"] = "error"
    values: list[bytes] = []
    began = moved = time.monotonic()
    try:
        consumer = Consumer(settings, logger=SILENT)
        try:
            consumer.assign([TopicPartition(topic, partition, 0)])
            while len(values) < records and time.monotonic() < min(moved + PATIENCE, began + LONGEST):
                for message in consumer.consume(records - len(values), timeout=0.2):
                    if message.error() is not None:
                        raise _refusal("reading was refused", message.error())
                    values.append(message.value())
                    moved = time.monotonic()
        finally:
            consumer.close()
    except KafkaException as error:
        raise _refusal("reading was refused", error.args[0]) from None
    return values


def _common(client: Mapping[str, str], problems: list[Foreign]) -> dict[str, Foreign]:
    return {"log_level": 0, "error_cb": problems.append, "client.id": "kdeploy-verify", **client}


def _refusal(what: str, error: Foreign) -> Refusal:
    return Refusal(f"{what}: {error.str()}", error.name())
