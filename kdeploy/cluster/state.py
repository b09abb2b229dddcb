"""What a cluster is at one moment, as values: brokers, partitions, quorum, topics, access lists.

Invariant: frozen, free of any Kafka client's types, and complete: a question that
`gate`, `reconcile` or `checks` asks is answered from here without connecting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

EVERY_BROKER: Final = -1
"""Stands for all brokers together where a dynamic value is meant that each of them has."""

Place: TypeAlias = tuple[str, int]
"""A partition: its topic and its number."""

Spans: TypeAlias = Mapping[Place, tuple[int, int]]
"""By partition, the first offset and the one to end before."""


@dataclass(frozen=True, order=True)
class Broker:
    """A broker that is registered.

    Attributes:
        id: broker.id or node.id.
        rack: broker.rack; None when it has none.
        host: The name it advertises on the listener that was asked.
        port: The port that goes with it.
    """

    id: int
    rack: str | None
    host: str
    port: int = 0


@dataclass(frozen=True, order=True)
class Partition:
    """One partition.

    Attributes:
        topic: Its topic.
        index: Its number.
        leader: The broker that leads it; None without one.
        replicas: Brokers that hold it, the preferred leader first.
        isr: Those in sync with the leader.
        offline: Those that are not there.
    """

    topic: str
    index: int
    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """`topic-index`, as Kafka's own tools and folders call it."""
        return f"{self.topic}-{self.index}"


@dataclass(frozen=True)
class TopicSettings:
    """Settings of one topic.

    Attributes:
        own: Those that were set for the topic itself.
        effective: Values in effect of those that were asked for, wherever they come from.
    """

    own: Mapping[str, str]
    effective: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moving:
    """A partition whose replicas are being changed.

    Attributes:
        replicas: Those it has and those it is to have, together.
        adding: Those that are on their way.
        removing: Those that go once the others are there.
    """

    replicas: tuple[int, ...]
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()

    @property
    def target(self) -> tuple[int, ...]:
        """The replicas it is to have in the end, in their order."""
        return tuple(one for one in self.replicas if one not in self.removing)


@dataclass(frozen=True, order=True)
class QuotaEntity:
    """Whom limits are for, in the words of `spec.resources.Quota`: a name, `*` for everybody, or "" for no such part.

    Attributes:
        user: The user.
        client_id: The client.id; with `user`, of that user.
        ip: The address.
    """

    user: str = ""
    client_id: str = ""
    ip: str = ""

    def __str__(self) -> str:
        parts = (("user", self.user), ("client", self.client_id), ("address", self.ip))
        return " ".join(f"every {kind}" if name == "*" else f"{kind} {name}" for kind, name in parts if name)


@dataclass(frozen=True)
class BrokerSetting:
    """A setting of one broker, by where its value comes from.

    Attributes:
        value: The value in effect; None where there is none, or it is secret.
        own: The dynamic value of this broker alone; None without one.
        below: What would be in effect without any dynamic value: the one it was started with, else
            Kafka's default.
        everywhere: The dynamic value of all brokers; None without one.
    """

    value: str | None
    own: str | None = None
    below: str | None = None
    everywhere: str | None = None


@dataclass(frozen=True, order=True)
class Voter:
    """A controller that votes in the KRaft quorum.

    Attributes:
        id: node.id.
        lag: Records of the metadata log that it has not fetched yet.
        silent: Seconds since the leader last heard it fetch; None when it never did.
    """

    id: int
    lag: int
    silent: float | None


@dataclass(frozen=True)
class Quorum:
    """The KRaft quorum. `leader` is the active controller; None while none is elected."""

    leader: int | None
    voters: tuple[Voter, ...]


@dataclass(frozen=True)
class Metadata:
    """What one metadata answer says.

    Attributes:
        cluster_id: Kafka's own id of the cluster.
        controller: The controller; only meaningful in ZooKeeper mode.
        brokers: Those registered.
        partitions: All, by topic and number.
        topic_ids: Kafka's id of each topic, as its own tools print it: another topic of the same name has another.
    """

    cluster_id: str | None
    controller: int | None
    brokers: tuple[Broker, ...]
    partitions: tuple[Partition, ...]
    topic_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterState:
    """A cluster at one moment.

    Attributes:
        cluster_id: Kafka's own id of it.
        brokers: Those registered, by id.
        controller: The active controller: a broker with ZooKeeper, the quorum's leader with
            KRaft; None when there is none.
        partitions: All, by topic and number.
        min_insync: min.insync.replicas in effect, by topic.
        reassigning: Partitions that are being moved, as `topic-index`; unknown without a controller.
        quorum: The KRaft quorum; None in ZooKeeper mode.
        silent: Brokers that are registered and do not answer: a dead one stays registered, and its
            replicas in sync, until its session ends (9 s with KRaft, 18 s with ZooKeeper by default).
    """

    cluster_id: str | None
    brokers: tuple[Broker, ...]
    controller: int | None
    partitions: tuple[Partition, ...] = ()
    min_insync: Mapping[str, int] = field(default_factory=dict)
    reassigning: tuple[str, ...] = ()
    quorum: Quorum | None = None
    silent: tuple[int, ...] = ()

    @property
    def alive(self) -> frozenset[int]:
        """Ids of the brokers that are registered and answer."""
        return frozenset(broker.id for broker in self.brokers).difference(self.silent)

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class NewTopic:
    """A topic to create.

    Attributes:
        name: Its name.
        partitions: How many; None for the cluster's default.
        replication_factor: Copies; None for the cluster's default.
        config: Its own settings, by Kafka's names.
        assignment: Replicas of each partition, in place of both numbers.
    """

    name: str
    partitions: int | None = None
    replication_factor: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    assignment: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, order=True)
class Binding:
    """One entry of the access lists, in the words of `spec.model.Acl`.

    Attributes:
        user: The user's name, without `User:`.
        resource: Kind of resource: topic, group, cluster, transactional-id, delegation-token.
        name: The resource's name or a prefix of it.
        pattern: literal or prefixed.
        operation: What is allowed or denied.
        permission: allow or deny.
        host: The address it holds for, * for all.
    """

    user: str
    resource: str
    name: str
    pattern: str
    operation: str
    permission: str
    host: str

    def __str__(self) -> str:
        who = "every user" if self.user == "*" else self.user
        who = who if self.host == "*" else f"{who} from {self.host}"
        verb = "may" if self.permission == "allow" else "may not"
        names = f"{self.name}*" if self.pattern == "prefixed" else self.name
        what = "the cluster" if self.resource == "cluster" else f"{self.resource} {names}"
        return f"{who} {verb} {self.operation} {what}"


@dataclass(frozen=True)
class LogRecord:
    """One record.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        offset: Its offset.
        timestamp: Its timestamp, in seconds since 1970.
        appended: Whether that is when the broker took it (LogAppendTime), and not what the producer said.
        key: Its key.
        value: Its value.
        headers: Names and values.
    """

    topic: str
    partition: int
    offset: int
    timestamp: float
    appended: bool = False
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def place(self) -> Place:
        """Its partition."""
        return self.topic, self.partition
