"""What kdeploy made in a cluster and last gave it, kept in the cluster itself: a compacted topic.

A pipeline on a fresh machine reads from it what the last one gave, so that three sides can be told
apart: what is declared, what was given last, and what is found. One record for each resource: its key
is `topic/NAME`, `user/NAME` (with its access list) or `quota/ENTITY`; `moving` stands for a change of
replicas that was begun, `mirroring` for which datacenter is written to (`direction`). A resource that is gone has an
empty record, which compaction removes.

Invariant: written before anything is made (`pending`) and again when it is there, so that what a killed
run made is known as made by kdeploy. A cluster without the topic reads as an empty record: nothing in
it was made or given by kdeploy. A record of a newer kdeploy is refused, not guessed at. No secret is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import Binding, NewTopic, QuotaEntity

TOPIC: Final = "__kdeploy-resources"
"""The topic; names that begin with `__kdeploy-` are reserved (`spec.check`)."""

MIRRORING: Final = "mirroring"
"""Key of what `direction` keeps here: which datacenter is written to."""

SCHEMA: Final = "kdeploy.resource/v1"
"""What each record says of its own form."""

GUARD: Final = Binding("*", "topic", TOPIC, "literal", "all", "deny", "*")
"""Keeps everybody from it, whatever all topics are granted to: a denial outranks every permission, and super users, of
whom the administrator is one, are asked for none (AclAuthorizer and StandardAuthorizer, Kafka 3.9 to 4.3)."""

LARGEST: Final = 8 * 2**20
"""Bytes that a record may have (max.message.bytes): a user with tens of thousands of access list entries."""


@dataclass(frozen=True)
class TopicEntry:
    """A topic that was made or taken over.

    Attributes:
        made: Whether kdeploy made it; only then it may be deleted. Never without an id.
        id: Kafka's id of it; None where it was about to be made.
        partitions: Partitions it had when it was last looked after.
        replication_factor: Copies it was last given.
        settings: Settings it was last given.
    """

    made: bool
    id: str | None = None
    partitions: int | None = None
    replication_factor: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UserEntry:
    """A user that was made or taken over, with the access list entries it was last given.

    Attributes:
        made: Whether kdeploy made it; only then it may be shut out.
        acls: What it was last given.
        shut_out: Whether its password was replaced by one that nobody knows.
        pending: Whether it was about to be made, and nobody has seen it since (`claims`).
    """

    made: bool
    acls: frozenset[Binding] = frozenset()
    shut_out: bool = False
    pending: bool = False


@dataclass(frozen=True)
class QuotaEntry:
    """Limits that were last given to an entity.

    Attributes:
        made: Whether it had none before; only then they may be removed.
        limits: What it was last given.
        pending: Whether these were about to be given, and nobody has seen them since (`claims`).
    """

    made: bool
    limits: Mapping[str, float] = field(default_factory=dict)
    pending: bool = False


@dataclass(frozen=True)
class Relaxed:
    """A topic's own min.insync.replicas: the lower one that it has `meanwhile`, and the `own` one that it is to
    have then; None where the cluster's default is to hold.
    """

    meanwhile: str
    own: str | None = None


@dataclass(frozen=True)
class MovingEntry:
    """A change of replicas that was begun.

    Attributes:
        topics: Of which topics.
        brokers: Brokers that were given a rate for it.
        relaxed: Topics that need fewer copies in sync until they have all of theirs.
    """

    topics: tuple[str, ...]
    brokers: tuple[int, ...] = ()
    relaxed: Mapping[str, Relaxed] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """All of it. `direction` is the text that `direction` wrote, and handed on as it is; None where there is none."""

    topics: Mapping[str, TopicEntry] = field(default_factory=dict)
    users: Mapping[str, UserEntry] = field(default_factory=dict)
    quotas: Mapping[QuotaEntity, QuotaEntry] = field(default_factory=dict)
    moving: MovingEntry | None = None
    direction: str | None = None


def read(admin: Admin) -> Record:
    """The record as the cluster has it; empty where there is none.

    Raises:
        ClusterError: The cluster does not answer, or a newer kdeploy has written it.
    """
    return decode(admin.read_compacted(TOPIC))


def write(
    admin: Admin, before: Record, after: Record, copies: int, min_insync: int, *, guarded: bool = True
) -> None:
    """Bring the record from what it was to what it is to be; creates the topic, and its guard, on first need.

    Args:
        admin: The cluster.
        before: As it was read.
        after: As it is to be.
        copies: Replication factor of the topic, where it is created.
        min_insync: Its min.insync.replicas then.
        guarded: Whether access lists are enforced, so that it can be kept from everybody.
    """
    old, new = encode(before), encode(after)
    changed: dict[str, str | None] = {key: text for key, text in new.items() if old.get(key) != text}
    changed |= dict.fromkeys(old.keys() - new.keys())
    if not changed:
        return
    if not any(one.topic == TOPIC for one in admin.metadata().partitions):
        if guarded:
            admin.create_bindings([GUARD])
        admin.create_topics([_topic(copies, min_insync)], existing=True)
    admin.write_compacted(TOPIC, changed)


def _topic(copies: int, min_insync: int) -> NewTopic:
    settings = {
        "cleanup.policy": "compact",
        "min.insync.replicas": str(min_insync),
        "max.message.bytes": str(LARGEST),
    }
    return NewTopic(TOPIC, 1, copies, settings)


def encode(record: Record) -> dict[str, str]:
    """The records that say it, by key: JSON on one line, always the same for the same."""
    found = {f"topic/{name}": _text(_of_topic(one)) for name, one in record.topics.items()}
    found |= {f"user/{name}": _text(_of_user(one)) for name, one in record.users.items()}
    found |= {f"quota/{_entity_key(entity)}": _text(_of_quota(one)) for entity, one in record.quotas.items()}
    if record.moving is not None:
        found["moving"] = _text(_of_moving(record.moving))
    if record.direction is not None:
        found[MIRRORING] = record.direction
    return found


def decode(records: Mapping[str, str]) -> Record:
    """What records say.

    Raises:
        ClusterError: One of them has a form that this version does not know.
    """
    topics, users, quotas, moving = {}, {}, {}, None
    for key, text in records.items():
        if key == MIRRORING:  # not looked into: whoever needs to know reads it by `direction`
            continue
        kind, _, name = key.partition("/")
        try:
            value = _value(key, text)
            match kind:
                case "topic":
                    topics[name] = _to_topic(value)
                case "user":
                    users[name] = _to_user(name, value)
                case "quota":
                    quotas[QuotaEntity(**json.loads(name))] = _to_quota(value)
                case "moving":
                    moving = _to_moving(value)
                case _:
                    raise ValueError(kind)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _unknown(key) from None
    return Record(topics, users, quotas, moving, records.get(MIRRORING))


def _value(key: str, text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    if value["schema"] != SCHEMA:
        raise ClusterError(
            f"topic {TOPIC} of the cluster says of {key} that it is {value['schema']}, "
            f"and this version of kdeploy knows {SCHEMA}\n"
            "  a newer kdeploy has looked after this cluster: use that version, or a later one"
        )
    return value


def _unknown(key: str) -> ClusterError:
    return ClusterError(
        f"topic {TOPIC} of the cluster holds a record {key!r} that no kdeploy wrote\n"
        "  only the administrator may write to this topic; write an empty record with this key to it, "
        "and what it stood for counts as not made by kdeploy"
    )


def _of_topic(one: TopicEntry) -> dict[str, Any]:
    return {
        "made": one.made,
        "state": "pending" if one.id is None else "there",
        "id": one.id,
        "partitions": one.partitions,
        "replication_factor": one.replication_factor,
        "settings": dict(one.settings),
    }


def _to_topic(value: Mapping[str, Any]) -> TopicEntry:
    # Until 2026-11 one that was about to be made was written as made.
    made = value["made"] and value["id"] is not None
    return TopicEntry(
        made, value["id"], value["partitions"], value["replication_factor"], dict(value["settings"])
    )


def _of_user(one: UserEntry) -> dict[str, Any]:
    acls = sorted(
        [acl.resource, acl.name, acl.pattern, acl.operation, acl.permission, acl.host] for acl in one.acls
    )
    state = "shut out" if one.shut_out else "pending" if one.pending else "there"
    return {"made": one.made, "state": state, "acls": acls}


def _to_user(name: str, value: Mapping[str, Any]) -> UserEntry:
    acls = frozenset(Binding(name, *acl) for acl in value["acls"])
    return UserEntry(value["made"], acls, value["state"] == "shut out", value["state"] == "pending")


def _of_quota(one: QuotaEntry) -> dict[str, Any]:
    state = "pending" if one.pending else "there"
    return {"made": one.made, "state": state, "limits": dict(one.limits)}


def _to_quota(value: Mapping[str, Any]) -> QuotaEntry:
    return QuotaEntry(value["made"], value["limits"], value.get("state") == "pending")


def _of_moving(one: MovingEntry) -> dict[str, Any]:
    relaxed = {topic: {"meanwhile": had.meanwhile, "own": had.own} for topic, had in one.relaxed.items()}
    return {"topics": list(one.topics), "brokers": list(one.brokers), "relaxed": relaxed}


def _to_moving(value: Mapping[str, Any]) -> MovingEntry:
    relaxed = {topic: Relaxed(**had) for topic, had in value.get("relaxed", {}).items()}
    return MovingEntry(tuple(value["topics"]), tuple(value["brokers"]), relaxed)


def _entity_key(entity: QuotaEntity) -> str:
    parts = {"user": entity.user, "client_id": entity.client_id, "ip": entity.ip}
    return json.dumps({key: name for key, name in parts.items() if name}, sort_keys=True)


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **value}, sort_keys=True, separators=(",", ":"))
