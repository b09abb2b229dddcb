"""How far one datacenter's mirror is behind: connectors, heartbeats, topics, and groups as they would go on there.

    Connect's offsets ┐
    source: ends, first unmirrored records, groups ┼→ LinkStatus
    target: ends, last records, heartbeats, checkpoints, pairs of offsets, groups ┘

Each question is asked once for all partitions. Where the source is dead, what only it knows is None and the rest is
told. Figures are at least what they stand for: a lag counts offsets, some of which may be marks of transactions, but
a partition in which nothing but marks is left counts as mirrored.

Invariant: read-only; a figure that cannot be known is None, and what kept it from being known is in `problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from kdeploy.cluster import connectors, mirror_records
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.connect import Workers
from kdeploy.cluster.connectors import ConnectorState, TaskState
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import LogRecord, Place, Spans
from kdeploy.cluster.translation import GroupState, Known, Syncs, group_states
from kdeploy.units import format_duration

T = TypeVar("T")

SCHEMA: Final = "kdeploy.mirror/v1"

SYNCS_READ: Final = 20_000
"""Pairs of offsets that are read, the newest ones: those of some minutes at thousands of records a second; without
one, how many records a group reads again follows from the ends of both sides."""


CLOCKS: Final = 1.0
"""Seconds by which a heartbeat may be made later than now without a word: as much as there are between two of them
(`tuning.mirror.HEARTBEAT`). Objectives are of seconds, and clocks that are kept differ by milliseconds."""


@dataclass(frozen=True)
class ConnectorStatus:
    """A connector: its name, state, worker and why it failed, and its tasks; state MISSING where it is not there."""

    name: str
    state: str
    worker: str
    trace: str
    tasks: tuple[TaskState, ...]


@dataclass(frozen=True)
class Sign:
    """The last sign of life of one kind.

    Attributes:
        at: When it was made, in ISO 8601, by the clock of whoever made it.
        age: Seconds since then, by the clock of this machine.
        latency: Seconds from when it was made to when the target had it, where the target's topic tells when that
            was (message.timestamp.type=LogAppendTime); else None, and `age` holds it and the time since the last one.
            None, too, where the target had it before it was made: then the two clocks differ by more than it took.
    """

    at: str
    age: float
    latency: float | None = None


@dataclass(frozen=True)
class TopicLag:
    """How far a topic's mirror is behind.

    Attributes:
        topic: Its name on the source.
        target: Its name on the target.
        partitions: How many it has, as far as is known.
        records: Records that are on the source and not mirrored; None where the source is dead.
        seconds: Age of the oldest of them; where the source is dead, of the last record that was mirrored; None where
            nothing is known of either.
        expired: Offsets that the source deleted before they were mirrored; None where the source is dead.
        behind: The partition with most of `records`; None where there are none.
    """

    topic: str
    target: str
    partitions: int
    records: int | None
    seconds: float | None
    expired: int | None = 0
    behind: int | None = None


@dataclass(frozen=True)
class LinkStatus:
    """One direction.

    Attributes:
        source: The datacenter that is read from.
        target: The one that is written to.
        source_answers: Whether the source could be asked.
        connectors: Those of this direction, and the heartbeats of the target.
        heartbeat: The source's last one that was mirrored; None where there is none.
        checkpoint: The last one; None where there is none.
        topics: By name.
        groups: By name.
        problems: What could not be known, and what is wrong, a sentence each.
        warnings: What is not as it seems, a sentence each: clocks that differ, and groups that nobody may go on with at
            the target (`cluster.readers`).
    """

    source: str
    target: str
    source_answers: bool
    connectors: tuple[ConnectorStatus, ...]
    heartbeat: Sign | None
    checkpoint: Sign | None
    topics: tuple[TopicLag, ...]
    groups: tuple[GroupState, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def records(self) -> int | None:
        """Records of all topics that are not mirrored; None where that is not known of one."""
        return _all(sum, [one.records for one in self.topics])

    @property
    def seconds(self) -> float | None:
        """Age of the oldest record that is not mirrored; where the source is dead, of the newest one that is."""
        known = [one.seconds for one in self.topics if one.seconds is not None]
        if not known:
            return None
        return max(known) if self.source_answers else min(known)


@dataclass(frozen=True)
class Silence:
    """A datacenter that does not answer, and why, on one line."""

    datacenter: str
    why: str


@dataclass(frozen=True)
class MirrorStatus:
    """All directions of an environment: what `kdeploy mirror status` prints.

    Attributes:
        environment: Its name.
        mode: active-passive or active-active.
        active: The datacenter that is written to, where one is; None with active-active, and where the two disagree.
        epoch: The number of that decision (`direction.Direction`).
        at: When it was looked at, in ISO 8601.
        links: One for each direction that is mirrored and whose target answers.
        silent: Datacenters that do not answer.
        problems: What is wrong with all of it, a sentence each: that both were taken over, each without the other, or that
            nothing is mirrored to one of several that stand by.
        handed: By datacenter whose clients are sent elsewhere, where to (active-active).
    """

    environment: str
    mode: str
    active: str | None
    epoch: int
    at: str
    links: tuple[LinkStatus, ...]
    silent: tuple[Silence, ...] = ()
    problems: tuple[str, ...] = ()
    handed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The status as JSON values."""
        return {"schema": SCHEMA, **asdict(self)}


def look(route: Route, source: Admin | None, target: Admin, workers: Workers, now: float) -> LinkStatus:
    """How one direction is.

    Args:
        route: Which.
        source: The cluster that is read from; None where it does not answer.
        target: The cluster that is written to.
        workers: The Connect cluster beside it.
        now: Seconds since 1970.

    Raises:
        ClusterError: The target does not answer, or a cluster that did does not any more.
    """
    problems: list[str] = (
        [] if source else [f"{route.source} does not answer: what only it knows is left out"]
    )
    found, positions = _of_workers(route, workers, problems)
    places = _places(route, source, positions)
    mirrored = {(route.on_target(topic), index) for topic, index in places}
    own = (route.heartbeats, route.checkpoints, route.syncs)
    ours = {(one.topic, one.index) for one in target.metadata().partitions if one.topic in own}
    there = target.spans(mirrored | ours)
    copies = {place: span for place, span in there.items() if place in mirrored}
    checkpoints = _read(target, _of(there, route.checkpoints), mirror_records.checkpoint)
    known = Known(
        positions or {},
        {place: end for place, (_, end) in copies.items()},
        {(one.group, one.topic, one.partition): one for _, one in checkpoints},
        _syncs(target, _of(there, route.syncs)),
    )
    if source is None:
        topics = _dead(route, places, target.last_records(copies), now)
    else:
        topics = _lags(route, source, places, positions, now, problems)
    committed = None if source is None else source.group_offsets()
    beat, ahead = _heartbeat(target.last_records(_of(there, route.heartbeats)).values(), now)
    return LinkStatus(
        route.source,
        route.target,
        source is not None,
        tuple(_connector(name, found) for name in route.connectors) if found is not None else (),
        beat,
        _sign(max((record.timestamp for record, _ in checkpoints), default=None), now),
        topics,
        group_states(route, committed, target.group_offsets, known),
        tuple(problems),
        (_said_of_clocks(route, ahead),) if ahead > CLOCKS else (),
    )


def _said_of_clocks(route: Route, ahead: float) -> str:
    return (
        f"the clock of {route.source}'s MirrorMaker is at least {format_duration(ahead)} ahead of this machine's, by its last "
        "heartbeat, so ages are told too short by as much: have both keep time by the same servers (NTP)"
    )


def _of_workers(
    route: Route, workers: Workers, problems: list[str]
) -> tuple[dict[str, ConnectorState] | None, connectors.Positions | None]:
    """The connectors, and how far records are; None each where it is not known."""
    found = None
    try:
        found = workers.connectors()
        for name in route.connectors:
            if name not in found:
                problems.append(f"connector {name} is not there")
            elif found[name].failed:
                problems.append(f"connector {name} failed")
        if route.records not in found:
            return found, None
        return found, connectors.positions(workers.offsets(route.records), route.source)
    except ClusterError as error:
        problems.append(
            f"{str(error).splitlines()[0]}: how far {route.source}'s records are mirrored is not known"
        )
        return found, None


def _places(route: Route, source: Admin | None, positions: connectors.Positions | None) -> list[Place]:
    """Partitions of the source that are mirrored, as far as they are known."""
    if source is not None:
        return [(one.topic, one.index) for one in source.metadata().partitions if route.carries(one.topic)]
    held = positions or {}
    return sorted(
        (topic, index) for topic, offsets in held.items() if route.carries(topic) for index in offsets
    )


def _lags(
    route: Route,
    source: Admin,
    places: Iterable[Place],
    positions: connectors.Positions | None,
    now: float,
    problems: list[str],
) -> tuple[TopicLag, ...]:
    """Of a source that answers."""
    if positions is None:
        return tuple(_unknown(route, topic, count) for topic, count in sorted(_counted(places).items()))
    spans = source.spans(list(places))
    wanted = {place: positions.get(place[0], {}).get(place[1], 0) for place in spans}
    unread = {
        place: (max(first, wanted[place]), end)
        for place, (first, end) in spans.items()
        if end > wanted[place]
    }
    oldest = source.first_records(unread)
    for (topic, index), (_, end) in spans.items():
        if wanted[topic, index] > end:
            problems.append(
                f"{topic}-{index} ends at {end} on {route.source}, and {wanted[topic, index]} of it were mirrored: "
                "the topic was made anew, or lost records"
            )
    topics: dict[str, list[Place]] = {}
    for place in places:
        topics.setdefault(place[0], []).append(place)
    return tuple(
        _lag(
            route,
            topic,
            held,
            {one: unread[one] for one in held if one in oldest},
            oldest,
            spans,
            wanted,
            now,
        )
        for topic, held in sorted(topics.items())
    )


def _lag(
    route: Route,
    topic: str,
    places: list[Place],
    unread: Mapping[Place, tuple[int, int]],
    oldest: Mapping[Place, LogRecord],
    spans: Mapping[Place, tuple[int, int]],
    wanted: Mapping[Place, int],
    now: float,
) -> TopicLag:
    counts = {place: end - oldest[place].offset for place, (_, end) in unread.items()}
    ages = [max(0.0, now - oldest[place].timestamp) for place in unread if oldest[place].timestamp >= 0]
    expired = sum(max(0, spans[one][0] - wanted[one]) for one in places if wanted.get(one, 0))
    worst = max(counts, key=lambda place: (counts[place], -place[1]), default=None)
    return TopicLag(
        topic,
        route.on_target(topic),
        len(places),
        sum(counts.values()),
        max(ages, default=0.0),
        expired,
        worst and worst[1],
    )


def _dead(
    route: Route, places: Iterable[Place], last: Mapping[Place, LogRecord], now: float
) -> tuple[TopicLag, ...]:
    """Of a source that does not answer: how old the newest mirrored record of each topic is."""
    newest: dict[str, float] = {}
    for (topic, _), one in last.items():
        newest[topic] = max(newest.get(topic, 0.0), one.timestamp)
    found = []
    for topic, count in sorted(_counted(places).items()):
        at = newest.get(route.on_target(topic))
        age = None if at is None else max(0.0, now - at)
        found.append(TopicLag(topic, route.on_target(topic), count, None, age, None))
    return tuple(found)


def _unknown(route: Route, topic: str, count: int) -> TopicLag:
    return TopicLag(topic, route.on_target(topic), count, None, None, None)


def _counted(places: Iterable[Place]) -> dict[str, int]:
    found: dict[str, int] = {}
    for topic, _ in places:
        found[topic] = found.get(topic, 0) + 1
    return found


def _heartbeat(last: Iterable[LogRecord], now: float) -> tuple[Sign | None, float]:
    """The last heartbeat, and by how many seconds it was made later than now."""
    found = ((record, mirror_records.heartbeat(record.key, record.value)) for record in last)
    beats = [(one.timestamp, record) for record, one in found if one is not None]
    if not beats:
        return None, 0.0
    at, record = max(beats, key=lambda beat: beat[0])
    # A mirrored record keeps the time that its worker gave it, so that most topics tell nothing of when it came.
    told = record.appended and record.timestamp >= at
    return _sign(at, now, record.timestamp - at if told else None), at - now


def _sign(at: float | None, now: float, latency: float | None = None) -> Sign | None:
    if at is None:
        return None
    return Sign(datetime.fromtimestamp(at, UTC).isoformat(), max(0.0, now - at), latency)


def _syncs(target: Admin, spans: Spans) -> Syncs:
    near = {place: (max(first, end - SYNCS_READ), end) for place, (first, end) in spans.items()}
    found: dict[Place, list[tuple[int, int]]] = {}
    for record in target.records(near):
        if (one := mirror_records.offset_sync(record.key, record.value)) is not None:
            found.setdefault((one.topic, one.partition), []).append((one.downstream, one.upstream))
    return {place: tuple(sorted(pairs)) for place, pairs in found.items()}


def _read(
    admin: Admin, spans: Spans, parse: Callable[[bytes | None, bytes | None], T | None]
) -> list[tuple[LogRecord, T]]:
    """All records that are what they should be, the last one of each key."""
    found: dict[bytes | None, tuple[LogRecord, T]] = {}
    for record in admin.records(spans):
        if (one := parse(record.key, record.value)) is not None:
            found[record.key] = (record, one)
    return list(found.values())


def _of(spans: Spans, topic: str) -> Spans:
    return {place: span for place, span in spans.items() if place[0] == topic}


def _connector(name: str, found: Mapping[str, ConnectorState]) -> ConnectorStatus:
    one = found.get(name) or ConnectorState(name, state="MISSING")
    return ConnectorStatus(name, one.state, one.worker, one.trace, one.tasks)


def _all(put_together: Callable[[list[int]], int], figures: Iterable[int | None]) -> int | None:
    found = list(figures)
    known = [one for one in found if one is not None]
    return put_together(known) if len(known) == len(found) else None
