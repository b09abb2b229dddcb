"""The administrator of a cluster: a few questions and a few changes, over the admin listener.

`Admin` is the small protocol that the rest of kdeploy is written against; `KafkaAdmin`
speaks to a real cluster, `fake.FakeAdmin` remembers one in memory for tests. Invariant:
what goes in and comes out is kdeploy's own values and errors. A change that returns was
accepted, not yet seen everywhere: whoever makes one reads it back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kdeploy.cluster import Access
from kdeploy.cluster.state import Binding, Broker, BrokerSetting, Metadata, NewTopic, Quorum

if TYPE_CHECKING:
    from kdeploy.cluster.kafka_admin import KafkaAdmin


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

    def broker_settings(self, broker: int, names: Sequence[str]) -> dict[str, BrokerSetting]:
        """Some settings of one broker, as it sees them; those that it does not know are left out."""
        ...

    def reassigning(self) -> tuple[str, ...]:
        """Partitions that are being moved, as `topic-index`."""
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

    def create_topics(self, topics: Sequence[NewTopic]) -> None:
        """Create topics."""
        ...

    def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics; one that is gone already is no error."""
        ...

    def add_partitions(self, topic: str, count: int) -> None:
        """Grow a topic to `count` partitions."""
        ...

    def set_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set some of a topic's settings; its others stay."""
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
