"""One change of a topic, a user, an access list, a quota or a broker's setting: what it is, in data and in words.

Invariant: frozen, and without any secret: a change of a password names the user only. Each says
who made it necessary: git, something else that changed the cluster (drift), or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kdeploy.cluster.state import EVERY_BROKER, Binding, NewTopic, QuotaEntity

Kind = Literal[
    "create-topic",
    "add-partitions",
    "alter-topic-config",
    "alter-replication",
    "delete-topic",
    "alter-broker-config",
    "create-user",
    "set-password",
    "shut-out-user",
    "create-acl",
    "delete-acl",
    "set-quota",
    "delete-quota",
]
"""What a change does; a closed list, part of the JSON of `preview`."""

Cause = Literal["git", "drift", "both"]
"""Who made a change necessary: what is declared is not what was given last (git), what is found is not (drift)."""


@dataclass(frozen=True)
class CreateTopic:
    """A declared topic does not exist."""

    topic: NewTopic
    cause: Cause = "git"
    kind: Kind = "create-topic"

    def __str__(self) -> str:
        partitions = "default" if self.topic.partitions is None else str(self.topic.partitions)
        said = [f"partitions {partitions}", f"replication factor {self.topic.replication_factor}"]
        said += [f"{key} {value}" for key, value in sorted(self.topic.config.items())]
        return f"create topic {self.topic.name}: {', '.join(said)}"


@dataclass(frozen=True)
class AddPartitions:
    """A topic has fewer partitions than declared. They cannot be taken away again."""

    topic: str
    before: int
    after: int
    cause: Cause = "git"
    kind: Kind = "add-partitions"

    def __str__(self) -> str:
        return f"topic {self.topic}: partitions {self.before} → {self.after}"


@dataclass(frozen=True)
class AlterTopicConfig:
    """A topic has other settings of its own than declared.

    Attributes:
        topic: Its name.
        before: Values in effect, as far as they are known.
        after: Values it is to have of its own; None takes one away, so that the cluster's default holds.
    """

    topic: str
    before: Mapping[str, str]
    after: Mapping[str, str | None]
    cause: Cause = "git"
    kind: Kind = "alter-topic-config"

    def __str__(self) -> str:
        said = (self._said(key, value) for key, value in sorted(self.after.items()))
        return f"topic {self.topic}: {', '.join(said)}"

    def _said(self, key: str, value: str | None) -> str:
        before = self.before.get(key, "unset")
        if before == value:
            return f"{key} {value}, from now on whatever the default is"
        return f"{key} {before} → {'the default' if value is None else value}"


@dataclass(frozen=True)
class AlterReplication:
    """A topic has more or fewer copies than declared.

    Attributes:
        topic: Its name.
        before: Copies of the partition that has fewest or, where there are to be fewer, most.
        after: Copies declared; the same where only a movement that was begun is to be finished.
        cause: As in every change.
        min_insync: Its own min.insync.replicas as declared; None where the cluster's default is to hold.
        relaxed: min.insync.replicas while copies are added, and what it is to be before and after; None
            where it stays.
    """

    topic: str
    before: int
    after: int
    cause: Cause = "git"
    kind: Kind = "alter-replication"
    min_insync: str | None = None
    relaxed: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.before == self.after:
            said = f"topic {self.topic}: finish changing its replication factor to {self.after}"
        else:
            said = f"topic {self.topic}: replication factor {self.before} → {self.after}"
        if self.relaxed is None:
            return said
        fewer, usual = self.relaxed
        return f"{said}, with min.insync.replicas {fewer} in place of {usual} meanwhile, so that acks=all goes on"


@dataclass(frozen=True)
class DeleteTopic:
    """A topic that kdeploy made is marked for deletion; its records go with it. `id` is Kafka's id of it."""

    topic: str
    id: str
    cause: Cause = "git"
    kind: Kind = "delete-topic"

    def __str__(self) -> str:
        return f"delete topic {self.topic} with all its records"


@dataclass(frozen=True)
class Given:
    """A setting of a running broker that is to change.

    Attributes:
        before: Its value in effect; None where it has none.
        after: Its value in effect then.
        stored: Whether a dynamic value says so; else one is taken away, and what is below it says the same.
    """

    before: str | None
    after: str | None
    stored: bool


@dataclass(frozen=True)
class AlterBrokerConfig:
    """A running broker has other values than its file, dynamic ones that its file has made idle, or some that
    a person set by hand. `broker` is its id, or EVERY_BROKER.
    """

    broker: int
    name: str
    settings: Mapping[str, Given]
    cause: Cause = "git"
    kind: Kind = "alter-broker-config"

    def __str__(self) -> str:
        said = (_said(key, one) for key, one in sorted(self.settings.items()))
        runs = "they run" if self.broker == EVERY_BROKER else "it runs"
        return f"{self.name}, while {runs}: {', '.join(said)}"


def _said(key: str, one: Given) -> str:
    if one.before != one.after:
        return f"{key} {one.before or 'unset'} → {one.after or 'unset'}"
    if one.stored:
        return f"{key} {one.after}, from now on by a dynamic value of its own"
    return f"{key} {one.after}, which its file says too: dynamic value removed"


@dataclass(frozen=True)
class SetPassword:
    """A user does not exist (create-user), or the vault's password is not the one in force (set-password).

    `provable` says whether the client listener can be asked for it: not when it is PLAINTEXT. Which of the two
    passwords is the newer nobody can tell, so the cause of a set-password is both.
    """

    user: str
    kind: Kind
    provable: bool = True
    cause: Cause = "git"

    def __str__(self) -> str:
        if self.kind == "create-user":
            return f"create user {self.user}"
        return f"user {self.user}: password in force → password in the vault"


@dataclass(frozen=True)
class ShutOutUser:
    """A user that kdeploy made is marked for deletion. `stays` as a name whose password nobody knows, with KRaft."""

    user: str
    stays: bool
    cause: Cause = "git"
    kind: Kind = "shut-out-user"

    def __str__(self) -> str:
        return f"shut out user {self.user} for good" if self.stays else f"remove user {self.user}"


@dataclass(frozen=True)
class CreateAcl:
    """A declared access list entry does not exist."""

    binding: Binding
    cause: Cause = "git"
    kind: Kind = "create-acl"

    def __str__(self) -> str:
        return f"add ACL: {self.binding}"


@dataclass(frozen=True)
class DeleteAcl:
    """A declared user has an access list entry that is not declared."""

    binding: Binding
    cause: Cause = "git"
    kind: Kind = "delete-acl"

    def __str__(self) -> str:
        return f"remove ACL: {self.binding}"


@dataclass(frozen=True)
class SetQuota:
    """An entity has other limits than declared.

    Attributes:
        entity: Whom they are for.
        before: Limits that change or go, as they are.
        after: What they are to be; None takes one away.
        cause: As in every change.
    """

    entity: QuotaEntity
    before: Mapping[str, float]
    after: Mapping[str, float | None]
    cause: Cause = "git"
    kind: Kind = "set-quota"

    def __str__(self) -> str:
        said = [
            f"{key} {_number(self.before.get(key))} → {_number(value)}"
            for key, value in sorted(self.after.items())
        ]
        return f"quota of {self.entity}: {', '.join(said)}"


@dataclass(frozen=True)
class DeleteQuota:
    """Limits that kdeploy set are marked for deletion."""

    entity: QuotaEntity
    before: Mapping[str, float]
    cause: Cause = "git"
    kind: Kind = "delete-quota"

    def __str__(self) -> str:
        said = ", ".join(f"{key} {_number(value)}" for key, value in sorted(self.before.items()))
        return f"remove the quota of {self.entity}: {said}"


def _number(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:.15g}"


Change: TypeAlias = (
    CreateTopic
    | AddPartitions
    | AlterTopicConfig
    | AlterReplication
    | DeleteTopic
    | AlterBrokerConfig
    | SetPassword
    | ShutOutUser
    | CreateAcl
    | DeleteAcl
    | SetQuota
    | DeleteQuota
)
"""Any change; `str()` of it is one line for people."""
