"""The gate: whether a broker may be stopped, and whether the cluster is back to rest.

A broker may be stopped when no partition would be left with fewer in-sync replicas than
its topic's min.insync.replicas, nothing is being moved, and the cluster has a controller.
Invariant: pure, and careful: what is not known counts as a reason to wait, and only
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


def judge(state: ClusterState, broker_id: int, accepted: Collection[str] = ()) -> Verdict:
    """Say whether a broker may be stopped.

    Args:
        state: The cluster as it is now.
        broker_id: The broker to stop.
        accepted: Topics whose partitions a person agrees to see unavailable to acks=all
            producers meanwhile: without it, topics whose replication factor does not exceed
            their min.insync.replicas keep the gate closed for ever. Of a partition with
            several copies one stays in sync even so.

    Returns:
        Open, or every reason why not.
    """
    reasons = _unknown(state)
    if broker_id not in state.alive:
        reasons.append(f"broker {broker_id} is not registered, or does not answer")
    if state.reassigning:
        reasons.append(f"partitions are being moved: {_some(state.reassigning)}")
    hosted = [partition for partition in state.partitions if broker_id in partition.isr]
    reasons += _last(state, broker_id, [one for one in hosted if one.topic in accepted])
    hosted = [partition for partition in hosted if partition.topic not in accepted]
    reasons += _never(state, hosted)
    reasons += _fallen(state, broker_id, hosted)
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


def _last(state: ClusterState, broker_id: int, hosted: Iterable[Partition]) -> list[str]:
    """Partitions with several copies, of which no other is in sync: what is agreed to is a pause, not a loss."""
    last = [one.name for one in hosted if len(one.replicas) > 1 and not _in_sync(state, one) - {broker_id}]
    return [f"no other replica is in sync of {_some(last)}"] if last else []


def _never(state: ClusterState, hosted: Iterable[Partition]) -> list[str]:
    """Topics that cannot lose any replica: waiting does not help them."""
    topics = {one.topic: one for one in hosted if _cannot_spare(state, one)}
    return [
        f"topic {topic} has replication factor {len(one.replicas)} and min.insync.replicas "
        f"{state.min_insync[topic]}: it can never spare a broker; raise its replication factor, "
        f"lower its min.insync.replicas, or run up with --accept-unavailable {topic}"
        for topic, one in sorted(topics.items())
    ]


def _fallen(state: ClusterState, broker_id: int, hosted: Sequence[Partition]) -> list[str]:
    """Partitions that would be left with too few in-sync replicas, now."""
    reasons = []
    unknown = sorted({one.topic for one in hosted if one.topic not in state.min_insync})
    if unknown:
        reasons.append(f"min.insync.replicas is not known yet of {_some(unknown)}")
    fallen = []
    for one in hosted:
        if one.topic not in state.min_insync or _cannot_spare(state, one):
            continue
        left = len(_in_sync(state, one) - {broker_id})
        if left < state.min_insync[one.topic]:
            fallen.append(f"{one.name} ({left} of at least {state.min_insync[one.topic]})")
    if fallen:
        reasons.append(f"too few in-sync replicas would be left of {_some(fallen)}")
    return reasons


def _cannot_spare(state: ClusterState, partition: Partition) -> bool:
    least = state.min_insync.get(partition.topic)
    return least is not None and len(partition.replicas) <= least


def _in_sync(state: ClusterState, partition: Partition) -> set[int]:
    """In-sync replicas whose brokers are alive."""
    return (set(partition.isr) & state.alive) - set(partition.offline)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
