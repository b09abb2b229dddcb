"""Three sides of every resource: declared in git, given last, found in the cluster.

    declared ≠ given last   git changed it
    found ≠ given last      something else changed the cluster: drift
    declared ≠ found        there is something to do, whoever caused it

Invariant: pure. What was never given counts as changed by git. Declared topics are owned with all their
own settings, but for those by which copies on their way are throttled; declared users with their whole
access lists; declared entities with all their limits. What is not declared is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kdeploy.cluster import acl, quotas
from kdeploy.cluster.change import Cause
from kdeploy.cluster.live import same
from kdeploy.cluster.observed import Observed, TopicState
from kdeploy.cluster.record import QuotaEntry, TopicEntry
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Topic

Layer = Literal["topics", "users", "acls", "quotas"]
"""Kinds of resources, as `preview` and `drift` name them."""

THROTTLED: Final = (
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
)
"""A topic's settings that belong to whoever moves its partitions, not to the topic (KIP-73)."""

PRESENT: Final = "present"
"""The value of something that is there or is not, as a user is."""

PARTITIONS: Final = "partitions"
COPIES: Final = "replication factor"
PASSWORD: Final = "password"  # noqa: S105  # a key's name
EXISTENCE: Final = ""
"""Keys of what is no setting; the last stands for the whole resource."""


@dataclass(frozen=True)
class Difference:
    """One value that is not what git says.

    Attributes:
        layer: Kind of resource.
        name: The topic, the user, or whom a quota is for.
        key: The setting, limit or access list entry; empty for the whole resource.
        git: The value declared; None where it is not to be there.
        found: The value in the cluster; None where it is not there.
        last: The value given last; None where none was.
        known: Whether anything was ever given to this resource.
    """

    layer: Layer
    name: str
    key: str
    git: str | None
    found: str | None
    last: str | None = None
    known: bool = False

    @property
    def cause(self) -> Cause:
        """Who made the two differ."""
        if not self.known or equal(self.found, self.last):
            return "git"
        return "drift" if equal(self.git, self.last) else "both"

    @property
    def winner(self) -> Literal["git", "cluster"]:
        """Who prevails: git, but where Kafka cannot be brought back, as with partitions that were added."""
        kept = self.key == PARTITIONS and int(self.found or 0) > int(self.git or 0)
        return "cluster" if kept else "git"


def equal(one: str | None, other: str | None) -> bool:
    """Whether two values mean the same."""
    return one is other if one is None or other is None else same(one, other)


def merged(causes: Collection[Cause]) -> Cause:
    """Who made several differences together necessary."""
    kinds = set(causes)
    return kinds.pop() if len(kinds) == 1 else "both"


def drift(environment: Environment, observed: Observed) -> tuple[Difference, ...]:
    """What differs from git and was not changed by git alone. Pure."""
    return tuple(one for one in differences(environment, observed) if one.cause != "git")


def differences(environment: Environment, observed: Observed) -> tuple[Difference, ...]:
    """Everything that is not what git says, in the order of the environment. Pure."""
    return (
        *(
            one
            for topic in environment.topics
            for one in of_topic(
                topic,
                copies_of(topic, environment),
                observed.topics.get(topic.name),
                observed.record.topics.get(topic.name),
            )
        ),
        *of_users(environment, observed),
        *of_acls(environment, observed),
        *of_quotas(environment, observed),
    )


def copies_of(topic: Topic, environment: Environment) -> int:
    """The replication factor that a topic is to have."""
    return topic.replication_factor or environment.durability.replication_factor


def of_topic(
    topic: Topic, copies: int, state: TopicState | None, entry: TopicEntry | None
) -> Iterator[Difference]:
    """What of one topic is not what git says.

    Args:
        topic: As declared.
        copies: Copies it is to have.
        state: As found; None where it is not there.
        entry: As given last; None where kdeploy has not looked after it.
    """
    known = entry is not None
    there = PRESENT if entry is not None and entry.id is not None else None
    if topic.delete:
        if state is not None:
            yield Difference("topics", topic.name, EXISTENCE, None, PRESENT, there, known)
        return
    if state is None:
        yield Difference("topics", topic.name, EXISTENCE, PRESENT, None, there, known)
        return
    count, given = len(state.partitions), entry.partitions if entry else None
    if topic.partitions is not None and topic.partitions != count:
        yield Difference(
            "topics", topic.name, PARTITIONS, str(topic.partitions), str(count), _text(given), known
        )
    if state.copies != (copies,):
        factor = " and ".join(map(str, state.copies))
        last = _text(entry.replication_factor) if entry else None
        yield Difference("topics", topic.name, COPIES, str(copies), factor, last, known)
    yield from _of_settings(topic, state, entry)


def _of_settings(topic: Topic, state: TopicState, entry: TopicEntry | None) -> Iterator[Difference]:
    git, own = topic.settings, state.settings.own
    last = entry.settings if entry else {}
    for key in sorted(git.keys() | own.keys()):
        if key not in THROTTLED and not equal(git.get(key), own.get(key)):
            yield Difference(
                "topics", topic.name, key, git.get(key), own.get(key), last.get(key), entry is not None
            )


def of_users(environment: Environment, observed: Observed) -> Iterator[Difference]:
    """Users that are not there, or have another password than the vault's; or that are there and should not be."""
    for user in environment.users:
        entry = observed.record.users.get(user.name)
        known, found = entry is not None, observed.users.get(user.name)
        last = PRESENT if known else None
        if user.delete:
            if user.credentials == "vault" and found is not None and not (entry and entry.shut_out):
                yield Difference("users", user.name, EXISTENCE, None, PRESENT, last, known)
        elif found is None:
            yield Difference("users", user.name, EXISTENCE, PRESENT, None, last, known)
        elif entry and entry.shut_out:
            yield Difference(
                "users", user.name, PASSWORD, "in the vault", "nobody knows it", "nobody knows it", known
            )
        elif not found:
            yield Difference("users", user.name, PASSWORD, "in the vault", "another", "unknown", known)


def of_acls(environment: Environment, observed: Observed) -> Iterator[Difference]:
    """Access list entries of declared users that are missing, then those that are too many."""
    if observed.bindings is None:
        return
    wanted = acl.declared(environment)
    # Denials come first and go last, so that nobody is allowed for a moment what is to be denied.
    missing = sorted(wanted - observed.bindings, key=lambda one: (one.permission != "deny", one))
    surplus = sorted(observed.bindings - wanted, key=lambda one: (one.permission == "deny", one))
    for one in (*missing, *surplus):
        entry = observed.record.users.get(one.user)
        last = PRESENT if entry and one in entry.acls else None
        git, found = (PRESENT, None) if one in wanted else (None, PRESENT)
        yield Difference("acls", one.user, str(one), git, found, last, entry is not None)


def of_quotas(environment: Environment, observed: Observed) -> Iterator[Difference]:
    """Limits of declared entities that are not what git says."""
    for whom, wanted in quotas.declared(environment).items():
        entry = observed.record.quotas.get(whom)
        found: Mapping[str, float] = observed.quotas.get(whom, {})
        last: Mapping[str, float] = (entry or QuotaEntry(made=False)).limits
        for key in sorted(wanted.keys() | found.keys()):
            if wanted.get(key) != found.get(key):
                git, there, given = (_text(side.get(key)) for side in (wanted, found, last))
                yield Difference("quotas", str(whom), key, git, there, given, entry is not None)


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.15g}"
