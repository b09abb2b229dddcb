"""The `Admin` of a real cluster, by kafka-python over mutual TLS.

Invariant: what is asked comes back as kdeploy's values; what is told goes out in batches that every
coordination mode takes (`batches`); `kafka_connection` says how errors and lost brokers are dealt with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from kdeploy.cluster import acl, answers, batches, compacted, listing, logs, quotas
from kdeploy.cluster.admin import Made
from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.kafka_connection import SILENT_AFTER, KafkaConnection, NotOffered, refused, why_not
from kdeploy.cluster.login import AT_ONCE, logins
from kdeploy.cluster.state import (
    EVERY_BROKER,
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
from kdeploy.cluster.wire import addresses

SCRAM_ITERATIONS: Final = 8192
"""Rounds of SCRAM-SHA-512: twice the least that Kafka and RFC 7677 allow (4096); passwords are generated."""


class KafkaAdmin(KafkaConnection):
    """An `Admin` of a real cluster, by kafka-python. Safe to use from several threads."""

    def metadata(self) -> Metadata:
        """Brokers and partitions, in one answer.

        Of two answers the second may come from a broker that has just started and knows no topic yet:
        beside the first one's brokers that would read as a cluster in which nothing is to be lost.
        """
        client = self._kafka
        found = self._ask(
            "read the metadata", lambda: client._manager.run(client._get_cluster_metadata, None)
        )
        return answers.metadata(found)

    def silent(self, brokers: Sequence[Broker]) -> tuple[int, ...]:
        """Ids of those that do not answer now, asked all at once on connections of their own."""
        if not brokers:
            return ()
        with ThreadPoolExecutor(min(AT_ONCE, len(brokers)), "kdeploy-alive") as pool:
            found = pool.map(lambda one: self._silence(one.host, one.port), brokers)
            return tuple(broker.id for broker, why in zip(brokers, found, strict=True) if why)

    def topic_settings(self, topics: Collection[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Values in effect of some settings of some topics, in one round trip; missing topics are left out."""
        if not topics or not keys:
            return {}
        admin = kafka().admin
        wanted = [admin.ConfigResource("TOPIC", topic, list(keys)) for topic in topics]
        found = self._ask(
            "read topic settings", lambda: self._kafka.describe_configs(wanted, config_filter="all")
        )
        return {
            topic: {key: entry["value"] for key, entry in settings.items() if entry["value"] is not None}
            for topic, settings in found.get("topic", {}).items()
            if settings
        }

    def own_topic_settings(
        self, topics: Collection[str], keys: Collection[str] = ()
    ) -> dict[str, TopicSettings]:
        """What was set for topics themselves, and what is in effect of `keys`; missing topics are left out."""
        wanted = frozenset(keys)
        found: listing.Settings = {}
        for some in batches.of(sorted(topics), batches.SETTINGS_READ):
            asked = partial(listing.topic_settings, self._brokers(), self._tls, self.access.proxy, some)
            found |= self._ask("read topic settings", asked)
        return {
            topic: TopicSettings(
                {key: value for key, (value, own) in settings.items() if own and value is not None},
                {key: value for key, (value, _) in settings.items() if key in wanted and value is not None},
            )
            for topic, settings in found.items()
        }

    def _brokers(self) -> list[tuple[str, int]]:
        """Admin listeners of the brokers that the client knows of."""
        known = [(one.host, one.port) for one in self._kafka._manager.cluster.brokers()]
        return known or list(addresses(self.access.bootstrap))

    def broker_settings(self, broker: int, names: Sequence[str]) -> dict[str, BrokerSetting]:
        """Some settings of one broker, as it sees them, in one round trip."""
        if not names:
            return {}
        wanted = [kafka().admin.ConfigResource("BROKER", str(broker), list(names))]
        found = self._ask(
            f"read settings of broker {broker}",
            lambda: self._kafka.describe_configs(wanted, include_synonyms=True, config_filter="all"),
        )
        entries = found.get("broker", {}).get(str(broker), {})
        return {name: answers.broker_setting(name, entry) for name, entry in entries.items()}

    def reassigning(self) -> tuple[str, ...]:
        """Partitions that are being moved, as `topic-index`."""
        found = self._ask("list reassignments", self._kafka.list_partition_reassignments)
        return tuple(sorted(f"{one.topic}-{one.partition}" for one in found))

    def moving(self) -> dict[tuple[str, int], Moving]:
        """Partitions whose replicas are being changed, by topic and number."""
        found = self._ask("list reassignments", self._kafka.list_partition_reassignments)
        return {(one.topic, one.partition): answers.moving(entry) for one, entry in found.items()}

    def stored_bytes(self, topics: Collection[str]) -> int:
        """Bytes of all copies of some topics on all brokers that answer."""
        wanted, proxy = sorted(topics), self.access.proxy
        return sum(
            self._ask(
                "read the sizes of topics", partial(listing.stored_bytes, one, self._tls, proxy, wanted)
            )
            for one in self._brokers()
            if not self._silence(*one)
        )

    def _silence(self, host: str, port: int) -> str | None:
        """Why a broker does not answer now; None when it does."""
        return why_not(host, port, self._tls, SILENT_AFTER, self.access.proxy)

    def quorum(self) -> Quorum | None:
        """The KRaft quorum; None in ZooKeeper mode, whose brokers do not offer the question."""
        try:
            found = self._ask("describe the quorum", self._kafka.describe_metadata_quorum)
        except NotOffered:
            return None
        return answers.quorum(found["topics"][0]["partitions"][0])

    def users(self) -> frozenset[str]:
        """Names of all users with a SCRAM-SHA-512 password."""
        found = self._ask("list users", self._kafka.describe_user_scram_credentials)
        strong = kafka().admin.ScramMechanism.SCRAM_SHA_512
        return frozenset(
            user
            for user, entry in found.items()
            if any(info["mechanism"] == strong for info in entry["credential_infos"])
        )

    def logins(self, passwords: Mapping[str, str]) -> dict[str, bool]:
        """For each user, whether the client listener accepts its password."""
        return logins(self.access, passwords)

    def bindings(self) -> frozenset[Binding]:
        """All access list entries of users, in one round trip; none where nothing enforces them."""
        try:
            found, _ = self._ask("list ACLs", lambda: self._kafka.describe_acls(acl.everything()))
        except NotOffered:
            return frozenset()
        return frozenset(binding for binding in map(acl.to_binding, found) if binding is not None)

    def quotas(self) -> dict[QuotaEntity, dict[str, float]]:
        """All limits on what clients may take, in one round trip."""
        client = self._kafka._manager
        answer = self._ask("list quotas", lambda: client.run(client.send, quotas.question()))
        if answer.error_code:
            raise refused("list quotas", answer.error_code, answer.error_message)
        return quotas.found(answer)

    def read_compacted(self, topic: str) -> dict[str, str]:
        """The last value of each key of a compacted topic of one partition; empty where there is no such topic."""
        there = any(one.topic == topic for one in self.metadata().partitions)
        return compacted.read(self.access, topic) if there else {}

    def write_compacted(self, topic: str, values: Mapping[str, str | None]) -> None:
        """Give keys of a compacted topic new values; None removes one."""
        compacted.write(self.access, topic, values)

    def spans(self, places: Collection[Place]) -> dict[Place, tuple[int, int]]:
        """Of each partition the first offset and the end for readers of committed records: two requests a leader."""
        spec = kafka().admin.OffsetSpec
        first, end = self._offsets(
            places, *((dict.fromkeys(places, one), "read_committed") for one in (spec.EARLIEST, spec.LATEST))
        )
        return {place: (first[place], end[place]) for place in first}

    def offsets_at(self, moments: Mapping[Place, float]) -> dict[Place, int]:
        """The first offset whose time is not before a moment (ListOffsets by timestamp, KIP-79): a request a leader."""
        asked = {place: round(moment * 1000) for place, moment in moments.items()}
        (found,) = self._offsets(asked, (asked, "read_committed"))
        return {place: offset for place, offset in found.items() if offset >= 0}

    def unfinished(self, places: Collection[Place]) -> frozenset[Place]:
        """Partitions whose end was, a moment ago, beyond what readers of committed records see: two requests a leader."""
        latest = kafka().admin.OffsetSpec.LATEST
        wanted = dict.fromkeys(places, latest)
        whole, committed = self._offsets(places, (wanted, "read_uncommitted"), (wanted, "read_committed"))
        return frozenset(place for place, end in committed.items() if end < whole[place])

    def _offsets(
        self, places: Collection[Place], *questions: tuple[Mapping[Place, Foreign], str]
    ) -> list[dict[Place, int]]:
        """Offsets of partitions that somebody leads, as each of some questions has it, asked one after the other."""
        led = {(one.topic, one.index) for one in self.metadata().partitions if one.leader is not None}
        wanted = [kafka().TopicPartition(*place) for place in sorted(led.intersection(places))]
        found = []
        for where, isolation in questions if wanted else ():
            ask = partial(
                self._kafka.list_partition_offsets,
                {one: where[one.topic, one.partition] for one in wanted},
                isolation_level=isolation,
            )
            answer = self._ask("read the offsets of partitions", ask)
            found.append({(one.topic, one.partition): answer[one].offset for one in wanted})
        return found or [{} for _ in questions]

    def group_offsets(self, groups: Collection[str] | None = None) -> dict[str, dict[Place, int]]:
        """Offsets that consumer groups committed: one request a coordinator for `batches.GROUPS` of them."""
        if groups is None:
            groups = {one["group_id"] for one in self._ask("list groups", self._kafka.list_groups)}
        found: dict[str, dict[Place, int]] = {}
        for some in batches.of(sorted(groups), batches.GROUPS):
            asked = self._ask("read offsets of groups", partial(self._kafka.list_group_offsets, some))
            for group, offsets in asked.items():
                kept = {
                    (at.topic, at.partition): one.offset for at, one in offsets.items() if one.offset >= 0
                }
                found |= {group: kept} if kept else {}
        return found

    def records(self, spans: Spans) -> Iterator[LogRecord]:
        """All committed records within spans."""
        return logs.each(self.access, spans)

    def first_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The first committed record of each span; those that have none are left out."""
        return logs.first(self.access, spans)

    def last_records(self, spans: Spans) -> dict[Place, LogRecord]:
        """The last committed record of each span; those that have none are left out."""
        return logs.last(self.access, spans)

    def create_topics(
        self, topics: Sequence[NewTopic], *, existing: bool = False, made: Made = lambda _: None
    ) -> None:
        """Create topics, in requests that a KRaft controller takes; with `existing`, one that is there is no error."""
        there = kafka().errors.TopicAlreadyExistsError.errno if existing else 0
        for some in batches.of_topics(topics):
            wanted = {topic.name: answers.creation(topic) for topic in some}
            answer = self._change(
                "create topics", partial(self._kafka.create_topics, wanted, raise_errors=False)
            )
            made(answers.created(answer["topics"]))
            self._each("create topic", [one for one in answer["topics"] if one["error_code"] != there])

    def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics; one that is gone already is no error."""
        gone = kafka().errors.UnknownTopicOrPartitionError.errno
        for some in batches.of(sorted(names), batches.DELETIONS):
            answer = self._change(
                "delete topics", partial(self._kafka.delete_topics, some, raise_errors=False)
            )
            self._each("delete topic", [one for one in answer["topics"] if one["error_code"] != gone])

    def delete_exactly(self, ids: Mapping[str, str]) -> None:
        """Delete topics by Kafka's ids of them, by name; one that is gone, or is another by now, is no error."""
        gone = kafka().errors.UnknownTopicIdError.errno
        for some in batches.of(sorted(ids), batches.DELETIONS):
            wanted = [answers.uuid(ids[name]) for name in some]
            answer = self._change(
                "delete topics", partial(self._kafka.delete_topics, wanted, raise_errors=False)
            )
            self._each("delete topic", [one for one in answer["topics"] if one["error_code"] != gone])

    def add_partitions(self, counts: Mapping[str, int]) -> None:
        """Grow topics to so many partitions."""
        for some in batches.of(sorted(counts), batches.GROWTHS):
            wanted = {topic: counts[topic] for topic in some}
            answer = self._change(
                "add partitions", partial(self._kafka.create_partitions, wanted, raise_errors=False)
            )
            self._each("add partitions to topic", [one.to_dict() for one in answer.results])

    def reassign(self, targets: Mapping[tuple[str, int], tuple[int, ...]]) -> None:
        """Begin to give partitions other replicas."""
        place = kafka().TopicPartition
        for some in batches.of(sorted(targets), batches.REASSIGNMENTS):
            wanted = {place(*one): list(targets[one]) for one in some}
            answer = self._change(
                "move partitions", partial(self._kafka.alter_partition_reassignments, wanted)
            )
            for one, error in answer.items():
                if error is not None:
                    raise refused(f"move partition {one.topic}-{one.partition}", error.errno, None)

    def set_quotas(self, limits: Mapping[QuotaEntity, Mapping[str, float | None]]) -> None:
        """Give entities limits; None takes one away."""
        client = self._kafka._manager
        for some in batches.of(sorted(limits), batches.QUOTAS):
            request = quotas.alteration({whom: limits[whom] for whom in some})
            answer = self._change("set quotas", partial(client.run, client.send, request))
            wrong = quotas.refused(answer)
            if wrong is not None:
                raise refused(f"set the quota of {wrong[0]}", wrong[1], wrong[2])

    def set_topic_settings(self, settings: Mapping[str, Mapping[str, str | None]]) -> None:
        """Give topics settings of their own; None takes one away."""
        for some in batches.of(sorted(settings), batches.SETTINGS_WRITTEN):
            wanted = [kafka().admin.ConfigResource("TOPIC", one, _operations(settings[one])) for one in some]
            answer = self._change(
                "configure topics",
                partial(self._kafka.alter_configs, wanted, raise_on_unknown=False, incremental=True),
            )
            for topic, said in answer.get("topic", {}).items():
                if said != "OK":
                    why = said.partition("Error: ")[2] or said
                    raise ClusterError(f"the cluster refused the settings of topic {topic}: {why}")

    def set_broker_settings(
        self, broker: int, settings: Mapping[str, str | None], *, only_judge: bool = False
    ) -> None:
        """Give one broker, or EVERY_BROKER, dynamic values, or have them judged; None takes one away."""
        # Kafka's name for all brokers together is no name (KIP-226).
        name, whom = ("", "every broker") if broker == EVERY_BROKER else (str(broker), f"broker {broker}")
        wanted = kafka().admin.ConfigResource("BROKER", name, _operations(settings))
        client = self._kafka

        async def alter() -> Foreign:
            # The client's own method knows no resource that stands for all brokers.
            request = client._alter_configs_request([wanted], only_judge, incremental=True)
            response = await client._manager.send(request, node_id=None if broker == EVERY_BROKER else broker)
            return client._alter_configs_process_responses(response.responses)

        answer = self._change(f"configure {whom}", lambda: client._manager.run(alter))
        said = answer["broker"][name]
        if said != "OK":
            why = said.partition("Error: ")[2] or said
            raise ClusterError(
                f"{whom} refuses new settings: {why.rpartition('ConfigException: ')[2]}\n"
                "  say them otherwise under overrides in the environment"
            )

    def set_passwords(self, passwords: Mapping[str, str]) -> None:
        """Create users or give them new passwords (SCRAM-SHA-512).

        Sent to the controller, which alone takes it in ZooKeeper mode; the client's own
        method asks any broker, and reads a refusal without a message as success.
        """
        admin, request = kafka().admin, kafka().protocol.admin.AlterUserScramCredentialsRequest
        for some in batches.of(sorted(passwords), batches.USERS):
            upsertions = []
            for user in some:
                made = admin.UserScramCredentialUpsertion(
                    user, "SCRAM-SHA-512", passwords[user], iterations=SCRAM_ITERATIONS
                )
                what = (int(made.mechanism), made.iterations, made.salt, made.salted_password)
                upsertions.append((user, *what))
            self._alter_users("set the password of", request(deletions=[], upsertions=upsertions))

    def delete_users(self, users: Collection[str]) -> None:
        """Remove users' passwords; one that is gone already is no error."""
        request = kafka().protocol.admin.AlterUserScramCredentialsRequest
        strong = int(kafka().admin.ScramMechanism.SCRAM_SHA_512)
        gone = kafka().errors.ResourceNotFoundError.errno
        for some in batches.of(sorted(users), batches.USERS):
            deletions = [(user, strong) for user in some]
            self._alter_users("remove", request(deletions=deletions, upsertions=[]), ignored=gone)

    def create_bindings(self, bindings: Collection[Binding]) -> None:
        """Add access list entries."""
        for some in batches.of_bindings(bindings):
            wanted = [acl.from_binding(binding) for binding in some]
            answer = self._change("create ACLs", partial(self._kafka.create_acls, wanted))
            for failed in answer["failed"]:
                raise refused("create ACLs", failed.errno, None)

    def delete_bindings(self, bindings: Collection[Binding]) -> None:
        """Remove access list entries; one that is gone already is no error."""
        for some in batches.of_bindings(bindings, batches.REMOVALS, removing=True):
            wanted = [acl.from_binding(binding) for binding in some]
            answer = self._change("delete ACLs", partial(self._kafka.delete_acls, wanted))
            for _, _, failed in answer:
                if failed.errno:
                    raise refused("delete ACLs", failed.errno, None)

    def elect_preferred_leaders(self) -> None:
        """Make the preferred replica of every partition lead it, where that is in sync."""
        self._change(
            "elect preferred leaders",
            lambda: self._kafka.elect_leaders(0, topic_partitions=None, raise_errors=False),
        )

    def _alter_users(self, verb: str, request: Foreign, ignored: int = 0) -> None:
        client = self._kafka

        def errors(response: Foreign) -> list[Foreign]:
            return [kafka().errors.for_code(one.error_code) for one in response.results]

        def send() -> Foreign:
            return client._manager.run(client._send_request_to_controller, request, errors, False)

        for one in self._change(f"{verb} users", send).results:
            if one.error_code not in (0, ignored):
                raise refused(f"{verb} user {one.user}", one.error_code, one.error_message)


def _operations(settings: Mapping[str, str | None]) -> dict[str, tuple[Foreign, str | None]]:
    """Settings as incremental changes: a value sets one, None takes it away."""
    operation = kafka().admin.AlterConfigOp
    return {
        name: (operation.DELETE, None) if value is None else (operation.SET, value)
        for name, value in settings.items()
    }
