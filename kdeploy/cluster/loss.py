"""About how many records are lost with a datacenter that is gone, and at most how many, by what its mirror shows.

    made ─(fetched)→ a task has it ─(committed)→ others see it: made + fetched + committed
    lost    ≈ Σ over partitions: records a second, lately × (time of death - its last mirrored record)
    death   ≈ the newest sign of life + how long fetching took lately + the time that a task committed for, by its odds
    at most = Σ over partitions: records of its busiest (longest fetching + longest committing), lately

What a task has fetched it delivers, whether or not its source lives: committing takes its time, and loses nothing but
what waits meanwhile, since a task that commits fetches nothing (ExactlyOnceWorkerSourceTask of connect-runtime, Kafka
3.9 to 4.3, read 2026-11-27). Both times are written beside the records: where a task is, is sent to Connect's own
topic as its commit begins, and a pair of offsets to MirrorMaker's as it has ended, each with its time
(OffsetSyncWriter of connect-mirror, same versions). So all that was made longer before the death than the longest of
both together is mirrored, whenever it died, and whenever it is asked.

Invariant: read-only, of the surviving side alone; `estimate` is pure, and of a source that is seen no more grows with
`now` in `most` alone. It is an estimate, named so wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from kdeploy.cluster import mirror_records
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import LogRecord, Place, Spans
from kdeploy.spec.mirrored import OFFSETS
from kdeploy.tuning.mirror import TRANSACTION

WINDOW: Final = 120.0
"""Seconds before the newest sign of life in which records are counted for their rate: long against bursts, short
against the course of a day."""

SAMPLE: Final = 400_000
"""Offsets that are looked at, over all partitions; of each at least `LEAST`."""

LEAST: Final = 100
"""Offsets of a partition that are looked at, marks of transactions among them."""

SYNCS_READ: Final = 5_000
"""Pairs of offsets that are looked at: minutes of them, one for each transaction of a partition or more; and places
in Connect's own topic, of each of its partitions."""

EARLY: Final = 0.1
"""Which of the times to fetch counts, from the shortest: the newest record of all partitions tells when it died, and of
those that come at once it was among the quickest. The shortest of all would be one lucky record's."""


@dataclass(frozen=True)
class Passage:
    """How one record came to the other side, the last one of its partition in a transaction.

    Attributes:
        fetched: Seconds from when it was made until its task began to commit it; where that is not known, until others
            saw it.
        committed: Seconds that committing took; 0 where that is not known.
    """

    fetched: float
    committed: float = 0.0


@dataclass(frozen=True)
class Loss:
    """What is lost, as far as can be told.

    Attributes:
        last: When the newest mirrored record was made, in seconds since 1970; None where nothing was mirrored.
        since: Seconds from then to now; None where nothing was mirrored.
        seconds: Seconds of records that are probably lost; None where nothing was mirrored.
        records: Records that are probably lost; None where nothing was mirrored.
        at_most: Records that are lost at most if it died when it was last seen, was no busier then than at any moment of
            the `WINDOW` before, and its mirror no later; None where nothing was mirrored.
        seen: When the newest thing that was mirrored was made, a record or a heartbeat, in seconds since 1970; None
            where nothing was mirrored.
        most: Records if it was written to until now, at the same rate, as when only the line was cut; None where
            nothing was mirrored.
        rate: Records a second, lately.
    """

    last: float | None
    since: float | None
    seconds: float | None
    records: int | None
    at_most: int | None
    seen: float | None
    most: int | None
    rate: float


NOTHING: Final = Loss(None, None, None, None, None, None, None, 0.0)


def estimate(
    stamps: Mapping[Place, Sequence[float]],
    passages: Sequence[Passage],
    alive: float | None,
    now: float,
    usual: float,
    tasks: int,
) -> Loss:
    """Estimate what is lost.

    Args:
        stamps: By partition, timestamps of its last mirrored records, in seconds since 1970.
        passages: How records came to the other side, lately; empty where that is not known.
        alive: When the source's last mirrored heartbeat was made; None where there is none.
        now: Seconds since 1970.
        usual: Seconds that count for the mirror's delay where no passage tells it.
        tasks: Tasks that share partitions, at most.
    """
    newest = max((max(held) for held in stamps.values() if held), default=None)
    if newest is None:
        return NOTHING
    known = passages or (Passage(usual),)
    seen = min(now, max(newest, alive if alive is not None else newest))
    lately = {place: [one for one in held if one > seen - WINDOW] for place, held in stamps.items() if held}
    rates = {
        place: _rate(found, seen, whole=len(found) == len(stamps[place])) for place, found in lately.items()
    }
    busy = [place for place, rate in rates.items() if rate]
    waited = _committing(known, max(1, min(tasks, len(busy))))
    died = min(now, seen + _early([one.fetched for one in known]) + waited)
    longest = max(one.fetched for one in known) + max(one.committed for one in known)
    records = most = 0.0
    at_most = 0
    for place in busy:
        last = min(max(lately[place]), now)
        records += _unseen(rates[place], last, alive, died, now)
        at_most += _busiest(lately[place], longest)
        most += rates[place] * (now - last)
    likely = round(min(records, at_most))
    return Loss(
        last=newest,
        since=max(0.0, now - newest),
        seconds=max(0.0, died - seen),
        records=likely,
        at_most=at_most,
        seen=seen,
        most=max(likely, round(most)),
        rate=sum(rates.values()),
    )


def _unseen(rate: float, last: float, alive: float | None, died: float, now: float) -> float:
    """Records of a partition that were probably made after its last mirrored one."""
    if alive is not None:
        # What was made before a heartbeat came with it: a quiet time is not a time of losses.
        return rate * max(0.0, died - max(last, min(alive, now)))
    # However well it is mirrored, the last record lies about one record's time back: that one is not lost.
    return max(0.0, rate * (died - last) - 1)


def _rate(lately: Sequence[float], seen: float, *, whole: bool) -> float:
    """Records a second until the newest sign of life, quiet times among it.

    Where all that were looked at are of late there were more before, so their own time counts: a second at least.
    """
    if not lately:
        return 0.0
    return len(lately) / (min(WINDOW, max(1.0, seen - min(lately))) if whole else WINDOW)


def _early(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return max(0.0, ordered[int(EARLY * (len(ordered) - 1))])


def _committing(passages: Sequence[Passage], tasks: int) -> float:
    """Seconds for which, as it died, every task was probably committing and fetched nothing: C^(n+1) ÷ ((n+1) × T^n).

    A task commits for C of each T seconds, so that at a moment taken at random it has done so for x or longer with
    the odds of (C-x) ÷ T; n tasks do independently of each other, and the one that began last saw most.
    """
    commit = median(one.committed for one in passages)
    cycle = max(TRANSACTION, commit)
    return float(commit ** (tasks + 1) / ((tasks + 1) * cycle**tasks))


def _busiest(stamps: Sequence[float], seconds: float) -> int:
    """Most records in any so many seconds."""
    ordered, first, most = sorted(stamps), 0, 0
    for index, stamp in enumerate(ordered):
        while stamp - ordered[first] > seconds:
            first += 1
        most = max(most, index - first + 1)
    return most


def look(
    route: Route,
    target: Admin,
    now: float,
    usual: float,
    tasks: int,
    before: Mapping[str, Mapping[int, int]] | None = None,
) -> Loss:
    """Estimate what is lost with the source of a route.

    Args:
        route: Which direction was mirrored.
        target: The cluster that is left.
        now: Seconds since 1970.
        usual: Seconds that count for the mirror's delay where nothing tells it.
        tasks: Tasks of the connector that carries records, at most.
        before: By topic and partition of the target, offsets from which on others than its mirror wrote.

    Raises:
        ClusterError: It does not answer.
    """
    held = target.metadata().partitions
    prefix = "" if route.naming == "identity" else f"{route.source}."
    places = {
        (one.topic, one.index)
        for one in held
        if one.topic.startswith(prefix) and route.carries(one.topic.removeprefix(prefix))
    }
    own = {(one.topic, one.index) for one in held if one.topic in (route.heartbeats, route.syncs, OFFSETS)}
    spans = target.spans(places | own)
    copies = {place: _until(place, span, before or {}) for place, span in spans.items() if place in places}
    each = max(LEAST, SAMPLE // max(1, len(copies)))
    stamps: dict[Place, dict[int, float]] = {place: {} for place in copies}
    made: dict[Place, dict[int, float]] = {place: {} for place in copies}
    for record in target.records(_near(copies, each)):
        stamps[record.place][record.offset] = record.timestamp
        if not record.appended:  # else it says when the target took it, and not when it was made
            made[record.place][record.offset] = record.timestamp
    beats = target.last_records(_of(spans, route.heartbeats))
    syncs = list(target.records(_near(_of(spans, route.syncs), SYNCS_READ)))
    begun = _begun(route, list(target.records(_near(_of(spans, OFFSETS), SYNCS_READ))))
    return estimate(
        {place: list(found.values()) for place, found in stamps.items()},
        list(_passages(route, syncs, begun, made)),
        _alive(list(beats.values())),
        now,
        usual,
        tasks,
    )


def _until(place: Place, span: tuple[int, int], before: Mapping[str, Mapping[int, int]]) -> tuple[int, int]:
    """Of a span what the mirror alone wrote."""
    first, end = span
    return first, max(first, min(end, before.get(place[0], {}).get(place[1], end)))


def _of(spans: Spans, topic: str) -> Spans:
    return {place: span for place, span in spans.items() if place[0] == topic}


def _near(spans: Spans, offsets: int) -> Spans:
    return {place: (max(first, end - offsets), end) for place, (first, end) in spans.items()}


def _alive(beats: Sequence[LogRecord]) -> float | None:
    found = (mirror_records.heartbeat(one.key, one.value) for one in beats)
    return max((one.timestamp for one in found if one is not None), default=None)


def _begun(route: Route, commits: Sequence[LogRecord]) -> dict[tuple[str, int, int], float]:
    """When the transaction began to be committed that ended with a record of the source: its topic, partition, offset."""
    found = {}
    for record in commits:
        reached = mirror_records.reached(record.key, record.value)
        if reached is not None and reached.connector == route.records and not record.appended:
            found[reached.topic, reached.partition, reached.upstream] = record.timestamp
    return found


def _passages(
    route: Route,
    syncs: Sequence[LogRecord],
    begun: Mapping[tuple[str, int, int], float],
    made: Mapping[Place, Mapping[int, float]],
) -> Iterator[Passage]:
    """How mirrored records came that there is a pair of offsets of, those of the last `WINDOW` of pairs."""
    newest = max((one.timestamp for one in syncs), default=0.0)
    for record in syncs:
        pair = mirror_records.offset_sync(record.key, record.value)
        if pair is None or record.timestamp < newest - WINDOW:
            continue
        at = made.get((route.on_target(pair.topic), pair.partition), {}).get(pair.downstream)
        if at is None:
            continue
        commit = begun.get((pair.topic, pair.partition, pair.upstream))
        if commit is None or not at <= commit <= record.timestamp:
            yield Passage(max(0.0, record.timestamp - at))
        else:
            yield Passage(commit - at, record.timestamp - commit)
