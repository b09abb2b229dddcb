"""Topics, users, access lists and settings of running brokers: from how they are to how they are declared.

What is owned, in this first form: declared topics (their partitions, their replication
factor, and the settings that are declared for them), declared users' passwords, and all
access list entries of declared users. Everything else is left alone: topics and users
that are not declared, other settings of declared topics (one that is taken out of the
file keeps its value), entries of other principals.

Invariant: `difference` is pure and `changes` only reads, so what `preview` shows is what
`apply` is given. Nothing destructive is planned: fewer partitions or another replication
factor are refused, no topic, user or record is ever deleted. Every change is read back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

from kdeploy.cluster import acl, live
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import (
    AddPartitions,
    AlterBrokerConfig,
    AlterTopicConfig,
    Change,
    CreateAcl,
    CreateTopic,
    DeleteAcl,
    Kind,
    SetPassword,
)
from kdeploy.cluster.failure import ClusterError, NotStored
from kdeploy.cluster.live import same
from kdeploy.cluster.state import Binding, NewTopic, Partition
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Topic, setting_text

READ_BACK_FOR: Final = 60.0
"""Seconds a change has to become visible: metadata reaches every broker in well under one on a calm cluster,
and in many on a starved machine."""


@dataclass(frozen=True)
class TopicState:
    """A topic as it is: partitions, copies, and the values in effect of the settings asked for."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """What is there of what an environment declares.

    Attributes:
        topics: Declared topics that exist, by name.
        users: Declared users that exist, with whether the vault's password is in force.
        bindings: Access list entries of declared users; None when nothing enforces them.
    """

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    users: Mapping[str, bool] = field(default_factory=dict)
    bindings: frozenset[Binding] | None = frozenset()


def changes(
    environment: Environment,
    admin: Admin,
    passwords: Mapping[str, str],
    brokers: Mapping[int, live.Wanted] = MappingProxyType({}),
) -> tuple[Change, ...]:
    """What `apply` would have to do; only reads.

    Args:
        environment: With the topics and users declared.
        admin: The cluster.
        passwords: Each declared user's password.
        brokers: What running brokers are to have, by id.

    Raises:
        InvalidSetting: The environment asks for something that cannot be carried out.
        ClusterError: The cluster does not answer, or a user has no password in the vault.
    """
    declared = difference(environment, observe(environment, admin, passwords))
    return (*live.changes(brokers, admin), *declared)


def observe(environment: Environment, admin: Admin, passwords: Mapping[str, str]) -> Observed:
    """Look at what an environment declares; arguments and errors as `changes`."""
    return Observed(
        topics=_topics(environment.topics, admin) if environment.topics else {},
        users=_users(environment, admin, passwords) if environment.users else {},
        bindings=_bindings(environment, admin),
    )


def difference(environment: Environment, observed: Observed) -> tuple[Change, ...]:
    """Every change that makes what is observed what is declared, in the order to apply them. Pure.

    Raises:
        InvalidSetting: Fewer partitions, or another replication factor, than a topic has.
    """
    found: list[Change] = []
    for position, topic in enumerate(environment.topics):
        state = observed.topics.get(topic.name)
        copies = topic.replication_factor or environment.durability.replication_factor
        if state is None:
            config = {key: setting_text(value) for key, value in topic.config.items()}
            found.append(CreateTopic(NewTopic(topic.name, topic.partitions, copies, config)))
        else:
            found += _alter(position, topic, copies, state)
    for user in environment.users:
        if not observed.users.get(user.name, False):
            kind: Kind = "set-password" if user.name in observed.users else "create-user"
            provable = environment.security.client_listener != "PLAINTEXT"
            found.append(SetPassword(user.name, kind, provable))
    if observed.bindings is not None:
        wanted = acl.declared(environment)
        # Denials come first and go last, so that nobody is allowed for a moment what is to be denied.
        created = sorted(wanted - observed.bindings, key=lambda one: (one.permission != "deny", one))
        found += map(CreateAcl, created)
        found += map(
            DeleteAcl, sorted(observed.bindings - wanted, key=lambda one: (one.permission == "deny", one))
        )
    return tuple(found)


def apply(admin: Admin, changes: Sequence[Change], passwords: Mapping[str, str]) -> None:
    """Carry out changes, in their order, and read each back.

    Args:
        admin: The cluster.
        changes: As `difference` gave them.
        passwords: Each declared user's password.

    Raises:
        ClusterError: The cluster refused one; those before it are done, and running again goes on.
        NotStored: The cluster accepted one, and it cannot be read back.
    """
    for kind, group in groupby(changes, key=lambda change: change.kind):
        _carry_out(admin, kind, list(group), passwords)
    pending = list(changes)
    deadline = time.monotonic() + READ_BACK_FOR
    while True:
        reading = _Reading(admin, passwords)
        pending = [change for change in pending if not reading.shows(change)]
        if not pending:
            return
        if time.monotonic() > deadline:
            named = "\n".join(f"  {change}" for change in pending)
            raise NotStored(
                f"the cluster accepted these changes, but within {READ_BACK_FOR:.0f} s they cannot be read back:\n"
                f"{named}\n  look at the brokers with `kdeploy status`; running up again goes on from here"
            )
        time.sleep(0.05)


def _alter(position: int, topic: Topic, copies: int, state: TopicState) -> list[Change]:
    found: list[Change] = []
    path = ("topics", position)
    if copies != state.replication_factor:
        raise InvalidSetting(
            (*path, "replication_factor"),
            f"topic {topic.name} has replication factor {state.replication_factor}, and {copies} is declared; "
            "changing it moves data, which this version of kdeploy does not do",
            f"set replication_factor: {state.replication_factor} for this topic",
        )
    if topic.partitions is not None and topic.partitions < state.partitions:
        raise InvalidSetting(
            (*path, "partitions"),
            f"topic {topic.name} has {state.partitions} partitions, and Kafka cannot take any away",
            f"set partitions: {state.partitions} or more, or leave it out",
        )
    if topic.partitions is not None and topic.partitions > state.partitions:
        found.append(AddPartitions(topic.name, state.partitions, topic.partitions))
    wanted = {key: setting_text(value) for key, value in topic.config.items()}
    after = {
        key: value
        for key, value in wanted.items()
        if key not in state.config or not same(value, state.config[key])
    }
    if after:
        before = {key: state.config[key] for key in after if key in state.config}
        found.append(AlterTopicConfig(topic.name, before, after))
    return found


def _topics(declared: Sequence[Topic], admin: Admin) -> dict[str, TopicState]:
    names = {topic.name for topic in declared}
    copies: dict[str, list[int]] = {}
    for partition in admin.metadata().partitions:
        if partition.topic in names:
            copies.setdefault(partition.topic, []).append(len(partition.replicas))
    keys = sorted({key for topic in declared if topic.name in copies for key in topic.config})
    settings = admin.topic_settings(sorted(copies), keys)
    # A topic that is being moved has its new replicas beside the old: the least is what it is made of.
    return {
        name: TopicState(len(found), min(found), settings.get(name, {})) for name, found in copies.items()
    }


def _users(environment: Environment, admin: Admin, passwords: Mapping[str, str]) -> dict[str, bool]:
    lacking = sorted(user.name for user in environment.users if user.name not in passwords)
    if lacking:
        raise ClusterError(
            f"the vault has no password for {', '.join(lacking)}\n"
            f"  add what is missing with `kdeploy vault create {environment.name}`"
        )
    existing = admin.users()
    declared = {user.name: passwords[user.name] for user in environment.users if user.name in existing}
    if environment.security.client_listener == "PLAINTEXT":
        # Nobody can log in there, so a password cannot be tested and need not be.
        return dict.fromkeys(declared, True)
    return admin.logins(declared)


def _bindings(environment: Environment, admin: Admin) -> frozenset[Binding] | None:
    if not environment.security.authorization:
        return None
    names = {user.name for user in environment.users}
    return (
        frozenset(binding for binding in admin.bindings() if binding.user in names) if names else frozenset()
    )


def _carry_out(admin: Admin, kind: Kind, group: list[Any], passwords: Mapping[str, str]) -> None:
    """Changes of one kind, in as few requests as Kafka has for them."""
    match kind:
        case "create-topic":
            admin.create_topics([change.topic for change in group])
        case "add-partitions":
            for change in group:
                admin.add_partitions(change.topic, change.after)
        case "alter-topic-config" | "alter-broker-config":
            for change in group:
                _configure(admin, change)
        case "create-user" | "set-password":
            admin.set_passwords({change.user: passwords[change.user] for change in group})
        case "create-acl":
            admin.create_bindings([change.binding for change in group])
        case "delete-acl":
            admin.delete_bindings([change.binding for change in group])


def _configure(admin: Admin, change: AlterTopicConfig | AlterBrokerConfig) -> None:
    if isinstance(change, AlterBrokerConfig):
        live.apply(admin, change)
    else:
        admin.set_topic_config(change.topic, change.after)


class _Reading:
    """The cluster as it is at one moment, asked only for what is looked at."""

    def __init__(self, admin: Admin, passwords: Mapping[str, str]) -> None:
        self._admin, self._passwords = admin, passwords

    @cached_property
    def _partitions(self) -> tuple[Partition, ...]:
        return self._admin.metadata().partitions

    @cached_property
    def _bindings(self) -> frozenset[Binding]:
        return self._admin.bindings()

    @cached_property
    def _users(self) -> frozenset[str]:
        return self._admin.users()

    def shows(self, change: Change) -> bool:
        """Whether a change can be seen."""
        match change:
            case CreateTopic(topic):
                return self._led(topic.name, topic.partitions or 1) and self._set(topic.name, topic.config)
            case AddPartitions(topic=name, after=after):
                return self._led(name, after)
            case AlterTopicConfig(topic=name, after=config):
                return self._set(name, config)
            case AlterBrokerConfig():
                return live.shows(self._admin, change)
            case SetPassword(user=user, provable=provable):
                return user in self._users and (not provable or self._accepted(user))
            case CreateAcl(binding):
                return binding in self._bindings
            case DeleteAcl(binding):
                return binding not in self._bindings

    def _led(self, topic: str, partitions: int) -> bool:
        found = [one for one in self._partitions if one.topic == topic]
        return len(found) >= partitions and all(one.leader is not None for one in found)

    def _set(self, topic: str, config: Mapping[str, str]) -> bool:
        found = self._admin.topic_settings([topic], sorted(config)).get(topic, {})
        return all(key in found and same(value, found[key]) for key, value in config.items())

    def _accepted(self, user: str) -> bool:
        return self._admin.logins({user: self._passwords[user]})[user]


__all__ = ["Change", "Observed", "TopicState", "apply", "changes", "difference", "observe", "same"]
