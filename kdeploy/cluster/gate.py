"""The gate: whether brokers may be stopped, and whether the cluster is back to rest.

Brokers, one or all of a rack together, may be stopped when no partition would be left with
fewer in-sync replicas than its topic's min.insync.replicas with all of them gone, nothing is
being moved, and the cluster has a controller. Invariant: pure, and careful: what is not known counts as a reason to wait, and only
replicas whose brokers are alive count as in sync.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kdeploy.cluster.state import ClusterState, Partition, Quorum

NAMED: Final = 5
"""Partitions that a reason names; of more only the number is given."""

VOTER_SILENT: Final = 4.0
"""Seconds after which a voter that has not fetched counts as away: twice
controller.quorum.fetch.timeout.ms' default of 2000 (Kafka 3.9 and 4.x documentation)."""


@dataclass(frozen=True)
class Verdict:
    """Whether it is safe to go on, and if not, every reason why not, for people."""

    reasons: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether there is no reason to wait."""
        return not self.reasons


def judge(state: ClusterState, stop: int | Collection[int], accepted: Collection[str] = ()) -> Verdict:
    """Say whether brokers may be stopped.

    Args:
        state: The cluster as it is now.
        stop: The id of the broker to stop, or of all that are to be stopped together.
        accepted: Topics whose partitions a person agrees to see unavailable to acks=all
            producers meanwhile: without it, topics that can never spare these brokers keep the
            gate closed for ever. Of a partition with several copies one stays in sync even so.

    Returns:
        Open, or every reason why not.
    """
    stopped = frozenset((stop,) if isinstance(stop, int) else stop)
    reasons = _unknown(state)
    reasons += [
        f"broker {one} is not registered, or does not answer" for one in sorted(stopped - state.alive)
    ]
    if len(stopped) > 1 and state.alive <= stopped:
        reasons.append("no broker would be left")
    if state.reassigning:
        reasons.append(f"partitions are being moved: {_some(state.reassigning)}")
    hosted = [partition for partition in state.partitions if not stopped.isdisjoint(partition.isr)]
    reasons += _last(state, stopped, [one for one in hosted if one.topic in accepted])
    hosted = [partition for partition in hosted if partition.topic not in accepted]
    reasons += _never(state, stopped, hosted)
    reasons += _fallen(state, stopped, hosted)
    return Verdict(tuple(reasons))


def judge_ever(
    state: ClusterState, steps: Iterable[Collection[int]], accepted: Collection[str] = ()
) -> Verdict:
    """Say whether brokers may ever be stopped, however healthy the cluster is; asked before the first of them is.

    Args:
        state: The cluster as it is now.
        steps: Ids of brokers that are to be stopped together, step after step.
        accepted: As in `judge`.

    Returns:
        Open, or the topics that can never spare them, each once.
    """
    reasons: dict[str, None] = {}
    for stop in steps:
        stopped = frozenset(stop)
        held = [one for one in state.partitions if not stopped.isdisjoint(one.replicas)]
        reasons |= dict.fromkeys(_never(state, stopped, [one for one in held if one.topic not in accepted]))
    return Verdict(tuple(reasons))


def judge_emptying(state: ClusterState, broker_id: int, lost: Collection[str] = ()) -> Verdict:
    """Say whether a broker that runs may lose all that it holds, and get it back from the others.

    Args:
        state: The cluster as it is now.
        broker_id: The broker.
        lost: Topics whose records a person gives up.
    """
    hosted = [one for one in state.partitions if broker_id in one.replicas and one.topic not in lost]
    last = [one.name for one in hosted if not _in_sync(state, one) - {broker_id}]
    reasons = _unknown(state)
    if last:
        reasons.append(f"no other replica is in sync of {_some(last)}, and the data goes with the machine")
    return Verdict(tuple(reasons))


def judge_replacement(state: ClusterState, broker_id: int, lost: Collection[str] = ()) -> Verdict:
    """Say whether an empty broker may come in the place of a dead one.

    Kafka knows a broker by its id: where it is counted in sync it may lead, and followers of an empty
    leader throw away what they have. So of each of its partitions another replica has to be in sync and
    alive, and the dead one counted in sync no more.

    Args:
        state: The cluster as it is now.
        broker_id: The broker whose machine is replaced.
        lost: Topics whose records a person gives up.
    """
    reasons = _unknown(state)
    if broker_id in state.alive:
        reasons.append(f"broker {broker_id} answers")
    elif broker_id in {broker.id for broker in state.brokers}:
        reasons.append(f"broker {broker_id} is still registered")
    if state.reassigning:
        reasons.append(f"partitions are being moved: {_some(state.reassigning)}")
    hosted = [one for one in state.partitions if broker_id in one.replicas and one.topic not in lost]
    last = [one for one in hosted if not _in_sync(state, one) - {broker_id}]
    if last:
        reasons.append(
            f"no other replica is in sync of {_some([one.name for one in last])}: their last copy is on the old "
            "machine; bring that back, or give the records of a topic up with --accept-loss TOPIC"
        )
    counted = [
        one.name
        for one in hosted
        if one not in last and (broker_id in one.isr or one.leader not in state.alive)
    ]
    if counted:
        reasons.append(f"the dead broker is still counted in sync, or leads: {_some(counted)}")
    return Verdict(tuple(reasons))


def settled(state: ClusterState, expected: Collection[int]) -> Verdict:
    """Say whether all brokers are there and every partition is in sync under its preferred leader.

    Args:
        state: The cluster as it is now.
        expected: Ids of the brokers that should be there. Others are ignored, and so is what only lacks
            them: their replicas, and partitions that one of them should lead.
    """
    reasons = _unknown(state)
    missing = sorted(set(expected) - state.alive)
    if missing:
        reasons.append(f"not there: {_some([f'broker {one}' for one in missing])}")
    if state.reassigning:
        reasons.append(f"partitions are being moved: {_some(state.reassigning)}")
    away = {one for partition in state.partitions for one in partition.replicas} - set(expected) - state.alive
    return Verdict((*reasons, *lagging(state, away), *led_by_others(state, away)))


def lagging(state: ClusterState, away: Collection[int] = ()) -> tuple[str, ...]:
    """Partitions without a leader, and partitions with a replica that is not in sync, but for brokers `away`."""
    reasons = []
    leaderless = [one.name for one in state.partitions if one.leader is None]
    if leaderless:
        reasons.append(f"without a leader: {_some(leaderless)}")
    behind = [
        one
        for one in state.partitions
        if one.leader is not None and not set(one.replicas) - set(away) <= _in_sync(state, one)
    ]
    if behind:
        named = [f"{one.name} ({len(_in_sync(state, one))} of {len(one.replicas)})" for one in behind]
        reasons.append(f"not fully in sync: {_some(named)}")
    return tuple(reasons)


def led_by_others(state: ClusterState, away: Collection[int] = ()) -> tuple[str, ...]:
    """Partitions that another than their preferred replica leads, unless that one's broker is `away`."""
    found = [
        one.name
        for one in state.partitions
        if one.leader not in (None, *one.replicas[:1]) and not set(one.replicas[:1]) & set(away)
    ]
    return (f"not led by their preferred replica: {_some(found)}",) if found else ()


def judge_voter(quorum: Quorum, voter_id: int) -> Verdict:
    """Say whether a KRaft controller may be stopped: the others that keep up must still make a majority.

    Args:
        quorum: The quorum as it is now.
        voter_id: The controller to stop.
    """
    reasons = []
    if quorum.leader is None:
        reasons.append("the quorum has no leader")
    if voter_id not in {voter.id for voter in quorum.voters}:
        reasons.append(f"controller {voter_id} is not a voter")
    others = [voter for voter in quorum.voters if voter.id != voter_id]
    present = [voter for voter in others if voter.silent is not None and voter.silent <= VOTER_SILENT]
    needed = len(quorum.voters) // 2 + 1
    if len(present) < needed:
        reasons.append(
            f"without controller {voter_id} only {len(present)} of {len(quorum.voters)} voters would keep up, "
            f"and a majority is {needed}"
        )
    return Verdict(tuple(reasons))


def _unknown(state: ClusterState) -> list[str]:
    return ["the cluster has no controller"] if state.controller is None else []


def _last(state: ClusterState, stopped: frozenset[int], hosted: Iterable[Partition]) -> list[str]:
    """Partitions with several copies, of which no other is in sync: what is agreed to is a pause, not a loss."""
    last = [one.name for one in hosted if len(one.replicas) > 1 and not _in_sync(state, one) - stopped]
    return [f"no other replica is in sync of {_some(last)}"] if last else []


def _never(state: ClusterState, stopped: frozenset[int], hosted: Iterable[Partition]) -> list[str]:
    """Topics that cannot lose these replicas however long anybody waits."""
    topics: dict[str, Partition] = {}
    for one in hosted:
        if _cannot_spare(state, stopped, one):
            topics.setdefault(one.topic, one)
    return [_why_never(state, stopped, one) for _, one in sorted(topics.items())]


def _why_never(state: ClusterState, stopped: frozenset[int], partition: Partition) -> str:
    topic, least = partition.topic, state.min_insync[partition.topic]
    gone = stopped.intersection(partition.replicas)
    if len(gone) == 1:
        return (
            f"topic {topic} has replication factor {len(partition.replicas)} and min.insync.replicas "
            f"{least}: it can never spare a broker; raise its replication factor, "
            f"lower its min.insync.replicas, or run this with --accept-unavailable {topic}"
        )
    return (
        f"{partition.name} has {len(gone)} of its {len(partition.replicas)} replicas on brokers "
        f"{', '.join(map(str, sorted(gone)))}, and min.insync.replicas {least}: it can never spare them together; "
        f"restart one broker at a time, or run this with --accept-unavailable {topic}"
    )


def _fallen(state: ClusterState, stopped: frozenset[int], hosted: Sequence[Partition]) -> list[str]:
    """Partitions that would be left with too few in-sync replicas, now."""
    reasons = []
    unknown = sorted({one.topic for one in hosted if one.topic not in state.min_insync})
    if unknown:
        reasons.append(f"min.insync.replicas is not known yet of {_some(unknown)}")
    fallen = []
    for one in hosted:
        if one.topic not in state.min_insync or _cannot_spare(state, stopped, one):
            continue
        left = len(_in_sync(state, one) - stopped)
        if left < state.min_insync[one.topic]:
            fallen.append(f"{one.name} ({left} of at least {state.min_insync[one.topic]})")
    if fallen:
        reasons.append(f"too few in-sync replicas would be left of {_some(fallen)}")
    return reasons


def _cannot_spare(state: ClusterState, stopped: frozenset[int], partition: Partition) -> bool:
    least = state.min_insync.get(partition.topic)
    return least is not None and len(set(partition.replicas) - stopped) < least


def _in_sync(state: ClusterState, partition: Partition) -> set[int]:
    """In-sync replicas whose brokers are alive."""
    return (set(partition.isr) & state.alive) - set(partition.offline)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
