"""The `Admin` of a real cluster, by kafka-python over mutual TLS.

Invariant: questions are asked again when a broker goes away under them, changes are sent
once; every foreign error becomes one of `failure`; after `close` no thread and no socket
is left, also when connecting failed.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from kdeploy.cluster import Access, acl, answers
from kdeploy.cluster.client import DIRECT, Foreign, kafka
from kdeploy.cluster.failure import (
    AuthenticationFailed,
    AuthorisationFailed,
    ClusterError,
    Unreachable,
    reason,
    translate,
)
from kdeploy.cluster.login import AT_ONCE, logins
from kdeploy.cluster.state import EVERY_BROKER, Binding, Broker, BrokerSetting, Metadata, NewTopic, Quorum
from kdeploy.cluster.wire import addresses, ask, context

T = TypeVar("T")

REQUEST_TIMEOUT: Final = 20.0
"""Seconds a broker has for one answer; Kafka's own clients take 30 (request.timeout.ms)."""

QUESTION_TIMEOUT: Final = 3 * REQUEST_TIMEOUT
"""Seconds for a whole question, which may take several requests and a new connection."""

RETRY_FOR: Final = 10.0
"""Seconds to ask again when brokers go away: longer than a controlled shutdown hands over leaders."""

SILENT_AFTER: Final = 3.0
"""Seconds after which a broker that says nothing counts as dead; a healthy one answers in milliseconds."""

SCRAM_ITERATIONS: Final = 8192
"""Rounds of SCRAM-SHA-512: twice the least that Kafka and RFC 7677 allow (4096); passwords are generated."""


class KafkaAdmin:
    """An `Admin` of a real cluster, by kafka-python. Safe to use from several threads."""

    def __init__(self, access: Access, timeout: float = 10.0) -> None:
        self.access = access
        self._tls = context(access.authority, access.certificate)
        answering = _answering(access, self._tls, timeout)
        made: list[Foreign] = []

        def remember(**config: Foreign) -> Foreign:
            """Keep hold of the network client: when bootstrap fails, its constructor leaves a thread behind."""
            made.append(kafka().net.compat.KafkaNetClient(**config))
            return made[0]

        try:
            self._kafka = kafka().admin.KafkaAdminClient(
                bootstrap_servers=answering,
                client_id="kdeploy",
                security_protocol="SSL",
                ssl_context=self._tls,
                proxy_url=DIRECT,
                kafka_client=remember,
                bootstrap_timeout_ms=int(timeout * 1000),
                request_timeout_ms=int(REQUEST_TIMEOUT * 1000),
                reconnect_backoff_max_ms=1000,
            )
        except BaseException as error:
            for client in made:
                client.close()
            if not isinstance(error, kafka().errors.KafkaError | RuntimeError | OSError):
                raise
            raise translate(error, f"connect to {', '.join(answering)}") from None
        limit(self._kafka._manager, QUESTION_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the client's thread."""
        self._kafka.close()

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
            found = pool.map(lambda one: _why_not(one.host, one.port, self._tls, SILENT_AFTER), brokers)
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

    def quorum(self) -> Quorum | None:
        """The KRaft quorum; None in ZooKeeper mode, whose brokers do not offer the question."""
        try:
            found = self._ask("describe the quorum", self._kafka.describe_metadata_quorum)
        except _NotOffered:
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
        except _NotOffered:
            return frozenset()
        return frozenset(binding for binding in map(acl.to_binding, found) if binding is not None)

    def create_topics(self, topics: Sequence[NewTopic]) -> None:
        """Create topics in one request."""
        if not topics:
            return
        wanted = {topic.name: answers.creation(topic) for topic in topics}
        self._each(
            "create topic",
            self._change("create topics", lambda: self._kafka.create_topics(wanted, raise_errors=False))[
                "topics"
            ],
        )

    def delete_topics(self, names: Collection[str]) -> None:
        """Delete topics in one request; one that is gone already is no error."""
        if names:
            answer = self._change(
                "delete topics", lambda: self._kafka.delete_topics(sorted(names), raise_errors=False)
            )
            gone = kafka().errors.UnknownTopicOrPartitionError.errno
            self._each("delete topic", [one for one in answer["topics"] if one["error_code"] != gone])

    def add_partitions(self, topic: str, count: int) -> None:
        """Grow a topic to `count` partitions."""
        answer = self._change(
            f"add partitions to {topic}",
            lambda: self._kafka.create_partitions({topic: count}, raise_errors=False),
        )
        self._each("add partitions to topic", [one.to_dict() for one in answer.results])

    def set_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set some of a topic's settings; its others stay."""
        wanted = kafka().admin.ConfigResource("TOPIC", topic, dict(config))
        answer = self._change(
            f"configure topic {topic}",
            lambda: self._kafka.alter_configs([wanted], raise_on_unknown=False, incremental=True),
        )
        said = answer["topic"][topic]
        if said != "OK":
            raise ClusterError(
                f"the cluster refused the settings of topic {topic}: {said.partition('Error: ')[2] or said}"
            )

    def set_broker_settings(
        self, broker: int, settings: Mapping[str, str | None], *, only_judge: bool = False
    ) -> None:
        """Give one broker, or EVERY_BROKER, dynamic values, or have them judged; None takes one away."""
        # Kafka's name for all brokers together is no name (KIP-226).
        name, whom = ("", "every broker") if broker == EVERY_BROKER else (str(broker), f"broker {broker}")
        operation = kafka().admin.AlterConfigOp
        values = {
            key: (operation.DELETE, None) if value is None else (operation.SET, value)
            for key, value in settings.items()
        }
        wanted = kafka().admin.ConfigResource("BROKER", name, values)
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
        upsertions = []
        for user, password in passwords.items():
            made = admin.UserScramCredentialUpsertion(
                user, "SCRAM-SHA-512", password, iterations=SCRAM_ITERATIONS
            )
            upsertions.append((user, int(made.mechanism), made.iterations, made.salt, made.salted_password))
        if upsertions:
            self._alter_users("set the password of", request(deletions=[], upsertions=upsertions))

    def delete_users(self, users: Collection[str]) -> None:
        """Remove users' passwords; one that is gone already is no error."""
        request = kafka().protocol.admin.AlterUserScramCredentialsRequest
        strong = int(kafka().admin.ScramMechanism.SCRAM_SHA_512)
        if users:
            gone = kafka().errors.ResourceNotFoundError.errno
            deletions = [(user, strong) for user in sorted(users)]
            self._alter_users("remove", request(deletions=deletions, upsertions=[]), ignored=gone)

    def create_bindings(self, bindings: Collection[Binding]) -> None:
        """Add access list entries in one request."""
        if bindings:
            wanted = [acl.from_binding(binding) for binding in sorted(bindings)]
            answer = self._change("create ACLs", lambda: self._kafka.create_acls(wanted))
            for failed in answer["failed"]:
                raise _refused("create ACLs", failed.errno, None)

    def delete_bindings(self, bindings: Collection[Binding]) -> None:
        """Remove access list entries in one request; one that is gone already is no error."""
        if bindings:
            wanted = [acl.from_binding(binding) for binding in sorted(bindings)]
            answer = self._change("delete ACLs", lambda: self._kafka.delete_acls(wanted))
            for _, _, failed in answer:
                if failed.errno:
                    raise _refused("delete ACLs", failed.errno, None)

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
                raise _refused(f"{verb} user {one.user}", one.error_code, one.error_message)

    def _each(self, verb: str, results: Sequence[Mapping[str, Any]]) -> None:
        for one in results:
            if one["error_code"]:
                raise _refused(f"{verb} {one['name']}", one["error_code"], one.get("error_message"))

    def _ask(self, doing: str, question: Callable[[], T]) -> T:
        """Ask, and ask again while brokers come and go."""
        errors = kafka().errors
        deadline = time.monotonic() + RETRY_FOR
        while True:
            try:
                return question()
            except (errors.IncompatibleBrokerVersion, errors.SecurityDisabledError) as error:
                raise _NotOffered(f"this Kafka cannot {doing}: {reason(error)}") from None
            except (errors.KafkaError, RuntimeError, OSError) as error:
                again = isinstance(error, errors.RetriableError | errors.UnknownBrokerIdError)
                if not again or time.monotonic() > deadline:
                    raise translate(error, doing) from None
                self._kafka._controller_id = None  # it may be the broker that went away
                if isinstance(error, errors.UnknownBrokerIdError):
                    self._learn_brokers()
                time.sleep(0.1)

    def _learn_brokers(self) -> None:
        """Have the client ask who is there: it would look again after minutes, not when a broker is back."""
        with suppress(kafka().errors.KafkaError, RuntimeError, OSError):
            self._kafka._manager.run(self._kafka._manager.cluster.refresh_metadata)

    def _change(self, doing: str, change: Callable[[], T]) -> T:
        """Send a change once: whether one was carried out whose answer was lost, reading back tells."""
        errors = kafka().errors
        try:
            return change()
        except (errors.KafkaError, RuntimeError, OSError) as error:
            self._kafka._controller_id = None
            raise translate(error, doing) from None


def limit(manager: Foreign, seconds: float) -> None:
    """Let no question wait for ever, and give up the connections that are not made by then.

    kafka-python (3.0) sets no limit to a TLS handshake: a broker that is frozen accepts connections, by its kernel, and
    never says a word.
    """
    run = manager.run

    async def within(question: Callable[..., Foreign], *given: Foreign) -> Foreign:
        try:
            return await manager.wait_for(manager.call_soon(question, *given), int(seconds * 1000))
        except kafka().errors.KafkaTimeoutError as error:
            for node, connection in list(manager._conns.items()):
                if not connection.connected:
                    manager.update_backoff(node)
                    connection.close(error)
            raise

    manager.run = lambda question, *given: run(within, question, *given)


class _NotOffered(ClusterError):
    """The brokers' version, mode or settings do not have this question."""


def _refused(doing: str, code: int, message: str | None) -> ClusterError:
    kind = kafka().errors.for_code(code)
    error = kind(message) if message else kind()
    if isinstance(error, kafka().errors.AuthorizationError):
        return AuthorisationFailed(f"not allowed to {doing}: {reason(error)}")
    return ClusterError(f"the cluster refused to {doing}: {reason(error)}")


def _answering(access: Access, tls: ssl.SSLContext, timeout: float) -> list[str]:
    """The admin listeners that answer now: the client would try the others too, and say nothing of why.

    Raises:
        Unreachable: None did in time; or AuthenticationFailed, when all of them turned us away.
    """
    deadline, patience = time.monotonic() + timeout, max(1.0, timeout / 2)
    while True:
        brokers = addresses(access.bootstrap)
        with ThreadPoolExecutor(min(AT_ONCE, len(brokers)), "kdeploy-connect") as pool:
            found = list(pool.map(lambda one: _why_not(one[0], one[1], tls, patience), brokers))
        if not all(found):
            return [f"{host}:{port}" for (host, port), why in zip(brokers, found, strict=True) if not why]
        if time.monotonic() > deadline:
            said = "\n".join(
                f"  {host}:{port}: {why}" for (host, port), why in zip(brokers, found, strict=True)
            )
            if all(str(why).startswith("TLS") or "not trusted" in str(why) for why in found):
                raise AuthenticationFailed(
                    f"no broker accepts the administrator's certificate\n{said}\n"
                    "  nodes that run with certificates of an earlier vault get the new ones by `kdeploy down`, "
                    "then `kdeploy up`"
                )
            raise Unreachable(
                f"no broker could be reached within {timeout:g} s\n{said}\n"
                "  see which nodes run with `kdeploy status`, and start them with `kdeploy up`"
            )
        time.sleep(0.2)


def _why_not(host: str, port: int, tls: ssl.SSLContext, timeout: float) -> str | None:
    """None when a broker answers there, else why not."""
    try:
        ask(host, port, tls, timeout)
    except OSError as error:
        return reason(error)
    return None
