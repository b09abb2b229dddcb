"""The administrator of a cluster: a few questions and a few changes, over the admin listener.

`Admin` is the small protocol that the rest of kdeploy is written against; `KafkaAdmin`
speaks to a real cluster, `fake.FakeAdmin` remembers one in memory for tests. Invariant:
what goes in and comes out is kdeploy's own values and errors. A change that returns was
accepted, not yet seen everywhere: whoever makes one reads it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kdeploy.cluster import Access
from kdeploy.cluster.state import (
    Binding,
    Broker,
    BrokerSetting,
    LogRecord,
    Metadata,
    Moving,
    NewTopic,
    Place,
    Quorum,
    QuotaEntity,
    Spans,
    TopicSettings,
)

if TYPE_CHECKING:
    from kdeploy.cluster.kafka_admin import KafkaAdmin


Made: TypeAlias = Callable[[Mapping[str, str]], None]
"""Hears of topics that were created: by name, Kafka's ids of them."""


class Admin(Protocol):
    """What kdeploy asks of a cluster and does to it. Every method may raise `ClusterError`."""

    def metadata(self) -> Metadata:
        """Brokers and partitions."""
        ...

    def silent(self, brokers: Sequence[Broker]) -> tuple[int, ...]:
        """Ids of those that do not answer now."""
        ...

    def topic_settings(self, topics: Collection[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Values in effect of some settings of some topics; topics that are gone are left out."""
        ...

    def own_topic_settings(
        self, topics: Collection[str], keys: Collection[str] = ()
    ) -> dict[str, TopicSettings]:
        """What was set for topics themselves, and what is in effect of `keys`; topics that are gone are left out."""
        ...

    def broker_settings(self, broker: int, names: Sequence[str]) -> dict[str, BrokerSetting]:
        """Some settings of one broker, as it sees them; those that it does not know are left out."""
        ...

    def reassigning(self) -> tuple[str, ...]:
        """Partitions that are being moved, as `topic-index`."""
        ...

    def moving(self) -> dict[tuple[str, int], Moving]:
        """Partitions whose replicas are being changed, by topic and number."""
        ...

    def stored_bytes(self, topics: Collection[str]) -> int:
        """Bytes of all copies of some topics on all brokers that answer, those on their way included."""
        ...

    def quorum(self) -> Quorum | None:
        """The KRaft quorum; None in ZooKeeper mode."""
        ...

    def users(self) -> frozenset[str]:
        """Names of all users with a SCRAM-SHA-512 password."""
        ...

    def logins(self, passwords: Mapping[str, str]) -> dict[str, bool]:
        """For each user, whether the client listener accepts its password."""
        ...

    def bindings(self) -> frozenset[Binding]:
        """All access list entries of users, of the kinds that `Binding` can say."""
        ...

    def quotas(self) -> dict[QuotaEntity, dict[str, float]]:
        """All limits on what clients may take, of the kinds that `QuotaEntity` can say, by Kafka's names of them."""
        ...

    def read_compacted(self, topic: str) -> dict[str, str]:
        """The last value of each key of a compacted topic of one partition; empty where there is no such topic."""
        ...

    def write_compacted(self, topic: str, values: Mapping[str, str | None]) -> None:
        """Give keys of a compacted topic new values, acknowledged by all in-sync replicas; None removes one."""
        ...

    def spans(self, places: Collection[Place]) -> dict[Place, tuple[int, int]]:
        """Of each partition the first offset that is there, and the end as readers of committed records see it.

        A partition that is gone, or that nobody leads, is left out.
        """
        ...

    def offsets_at(self, moments: Mapping[Place, float]) -> dict[Place, int]:
        """Of each partition the offset of the first record whose time is not before a moment, in seconds since 1970.

        Of records in no order of time, none of that very time is before it. A partition that has none is left out, and so is
        one that is gone or that nobody leads.
        """
        ...

    def unfinished(self, places: Collection[Place]) -> frozenset[Place]:
        """Partitions with records that readers of committed ones do not see yet: of a transaction that is open.

        Where nobody writes any more, that is all it can be.
        """
        ...

    def group_offsets(self, groups: Collection[str] | None = None) -> dict[str, dict[Place, int]]:
        """Offsets that consumer groups committed, those of all groups by default; one without any is left out."""
        ...

    def records(self, spans: Spans) -> Iterator[LogRecord]:
        """All committed records within spans (`logs.each`)."""
        ...

    def first_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The first committed record of each span; those that have none are left out."""
        ...

    def last_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The last committed record of each span (`logs.last`); those that have none are left out."""
        ...

    def create_topics(
        self, topics: Sequence[NewTopic], *, existing: bool = False, made: Made = lambda _: None
    ) -> None:
        """Create topics; with `existing`, one that is there already is no error.

        `made` hears of each that was created, by name with Kafka's id of it, also where another is refused then.
        """
        ...

    def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics; one that is gone already is no error."""
        ...

    def delete_exactly(self, ids: Mapping[str, str]) -> None:
        """Delete topics by Kafka's ids of them, by name; one that is gone, or is another by now, is no error."""
        ...

    def add_partitions(self, counts: Mapping[str, int]) -> None:
        """Grow topics to so many partitions."""
        ...

    def set_topic_settings(self, settings: Mapping[str, Mapping[str, str | None]]) -> None:
        """Give topics settings of their own; None takes one away. Their others stay."""
        ...

    def reassign(self, targets: Mapping[tuple[str, int], tuple[int, ...]]) -> None:
        """Begin to give partitions other replicas, by topic and number; `moving` tells how far it is."""
        ...

    def set_quotas(self, limits: Mapping[QuotaEntity, Mapping[str, float | None]]) -> None:
        """Give entities limits; None takes one away. Their others stay."""
        ...

    def set_broker_settings(
        self, broker: int, settings: Mapping[str, str | None], *, only_judge: bool = False
    ) -> None:
        """Give one broker, or EVERY_BROKER, dynamic values; None takes one away. Other settings stay.

        With `only_judge` it says whether it would take them, and does not.
        """
        ...

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Create users or give them new passwords (SCRAM-SHA-512)."""
        ...

    def delete_users(self, users: Collection[str]) -> None:
        """Remove users' passwords; one that is gone already is no error."""
        ...

    def create_bindings(self, bindings: Collection[Binding]) -> None:
        """Add access list entries."""
        ...

    def delete_bindings(self, bindings: Collection[Binding]) -> None:
        """Remove access list entries; one that is gone already is no error."""
        ...

    def elect_preferred_leaders(self) -> None:
        """Make the preferred replica of every partition lead it, where that is in sync."""
        ...


def connect(access: Access, timeout: float = 10.0) -> KafkaAdmin:
    """Connect as the administrator; use it in a `with` block.

    Args:
        access: Where, and as whom.
        timeout: Seconds to try for.

    Raises:
        ClusterError: Nobody answered; says who was tried and why each failed.
    """
    from kdeploy.cluster.kafka_admin import KafkaAdmin

    return KafkaAdmin(access, timeout)
