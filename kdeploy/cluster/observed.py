"""What is there of what an environment declares, as one value that the rest decides from.

Invariant: `observe` only reads, and asks for lists rather than for one thing after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kdeploy.cluster import record
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.record import Record
from kdeploy.cluster.state import Binding, Metadata, Moving, Partition, QuotaEntity, TopicSettings
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import User

Value = TypeVar("Value")


@dataclass(frozen=True)
class TopicState:
    """A topic as it is.

    Attributes:
        id: Kafka's id of it.
        partitions: By number; of one that is being moved, with the replicas it is to have.
        settings: Its own settings, and the values in effect of those declared for it.
    """

    id: str
    partitions: tuple[Partition, ...]
    settings: TopicSettings

    @property
    def copies(self) -> tuple[int, ...]:
        """Every number of copies that one of its partitions has, fewest first."""
        return tuple(sorted({len(one.replicas) for one in self.partitions}))


@dataclass(frozen=True)
class Observed:
    """What is there of what an environment declares.

    Attributes:
        topics: Declared topics that exist, by name.
        users: Declared users that exist, with whether the vault's password is in force; of one marked for
            deletion, False.
        bindings: Access list entries of declared users; None when nothing enforces them.
        quotas: All limits, by entity.
        record: What was made and last given.
        brokers: How many are registered.
        kraft: Whether the cluster has a KRaft quorum; only asked where a user is to be removed.
    """

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    users: Mapping[str, bool] = field(default_factory=dict)
    bindings: frozenset[Binding] | None = frozenset()
    quotas: Mapping[QuotaEntity, Mapping[str, float]] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
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
    moving = admin.moving() if environment.topics else {}
    leaving = any(user.delete for user in environment.users)
    return Observed(
        topics=_topics(environment, admin, metadata, moving),
        users=_users(environment, admin, passwords) if environment.users else {},
        bindings=_bindings(environment, admin),
        quotas=admin.quotas() if environment.quotas or leaving else {},
        record=record.read(admin),
        brokers=len(metadata.brokers),
        kraft=admin.quorum() is not None if leaving else True,
    )


def _topics(
    environment: Environment, admin: Admin, metadata: Metadata, moving: Mapping[tuple[str, int], Moving]
) -> dict[str, TopicState]:
    declared = {topic.name: topic for topic in environment.topics}
    found: dict[str, list[Partition]] = {}
    for one in metadata.partitions:
        if one.topic in declared:
            move = moving.get((one.topic, one.index))
            found.setdefault(one.topic, []).append(replace(one, replicas=move.target) if move else one)
    keys = {key for name in found for key in declared[name].settings}
    settings = admin.own_topic_settings(sorted(found), sorted(keys)) if found else {}
    nothing = TopicSettings({})
    return {
        name: TopicState(metadata.topic_ids.get(name, ""), tuple(partitions), settings.get(name, nothing))
        for name, partitions in found.items()
    }


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


def _users(environment: Environment, admin: Admin, passwords: Mapping[str, str]) -> dict[str, bool]:
    existing = admin.users()
    leaving = dict.fromkeys((user.name for user in environment.users if user.delete), False)
    staying = {user.name: passwords[user.name] for user in _of_vault(environment)}
    others = (user.name for user in environment.users if user.credentials == "unmanaged")
    unmanaged = dict.fromkeys(others, True)
    # With a plaintext listener nobody can log in there, so a password cannot be tested and need not be.
    provable = environment.security.client_listener != "PLAINTEXT"
    known = _of(existing, staying)
    proved = admin.logins(known) if provable else dict.fromkeys(known, True)
    return {**_of(existing, unmanaged), **_of(existing, leaving), **proved}


def _of(existing: Collection[str], named: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in named.items() if name in existing}


def _bindings(environment: Environment, admin: Admin) -> frozenset[Binding] | None:
    if not environment.security.authorization:
        return None
    names = {user.name for user in environment.users}
    return (
        frozenset(binding for binding in admin.bindings() if binding.user in names) if names else frozenset()
    )
