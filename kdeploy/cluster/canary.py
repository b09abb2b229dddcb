"""A drill's canary: a topic and a group that are mirrored like any other, and nobody's.

    written, acknowledged at → end of the copy seen to grow at → which record that was, read once at the end

Its name says when, on which machine and by which process it was made, so that what a killed drill left is known and
removed by the next one, and one that still runs keeps its own. It is not called with two underscores in front, as
kdeploy's other names are, because MirrorMaker mirrors no such topic.

Invariant: nothing but names under `spec.identity.DRILL` is written, committed or removed; the original goes before its
copy, since MirrorMaker would make a copy anew that is gone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from kdeploy.cluster import Access, proxied, roundtrip, temporary
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.compacted import administrator
from kdeploy.cluster.failure import ClusterError, Refusal, translate
from kdeploy.cluster.state import Binding, LogRecord, NewTopic
from kdeploy.spec.identity import DRILL

LOOK: Final = 0.05
"""Seconds between two looks at the end of a copy: a delay is known to about this much, and MirrorMaker's own
transactions take ten times as long."""

KEPT: Final = 3_600_000
"""Milliseconds for which canary records are kept (retention.ms), should nobody ever come to remove them."""

_NAME: Final = re.compile(rf"(?:[a-z][a-z0-9-]*\.)?{DRILL}[a-z][a-z0-9-]*_([0-9a-f-]+)")


def name(datacenter: str, mark: str) -> str:
    """Name of the canary topic, and of its group, that a run makes in a datacenter."""
    return f"{DRILL}{datacenter}_{mark}"


def abandoned(topic: str) -> bool:
    """Whether a topic or group is the canary of a drill, or its copy, that no longer runs."""
    found = _NAME.fullmatch(topic)
    return found is not None and temporary.left(found[1])


def made_by(mark: str, topic: str) -> bool:
    """Whether a topic is a run's canary, or its copy."""
    found = _NAME.fullmatch(topic)
    return found is not None and found[1] == mark


def is_made_in(topic: str, datacenter: str) -> bool:
    """Whether a canary topic is the original that was made in a datacenter, and no copy."""
    return topic.startswith(f"{DRILL}{datacenter}_")


def make(admin: Admin, topic: str) -> None:
    """Make a canary topic of one partition, with as many copies as the cluster gives any topic."""
    admin.create_topics([NewTopic(topic, 1, None, {"retention.ms": str(KEPT)})], existing=True)


def there(admin: Admin) -> tuple[str, ...]:
    """Every canary topic and copy of one that a cluster has, or has an access list entry for."""
    names = {one.topic for one in admin.metadata().partitions} | {one.name for one in admin.bindings()}
    return tuple(sorted(one for one in names if _NAME.fullmatch(one)))


def remove(admin: Admin, topics: Sequence[str]) -> None:
    """Remove canary topics and what access list entries they have; those that are gone already are no error."""
    ours = [one for one in topics if _NAME.fullmatch(one)]
    if entries := [one for one in admin.bindings() if one.name in ours]:
        admin.delete_bindings(entries)
    if ours:
        admin.delete_topics(ours)


def right(topic: str) -> Binding:
    """A right to write a canary topic, of a user whom nobody can log in as: given and taken, it shows how long that takes."""
    return Binding("__kdeploy-drill", "topic", topic, "literal", "write", "allow", "*")


def write(access: Access, topic: str, numbers: Sequence[int]) -> None:
    """Write numbered records, as the administrator, and wait until all in-sync copies have acknowledged them.

    Raises:
        Refusal: One was not taken.
        ClusterError: Some were not acknowledged in time.
    """
    values = [str(number).encode() for number in numbers]
    roundtrip.produce(administrator(access), topic, 0, values, access.proxy)


def number(record: LogRecord) -> int:
    """The number of a canary record; -1 where it is none."""
    held = record.value or b""
    return int(held) if held.isdigit() else -1


def commit(access: Access, topic: str, offset: int) -> None:
    """Commit an offset of the canary topic for the group of the same name, as a consumer would that has read so far.

    Raises:
        ClusterError: The cluster refused it, or did not answer.
    """
    if access.proxy is not None:
        _commit_through(access, topic, offset)
        return
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    settings: dict[str, Foreign] = {
        **administrator(access),
        "client.id": "kdeploy",
        "group.id": topic,
        "enable.auto.commit": False,
        "log_level": 0,
        "error_cb": lambda _: None,
    }
    try:
        consumer = Consumer(settings, logger=roundtrip.SILENT)
        try:
            consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        finally:
            consumer.close()
    except KafkaException as error:
        said = error.args[0]
        raise Refusal(f"committing was refused: {said.str()}", said.name()) from None


def _commit_through(access: Access, topic: str, offset: int) -> None:
    assert access.proxy is not None  # noqa: S101 - for the reader; asked by `commit` alone
    settings: dict[str, Foreign] = {"group_id": topic, "enable_auto_commit": False}
    with proxied.reading(administrator(access), access.proxy, settings) as consumer:
        try:
            place = kafka().TopicPartition(topic, 0)
            consumer.assign([place])
            consumer.commit({place: kafka().structs.OffsetAndMetadata(offset, "", -1)})
        except (kafka().errors.KafkaError, RuntimeError, OSError) as error:
            raise translate(error, "commit an offset") from None


class Watch:
    """When the end of a copy was seen to grow, in a thread of its own."""

    def __init__(self, admin: Admin, topic: str) -> None:
        self.failed: ClusterError | None = None
        self._admin, self._place = admin, (topic, 0)
        self._grew: list[tuple[float, int]] = []
        self._stopping = threading.Event()

    @property
    def end(self) -> int:
        """The end as it was seen last."""
        return self._grew[-1][1] if self._grew else 0

    def look(self) -> None:
        """Look once."""
        _, end = self._admin.spans([self._place]).get(self._place, (0, 0))
        if end > self.end:
            self._grew.append((time.monotonic(), end))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look time and again while the block runs."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self.look()
            except ClusterError as error:  # told once, by whoever waits for the records
                self.failed = error

    def arrived(self) -> list[tuple[int, float]]:
        """Number and time of each record that came, by this machine's monotonic clock; of those alone that were seen."""
        if not self.end:
            return []
        found, grew = [], iter(self._grew)
        at, end = next(grew)
        for record in self._admin.records({self._place: (0, self.end)}):
            while record.offset >= end:
                at, end = next(grew)
            found.append((number(record), at))
        return found


def delays(acknowledged: Mapping[int, float], arrived: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    """Seconds that each record took from acknowledged to there, ascending; of one that came twice, the first time."""
    first: dict[int, float] = {}
    for which, at in arrived:
        if which in acknowledged:
            first.setdefault(which, at)
    return tuple(sorted(max(0.0, at - acknowledged[which]) for which, at in first.items()))


def most_missing(acknowledged: Mapping[int, float], arrived: Sequence[tuple[int, float]]) -> int:
    """Most records that at any moment were acknowledged and not there."""
    first: dict[int, float] = {}
    for which, at in arrived:
        if which in acknowledged:
            first.setdefault(which, max(at, acknowledged[which]))
    moments = [(at, 1) for at in acknowledged.values()] + [(at, -1) for at in first.values()]
    # Of one moment, what was acknowledged counts before what came: too much rather than too little.
    missing = most = 0
    for _, step in sorted(moments, key=lambda one: (one[0], -one[1])):
        missing += step
        most = max(most, missing)
    return most
