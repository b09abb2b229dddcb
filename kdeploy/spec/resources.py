"""What a cluster holds for its clients: topics, users, what they may do, how much they may take.

Invariant: as `kdeploy.spec.model`, of which this is a part: a value that exists was checked,
is frozen and makes sense by itself. What needs the rest of the environment to be judged
(replicas against brokers, users that are named, policies) is judged in `kdeploy.spec.check`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.frozen import Frozen
from kdeploy.units import ByteRate, Seconds

TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
"""A topic's name, by Kafka's own rule (org.apache.kafka.common.internals.Topic)."""

UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""A SCRAM user's name; never one that could be read as a certificate's name."""

Setting = str | int | float | bool
"""A value of a setting, as YAML reads it; Kafka gets it as text (`setting_text`)."""


def setting_text(value: Setting) -> str:
    """A value as Kafka reads it: true and false in lower case, a whole number without a fraction (`1e9` in YAML)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class Topic(Frozen):
    """A topic to exist."""

    name: TopicName
    """Its name."""

    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Partitions; left out, the cluster's default (num.partitions)."""

    replication_factor: Annotated[int, Field(ge=1, le=32)] | None = None
    """Copies; left out, durability.replication_factor."""

    retention: Annotated[Seconds, Field(gt=0, le=3.2e9)] | None = None
    """How long records are kept (retention.ms); left out, the cluster's default."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Who answers for it: a team or a person. Only for readers and policies."""

    config: dict[str, Setting] = {}
    """Topic settings by Kafka's names, for example retention.ms."""

    delete: bool = False
    """Whether it is to be deleted with all its records; only what kdeploy made is."""

    @property
    def settings(self) -> dict[str, str]:
        """Its own settings as Kafka reads them, retention included."""
        found = {key: setting_text(value) for key, value in self.config.items()}
        return (
            found if self.retention is None else {**found, "retention.ms": str(round(self.retention * 1000))}
        )


class Acl(Frozen):
    """What a user may do with a resource."""

    resource: Literal["topic", "group", "cluster", "transactional-id", "delegation-token"] = "topic"
    """Kind of resource."""

    name: str
    """The resource's name, a prefix of it, or * for all; for the cluster: kafka-cluster."""

    pattern: Literal["literal", "prefixed"] = "literal"
    """Whether the name is meant whole or as a prefix."""

    operations: Annotated[
        tuple[
            Literal[
                "all",
                "read",
                "write",
                "create",
                "delete",
                "alter",
                "describe",
                "cluster-action",
                "describe-configs",
                "alter-configs",
                "idempotent-write",
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    """What is allowed."""

    permission: Literal["allow", "deny"] = "allow"
    """Whether it is allowed or denied; a denial outranks every permission."""

    host: str = "*"
    """The address it holds for; * for every one."""


class User(Frozen):
    """A client that authenticates with SCRAM-SHA-512."""

    name: UserName
    """Its name."""

    acls: tuple[Acl, ...] = ()
    """What it may do; nothing, without any."""

    credentials: Literal["vault", "unmanaged"] = "vault"
    """Where its password is: in the vault, or unmanaged, set by others and left as it is."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Who answers for it: a team or a person. Only for readers."""

    delete: bool = False
    """Whether it is to be shut out for good: its ACLs and quotas removed, its password taken from it; one whose
    credentials are unmanaged keeps its password, and is denied everything."""


ResourceNames = tuple[Annotated[str, StringConstraints(min_length=1, max_length=249)], ...]
"""Names of resources; one that ends in an asterisk stands for all that begin so, and * alone for all."""


class Grant(Frozen):
    """What a user is given beside its own ACLs: the rights of a role, or entries as they are."""

    user: UserName
    """The user; declared among the users."""

    role: Literal["producer", "consumer", "streams", "connect"] | None = None
    """What it does; its rights on what is named here follow from it."""

    topics: ResourceNames = ()
    """Topics it produces to (producer) or reads (consumer, streams, sinks of connect)."""

    output_topics: ResourceNames = ()
    """Topics that streams, or the sources and dead letter queues of connect, write to."""

    groups: ResourceNames = ()
    """Consumer groups it takes part in (consumer), or the worker's own group and those of its sinks (connect)."""

    transactional_ids: ResourceNames = ()
    """Transactional ids it uses (producer, and connect with exactly-once sources)."""

    application: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=200)] | None = None
    """application.id of streams: its group is called so; its internal topics and transactional ids begin with it
    and a hyphen."""

    internal_topics: ResourceNames = ()
    """A Connect worker's topics for configuration, offsets and status."""

    acls: tuple[Acl, ...] = ()
    """Entries as they are, without a role."""


class Quota(Frozen):
    """Limits on what one entity may take of each broker. Kafka's most specific entity wins (KIP-13, KIP-55, KIP-257)."""

    user: str | None = None
    """A declared user, or * for every user without a quota of its own."""

    client_id: Annotated[str, StringConstraints(min_length=1, max_length=249)] | None = None
    """A client.id, or * for every one without a quota of its own; with user, of that user."""

    ip: str | None = None
    """An address, or * for every one without a quota of its own; only for connection_creation_rate."""

    producer_byte_rate: Annotated[ByteRate, Field(gt=0)] | None = None
    """Most bytes per second produced to one broker."""

    consumer_byte_rate: Annotated[ByteRate, Field(gt=0)] | None = None
    """Most bytes per second read from one broker."""

    request_percentage: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Most of one broker's request and network threads, in percent of one thread."""

    controller_mutation_rate: Annotated[float, Field(gt=0)] | None = None
    """Most partitions created or deleted per second (KIP-599)."""

    connection_creation_rate: Annotated[int, Field(gt=0)] | None = None
    """Most new connections per second to one broker from an address (KIP-612)."""

    delete: bool = False
    """Whether its limits are to be removed; only those that kdeploy set are."""


class Policies(Frozen):
    """What declared topics have to keep to."""

    topic_names: tuple[str, ...] = ()
    """Regular expressions, one of which a topic's whole name has to match; without any, every name is right."""

    max_partitions: Annotated[int, Field(ge=1)] | None = None
    """Most partitions of a topic."""

    min_replication_factor: Annotated[int, Field(ge=1, le=32)] | None = None
    """Fewest copies of a topic."""

    min_retention: Annotated[Seconds, Field(gt=0)] | None = None
    """Shortest retention of a topic."""

    max_retention: Annotated[Seconds, Field(gt=0)] | None = None
    """Longest retention of a topic."""

    owner_required: bool = False
    """Whether every topic has to name its owner."""
