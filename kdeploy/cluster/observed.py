"""What is there of what an environment declares, as one value that the rest decides from.

Invariant: `observe` only reads, and asks for lists rather than for one thing after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from kdeploy.cluster import claims, record
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.quotas import entity
from kdeploy.cluster.record import MovingEntry, Record, Relaxed
from kdeploy.cluster.state import Binding, Metadata, Moving, Partition, QuotaEntity, TopicSettings
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Topic, User

Value = TypeVar("Value")

MIN_INSYNC: Final = "min.insync.replicas"
"""Copies in sync, the leader's own among them, without which a partition refuses acks=all."""


@dataclass(frozen=True)
class TopicState:
    """A topic as it is.

    Attributes:
        id: Kafka's id of it.
        partitions: By number; of one that is being moved, with the replicas it is to have.
        settings: Its own settings, and the values in effect of those declared for it and of min.insync.replicas;
            where that is lower for as long as copies are added, as it is to be then.
        held: Copies that each partition has, without those on their way.
    """

    id: str
    partitions: tuple[Partition, ...]
    settings: TopicSettings
    held: tuple[int, ...] = ()

    @property
    def copies(self) -> tuple[int, ...]:
        """Every number of copies that one of its partitions has, fewest first."""
        return tuple(sorted({len(one.replicas) for one in self.partitions}))


@dataclass(frozen=True)
class Kept:
    """The topic that the record is kept in.

    Attributes:
        state: How it is.
        guarded: Whether it is kept from everybody else, as far as anything enforces that.
    """

    state: TopicState
    guarded: bool = True


@dataclass(frozen=True)
class Observed:
    """What is there of what an environment declares.

    Attributes:
        topics: Declared topics that exist, by name.
        users: Declared users that exist, with whether the vault's password is in force; of one marked for
            deletion, False.
        bindings: Access list entries of declared users; None when nothing enforces them.
        quotas: All limits, by entity.
        record: What was made and last given, as far as the cluster bears it out (`claims`).
        written: The record as it was read, where that is another; else None.
        kept: The topic that it is kept in; None where there is none yet.
        brokers: How many are registered.
        kraft: Whether the cluster has a KRaft quorum; only asked where a user is to be removed.
    """

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    users: Mapping[str, bool] = field(default_factory=dict)
    bindings: frozenset[Binding] | None = frozenset()
    quotas: Mapping[QuotaEntity, Mapping[str, float]] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    written: Record | None = None
    kept: Kept | None = None
    brokers: int = 0
    kraft: bool = True


def observe(environment: Environment, admin: Admin, passwords: Mapping[str, str]) -> Observed:
    """Look at what an environment declares.

    Args:
        environment: With what is declared.
        admin: The cluster.
        passwords: Each declared user's password.

    Raises:
        ClusterError: The cluster does not answer, or a user has no password in the vault.
    """
    _refuse_lacking(environment, passwords)
    if not (environment.topics or environment.users or environment.quotas):
        return Observed(bindings=frozenset() if environment.security.authorization else None)
    metadata = admin.metadata()
    there = {one.topic for one in metadata.partitions}
    moving = admin.moving() if environment.topics or record.TOPIC in there else {}
    known = record.read(admin)
    leaving = any(user.delete for user in environment.users)
    users, proved = _users(environment, admin, passwords, known) if environment.users else ({}, set[str]())
    limits = admin.quotas() if environment.quotas or leaving else {}
    names, entities = {user.name for user in environment.users}, set(map(entity, environment.quotas))
    topics = _topics(environment, admin, metadata, moving, known.moving)
    own = topics.pop(record.TOPIC, None)
    bindings = _bindings(environment, admin, own is not None)
    believed = claims.believed(known, names, proved, entities, limits)
    return Observed(
        topics=topics,
        users=users,
        bindings=None if bindings is None else frozenset(one for one in bindings if one.user in names),
        quotas=limits,
        record=believed,
        written=None if believed == known else known,
        kept=Kept(own, bindings is None or record.GUARD in bindings) if own else None,
        brokers=len(metadata.brokers),
        kraft=admin.quorum() is not None if leaving else True,
    )


def _topics(
    environment: Environment,
    admin: Admin,
    metadata: Metadata,
    moving: Mapping[tuple[str, int], Moving],
    begun: MovingEntry | None,
) -> dict[str, TopicState]:
    """Declared topics that are there, and the record's own."""
    declared = {record.TOPIC: Topic(name=record.TOPIC), **{topic.name: topic for topic in environment.topics}}
    found: dict[str, list[Partition]] = {}
    held: dict[str, list[int]] = {}
    for one in metadata.partitions:
        if one.topic in declared:
            move = moving.get((one.topic, one.index))
            found.setdefault(one.topic, []).append(replace(one, replicas=move.target) if move else one)
            held.setdefault(one.topic, []).append(len(one.replicas) - len(move.adding if move else ()))
    keys = {MIN_INSYNC, *(key for name in found for key in declared[name].settings)}
    settings = admin.own_topic_settings(sorted(found), sorted(keys)) if found else {}
    nothing = TopicSettings({})
    return {
        name: TopicState(
            metadata.topic_ids.get(name, ""),
            tuple(partitions),
            at_rest(settings.get(name, nothing), begun.relaxed.get(name) if begun else None),
            tuple(held[name]),
        )
        for name, partitions in found.items()
    }


def at_rest(settings: TopicSettings, relaxed: Relaxed | None) -> TopicSettings:
    """A topic's settings as they are once copies that are on their way have come. Pure.

    Args:
        settings: As they were found.
        relaxed: What the record says of the topic; None where it says nothing. A value that is not the one given
            meanwhile was given by somebody else, and stands.
    """
    if relaxed is None or settings.own.get(MIN_INSYNC) != relaxed.meanwhile:
        return settings
    own, effective = dict(settings.own), dict(settings.effective)
    for values in (own, effective):
        values.pop(MIN_INSYNC, None)
        if relaxed.own is not None:
            values[MIN_INSYNC] = relaxed.own
    return TopicSettings(own, effective)


def _refuse_lacking(environment: Environment, passwords: Mapping[str, str]) -> None:
    lacking = sorted(user.name for user in _of_vault(environment) if user.name not in passwords)
    if lacking:
        raise ClusterError(
            f"the vault has no password for {', '.join(lacking)}\n"
            f"  add what is missing with `kdeploy vault create {environment.name}`"
        )


def _of_vault(environment: Environment) -> list[User]:
    """Users that are to have the vault's password."""
    return [user for user in environment.users if not user.delete and user.credentials == "vault"]


def _users(
    environment: Environment, admin: Admin, passwords: Mapping[str, str], begun: Record
) -> tuple[dict[str, bool], set[str]]:
    """Declared users that exist, as `Observed.users` has them, and those that log in with the vault's password."""
    existing = admin.users()
    open_claims = {name for name, one in begun.users.items() if one.pending and name in passwords}
    leaving = dict.fromkeys((user.name for user in environment.users if user.delete), False)
    staying = {user.name: passwords[user.name] for user in _of_vault(environment)}
    others = (user.name for user in environment.users if user.credentials == "unmanaged")
    unmanaged = dict.fromkeys(others, True)
    # With a plaintext listener nobody can log in there, so a password cannot be tested and need not be.
    provable = environment.security.client_listener != "PLAINTEXT"
    asked = _of(existing, {**{name: passwords[name] for name in open_claims & leaving.keys()}, **staying})
    accepted = admin.logins(asked) if provable else {}
    known = {name: accepted.get(name, not provable) for name in _of(existing, staying)}
    found = {**_of(existing, unmanaged), **_of(existing, leaving), **known}
    return found, {name for name, is_right in accepted.items() if is_right}


def _of(existing: Collection[str], named: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in named.items() if name in existing}


def _bindings(environment: Environment, admin: Admin, needed: bool) -> frozenset[Binding] | None:
    """All access list entries, where somebody is declared or they are needed besides; None where nothing enforces them."""
    if not environment.security.authorization:
        return None
    return admin.bindings() if environment.users or needed else frozenset()
