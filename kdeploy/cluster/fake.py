"""A cluster in memory, for tests of whatever takes an `Admin`.

Invariant: it refuses what Kafka refuses (a topic that exists, a replication factor above
the brokers, an unknown setting), changes nothing it is not told to, and remembers every
change it was asked for, so that a test can say what must not have happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kdeploy.cluster.admin import Made
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import (
    EVERY_BROKER,
    Binding,
    Broker,
    BrokerSetting,
    LogRecord,
    Metadata,
    Moving,
    NewTopic,
    Partition,
    Place,
    Quorum,
    QuotaEntity,
    Spans,
    TopicSettings,
)

DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "follower.replication.throttled.replicas": "",
    "leader.replication.throttled.replicas": "",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "2",
    "retention.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
"""The topic settings that this cluster knows, with the values its brokers give them."""

BROKER_DEFAULTS: Final[Mapping[str, str | None]] = {
    "follower.replication.throttled.rate": None,
    "leader.replication.throttled.rate": None,
    "log.retention.ms": None,
    "message.max.bytes": "1048588",
    "num.io.threads": "8",
    "num.network.threads": "3",
}
"""The broker settings that this cluster knows, with Kafka's defaults (3.9.2)."""

POOLS: Final = ("num.io.threads", "num.network.threads")

BROKERS: Final = (Broker(1, "a", "localhost"), Broker(2, "b", "localhost"), Broker(3, "c", "localhost"))
"""One broker in each of three racks."""


class FakeAdmin:
    """An `Admin` of a cluster that is a few dictionaries.

    Args:
        brokers: Its brokers, all alive.
        quorum: Its KRaft quorum; None for ZooKeeper mode.
        partitions: Partitions of a topic created from defaults.
        lost: Names of methods whose changes are accepted and not stored, as some real ones were.
    """

    def __init__(
        self,
        brokers: Sequence[Broker] = BROKERS,
        quorum: Quorum | None = None,
        partitions: int = 6,
        lost: Collection[str] = (),
    ) -> None:
        self.brokers = tuple(brokers)
        self.found_quorum = quorum
        self.partitions = partitions
        self.lost = frozenset(lost)
        self.topics: dict[str, tuple[Partition, ...]] = {}
        self.config: dict[str, dict[str, str]] = {}
        self.dynamic: dict[int, dict[str, str]] = {}
        self.started_with: dict[int, dict[str, str]] = {}
        self.passwords: dict[str, str] = {}
        self.acls: set[Binding] = set()
        self.ids: dict[str, str] = {}
        self.limits: dict[QuotaEntity, dict[str, float]] = {}
        self.compacted: dict[str, dict[str, str]] = {}
        self.logs: dict[Place, list[LogRecord]] = {}
        self.ends: dict[Place, int] = {}
        self.open: set[Place] = set()
        self.groups: dict[str, dict[Place, int]] = {}
        self.movements: dict[tuple[str, int], Moving] = {}
        self.moves_at_once = True
        self.dead: set[int] = set()
        self.calls: list[str] = []
        self._made = 0

    def metadata(self) -> Metadata:
        """Brokers and partitions."""
        partitions = (one for topic in self.topics.values() for one in topic)
        controller = self.brokers[0].id if self.brokers else None
        return Metadata("fake", controller, self.brokers, tuple(sorted(partitions)), dict(self.ids))

    def silent(self, brokers: Sequence[Broker]) -> tuple[int, ...]:
        """What `dead` says."""
        return tuple(sorted(one.id for one in brokers if one.id in self.dead))

    def topic_settings(self, topics: Collection[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Values in effect."""
        return {
            topic: {key: {**DEFAULTS, **self.config[topic]}[key] for key in keys if key in DEFAULTS}
            for topic in topics
            if topic in self.topics
        }

    def own_topic_settings(
        self, topics: Collection[str], keys: Collection[str] = ()
    ) -> dict[str, TopicSettings]:
        """What was set for topics themselves, and what is in effect of `keys`."""
        effective = self.topic_settings(topics, sorted(keys))
        return {name: TopicSettings(dict(self.config[name]), found) for name, found in effective.items()}

    def broker_settings(self, broker: int, names: Sequence[str]) -> dict[str, BrokerSetting]:
        """Values by where they come from: the broker's own, what it was started with, Kafka's default."""
        found = {}
        for name in names:
            if name not in BROKER_DEFAULTS:
                continue
            own = self.dynamic.get(broker, {}).get(name)
            everywhere = self.dynamic.get(EVERY_BROKER, {}).get(name)
            below = self.started_with.get(broker, {}).get(name, BROKER_DEFAULTS[name])
            values = (value for value in (own, everywhere, below) if value is not None)
            found[name] = BrokerSetting(next(values, None), own, below, everywhere)
        return found

    def reassigning(self) -> tuple[str, ...]:
        """What `movements` says."""
        return tuple(sorted(f"{topic}-{index}" for topic, index in self.movements))

    def moving(self) -> dict[tuple[str, int], Moving]:
        """What `movements` says."""
        return dict(self.movements)

    def stored_bytes(self, topics: Collection[str]) -> int:
        """A byte for each replica."""
        return sum(len(one.replicas) for topic in topics for one in self.topics.get(topic, ()))

    def quorum(self) -> Quorum | None:
        """The quorum it was made with."""
        return self.found_quorum

    def users(self) -> frozenset[str]:
        """Names of all users."""
        return frozenset(self.passwords)

    def logins(self, passwords: Mapping[str, str]) -> dict[str, bool]:
        """Whether each password is the one that was set."""
        return {user: self.passwords.get(user) == password for user, password in passwords.items()}

    def bindings(self) -> frozenset[Binding]:
        """All access list entries."""
        return frozenset(self.acls)

    def quotas(self) -> dict[QuotaEntity, dict[str, float]]:
        """All limits."""
        return {whom: dict(values) for whom, values in self.limits.items()}

    def read_compacted(self, topic: str) -> dict[str, str]:
        """What was written."""
        return dict(self.compacted.get(topic, {}))

    def write_compacted(self, topic: str, values: Mapping[str, str | None]) -> None:
        """Write; into a topic that is there."""
        if topic not in self.topics:
            raise ClusterError(f"there is no topic {topic}")
        if self._stored("write_compacted"):
            held = {**self.compacted.get(topic, {}), **values}
            self.compacted[topic] = {key: value for key, value in held.items() if value is not None}

    def spans(self, places: Collection[Place]) -> dict[Place, tuple[int, int]]:
        """From the first record in `logs` to after the last, or to what `ends` says, as after the mark of a
        transaction; nothing is at 0.
        """
        there = {(one.topic, one.index) for topic in self.topics.values() for one in topic}
        found = {place: self.logs.get(place, []) for place in sorted(there.intersection(places))}
        return {
            place: (
                log[0].offset if log else self.ends.get(place, 0),
                self.ends.get(place, log[-1].offset + 1 if log else 0),
            )
            for place, log in found.items()
        }

    def offsets_at(self, moments: Mapping[Place, float]) -> dict[Place, int]:
        """By the times in `logs`."""
        return {
            place: late[0].offset
            for place, moment in moments.items()
            if (late := [one for one in self.logs.get(place, ()) if one.timestamp >= moment])
        }

    def unfinished(self, places: Collection[Place]) -> frozenset[Place]:
        """What `open` says."""
        return frozenset(self.open.intersection(places))

    def group_offsets(self, groups: Collection[str] | None = None) -> dict[str, dict[Place, int]]:
        """What `groups` says."""
        return {
            name: dict(found)
            for name, found in self.groups.items()
            if found and (groups is None or name in groups)
        }

    def records(self, spans: Spans) -> Iterator[LogRecord]:
        """Those in `logs`."""
        for place, (start, end) in spans.items():
            yield from (one for one in self.logs.get(place, ()) if start <= one.offset < end)

    def first_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The first ones in `logs`."""
        return {one.place: one for one in reversed(list(self.records(spans)))}

    def last_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The last ones in `logs`."""
        return {one.place: one for one in self.records(spans)}

    def create_topics(
        self, topics: Sequence[NewTopic], *, existing: bool = False, made: Made = lambda _: None
    ) -> None:
        """Create topics, their replicas dealt out in turn; what may exist already is never lost."""
        if self._stored("create_topics") or existing:
            for topic in topics:
                if not existing or topic.name not in self.topics:
                    self._create(topic)
                    made({topic.name: self.ids[topic.name]})

    def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics."""
        if self._stored("delete_topics"):
            for name in names:
                self.topics.pop(name, None)
                self.config.pop(name, None)
                self.ids.pop(name, None)
                self.compacted.pop(name, None)

    def delete_exactly(self, ids: Mapping[str, str]) -> None:
        """Delete topics that have these ids."""
        self.delete_topics([name for name, one in ids.items() if self.ids.get(name) == one])

    def add_partitions(self, counts: Mapping[str, int]) -> None:
        """Grow topics."""
        for topic, count in counts.items():
            found = self.topics[topic]
            if count <= len(found):
                raise ClusterError(
                    f"the cluster refused to add partitions to topic {topic}: it has {len(found)}"
                )
            if self._stored("add_partitions"):
                new = tuple(replace(found[0], index=index) for index in range(len(found), count))
                self.topics[topic] = found + new

    def set_topic_settings(self, settings: Mapping[str, Mapping[str, str | None]]) -> None:
        """Give topics settings of their own, or take them away."""
        for topic, wanted in settings.items():
            unknown = sorted(set(wanted) - set(DEFAULTS))
            if unknown:
                raise ClusterError(f"the cluster refused the settings of topic {topic}: unknown {unknown[0]}")
            if topic not in self.topics:
                raise ClusterError(f"the cluster refused the settings of topic {topic}: there is none")
        if self._stored("set_topic_settings"):
            for topic, wanted in settings.items():
                held = {**self.config[topic], **wanted}
                self.config[topic] = {key: value for key, value in held.items() if value is not None}

    def reassign(self, targets: Mapping[tuple[str, int], tuple[int, ...]]) -> None:
        """Give partitions other replicas: at once, or when `finish_moves` says so; until then, as in Kafka, a
        partition has the old ones and the new ones.
        """
        ids = {broker.id for broker in self.brokers}
        for (topic, index), replicas in targets.items():
            if not replicas or len(set(replicas)) != len(replicas) or not ids.issuperset(replicas):
                raise ClusterError(f"the cluster refused to move partition {topic}-{index}: {replicas}")
        if self._stored("reassign"):
            for (topic, index), replicas in targets.items():
                begun = self.movements.get((topic, index), Moving(()))
                held = [one for one in self.topics[topic][index].replicas if one not in begun.adding]
                adding = tuple(one for one in replicas if one not in held)
                removing = tuple(one for one in held if one not in replicas)
                self.movements[topic, index] = Moving((*replicas, *removing), adding, removing)
                self._replace(topic, index, replicas=(*replicas, *removing))
            if self.moves_at_once:
                self.finish_moves()

    def finish_moves(self) -> None:
        """Let every movement come to its end."""
        for (topic, index), moving in self.movements.items():
            found, target = self.topics[topic][index], moving.target
            isr = tuple(one for one in target if one in found.isr or one in moving.adding)
            leader = found.leader if found.leader in target else target[0]
            self._replace(topic, index, replicas=target, isr=isr, leader=leader)
        self.movements.clear()

    def set_quotas(self, limits: Mapping[QuotaEntity, Mapping[str, float | None]]) -> None:
        """Give entities limits, or take them away."""
        for whom, values in limits.items():
            if whom.ip and set(values) - {"connection_creation_rate"}:
                raise ClusterError(f"the cluster refused to set the quota of {whom}: not for addresses")
        if self._stored("set_quotas"):
            for whom, values in limits.items():
                held = {**self.limits.pop(whom, {}), **values}
                kept = {key: value for key, value in held.items() if value is not None}
                if kept:
                    self.limits[whom] = kept

    def set_broker_settings(
        self, broker: int, settings: Mapping[str, str | None], *, only_judge: bool = False
    ) -> None:
        """Give one broker dynamic values; more than halving or doubling a pool is refused, as Kafka does."""
        one = self.brokers[0].id if broker == EVERY_BROKER else broker
        before = self.broker_settings(one, list(settings))
        for name, value in settings.items():
            now, then = before[name].value, before[name].below if value is None else value
            if name in POOLS and not int(now or 0) / 2 <= int(then or 0) <= int(now or 0) * 2:
                raise ClusterError(f"broker {broker} refuses new settings: {name} from {now} to {then}")
        if not only_judge and self._stored("set_broker_settings"):
            held = {**self.dynamic.get(broker, {}), **settings}
            self.dynamic[broker] = {name: value for name, value in held.items() if value is not None}

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Create users or give them new passwords."""
        if self._stored("set_passwords"):
            self.passwords.update(passwords)

    def delete_users(self, users: Collection[str]) -> None:
        """Remove users."""
        if self._stored("delete_users"):
            for user in users:
                self.passwords.pop(user, None)

    def create_bindings(self, bindings: Collection[Binding]) -> None:
        """Add access list entries."""
        if self._stored("create_bindings"):
            self.acls.update(bindings)

    def delete_bindings(self, bindings: Collection[Binding]) -> None:
        """Remove access list entries."""
        if self._stored("delete_bindings"):
            self.acls.difference_update(bindings)

    def elect_preferred_leaders(self) -> None:
        """Make the first replica of every partition lead it, where it is in sync."""
        self._stored("elect_preferred_leaders")
        for name, found in self.topics.items():
            self.topics[name] = tuple(
                replace(one, leader=one.replicas[0]) if one.replicas[0] in one.isr else one for one in found
            )

    def takes_acks_all(self, topic: str) -> bool:
        """Whether every partition has as many copies in sync as Kafka asks for: min.insync.replicas, or all there
        are, those on their way among them (Partition.effectiveMinIsr, Kafka 3.9 to 4.3).
        """
        needed = int(self.topic_settings([topic], ["min.insync.replicas"])[topic]["min.insync.replicas"])
        return all(len(one.isr) >= min(needed, len(one.replicas)) for one in self.topics[topic])

    def _replace(self, topic: str, index: int, **fields: Any) -> None:  # noqa: ANN401 - any field of a partition
        found = list(self.topics[topic])
        found[index] = replace(found[index], **fields)
        self.topics[topic] = tuple(found)

    def _stored(self, call: str) -> bool:
        self.calls.append(call)
        return call not in self.lost

    def _create(self, topic: NewTopic) -> None:
        ids = [broker.id for broker in self.brokers]
        copies = topic.replication_factor or min(3, len(ids))
        if topic.name in self.topics:
            raise ClusterError(f"the cluster refused to create topic {topic.name}: it exists")
        if copies > len(ids):
            raise ClusterError(f"the cluster refused to create topic {topic.name}: only {len(ids)} brokers")
        dealt = tuple(
            tuple(ids[(index + step) % len(ids)] for step in range(copies))
            for index in range(topic.partitions or self.partitions)
        )
        self._made += 1
        self.ids[topic.name] = f"id-{self._made}"
        self.config[topic.name] = dict(topic.config)
        self.topics[topic.name] = tuple(
            Partition(topic.name, index, replicas[0], replicas, replicas)
            for index, replicas in enumerate(topic.assignment or dealt)
        )
