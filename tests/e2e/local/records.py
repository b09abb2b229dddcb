"""Numbered records into a topic while things break, and what became of the acknowledged ones.

Invariant: every record is given to the client once and in the order of its number within its
partition; only what a broker acknowledged to all in-sync copies is counted as acknowledged.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.local.conftest import RunningCluster

TOPIC = "orders"
PARTITIONS = 6
RATE = 3000
"""Records per second that are offered: above the 2,000 that must be reached while the cluster is up."""

QUEUE = 20_000
"""Records that wait in the client at most."""

BURST = 60
SIZE = 100
"""Bytes of a record's value."""


@dataclass
class Ledger:
    """What one cluster acknowledged since it was made, by partition, and what consumers got meanwhile."""

    acknowledged: dict[int, set[int]] = field(
        default_factory=lambda: {index: set() for index in range(PARTITIONS)}
    )
    refused: int = 0
    next: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    consumed: dict[int, list[int]] = field(default_factory=lambda: {index: [] for index in range(PARTITIONS)})

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))


@dataclass(frozen=True)
class Checked:
    """What reading a topic back said.

    Attributes:
        acknowledged: Records that were acknowledged.
        lost: Acknowledged records that are not there.
        out_of_order: Records that come after one with a higher number in their partition.
        duplicates: Records that are there again.
    """

    acknowledged: int
    lost: int
    out_of_order: int
    duplicates: int


def connection(cluster: RunningCluster, user: str) -> dict[str, Any]:
    """How a user connects to a cluster, for librdkafka."""
    return {
        "bootstrap.servers": cluster.access.client_bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": cluster.passwords[user],
        "ssl.ca.location": str(cluster.access.authority),
        "reconnect.backoff.max.ms": 1000,
        "error_cb": lambda _: None,
        "log_level": 0,
    }


class Producing:
    """A producer at work in the background, until `stop`.

    Attributes:
        longest_pause: The longest time between two acknowledgements of one partition, in seconds.
    """

    def __init__(self, cluster: RunningCluster, ledger: Ledger, rate: int = RATE) -> None:
        from confluent_kafka import Producer

        self.longest_pause = 0.0
        self._last: dict[int, float] = {}
        self._ledger, self._rate = ledger, rate
        self._stopping = threading.Event()
        self._client = Producer(
            {
                **connection(cluster, "orders-producer"),
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 50,
                "message.timeout.ms": 600_000,
                "topic.metadata.refresh.interval.ms": 2000,
                "queue.buffering.max.messages": QUEUE,
                "compression.type": "lz4",
            }
        )
        self._pool = ThreadPoolExecutor(1)
        self._work_done = self._pool.submit(self._work)

    def wait_for(self, records: int, patience: float = 120) -> float:
        """Wait until so many more are acknowledged; the rate, in records per second."""
        began, before = time.monotonic(), self._ledger.count
        while self._ledger.count < before + records:
            if self._work_done.done():
                self._work_done.result()
            assert time.monotonic() < began + patience, f"{self._ledger.count - before} of {records} records"
            time.sleep(0.05)
        return (self._ledger.count - before) / (time.monotonic() - began)

    def stop(self) -> None:
        """Stop offering, and wait until every record on its way is acknowledged."""
        self._stopping.set()
        self._pool.shutdown()
        self._work_done.result()
        left = self._client.flush(120)
        assert left == 0, f"{left} records are neither acknowledged nor refused"

    def abandon(self) -> None:
        """Stop at once; what is on its way is neither."""
        self._stopping.set()
        self._pool.shutdown()
        self._client.purge()
        self._client.flush(1)

    def _work(self) -> None:
        turn = 0
        while not self._stopping.wait(BURST / self._rate):
            for _ in range(BURST):
                self._offer(turn % PARTITIONS)
                turn += 1
            self._client.poll(0)

    def _offer(self, partition: int) -> None:
        from confluent_kafka import KafkaError, KafkaException

        number = self._ledger.next[partition]
        while not self._stopping.is_set():
            try:
                self._client.produce(
                    TOPIC,
                    str(number).zfill(SIZE).encode(),
                    partition=partition,
                    on_delivery=lambda error, _: self._note(error, partition, number),
                )
            except BufferError:
                self._client.poll(0.1)
            except KafkaException as error:
                # A broker that has just started and knows no topic yet was asked: the record was not taken.
                if error.args[0].code() != KafkaError._UNKNOWN_TOPIC:
                    raise
                self._client.poll(0.1)
            else:
                self._ledger.next[partition] += 1
                return

    def _note(self, error: Any, partition: int, number: int) -> None:
        if error is None:
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - self._last.get(partition, now))
            self._last[partition] = now
            self._ledger.acknowledged[partition].add(number)
        else:
            self._ledger.refused += 1


class Consuming:
    """A consumer of a group at work in the background while things break; `finish` waits for all acknowledged."""

    def __init__(self, cluster: RunningCluster, ledger: Ledger) -> None:
        from confluent_kafka import Consumer

        self._ledger = ledger
        self._stopping = threading.Event()
        self._client = Consumer(
            {
                **connection(cluster, "orders-consumer"),
                "group.id": "orders-live",
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 2000,
            }
        )
        self._client.subscribe([TOPIC])
        self._pool = ThreadPoolExecutor(1)
        self._work_done = self._pool.submit(self._work)

    def finish(self, patience: float = 120) -> Checked:
        """Wait until every acknowledged record has come, and hold what came against the ledger."""
        deadline = time.monotonic() + patience
        last = {index: max(numbers, default=-1) for index, numbers in self._ledger.acknowledged.items()}
        while time.monotonic() < deadline and not self._work_done.done():
            got = self._ledger.consumed
            if all(number < 0 or got[index][-1:] >= [number] for index, number in last.items()):
                break
            time.sleep(0.2)
        self.abandon()
        self._work_done.result()
        return compare(self._ledger, self._ledger.consumed)

    def abandon(self) -> None:
        """Stop, and leave the group."""
        self._stopping.set()
        self._pool.shutdown()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                for message in self._client.consume(5000, timeout=0.2):
                    if message.error() is None:
                        self._ledger.consumed[message.partition()].append(int(message.value()))
        finally:
            self._client.close()


def check(cluster: RunningCluster, ledger: Ledger) -> Checked:
    """Read everything back and hold it against the ledger."""
    return compare(ledger, _read(cluster))


def compare(ledger: Ledger, found: dict[int, list[int]]) -> Checked:
    """Hold what was read of each partition, in its order, against the ledger."""
    lost = sum(len(numbers - set(found[index])) for index, numbers in ledger.acknowledged.items())
    out_of_order = duplicates = 0
    for numbers in found.values():
        seen: set[int] = set()
        highest = -1
        for number in list(numbers):
            duplicates += number in seen
            out_of_order += number < highest and number not in seen
            seen.add(number)
            highest = max(highest, number)
    return Checked(ledger.count, lost, out_of_order, duplicates)


def _read(cluster: RunningCluster, patience: float = 120) -> dict[int, list[int]]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            **connection(cluster, "orders-consumer"),
            "group.id": "orders-checker",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    found: dict[int, list[int]] = {index: [] for index in range(PARTITIONS)}
    try:
        offsets = {
            index: consumer.get_watermark_offsets(TopicPartition(TOPIC, index), timeout=60) for index in found
        }
        consumer.assign([TopicPartition(TOPIC, index, low) for index, (low, _) in offsets.items()])
        ends = {index: high for index, (low, high) in offsets.items() if high > low}
        deadline = time.monotonic() + patience
        while ends:
            assert time.monotonic() < deadline, f"partitions {sorted(ends)} could not be read to their ends"
            for message in consumer.consume(5000, timeout=0.5):
                if message.error() is None:
                    found[message.partition()].append(int(message.value()))
                    if message.offset() + 1 >= ends.get(message.partition(), 0):
                        ends.pop(message.partition(), None)
        return found
    finally:
        consumer.close()
