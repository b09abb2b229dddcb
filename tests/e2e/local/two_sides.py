"""Numbered records into one of two datacenters, and what became of them on both sides.

Invariant: a number is given once, whichever side it is written to; only what a broker acknowledged to all in-sync
copies counts as acknowledged. Clients connect with what `kdeploy clients` wrote, as applications do.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

from tests.e2e.local.conftest import SHIPPED
from tests.e2e.local.kdeploy_command import Finished, Kdeploy

TOPIC = "orders"
RATE = 2500
"""Records per second that are offered: above the 2,000 that have to be kept up."""

SIZE = 100
"""Bytes of a record's value."""


@dataclass
class Sides:
    """Two datacenters on this machine, the mirror between them, and every number that was ever written.

    Attributes:
        kdeploy: The command.
        acknowledged: Numbers, by the datacenter that acknowledged them.
        numbers: Numbers that were not given yet; taken from several threads.
        followed: Numbers that members of a group read, by group, on whichever side.
        working: Producers and consumers that were set to work.
    """

    kdeploy: Kdeploy
    acknowledged: dict[str, set[int]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)
    followed: dict[str, set[int]] = field(default_factory=dict)
    working: list[Writing | Following] = field(default_factory=list)

    def rest(self) -> None:
        """Stop whatever a test that failed left at work: the next one counts what its own acknowledged."""
        while self.working:
            self.working.pop().end()

    def client(self, datacenter: str, user: str) -> dict[str, Any]:
        """How a user connects to a datacenter, for librdkafka."""
        return {**self.connection(datacenter, f"users/{user}"), "log_level": 0, "error_cb": _silent}

    def connection(self, datacenter: str, who: str) -> dict[str, Any]:
        """What somebody is handed out for a datacenter, as librdkafka takes it.

        Args:
            datacenter: Where to.
            who: The folder of whose it is: `admin`, or `users/` and a name.
        """
        folder = self.kdeploy.root / "handed-out"
        if not (folder / datacenter / who).is_dir():
            self.kdeploy("clients", "--datacenter", datacenter, "--to", str(folder))
        written = folder / datacenter / who / "python.json"
        return dict(json.loads(written.read_text())["confluent-kafka"])

    def committed(self, datacenter: str, group: str) -> dict[int, int]:
        """Where a group is in the topic, by partition; nothing where it has committed nothing."""
        from confluent_kafka import Consumer, TopicPartition

        client = Consumer({**self.client(datacenter, "orders-consumer"), "group.id": group})
        try:
            partitions = client.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
            found = client.committed([TopicPartition(TOPIC, one) for one in partitions], timeout=30)
        finally:
            client.close()
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def everything(self) -> set[int]:
        """Every number that was acknowledged by any datacenter."""
        return set[int]().union(*self.acknowledged.values())

    def read(self, datacenter: str, topic: str = TOPIC) -> Counter[int]:
        """How often each number is in a topic of a datacenter, read to its end as committed."""
        from confluent_kafka import Consumer, TopicPartition

        settings = {
            "group.id": "orders-reading",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        consumer = Consumer({**self.client(datacenter, "orders-consumer"), **settings})
        found: Counter[int] = Counter()
        try:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            ends = {
                index: consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=30)[1]
                for index in partitions
            }
            consumer.assign([TopicPartition(topic, index, 0) for index in partitions])
            deadline = time.monotonic() + 120
            left = {index for index, end in ends.items() if end}
            while left:
                assert time.monotonic() < deadline, (
                    f"partitions {left} of {datacenter} were not read to their end"
                )
                found.update(int(one.key()) for one in consumer.consume(10_000, 0.5) if one.error() is None)
                left = {
                    one.partition
                    for one in consumer.position([TopicPartition(topic, index) for index in left])
                    if one.offset < ends[one.partition]
                }
        finally:
            consumer.close()
        return found

    def canaries(self) -> set[str]:
        """Topics of drills, and copies of them, on either side."""
        from confluent_kafka.admin import AdminClient

        found = set[str]()
        for place in ("east", "west"):
            client = AdminClient(self.connection(place, "admin"))
            found |= {name for name in client.list_topics(timeout=30).topics if "kdeploy-drill-" in name}
        return found

    def written_to(self) -> str:
        """The datacenter that is written to, as whichever cluster answers has it."""
        found: str = self.kdeploy("mirror status", "--output", "json", code=None).document["active"]
        return found

    def kill(self, datacenter: str, role: str = "") -> None:
        """SIGKILL every process of a datacenter, or those of one role."""
        folders = sorted((self.kdeploy.state / "nodes" / datacenter).glob(f"{role}*"))
        assert folders, f"{datacenter} has no {role}"
        for folder in folders:
            pid = json.loads((folder / "process.json").read_text())["pid"]
            os.kill(pid, signal.SIGKILL)

    def killed_at(self, command: str, *arguments: str, point: str) -> Finished:
        """Run a command that ends at a named moment."""
        return self.kdeploy(command, *arguments, code=-signal.SIGKILL, KDEPLOY_KILL_AT=point)

    def underway(self, command: str, *arguments: str) -> Underway:
        """Begin a command, to do something while it works."""
        return Underway(self.kdeploy.start(command, *arguments), self.kdeploy.patience)


class Underway:
    """A command at work, whose words are read as they come."""

    def __init__(self, process: subprocess.Popen[str], patience: float) -> None:
        self._process, self._patience = process, patience
        self._lines: list[str] = []
        self._printed: list[str] = []
        pipes = ((process.stderr, self._lines), (process.stdout, self._printed))
        self._reading = [threading.Thread(target=_read_into, args=each, daemon=True) for each in pipes]
        for one in self._reading:
            one.start()

    @property
    def said(self) -> str:
        """All that it said by now, with single spaces: a long step is broken into lines."""
        return " ".join(" ".join(self._lines).split())

    def wait_for(self, words: str) -> None:
        """Wait until it says something; one that ends without it is a failure."""
        deadline = time.monotonic() + self._patience
        while words not in self.said:
            assert self._process.poll() is None or words in self.ended(code=None).stderr, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def ended(self, code: int | None = 0) -> Finished:
        """Wait for its end; its words have single spaces."""
        self._process.wait(self._patience)
        for one in self._reading:
            one.join()
        finished = Finished(self._process.returncode, "".join(self._printed), self.said)
        assert "Traceback" not in finished.stderr, "".join(self._lines)
        assert "a defect of its own" not in finished.stderr, "".join(self._lines)
        assert code is None or finished.code == code, f"exit {finished.code}\n{''.join(self._lines)}"
        return finished


def _read_into(pipe: IO[str], lines: list[str]) -> None:
    with pipe:
        lines.extend(pipe)


def two_sides(root: Path, name: str, ports: tuple[int, int]) -> Iterator[Sides]:
    """A shipped environment of two datacenters on this machine, brought up, and nothing left of it."""
    shutil.copytree(SHIPPED / name, root / "environments" / name)
    kdeploy = Kdeploy(root, name, patience=900)
    left = iter(ports)
    text = re.sub(r"base_port: \d+", lambda _: f"base_port: {next(left)}", kdeploy.file.read_text())
    kdeploy.file.write_text(text)
    try:
        yield Sides(kdeploy)
    finally:
        kdeploy("down", "--delete-data", "--yes", code=None)


class Writing:
    """A producer at work in the background, with acks=all; a record that is refused is given up."""

    def __init__(self, sides: Sides, datacenter: str, rate: int = RATE, *, idempotent: bool = False) -> None:
        from confluent_kafka import Producer

        self.refused = 0
        self._sides, self._rate = sides, rate
        self._mine = sides.acknowledged.setdefault(datacenter, set())
        self._before, self._began = len(self._mine), time.monotonic()
        self._shut_out: float | None = None
        self._stopping = threading.Event()
        settings = {
            "acks": "all",
            "linger.ms": 20,
            "message.timeout.ms": 20_000,
            "queue.buffering.max.messages": 20_000,
            "enable.idempotence": idempotent,
            # Sent again without that, a record would be there twice where just its answer came too late.
            **({} if idempotent else {"message.send.max.retries": 0}),
        }
        self._client = Producer({**sides.client(datacenter, "orders-producer"), **settings})
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        sides.working.append(self)

    def wait_for(self, records: int, patience: float = 180) -> float:
        """Wait until so many more are acknowledged; the rate, in records per second."""
        began, before = time.monotonic(), len(self._mine)
        while len(self._mine) < before + records:
            assert time.monotonic() < began + patience, f"{len(self._mine) - before} of {records} records"
            time.sleep(0.05)
        return (len(self._mine) - before) / (time.monotonic() - began)

    def rate(self) -> float:
        """Records a second that were acknowledged until the first one was refused, or until now."""
        until = self._shut_out or time.monotonic()
        return (len(self._mine) - self._before) / (until - self._began)

    def stop(self) -> None:
        """Stop, and wait until every record on its way was acknowledged or given up."""
        self.end()

    def end(self) -> None:
        """Do no more."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        began, offered = time.monotonic(), 0
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) * self._rate) - offered
            for _ in range(min(due, 500)):
                self._offer()
                offered += 1
            self._client.poll(0.01)
        self._client.flush(60)

    def _offer(self) -> None:
        from confluent_kafka import KafkaException

        number = next(self._sides.numbers)
        try:
            self._client.produce(TOPIC, key=str(number), value=b"x" * SIZE, on_delivery=self._told)
        except (BufferError, KafkaException):  # full, or shut out for good
            self._refuse()
            self._client.poll(0.1)

    def _told(self, error: object, message: Any) -> None:
        if error is None:
            self._mine.add(int(message.key()))
        else:
            self._refuse()

    def _refuse(self) -> None:
        self.refused += 1
        self._shut_out = self._shut_out or time.monotonic()


class Transaction:
    """Records that a broker has and nobody who reads what is committed may see yet.

    Attributes:
        numbers: Theirs; acknowledged, for `Sides`, once they are committed.
    """

    def __init__(self, sides: Sides, datacenter: str, records: int, timeout: float) -> None:
        from confluent_kafka import Producer

        self.numbers = set(islice(sides.numbers, records))
        self._mine = sides.acknowledged.setdefault(datacenter, set())
        name = f"orders-{min(self.numbers)}"
        settings = {"transactional.id": name, "transaction.timeout.ms": round(timeout * 1000)}
        self._client = Producer({**sides.client(datacenter, "orders-producer"), **settings})
        self._client.init_transactions(60)
        self._client.begin_transaction()
        taken: list[object] = []
        for number in self.numbers:
            self._client.produce(
                TOPIC, key=str(number), value=b"x" * SIZE, on_delivery=lambda error, _: taken.append(error)
            )
        self._client.flush(60)
        assert taken == [None] * records, "every record is at its broker, and the transaction is open"

    def commit(self) -> None:
        """Commit it; raises KafkaException where it was ended before."""
        self._client.commit_transaction(60)
        self._mine.update(self.numbers)


class Following:
    """A member of a consumer group at work in the background, which commits what it read."""

    def __init__(self, sides: Sides, datacenter: str, group: str, topics: tuple[str, ...] = (TOPIC,)) -> None:
        from confluent_kafka import Consumer

        self.got: Counter[int] = Counter()
        self._followed = sides.followed.setdefault(group, set())
        settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        self._client = Consumer({**sides.client(datacenter, "orders-consumer"), **settings})
        self._client.subscribe(list(topics))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        sides.working.append(self)

    def wait_for(self, numbers: set[int], patience: float = 120) -> None:
        """Wait until these were read."""
        deadline = time.monotonic() + patience
        while numbers - self.got.keys():
            assert time.monotonic() < deadline, f"{len(numbers - self.got.keys())} records were not read"
            time.sleep(0.1)

    def stop(self, *, lost: bool = False) -> None:
        """Leave the group; what was read is committed, unless its cluster is lost, which nobody answers for."""
        self.end()
        if not lost:
            from confluent_kafka import KafkaException

            with suppress(KafkaException):  # nothing is left to be committed
                self._client.commit(asynchronous=False)
            self._client.close()

    def end(self) -> None:
        """Do no more."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            some = [one for one in self._client.consume(2000, 0.2) if one.error() is None]
            self.got.update(int(one.key()) for one in some)
            self._followed.update(int(one.key()) for one in some)
            if some:
                self._client.commit(asynchronous=True)


def expect_drilled(ended: Finished, *ways: tuple[str, str]) -> Any:
    """All that was written each way in a drill came, once, and nothing is wrong but an objective at most; what it came to."""
    document = ended.document
    print(ended.stdout)
    assert ended.code == (0 if document["ok"] else 5), ended.stderr
    assert [(one["source"], one["target"]) for one in document["directions"]] == list(ways)
    for one in document["directions"]:
        assert one["written"] > 0
        assert (one["arrived"], one["doubled"]) == (one["written"], 0)
        assert one["p50_seconds"] <= one["p99_seconds"] <= one["max_seconds"]
    assert document["problems"] == []
    assert document["ok"] == (document["rpo"]["met"] and document["rto"]["met"])
    return document


def exported(folder: Path) -> list[int]:
    """Numbers of the records that an export holds."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [int(base64.b64decode(json.loads(line)["key"])) for line in lines]


def once(found: Counter[int]) -> bool:
    """Whether every record that was read is there exactly once."""
    return all(times == 1 for times in found.values())


def _silent(_: object) -> None:
    """Errors of connections are what these tests bring about."""
