"""What is to be done about every difference, and what is refused.

Invariant: pure; the changes come in the order in which they are carried out. Nothing destructive is decided
but what is marked for deletion and was made by kdeploy: by Kafka's own id of a topic, not by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kdeploy.cluster import acl, quotas, record, relaxed
from kdeploy.cluster.change import (
    AddPartitions,
    AlterReplication,
    AlterTopicConfig,
    Change,
    CreateAcl,
    CreateTopic,
    DeleteAcl,
    DeleteQuota,
    DeleteTopic,
    Kind,
    SetPassword,
    SetQuota,
    ShutOutUser,
)
from kdeploy.cluster.observed import MIN_INSYNC, Observed, TopicState
from kdeploy.cluster.record import MovingEntry, TopicEntry
from kdeploy.cluster.state import NewTopic
from kdeploy.cluster.three_way import (
    COPIES,
    EXISTENCE,
    PARTITIONS,
    Difference,
    copies_of,
    merged,
    of_acls,
    of_quotas,
    of_topic,
    of_users,
)
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Topic

ORDER: Final[tuple[Kind, ...]] = (
    "shut-out-user",
    "alter-broker-config",
    "create-topic",
    "add-partitions",
    "alter-topic-config",
    "create-user",
    "set-password",
    "create-acl",
    "delete-acl",
    "set-quota",
    "delete-quota",
    "alter-replication",
    "delete-topic",
)
"""Kinds of change in the order in which they are carried out: what makes before what takes away, and what
takes long after what does not. Who is to be shut out is first of all: a password in wrong hands is not to wait
for anything else, nor to be spared because something else fails."""


def difference(environment: Environment, observed: Observed) -> tuple[Change, ...]:
    """Every change that makes what is observed what is declared, in the order to carry them out. Pure.

    Raises:
        InvalidSetting: Fewer partitions than a topic has, more copies than there are brokers, or a deletion
            of what kdeploy did not make.
    """
    _refuse_leaving(environment, observed)
    found: list[Change] = []
    for position, topic in enumerate(environment.topics):
        found += _of_topic(position, topic, copies_of(topic, environment), observed)
    found += _replication(environment, observed)
    found += _of_record(environment, observed)
    found += _of_users(environment, observed)
    found += _of_acls(environment, observed)
    found += _of_quotas(environment, observed)
    return in_order(environment, found)


def in_order(environment: Environment, changes: Iterable[Change]) -> tuple[Change, ...]:
    """Changes in the order in which they are carried out: a user that is shut out loses its rights at once."""
    leaving = {user.name for user in environment.users if user.delete}

    def place(change: Change) -> tuple[bool, int]:
        is_right = isinstance(change, CreateAcl | DeleteAcl) and change.binding.user in leaving
        return not (is_right or isinstance(change, ShutOutUser)), ORDER.index(change.kind)

    return tuple(sorted(changes, key=place))


def around_moving(changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Changes that come before copies are moved, and those that come after."""
    place = ORDER.index("alter-replication")
    return (
        [change for change in changes if ORDER.index(change.kind) < place],
        [change for change in changes if ORDER.index(change.kind) > place],
    )


def _of_topic(position: int, topic: Topic, copies: int, observed: Observed) -> Iterator[Change]:
    path = ("topics", position)
    state, entry = observed.topics.get(topic.name), observed.record.topics.get(topic.name)
    found = list(of_topic(topic, copies, state, entry))
    settings = {one.key: one for one in found if one.key not in (EXISTENCE, PARTITIONS, COPIES)}
    for one in found:
        if one.key == EXISTENCE and state is None:
            _refuse_too_many(path, topic, copies, observed)
            new = NewTopic(topic.name, topic.partitions, copies, topic.settings)
            yield CreateTopic(new, one.cause)
        elif one.key == EXISTENCE:
            yield _deletion(path, topic, state, entry)
        elif one.key == PARTITIONS:
            yield _growth(path, one)
        elif one.key == COPIES:
            _refuse_too_many(path, topic, copies, observed)
    if settings and state is not None:
        known = {**state.settings.effective, **state.settings.own}
        before = {key: known[key] for key in settings if key in known}
        cause = merged([one.cause for one in settings.values()])
        yield AlterTopicConfig(topic.name, before, {key: one.git for key, one in settings.items()}, cause)


def _growth(path: tuple[str, int], one: Difference) -> AddPartitions:
    before, after = int(one.found or 0), int(one.git or 0)
    if after < before:
        raise InvalidSetting(
            (*path, "partitions"),
            f"topic {one.name} has {before} partitions, and Kafka cannot take any away",
            f"set partitions: {before} or more, or leave it out",
        )
    return AddPartitions(one.name, before, after, one.cause)


def _refuse_too_many(path: tuple[str, int], topic: Topic, copies: int, observed: Observed) -> None:
    brokers = observed.brokers
    if brokers and copies > brokers:
        raise InvalidSetting(
            (*path, "replication_factor"),
            f"topic {topic.name} is to have {copies} copies, and {brokers} brokers are registered",
            f"set replication_factor: {brokers} or less for it, or bring the other brokers up first",
        )


def _deletion(
    path: tuple[str, int], topic: Topic, state: TopicState | None, entry: TopicEntry | None
) -> DeleteTopic:
    if state is None or entry is None or (not entry.made and entry.id is not None):
        why = "kdeploy did not make it"
    elif entry.id is None:
        why = "kdeploy was stopped while it made one of this name, so nobody knows whether it is that one"
    elif entry.id != state.id:
        why = f"it is not the one that kdeploy made: its id is {state.id}, and that of ours was {entry.id}"
    else:
        return DeleteTopic(topic.name, entry.id)
    raise InvalidSetting(
        (*path, "delete"),
        f"topic {topic.name} is not deleted: {why}",
        "take it out of the file to leave it alone, or delete it with Kafka's own tools",
    )


def _replication(environment: Environment, observed: Observed) -> Iterator[AlterReplication]:
    """Copies to make and to take away, and what a killed run left to finish."""
    begun = observed.record.moving or MovingEntry(())
    for topic in environment.topics:
        state, copies = observed.topics.get(topic.name), copies_of(topic, environment)
        if state is None or topic.delete:
            continue
        own = topic.settings.get(MIN_INSYNC)
        needed = _needed(own, state, environment)
        if state.copies == (copies,):
            if topic.name in begun.topics:
                had = begun.relaxed.get(topic.name)
                fewer = (int(had.meanwhile), needed) if had else None
                yield AlterReplication(topic.name, copies, copies, min_insync=own, relaxed=fewer)
            continue
        entry = observed.record.topics.get(topic.name)
        (one,) = (one for one in of_topic(topic, copies, state, entry) if one.key == COPIES)
        before = state.copies[0] if state.copies[0] < copies else state.copies[-1]
        fewest = relaxed.meanwhile(needed, state.held) if before < copies else None
        fewer = None if fewest is None else (fewest, needed)
        yield AlterReplication(topic.name, before, copies, one.cause, min_insync=own, relaxed=fewer)


def _of_record(environment: Environment, observed: Observed) -> Iterator[Change]:
    """What the topic of the record lacks: copies, where brokers were away when it was made, and its guard."""
    if observed.kept is None:
        return
    state, durability = observed.kept.state, environment.durability
    copies = max(min(durability.replication_factor, observed.brokers), state.copies[0])
    in_sync = min(durability.min_insync_replicas, copies)
    found = state.settings.own.get(MIN_INSYNC, "0")
    own = str(max(in_sync, int(found)))
    if own != found:
        yield AlterTopicConfig(record.TOPIC, {MIN_INSYNC: found}, {MIN_INSYNC: own})
    if not observed.kept.guarded:
        yield CreateAcl(record.GUARD)
    begun = observed.record.moving or MovingEntry(())
    if state.copies[0] < copies or record.TOPIC in begun.topics:
        fewest = relaxed.meanwhile(int(own), state.held) if state.copies[0] < copies else None
        fewer = None if fewest is None else (fewest, int(own))
        yield AlterReplication(record.TOPIC, state.copies[0], copies, min_insync=own, relaxed=fewer)


def _needed(own: str | None, state: TopicState, environment: Environment) -> int:
    """The min.insync.replicas that a topic has once its settings are those declared."""
    is_default = MIN_INSYNC not in state.settings.own
    found = own or (state.settings.effective.get(MIN_INSYNC) if is_default else None)
    return int(found or environment.durability.min_insync_replicas)


def _refuse_leaving(environment: Environment, observed: Observed) -> None:
    """Refuse to take anything from a user marked for deletion that kdeploy did not make."""
    held = {one.user for one in observed.bindings or ()} | {whom.user for whom in observed.quotas}
    for position, user in enumerate(environment.users):
        entry = observed.record.users.get(user.name)
        is_ours = user.credentials == "unmanaged" or (entry is not None and entry.made)
        if user.delete and user.name in held and not is_ours:
            raise _not_made(position, user.name)


def _not_made(position: int, name: str) -> InvalidSetting:
    return InvalidSetting(
        ("users", position, "delete"),
        f"user {name} is not removed: kdeploy did not make it",
        "take it out of the file to leave it alone, or remove it with Kafka's own tools",
    )


def _of_users(environment: Environment, observed: Observed) -> Iterator[Change]:
    provable = environment.security.client_listener != "PLAINTEXT"
    positions = {user.name: position for position, user in enumerate(environment.users)}
    for one in of_users(environment, observed):
        if one.git is None:
            entry = observed.record.users.get(one.name)
            if entry is None or not entry.made:
                raise _not_made(positions[one.name], one.name)
            yield ShutOutUser(one.name, observed.kraft)
        elif environment.users[positions[one.name]].credentials == "unmanaged":
            raise InvalidSetting(
                ("users", positions[one.name], "credentials"),
                f"user {one.name} is not in the cluster, and its credentials are unmanaged, so it cannot be made",
                "make it with Kafka's own tools, or take `credentials: unmanaged` out",
            )
        else:
            yield SetPassword(
                one.name, "create-user" if one.key == EXISTENCE else "set-password", provable, one.cause
            )


def _of_acls(environment: Environment, observed: Observed) -> Iterator[Change]:
    if observed.bindings is None:
        return
    named = {str(one): one for one in (*acl.declared(environment), *observed.bindings)}
    for one in of_acls(environment, observed):
        kind = CreateAcl if one.git is not None else DeleteAcl
        yield kind(named[one.key], one.cause)


def _of_quotas(environment: Environment, observed: Observed) -> Iterator[Change]:
    by_entity: dict[str, list[Difference]] = {}
    for one in of_quotas(environment, observed):
        by_entity.setdefault(one.name, []).append(one)
    for position, quota in enumerate(environment.quotas):
        whom = quotas.entity(quota)
        found, limits = by_entity.get(str(whom), []), observed.quotas.get(whom, {})
        if not found:
            continue
        if quota.delete:
            entry = observed.record.quotas.get(whom)
            if entry is None or not entry.made:
                raise InvalidSetting(
                    ("quotas", position, "delete"),
                    f"the quota of {whom} is not removed: kdeploy did not set it",
                    "take it out of the file to leave it alone, or remove it with Kafka's own tools",
                )
            yield DeleteQuota(whom, limits)
        else:
            wanted = quotas.limits(quota)
            before = {one.key: limits[one.key] for one in found if one.key in limits}
            after = {one.key: wanted.get(one.key) for one in found}
            yield SetQuota(whom, before, after, merged([one.cause for one in found]))
    yield from _of_leaving(environment, observed)


def _of_leaving(environment: Environment, observed: Observed) -> Iterator[DeleteQuota]:
    """Limits of users that are marked for deletion, with whatever client: they go with them.

    Of users whose passwords others keep, so that kdeploy did not make them, only those that it set.
    """
    leaving = {user.name: user.credentials == "vault" for user in environment.users if user.delete}
    set_here = {whom for whom, one in observed.record.quotas.items() if one.made}
    declared = quotas.declared(environment)
    for whom, limits in sorted(observed.quotas.items()):
        is_ours = leaving.get(whom.user, False) or (whom.user in leaving and whom in set_here)
        if is_ours and whom not in declared:
            yield DeleteQuota(whom, limits)
