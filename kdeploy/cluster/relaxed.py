"""How many copies in sync acks=all needs while a topic gets more of them: no more than it had before.

Kafka asks for min.insync.replicas or for all copies of a partition, whichever is less, and counts those that are
on their way (Partition.effectiveMinIsr, Kafka 3.9 to 4.3). So a topic with one copy and min.insync.replicas 2 takes
acks=all, until two more begin to come: then it takes none until the first is there, which can be hours.

Invariant: remembered in the record before it is given, so that a run that was killed is taken up and the topic gets
its own value back. Never lower than what its partitions held up before copies were added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import AlterReplication
from kdeploy.cluster.observed import MIN_INSYNC
from kdeploy.cluster.record import Relaxed


def meanwhile(needed: int, held: Iterable[int]) -> int | None:
    """min.insync.replicas of a topic while copies are added; None where it can stay as it is. Pure.

    Args:
        needed: Its min.insync.replicas.
        held: Copies that each of its partitions has, without those on their way.

    Example:
        >>> meanwhile(2, [1, 1]), meanwhile(2, [2, 2]), meanwhile(2, [1, 3])
        (1, None, None)
    """
    # The partition with most copies sets it: for none of them acks=all is to mean less than it did.
    most = max((min(needed, copies) for copies in held), default=needed)
    return most if most < needed else None


def chosen(
    admin: Admin,
    changes: Sequence[AlterReplication],
    growing: Mapping[str, Sequence[int]],
    begun: Mapping[str, Relaxed],
) -> dict[str, Relaxed]:
    """What topics are to have meanwhile, and get back; those that a killed run began with keep theirs.

    Args:
        admin: The cluster.
        changes: What is to change, with what is declared.
        growing: Topics that get copies, with the copies that each of their partitions has.
        begun: What the record says.
    """
    declared = {change.topic: change.min_insync for change in changes}
    found = {
        topic: Relaxed(one.meanwhile, declared.get(topic, one.own)) for topic, one in sorted(begun.items())
    }
    new = sorted(growing.keys() - begun.keys())
    for topic, settings in admin.own_topic_settings(new, [MIN_INSYNC]).items() if new else ():
        fewer = meanwhile(int(settings.effective.get(MIN_INSYNC, 1)), growing[topic])
        if fewer is not None:
            found[topic] = Relaxed(str(fewer), declared.get(topic, settings.own.get(MIN_INSYNC)))
    return found


def give(admin: Admin, relaxed: Mapping[str, Relaxed], growing: Collection[str]) -> None:
    """Let topics that get copies need no more of them in sync than they have."""
    wanted = {topic: {MIN_INSYNC: one.meanwhile} for topic, one in relaxed.items() if topic in growing}
    if wanted:
        admin.set_topic_settings(wanted)


def take_back(admin: Admin, relaxed: Mapping[str, Relaxed]) -> None:
    """Let topics need as many copies in sync as they are to; those that are gone are passed over."""
    there = admin.metadata().topic_ids if relaxed else {}
    wanted = {topic: {MIN_INSYNC: one.own} for topic, one in relaxed.items() if topic in there}
    if wanted:
        admin.set_topic_settings(wanted)
