"""Copies of partitions made and taken away while clients go on: throttled, watched, and taken up again.

    remembered in the record → no more in sync needed than is there → throttled → handed to the controller
        → watched to the end, each topic given its min.insync.replicas back → throttle removed

Invariant: Kafka moves the copies; what is done here can end at any moment, and the next run takes it up
from the record: it waits for what is on its way and removes the throttle. Other people's movements are
waited for, never cancelled; a rate that somebody else gave a broker is left as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from kdeploy.cluster import relaxed
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import AlterReplication
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.placement import Placement
from kdeploy.cluster.record import MovingEntry
from kdeploy.cluster.state import Metadata, Moving, Partition
from kdeploy.cluster.three_way import THROTTLED
from kdeploy.errors import GateClosed
from kdeploy.spec import model

RATE: Final = round(model.Moving().rate)
"""Bytes per second at which each broker sends, and receives, copies on their way, where nobody says otherwise:
two fifths of a network of 1 Gbit/s, so that clients keep the greater part of the smallest one in use."""

RATES: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
"""Settings of a broker that throttle it (KIP-73)."""

PAUSE: Final = 0.5
"""Seconds between two looks."""

MEASURED_EVERY: Final = 10.0
"""Seconds between two measurements of how much has arrived: each asks every broker for all its folders."""

NAMED: Final = 5
"""Partitions of others that are named; of more only the number is given."""

Place: TypeAlias = tuple[str, int]
"""A partition, by topic and number."""


@dataclass(frozen=True)
class Manner:
    """How copies are moved.

    Attributes:
        rate: Bytes per second for each broker.
        patience: Seconds that a broker may be away, or nothing may move, before it is given up for now.
        told: Hears how far it is, in words.
        reached: Hears the name of each moment at which a test may end the process.
    """

    rate: int = RATE
    patience: float = 300.0
    told: Callable[[str], None] = lambda _: None
    reached: Callable[[str], None] = lambda _: None


def carry_out(
    admin: Admin,
    changes: Sequence[AlterReplication],
    begun: MovingEntry | None,
    remember: Callable[[MovingEntry | None], None],
    manner: Manner = Manner(),
) -> None:
    """Give partitions the copies they are to have, and wait until they have them.

    Args:
        admin: The cluster.
        changes: What is to change; those begun by a run that was killed among them.
        begun: What the record says was begun.
        remember: Puts into the record what is begun.
        manner: How.

    Raises:
        GateClosed: A broker is away for too long, or nothing moves; everything still serves.
        ClusterError: The cluster refused it.
    """
    entry = begun or MovingEntry(())
    topics = {*(change.topic for change in changes), *entry.topics}
    if topics:
        _wait_for_others(admin, topics, manner)
        entry = _begin(admin, changes, topics, entry, remember, manner)
        manner.reached("reassignment-started")
        _watch(admin, topics, entry, manner)
        manner.reached("reassigned")
    _tidy(admin, entry, remember)
    manner.reached("throttle-removed")


def _begin(
    admin: Admin,
    changes: Sequence[AlterReplication],
    topics: Collection[str],
    old: MovingEntry,
    remember: Callable[[MovingEntry | None], None],
    manner: Manner,
) -> MovingEntry:
    targets = _placed(admin, changes, manner)
    lists = _throttled(admin, targets, topics)
    free = _brokers_without_rate(admin) if lists else ()
    fewer = relaxed.chosen(admin, changes, _held(admin, lists), old.relaxed)
    entry = MovingEntry(tuple(sorted(topics)), tuple(sorted({*old.brokers, *free})), fewer)
    remember(entry)
    manner.reached("moving-recorded")
    relaxed.give(admin, fewer, lists)
    manner.reached("min-insync-relaxed")
    if lists:
        for broker in sorted({*free, *_rated(admin, old)}):
            admin.set_broker_settings(broker, dict.fromkeys(RATES, str(manner.rate)))
        admin.set_topic_settings(lists)
    manner.reached("throttled")
    admin.reassign(targets)
    return entry


def _placed(
    admin: Admin, changes: Sequence[AlterReplication], manner: Manner
) -> dict[Place, tuple[int, ...]]:
    """Where copies are to be, as soon as there are brokers for all of them: one may have gone since it was planned."""
    found: dict[Place, tuple[int, ...]] = {}

    def left() -> tuple[str, float] | None:
        metadata = admin.metadata()
        if lacking := _lacking(metadata, changes):
            return lacking, 0
        found.update(_targets(admin, metadata, changes))
        return None

    _patiently(left, manner)
    return found


def _lacking(metadata: Metadata, changes: Sequence[AlterReplication]) -> str | None:
    """What there are too few brokers for, and which are missing, in words."""
    most = max(changes, key=lambda change: change.after, default=None)
    there = {broker.id for broker in metadata.brokers}
    if most is None or most.after <= len(there):
        return None
    missing = {broker for one in metadata.partitions for broker in one.replicas}.difference(there)
    named = f"broker {', '.join(map(str, sorted(missing)))}" if missing else "more brokers"
    return (
        f"waits for {named}: topic {most.topic} is to have {most.after} copies, and brokers registered are "
        f"{len(there)}"
    )


def _targets(
    admin: Admin, metadata: Metadata, changes: Sequence[AlterReplication]
) -> dict[Place, tuple[int, ...]]:
    """Where copies are to be, decided from the cluster as it is now: partitions may just have been added."""
    moving = admin.moving()
    wanted = {change.topic: change.after for change in changes}
    partitions: dict[str, list[Partition]] = {}
    for one in metadata.partitions:
        if one.topic in wanted:
            move = moving.get((one.topic, one.index))
            found = replace(one, replicas=move.target) if move else one
            partitions.setdefault(one.topic, []).append(found)
    placement = Placement({broker.id: broker.rack for broker in metadata.brokers}, metadata.partitions)
    return {
        (topic, index): replicas
        for topic, found in sorted(partitions.items())
        for index, replicas in placement.targets(found, wanted[topic]).items()
    }


def _throttled(
    admin: Admin, targets: Mapping[Place, tuple[int, ...]], topics: Collection[str]
) -> dict[str, dict[str, str | None]]:
    """The copies that are throttled, as Kafka wants to have it: sources as leaders, new ones as followers."""
    moving = admin.moving()
    lists: dict[str, tuple[list[str], list[str]]] = {}
    for one in admin.metadata().partitions:
        place = (one.topic, one.index)
        adding = [broker for broker in targets.get(place, ()) if broker not in one.replicas]
        if place in moving and one.topic in topics:
            adding += moving[place].adding
        if adding:
            leaders, followers = lists.setdefault(one.topic, ([], []))
            leaders += [f"{one.index}:{broker}" for broker in one.replicas if broker not in adding]
            followers += [f"{one.index}:{broker}" for broker in adding]
    return {
        topic: dict(zip(THROTTLED, (",".join(leaders), ",".join(followers)), strict=True))
        for topic, (leaders, followers) in lists.items()
    }


def _held(admin: Admin, topics: Collection[str]) -> dict[str, list[int]]:
    """Copies that each partition of some topics has, without those on their way."""
    moving = admin.moving()
    found: dict[str, list[int]] = {}
    for one in admin.metadata().partitions:
        if one.topic in topics:
            move = moving.get((one.topic, one.index))
            found.setdefault(one.topic, []).append(len(one.replicas) - len(move.adding if move else ()))
    return found


def _brokers_without_rate(admin: Admin) -> tuple[int, ...]:
    brokers = (broker.id for broker in admin.metadata().brokers)
    return tuple(
        broker
        for broker in brokers
        if all(one.own is None for one in admin.broker_settings(broker, RATES).values())
    )


def _rated(admin: Admin, entry: MovingEntry) -> tuple[int, ...]:
    """Brokers that were given a rate and are there."""
    there = {broker.id for broker in admin.metadata().brokers}
    return tuple(broker for broker in entry.brokers if broker in there)


def _wait_for_others(admin: Admin, ours: Collection[str], manner: Manner) -> None:
    """Let other people's movements end first."""

    def left() -> tuple[str, float] | None:
        others = {place for place in admin.moving() if place[0] not in ours}
        if not others:
            return None
        names = [f"{topic}-{index}" for topic, index in sorted(others)]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        said = f"waits for partitions that something else moves: {', '.join(names[:NAMED])}{more}"
        return said, arrived({topic for topic, _ in others})

    arrived = _measuring(admin)
    _patiently(left, manner)


def _watch(admin: Admin, topics: Collection[str], entry: MovingEntry, manner: Manner) -> None:
    """Wait until nothing of ours is on its way; each topic needs as many in sync as it is to, once it is done."""
    total, waiting = 0, dict(entry.relaxed)

    def left() -> tuple[str, float] | None:
        nonlocal total
        moving = {place: one for place, one in admin.moving().items() if place[0] in topics}
        total = max(total, len(moving))
        busy = {topic for topic, _ in moving}
        relaxed.take_back(admin, {topic: one for topic, one in waiting.items() if topic not in busy})
        for topic in waiting.keys() - busy:
            del waiting[topic]
        if not moving:
            return None
        if away := _away(admin, moving.values()):
            return f"waits for broker {away}, which does not answer; {len(moving)} partitions are not done", 0
        return f"{total - len(moving)} of {total} partitions have their copies", arrived(topics)

    arrived = _measuring(admin)
    _patiently(left, manner)


def _measuring(admin: Admin) -> Callable[[Collection[str]], float]:
    """Bytes that topics' copies have by now: measured seldom, and the last measurement in between."""
    last, when = 0.0, -MEASURED_EVERY

    def arrived(topics: Collection[str]) -> float:
        nonlocal last, when
        if time.monotonic() > when + MEASURED_EVERY:
            last, when = float(admin.stored_bytes(topics)), time.monotonic()
        return last

    return arrived


def _away(admin: Admin, moving: Collection[Moving]) -> str:
    """Ids of brokers that are to have copies and are not there, in words."""
    needed = {broker for one in moving for broker in one.target}
    brokers = [broker for broker in admin.metadata().brokers if broker.id in needed]
    away = needed.difference(broker.id for broker in brokers).union(admin.silent(brokers))
    return ", ".join(map(str, sorted(away)))


def _patiently(left: Callable[[], tuple[str, float] | None], manner: Manner) -> None:
    """Look until nothing is left; give up where what is said and measured stays the same for too long."""
    seen: tuple[str, float] = ("", 0)
    moved = time.monotonic()
    while True:
        try:
            found = left()
        except ClusterError as error:  # what cannot be seen now is a reason to wait, not to give up
            found = f"waits for the cluster: {str(error).splitlines()[0]}", 0
        if found is None:
            return
        if found != seen:
            if found[0] != seen[0]:
                manner.told(found[0])
            seen, moved = found, time.monotonic()
        if time.monotonic() > moved + manner.patience:
            raise GateClosed(
                f"copies are not yet where they should be, and nothing moved for {manner.patience:.0f} s:\n"
                f"  {found[0]}\n"
                "  everything still serves, and Kafka goes on by itself once it can; "
                "run this again then, which also removes the throttle and gives topics their min.insync.replicas back"
            )
        time.sleep(PAUSE)


def _tidy(admin: Admin, entry: MovingEntry, remember: Callable[[MovingEntry | None], None]) -> None:
    """Remove the throttle: from topics, and from those brokers that are there."""
    there = {one.topic for one in admin.metadata().partitions}
    named = [topic for topic in entry.topics if topic in there]
    if named:
        admin.set_topic_settings({topic: dict.fromkeys(THROTTLED) for topic in named})
    rated = _rated(admin, entry)
    for broker in rated:
        admin.set_broker_settings(broker, dict.fromkeys(RATES))
    away = tuple(broker for broker in entry.brokers if broker not in rated)
    remember(MovingEntry((), away) if away else None)


def is_settled(change: AlterReplication, partitions: Sequence[Partition], moving: Collection[Place]) -> bool:
    """Whether a topic's partitions have the copies they are to have, and none is on its way."""
    return all(len(one.replicas) == change.after for one in partitions) and not any(
        topic == change.topic for topic, _ in moving
    )
