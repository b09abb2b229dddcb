"""Changes that are made to one real cluster one after another, each with all that then has to happen.

Invariant: only data, and how it is put into an environment's document. Rows of one chain build on each other, chains
do not. Tokens are those of `tests.operations.changes_table`; `coordinators` are the ensemble's nodes or the
controllers. Where no tokens are given, what preview says has to be what happens all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Document = dict[str, Any]
Change = Callable[[Document], None]


@dataclass(frozen=True)
class Row:
    """One change.

    Attributes:
        chain: Rows of one chain come in their order.
        name: What is changed, in words.
        changes: How environment.yaml says it.
        happens: Everything that has to happen; None where only preview says it.
        restarts: Nodes that have to be restarted.
        secret: What is to be new in the vault: a node's certificate, or a user's password.
    """

    chain: str
    name: str
    changes: tuple[Change, ...]
    happens: tuple[str, ...] | None
    restarts: Literal["", "brokers", "coordinators", "broker-3"] = ""
    secret: str = ""

    @property
    def resources_only(self) -> bool:
        """Whether `apply` does all of it."""
        return self.chain in ("topics", "more topics", "users", "quotas")


def _entry(document: Document, kind: str, name: dict[str, Any], fields: dict[str, Any]) -> None:
    entries = document.setdefault(kind, [])
    found = next((one for one in entries if all(one.get(key) == name[key] for key in name)), None)
    if found is None:
        found = dict(name)
        entries.append(found)
    _merge(found, fields)


def _merge(held: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, dict):
            _merge(held.setdefault(key, {}), value)
        elif value is None:
            held.pop(key, None)
        else:
            held[key] = value


def topic(name: str, /, **fields: Any) -> Change:
    """A topic's fields; None takes one away."""
    return lambda document: _entry(document, "topics", {"name": name}, fields)


def config(name: str, /, **settings: Any) -> Change:
    """Settings of a topic, with _ for each dot."""
    dotted = {key.replace("_", "."): value for key, value in settings.items()}
    return topic(name, config=dotted)


def user(name: str, /, *entries: dict[str, Any], **fields: Any) -> Change:
    """A user with its whole access list."""
    return lambda document: _entry(document, "users", {"name": name}, {"acls": list(entries), **fields})


def grant(name: str, role: str | None, **fields: Any) -> Change:
    """A role for a user; None takes what it has away."""

    def change(document: Document) -> None:
        document["acls"] = [one for one in document.get("acls", []) if one["user"] != name]
        if role is not None:
            document["acls"].append({"user": name, "role": role, **fields})

    return change


def quota(whom: dict[str, str], /, **limits: Any) -> Change:
    """Limits of an entity; None takes one away."""
    whole = {key: whom.get(key) for key in ("user", "client_id", "ip")}

    def change(document: Document) -> None:
        entries = document.setdefault("quotas", [])
        found = next((one for one in entries if {key: one.get(key) for key in whole} == whole), None)
        if found is None:
            found = dict(whom)
            entries.append(found)
        _merge(found, limits)

    return change


def override(role: str, **settings: Any) -> Change:
    """Overrides of a role by Kafka's names, with _ for each dot; None takes one away."""
    dotted = {key.replace("_", "."): value for key, value in settings.items()}
    return lambda document: _merge(document.setdefault("overrides", {}).setdefault(role, {}), dotted)


def overrides(kind: str, role: str, value: Any) -> Change:
    """Options of the JVM, or log levels, of a role."""
    return lambda document: _merge(document.setdefault("overrides", {}), {kind: {role: value}})


READ = {"name": "orders", "operations": ["read", "describe"]}
GROUP = {"resource": "group", "name": "dora-", "pattern": "prefixed", "operations": ["read"]}
DENIED = {"name": "orders", "operations": ["delete"], "permission": "deny", "host": "10.0.0.9"}
CLUSTER = {"resource": "cluster", "name": "kafka-cluster", "operations": ["idempotent-write"]}
TRANSACTION = {"resource": "transactional-id", "name": "tx", "operations": ["write"]}
FILES = "file brokers server.properties"
CONSUMER = {"user": "orders-consumer"}
LOADER = {"client_id": "loader"}


def live(name: str, *given: tuple[str, str], **settings: Any) -> Row:
    """Settings that running brokers are given."""
    sets = [f"set brokers {key} {value}" for key, value in given]
    return Row("settings", name, (override("broker", **settings),), (FILES, *sets))


ROWS: tuple[Row, ...] = (
    Row("topics", "a topic", (topic("bills", partitions=2),), ("topic bills made 2 partitions, 3 copies",)),
    Row(
        "topics",
        "a setting of it",
        (config("bills", retention_ms=7200000),),
        ("topic bills retention.ms 7200000",),
    ),
    Row(
        "topics",
        "two settings at once",
        (config("bills", segment_ms=600000, max_message_bytes=500000),),
        ("topic bills segment.ms 600000", "topic bills max.message.bytes 500000"),
    ),
    Row(
        "topics",
        "another value",
        (config("bills", retention_ms=3600000),),
        ("topic bills retention.ms 3600000",),
    ),
    Row(
        "topics",
        "a setting taken out",
        (config("bills", segment_ms=None),),
        ("topic bills segment.ms unset",),
    ),
    Row("topics", "more partitions", (topic("bills", partitions=4),), ("topic bills partitions 4",)),
    Row(
        "topics",
        "partitions and a setting",
        (topic("bills", partitions=6), config("bills", retention_ms=1800000)),
        ("topic bills partitions 6", "topic bills retention.ms 1800000"),
    ),
    Row("topics", "fewer copies", (topic("bills", replication_factor=2),), ("topic bills copies 2",)),
    Row("topics", "more copies", (topic("bills", replication_factor=3),), ("topic bills copies 3",)),
    Row(
        "topics",
        "copies in sync that a write needs",
        (config("bills", min_insync_replicas=1),),
        ("topic bills min.insync.replicas 1",),
    ),
    Row("topics", "a topic marked for deletion", (topic("bills", delete=True),), ("topic bills gone",)),
    Row(
        "more topics",
        "a compacted topic",
        (topic("changelog", partitions=1, config={"cleanup.policy": "compact"}),),
        ("topic changelog made 1 partitions, 3 copies, cleanup.policy compact",),
    ),
    Row(
        "more topics",
        "a topic of two copies",
        (topic("pair", partitions=1, replication_factor=2, config={"min.insync.replicas": 1}),),
        ("topic pair made 1 partitions, 2 copies, min.insync.replicas 1",),
    ),
    Row(
        "more topics",
        "two topics at once",
        (topic("first", partitions=1), topic("second", partitions=3)),
        ("topic first made 1 partitions, 3 copies", "topic second made 3 partitions, 3 copies"),
    ),
    Row(
        "more topics",
        "a topic with a time",
        (topic("timed", partitions=1, retention="2h"),),
        ("topic timed made 1 partitions, 3 copies, retention.ms 7200000",),
    ),
    Row(
        "more topics",
        "another time",
        (topic("timed", retention="3h"),),
        ("topic timed retention.ms 10800000",),
    ),
    Row(
        "more topics",
        "how it is compressed",
        (config("changelog", compression_type="lz4"),),
        ("topic changelog compression.type lz4",),
    ),
    Row(
        "more topics",
        "a limit of the topic that records flow into",
        (config("orders", retention_bytes=100000000000),),
        ("topic orders retention.bytes 100000000000",),
    ),
    Row(
        "more topics",
        "settings of two topics",
        (config("pair", segment_bytes=104857600), config("first", retention_ms=3600000)),
        ("topic pair segment.bytes 104857600", "topic first retention.ms 3600000"),
    ),
    Row(
        "more topics",
        "two topics marked for deletion",
        (topic("first", delete=True), topic("second", delete=True)),
        ("topic first gone", "topic second gone"),
    ),
    Row("users", "a user", (user("dora"),), ("user dora made",)),
    Row(
        "users",
        "rights of a user",
        (user("dora", READ),),
        ("acl + dora may read topic orders", "acl + dora may describe topic orders"),
    ),
    Row(
        "users",
        "a right by prefix",
        (user("dora", READ, GROUP),),
        ("acl + dora may read group dora-*",),
    ),
    Row(
        "users",
        "a denial from one address",
        (user("dora", READ, GROUP, DENIED),),
        ("acl + dora from 10.0.0.9 may not delete topic orders",),
    ),
    Row(
        "users",
        "a right on the cluster",
        (user("dora", READ, GROUP, DENIED, CLUSTER),),
        ("acl + dora may idempotent-write the cluster",),
    ),
    Row(
        "users",
        "a right on a transactional id",
        (user("dora", READ, GROUP, DENIED, CLUSTER, TRANSACTION),),
        ("acl + dora may write transactional-id tx",),
    ),
    Row(
        "users",
        "one operation fewer",
        (user("dora", {**READ, "operations": ["read"]}, GROUP, DENIED, CLUSTER, TRANSACTION),),
        ("acl - dora may describe topic orders",),
    ),
    Row(
        "users",
        "entries replaced",
        (user("dora", {**GROUP, "name": "dana-"}),),
        (
            "acl - dora may read topic orders",
            "acl - dora may read group dora-*",
            "acl - dora from 10.0.0.9 may not delete topic orders",
            "acl - dora may idempotent-write the cluster",
            "acl - dora may write transactional-id tx",
            "acl + dora may read group dana-*",
        ),
    ),
    Row("users", "a role", (grant("dora", "consumer", topics=["orders"], groups=["dana"]),), None),
    Row("users", "a role taken away", (grant("dora", None),), None),
    Row(
        "users",
        "a user with its rights",
        (user("emil", {"name": "orders", "operations": ["describe"]}),),
        ("user emil made", "acl + emil may describe topic orders"),
    ),
    Row("users", "all rights of a user", (user("emil"),), ("acl - emil may describe topic orders",)),
    Row("users", "another password", (), ("user emil password",), secret="emil"),
    Row(
        "users",
        "a user marked for deletion",
        (user("dora", delete=True),),
        ("user dora leaves", "acl - dora may read group dana-*"),
    ),
    Row(
        "quotas",
        "limits of a user",
        (quota(CONSUMER, consumer_byte_rate="50MB/s", request_percentage=400),),
        ("quota user orders-consumer consumer_byte_rate 50000000, request_percentage 400",),
    ),
    Row(
        "quotas",
        "another figure",
        (quota(CONSUMER, consumer_byte_rate="60MB/s"),),
        ("quota user orders-consumer consumer_byte_rate 60000000",),
    ),
    Row(
        "quotas",
        "one limit more",
        (quota(CONSUMER, controller_mutation_rate=10),),
        ("quota user orders-consumer controller_mutation_rate 10",),
    ),
    Row(
        "quotas",
        "one limit fewer",
        (quota(CONSUMER, request_percentage=None),),
        ("quota user orders-consumer request_percentage unset",),
    ),
    Row(
        "quotas",
        "limits of a client id",
        (quota(LOADER, producer_byte_rate="5MB/s"),),
        ("quota client loader producer_byte_rate 5000000",),
    ),
    Row(
        "quotas",
        "limits of a user with a client id",
        (quota({**CONSUMER, **LOADER}, consumer_byte_rate="9MB/s"),),
        ("quota user orders-consumer client loader consumer_byte_rate 9000000",),
    ),
    Row(
        "quotas",
        "limits of everybody",
        (quota({"user": "*"}, producer_byte_rate="80MB/s"),),
        ("quota every user producer_byte_rate 80000000",),
    ),
    Row(
        "quotas",
        "connections of an address",
        (quota({"ip": "10.0.0.9"}, connection_creation_rate=50),),
        ("quota address 10.0.0.9 connection_creation_rate 50",),
    ),
    Row(
        "quotas", "a quota marked for deletion", (quota(LOADER, delete=True),), ("quota client loader gone",)
    ),
    Row(
        "quotas",
        "two quotas marked for deletion",
        (quota({**CONSUMER, **LOADER}, delete=True), quota({"user": "*"}, delete=True)),
        ("quota user orders-consumer client loader gone", "quota every user gone"),
    ),
    live("a pool", ("num.io.threads", "12"), num_io_threads=12),
    live("a pool again", ("num.io.threads", "16"), num_io_threads=16),
    live("another pool", ("background.threads", "12"), background_threads=12),
    live("a limit", ("max.connections", "5000"), max_connections=5000),
    live("a rate", ("max.connection.creation.rate", "500"), max_connection_creation_rate=500),
    live("the cleaner", ("log.cleaner.threads", "2"), log_cleaner_threads=2),
    live(
        "two pools at once",
        ("num.io.threads", "10"),
        ("background.threads", "14"),
        num_io_threads=10,
        background_threads=14,
    ),
    live("a setting taken out", ("max.connections", "2147483647"), max_connections=None),
    Row(
        "restarts",
        "a setting that takes a restart",
        (override("broker", queued_max_requests=400),),
        None,
        restarts="brokers",
    ),
    Row(
        "restarts",
        "one setting of each kind",
        (override("broker", queued_max_requests=450, num_network_threads=6),),
        (FILES, "restart brokers"),
        restarts="brokers",
    ),
    Row(
        "restarts",
        "an option of the brokers' JVM, and a log level",
        (
            overrides("jvm", "broker", ["-Dkdeploy.test=1"]),
            overrides("logs", "broker", {"kafka.request": "WARN"}),
        ),
        None,
        restarts="brokers",
    ),
    Row("restarts", "a certificate", (), None, restarts="broker-3", secret="dc1/broker-3"),
    Row(
        "restarts",
        "something in every layer",
        (
            topic("last", partitions=1),
            user("fritz", {"name": "last", "operations": ["read"]}),
            quota({"user": "fritz"}, producer_byte_rate="3MB/s"),
            override("broker", queued_max_requests=500),
        ),
        (
            "topic last made 1 partitions, 3 copies",
            "user fritz made",
            "acl + fritz may read topic last",
            "quota user fritz producer_byte_rate 3000000",
            FILES,
            "restart brokers",
        ),
        restarts="brokers",
    ),
    Row(
        "restarts",
        "an option of the ensemble's or the controllers' JVM",
        (lambda document: overrides("jvm", _coordinator(document), ["-Dkdeploy.test=1"])(document),),
        ("file coordinators jvm.options", "restart coordinators"),
        restarts="coordinators",
    ),
)
"""Every change, in its order. The last two restart all there is."""


def _coordinator(document: Document) -> str:
    return "controller" if document["kafka"]["coordination"] == "kraft" else "zookeeper"


def tokens(row: Row, kraft: bool) -> frozenset[str] | None:
    """All that has to happen, node by node; None where only preview says it."""
    if row.happens is None:
        return None
    names = {"brokers": [f"broker-{number}" for number in (1, 2, 3)], "coordinators": coordinators(kraft)}
    found: list[str] = []
    for token in row.happens:
        said = token.replace("leaves", "password" if kraft else "gone")
        many = next((word for word in names if f" {word}" in said), None)
        found += [said.replace(many, one) for one in names[many]] if many else [said]
    return frozenset(found)


def coordinators(kraft: bool) -> list[str]:
    """Names of the ensemble's nodes, or of the controllers."""
    return [f"controller-{1000 + n}" if kraft else f"zookeeper-{n}" for n in (1, 2, 3)]


def restarted(row: Row, kraft: bool) -> set[str]:
    """Names of the nodes that have to be restarted."""
    if row.restarts == "brokers":
        return {f"broker-{number}" for number in (1, 2, 3)}
    return set(coordinators(kraft)) if row.restarts == "coordinators" else {row.restarts} - {""}
