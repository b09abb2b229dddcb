"""What an environment declares for one of the datacenters between which something is mirrored.

MirrorMaker's own user is declared in each with what it needs there and no more. Of active-passive, whoever may write a
mirrored topic may do so where it is written to alone: every other datacenter, whose copy is one with offsets that count,
is closed to everybody but the mirror by its access lists. A failover is then a change of what is declared.

Where MirrorMaker copies access lists, what it makes of declared users' own is declared as well: whole lists of these users
are kdeploy's, which would otherwise take away each time what MirrorMaker brings.

Invariant: pure. Without mirroring an environment is what it was, the very same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Final, Literal, Protocol, TypeAlias

from kdeploy.spec.identity import DRILL, MIRROR
from kdeploy.spec.mirroring import Mirroring, passes_heartbeats_on
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Acl, Grant, Topic, User
from kdeploy.spec.roles import acls_of, expand

HEARTBEATS: Final = "heartbeats"
"""The topic of a cluster's own heartbeats (MirrorMaker's default name, KIP-382)."""

CONFIGS, OFFSETS, STATUS = f"{MIRROR}-configs", f"{MIRROR}-offsets", f"{MIRROR}-status"

INTERNAL: Final[Mapping[str, int]] = {CONFIGS: 1, OFFSETS: 25, STATUS: 5}
"""Topics in which the workers keep their connectors, how far these are and how they do, each with its partitions
(Kafka 3.9 documentation, 8.2 User Guide, Running Kafka Connect, and its own defaults)."""

_Resource: TypeAlias = Literal["topic", "group", "transactional-id", "cluster"]
_Operation: TypeAlias = Literal[
    "read", "write", "create", "describe", "alter", "describe-configs", "alter-configs"
]

_READS: Final[tuple[_Operation, ...]] = ("read", "describe", "describe-configs")
_MAKES: Final[tuple[_Operation, ...]] = (
    "read",
    "write",
    "create",
    "describe",
    "alter",
    "describe-configs",
    "alter-configs",
)
"""On what it makes: records, more partitions, and settings that follow the source's."""

_LEFT: Final[tuple[_Operation, ...]] = ("read", "describe", "describe-configs")
"""What is left of `all` on a topic that may not be written."""


def declared_in(environment: Environment, datacenter: str, written: str | None) -> Environment:
    """An environment as it is declared for one datacenter.

    Args:
        environment: As its files say.
        datacenter: Which.
        written: The datacenter that is written to; None while none is (active-passive).

    Returns:
        The same environment where nothing is mirrored.
    """
    wanted = environment.mirroring
    if wanted is None:
        return environment
    found = _declared(environment, wanted, datacenter, written)
    if not wanted.sync_topic_acls:
        return found
    copies = [
        copy
        for other in _others(environment, datacenter)
        for copy in _copies(_declared(environment, wanted, other, other), wanted, other, datacenter)
    ]
    beats = _copies_of_heartbeats(environment, wanted, datacenter)
    return found.model_copy(update={"acls": (*found.acls, *copies, *beats)})


def _others(environment: Environment, datacenter: str) -> list[str]:
    return [one.name for one in environment.datacenters if one.name != datacenter]


def _declared(
    environment: Environment, wanted: Mirroring, datacenter: str, written: str | None
) -> Environment:
    """The same without what MirrorMaker copies from another datacenter's access lists."""
    is_closed = wanted.mode == "active-passive" and datacenter != written
    own = User.model_construct(
        name=MIRROR,
        acls=tuple(_rights(wanted, datacenter, _others(environment, datacenter), is_closed=is_closed)),
        credentials="vault",
        owner=None,
        delete=False,
    )
    update: dict[str, object] = {
        "topics": (*environment.topics, *_internal()),
        "users": (*environment.users, own),
    }
    if is_closed:
        update |= {
            "users": (*(_closed_user(one, wanted) for one in environment.users), own),
            "acls": tuple(_closed_grant(one, wanted) for one in environment.acls),
        }
    return environment.model_copy(update=update)


def written_first(environment: Environment) -> str | None:
    """The datacenter that is written to as long as nobody failed over; None where all are, or nothing is mirrored."""
    wanted = environment.mirroring
    if wanted is None or wanted.mode == "active-active":
        return None
    return wanted.primary or environment.datacenters[0].name


def _internal() -> Iterator[Topic]:
    for name, partitions in INTERNAL.items():
        yield Topic.model_construct(
            name=name,
            partitions=partitions,
            replication_factor=None,
            retention=None,
            owner=None,
            config={"cleanup.policy": "compact"},
            delete=False,
        )


def _copies(source: Environment, wanted: Mirroring, here: str, there: str) -> Iterator[Grant]:
    """What MirrorMaker makes in one datacenter of the access lists of another.

    Of entries for one topic each (not for all that begin so) whose topic is mirrored it copies all but the right to
    write, and for the right to all the right to read; what is denied, too (MirrorSourceConnector.syncTopicAcls, Kafka 3.9
    and 4.3, read 2026-11-28). It takes none away. Declared is what it makes whichever datacenter is written to, and for
    `all` what a closed side has of it, so that nothing of this changes with a failover.
    """
    others = (one.name for one in source.datacenters if one.name not in (here, there))
    # What others mirror to the source is theirs to bring (`tuning.mirror`), where a name says whose it is.
    beyond = tuple(f"{one}." for one in others) if wanted.names == "prefixed" else ()
    for user, acl in acls_of(source):
        if acl.pattern != "literal" or acl.name.startswith(beyond):
            continue
        name = _copied(acl.name, wanted, here, there)
        if acl.resource != "topic" or name is None:
            continue
        yield from _copy(user, acl, name)


def _copy(user: str, acl: Acl, name: str) -> Iterator[Grant]:
    """An entry as it is made for a topic of another name, if anything of it is."""
    if operations := acl.operations if acl.permission == "deny" else _left(acl):
        copy = acl.model_copy(update={"name": name, "operations": operations})
        yield Grant.model_construct(user=user, role=None, acls=(copy,))


def _copies_of_heartbeats(environment: Environment, wanted: Mirroring, there: str) -> Iterator[Grant]:
    """What MirrorMaker makes in a datacenter of entries for heartbeats, which have a name of their own with every naming.

    They go past its filters, and on from there by every way without a circle; where it is told not to
    (`tuning.mirror`), those of the sources alone come.
    """
    others = _others(environment, there)
    goes_on = len(others) == 1 or passes_heartbeats_on(environment.kafka.version)
    entries = {
        other: [
            (user, acl)
            for user, acl in acls_of(_declared(environment, wanted, other, other))
            if (acl.resource, acl.pattern) == ("topic", "literal") and _is_heartbeats(acl.name, goes_on)
        ]
        for other in others
    }
    for length in range(1, len(others) + 1 if goes_on else 2):
        for *steps, first in permutations(others, length):
            for user, acl in entries[first]:
                if not {there, *steps} & set(acl.name.split(".")[:-1]):
                    yield from _copy(user, acl, ".".join((*steps, first, acl.name)))


def _is_heartbeats(name: str, goes_on: bool) -> bool:
    """Whether a topic holds heartbeats: a cluster's own, or where they are passed on those of others."""
    return name == HEARTBEATS or (goes_on and name.endswith(f".{HEARTBEATS}"))


def _copied(name: str, wanted: Mirroring, here: str, there: str) -> str | None:
    """What the topic of an entry is called in the other datacenter; None where MirrorMaker leaves the entry where it is."""
    if not is_mirrored(name, wanted):
        return None
    if wanted.names == "identity":
        return name
    # What came from there is not taken back (isCycle); `*` would stand for no topic (`tuning.mirror`).
    return None if name == "*" or there in name.split(".")[:-1] else f"{here}.{name}"


def _rights(wanted: Mirroring, here: str, others: Iterable[str], *, is_closed: bool) -> Iterator[Acl]:
    """What MirrorMaker may do in a cluster: its workers beside it write there, those of the others read there.

    Whoever may alter access lists may give itself all: only where they are copied, and only where they are copied to.
    """
    if wanted.sync_topic_acls:
        is_target = is_closed or wanted.mode == "active-active"
        yield _acl("cluster", "kafka-cluster", ("describe", "alter") if is_target else ("describe",))
    yield _acl("group", MIRROR, ("read", "describe"))
    yield _acl(
        "topic", f"{MIRROR}-", ("read", "write", "create", "describe", "describe-configs"), prefix=True
    )
    # `connect-cluster-GROUP` of the leading worker, `GROUP-CONNECTOR-TASK` of each task (KIP-618).
    yield _acl("transactional-id", f"connect-cluster-{MIRROR}", ("write", "describe"), prefix=True)
    yield _acl("transactional-id", f"{MIRROR}-", ("write", "describe"), prefix=True)
    makes = _MAKES if wanted.sync_topic_configs else tuple(one for one in _MAKES if one != "alter-configs")
    yield _acl("topic", HEARTBEATS, makes)
    for name in wanted.topics:
        yield _pattern("topic", name, _READS)
    for name in wanted.groups:
        yield _pattern("group", name, ("read", "describe"))
    yield _acl("topic", DRILL, makes if wanted.names == "identity" else _READS, prefix=True)
    yield _acl("group", DRILL, ("read", "describe"), prefix=True)
    for other in others:
        yield _acl("topic", f"{other}.", makes, prefix=True)  # mirrored by prefix, checkpoints, heartbeats
        yield _acl("topic", f"mm2-offset-syncs.{other}.internal", makes)
    if wanted.names == "identity":
        for name in wanted.topics:
            yield _pattern("topic", name, makes)


def _pattern(resource: _Resource, name: str, operations: tuple[_Operation, ...]) -> Acl:
    if name == "*":
        return _acl(resource, "*", operations)
    return _acl(resource, name.removesuffix("*"), operations, prefix=name.endswith("*"))


def _acl(resource: _Resource, name: str, operations: tuple[_Operation, ...], *, prefix: bool = False) -> Acl:
    return Acl.model_construct(
        resource=resource,
        name=name,
        pattern="prefixed" if prefix else "literal",
        operations=operations,
        permission="allow",
        host="*",
    )


def _closed_user(user: User, wanted: Mirroring) -> User:
    return user.model_copy(update={"acls": tuple(_closed(user.acls, wanted))})


def _closed_grant(grant: Grant, wanted: Mirroring) -> Grant:
    """The entries that a grant stands for, without what writes to mirrored topics."""
    return grant.model_copy(update={"role": None, "acls": tuple(_closed(expand(grant), wanted))})


def _closed(acls: Iterable[Acl], wanted: Mirroring) -> Iterator[Acl]:
    for acl in acls:
        if acl.resource != "topic" or acl.permission != "allow" or not meets(acl, wanted):
            yield acl
            continue
        if left := _left(acl):
            yield acl.model_copy(update={"operations": left})


def _left(acl: Acl) -> tuple[str, ...]:
    """What is left of what an entry allows without the right to write."""
    left = tuple(one for one in acl.operations if one not in ("write", "all"))
    return tuple(dict.fromkeys((*left, *_LEFT))) if "all" in acl.operations else left


class _Entry(Protocol):
    """What names topics: an entry as it is declared, or as it is in a cluster."""

    @property
    def name(self) -> str: ...

    @property
    def pattern(self) -> str: ...


def meets(acl: _Entry, wanted: Mirroring) -> bool:
    """Whether an entry may stand for a mirrored topic: in doubt it does, since a wrong write cannot be taken back."""
    is_prefix = acl.pattern == "prefixed" or acl.name == "*"
    name = "" if acl.name == "*" else acl.name
    if not is_prefix and is_mirrored(name, wanted):
        return True
    return is_prefix and any(_overlap(name, pattern) for pattern in wanted.topics)


def _overlap(prefix: str, pattern: str) -> bool:
    name = pattern.removesuffix("*")
    return name.startswith(prefix) or (pattern.endswith("*") and prefix.startswith(name))


def is_mirrored(topic: str, wanted: Mirroring) -> bool:
    """Whether a topic of a source is mirrored; Kafka's, kdeploy's and MirrorMaker's own do not count."""
    if topic.startswith(("__", ".", DRILL)) or topic.endswith((".internal", "-internal", HEARTBEATS)):
        return False
    return _named(topic, wanted.topics) and not _named(topic, wanted.exclude_topics)


def _named(name: str, patterns: Iterable[str]) -> bool:
    return any(
        name.startswith(one.removesuffix("*")) if one.endswith("*") else name == one for one in patterns
    )
