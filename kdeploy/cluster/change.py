"""One change of a topic, a user or an access list: what it is, in data and in words.

Invariant: frozen, and without any secret: a change of a password names the user only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kdeploy.cluster.state import EVERY_BROKER, Binding, NewTopic

Kind = Literal[
    "create-topic",
    "add-partitions",
    "alter-topic-config",
    "alter-broker-config",
    "create-user",
    "set-password",
    "create-acl",
    "delete-acl",
]
"""What a change does; a closed list, part of the JSON of `preview`."""


@dataclass(frozen=True)
class CreateTopic:
    """A declared topic does not exist."""

    topic: NewTopic
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
    kind: Kind = "add-partitions"

    def __str__(self) -> str:
        return f"topic {self.topic}: partitions {self.before} → {self.after}"


@dataclass(frozen=True)
class AlterTopicConfig:
    """Settings of a topic have other values in effect than declared."""

    topic: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    kind: Kind = "alter-topic-config"

    def __str__(self) -> str:
        said = [
            f"{key} {self.before.get(key, 'unset')} → {value}" for key, value in sorted(self.after.items())
        ]
        return f"topic {self.topic}: {', '.join(said)}"


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
    kind: Kind = "alter-broker-config"

    def __str__(self) -> str:
        said = (
            f"{key} {one.before or 'unset'} → {one.after or 'unset'}"
            if one.before != one.after
            else f"{key} {one.after}, which its file says too: dynamic value removed"
            for key, one in sorted(self.settings.items())
        )
        runs = "they run" if self.broker == EVERY_BROKER else "it runs"
        return f"{self.name}, while {runs}: {', '.join(said)}"


@dataclass(frozen=True)
class SetPassword:
    """A user does not exist (create-user), or the vault's password is not the one in force (set-password).

    `provable` says whether the client listener can be asked for it: not when it is PLAINTEXT.
    """

    user: str
    kind: Kind
    provable: bool = True

    def __str__(self) -> str:
        if self.kind == "create-user":
            return f"create user {self.user}"
        return f"user {self.user}: password in force → password in the vault"


@dataclass(frozen=True)
class CreateAcl:
    """A declared access list entry does not exist."""

    binding: Binding
    kind: Kind = "create-acl"

    def __str__(self) -> str:
        return f"add ACL: {self.binding}"


@dataclass(frozen=True)
class DeleteAcl:
    """A declared user has an access list entry that is not declared."""

    binding: Binding
    kind: Kind = "delete-acl"

    def __str__(self) -> str:
        return f"remove ACL: {self.binding}"


Change: TypeAlias = (
    CreateTopic | AddPartitions | AlterTopicConfig | AlterBrokerConfig | SetPassword | CreateAcl | DeleteAcl
)
"""Any change; `str()` of it is one line for people."""
