"""What a running cluster holds, as what could have been declared: for `import`, and for accepting drift.

Invariant: read-only, and nothing is made up: of a topic only settings that were set for it itself, of an
access list only what a declared entry can say. What Kafka keeps for itself (`__…`) and what kdeploy does
are left out. Copies that are on their way count as there, and what a topic has only until then does not count.
Declaring what comes out changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from kdeploy.cluster import record
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.observed import at_rest
from kdeploy.cluster.state import Binding, Partition, QuotaEntity
from kdeploy.cluster.three_way import THROTTLED
from kdeploy.spec.resources import Acl, Quota, Topic, User

Value = TypeVar("Value")

OWN: Final = "__"
"""What names begin with that Kafka, its tools and kdeploy keep for themselves."""

USER: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Names that a declared user can have (`spec.resources.UserName`)."""


@dataclass(frozen=True)
class Found:
    """What a cluster holds.

    Attributes:
        topics: By name.
        users: By name, with their access lists; their passwords cannot be read.
        quotas: Limits by whom they are for.
        left_out: What is there and cannot be declared, in words.
    """

    topics: tuple[Topic, ...]
    users: tuple[User, ...]
    quotas: tuple[Quota, ...]
    left_out: tuple[str, ...] = ()


def found(admin: Admin) -> Found:
    """Look at everything a cluster holds for its clients.

    Raises:
        ClusterError: The cluster does not answer.
    """
    known = record.read(admin)
    shut_out = {name for name, one in known.users.items() if one.shut_out}
    named = {name for name in admin.users() if _is_user(name) and name not in shut_out}
    lists: dict[str, set[Binding]] = {name: set() for name in named}
    skipped: set[str] = set()
    for one in admin.bindings():
        if one.user in named:
            lists[one.user].add(one)
        elif not one.user.startswith(OWN) and one != record.GUARD:
            skipped.add(f"ACLs of {one.user}, which is no user with a password")
    users = [
        _declared(partial(_user, name, lists[name]), f"ACLs of {name}", skipped) for name in sorted(named)
    ]
    limits = [
        _declared(partial(quota_of, whom, one), f"the quota of {whom}", skipped)
        for whom, one in sorted(admin.quotas().items())
        if _is_limited(whom, one, named, skipped)
    ]
    return Found(
        _topics(admin, known.moving.relaxed if known.moving else {}),
        tuple(one for one in users if one is not None),
        tuple(one for one in limits if one is not None),
        tuple(sorted(skipped)),
    )


def _declared(make: Callable[[], Value], what: str, skipped: set[str]) -> Value | None:
    """What is made, or None where Kafka holds it and a file cannot say it."""
    try:
        return make()
    except ValueError:  # pydantic's ValidationError is one
        skipped.add(f"{what}, of a form that cannot be declared")
        return None


def _user(name: str, bindings: Collection[Binding]) -> User:
    return User(name=name, acls=acls_of(name, bindings))


def _is_limited(
    whom: QuotaEntity, limits: Mapping[str, float], named: Collection[str], skipped: set[str]
) -> bool:
    """Whether limits can be declared: those of nobody, of somebody unknown and of kdeploy cannot."""
    if whom.user.startswith(OWN):
        return False
    if whom.user not in ("", "*") and whom.user not in named:
        skipped.add(f"the quota of {whom}, which is no user with a password")
        return False
    if any(value <= 0 for value in limits.values()):
        skipped.add(f"the quota of {whom}, with a limit of nothing")
        return False
    return True


def _is_user(name: str) -> bool:
    return bool(USER.fullmatch(name)) and not name.startswith(OWN)


def _topics(admin: Admin, begun: Mapping[str, record.Relaxed]) -> tuple[Topic, ...]:
    partitions: dict[str, list[Partition]] = {}
    moving = admin.moving()
    for one in admin.metadata().partitions:
        if not one.topic.startswith(OWN):
            move = moving.get((one.topic, one.index))
            there = replace(one, replicas=move.target) if move else one
            partitions.setdefault(one.topic, []).append(there)
    settings = admin.own_topic_settings(sorted(partitions))
    return tuple(
        topic_of(name, partitions[name], at_rest(settings[name], begun.get(name)).own)
        for name in sorted(partitions)
        if name in settings
    )


def topic_of(name: str, partitions: Collection[Partition], own: Mapping[str, str]) -> Topic:
    """A topic as it would be declared; with fewest copies where its partitions differ."""
    config = {key: value for key, value in sorted(own.items()) if key not in THROTTLED}
    copies = min(len(one.replicas) for one in partitions)
    return Topic(name=name, partitions=len(partitions), replication_factor=copies, config={**config})


def acls_of(user: str, bindings: Collection[Binding]) -> tuple[Acl, ...]:
    """A user's access list as it would be declared: one entry for each resource, with all its operations."""
    grouped: dict[Binding, list[str]] = {}
    for one in sorted(bindings):
        if one.user == user:
            grouped.setdefault(replace(one, operation=""), []).append(one.operation)
    return tuple(_acl(one, operations) for one, operations in grouped.items())


def _acl(one: Binding, operations: list[str]) -> Acl:
    said: dict[str, Any] = {"resource": one.resource, "name": one.name, "pattern": one.pattern}
    return Acl.model_validate(
        {**said, "operations": operations, "permission": one.permission, "host": one.host}
    )


def quota_of(whom: QuotaEntity, limits: Mapping[str, float]) -> Quota:
    """A quota as it would be declared."""
    parts = {"user": whom.user, "client_id": whom.client_id, "ip": whom.ip}
    said: dict[str, Any] = {key: name for key, name in parts.items() if name}
    said |= {key: f"{value:.15g}B/s" if key.endswith("byte_rate") else value for key, value in limits.items()}
    return Quota.model_validate(said)
