"""The table of changes: what a person edits, and everything that then has to happen.

Invariant: only data. A change is written as the text that is put in place of another in environment.yaml, and
what has to happen as tokens: `restart NODE`, `file NODE NAME`, `set BROKER SETTING VALUE`, `topic NAME ...`,
`user NAME ...`, `acl + WHO ...`, `acl - WHO ...`; `brokers`, `zookeepers` and `controllers` stand for all three.
"""

from __future__ import annotations

from dataclasses import dataclass

ROLES = {"brokers": "broker", "zookeepers": "zookeeper", "controllers": "controller"}
IDS = {"broker": (1, 2, 3), "zookeeper": (1, 2, 3), "controller": (1001, 1002, 1003)}


@dataclass(frozen=True)
class Row:
    """One change.

    Attributes:
        name: What is changed, in words.
        edits: Old text and new text, each; an old text of "" appends.
        happens: Tokens of all that has to happen; those of several nodes in one.
        environment: The shipped environment that it is made to.
        real: Whether the end-to-end test makes it too, under load.
    """

    name: str
    edits: tuple[tuple[str, str], ...]
    happens: tuple[str, ...]
    environment: str = "local"
    real: bool = False

    @property
    def tokens(self) -> frozenset[str]:
        """What has to happen, node by node."""
        return frozenset(one for token in self.happens for one in _each(token))


def _each(token: str) -> tuple[str, ...]:
    for many, role in ROLES.items():
        if f" {many}" in token:
            return tuple(token.replace(many, f"{role}-{number}") for number in IDS[role])
    return (token,)


def override(name: str, *lines: str, **more: str) -> tuple[tuple[str, str], ...]:
    return (("", "\noverrides:\n" + f"  {name}:\n" + "".join(f"    {line}\n" for line in lines)),)


def live(setting: str, value: str, *, real: bool = False, environment: str = "local") -> Row:
    """A broker setting that is given to running brokers."""
    return Row(
        f"{setting} while brokers run" + ("" if environment == "local" else ", KRaft"),
        override("broker", f"{setting}: {value}"),
        ("file brokers server.properties", f"set brokers {setting} {value}"),
        environment,
        real,
    )


def static(setting: str, value: str, *, environment: str = "local") -> Row:
    """A broker setting that takes a restart."""
    return Row(
        f"{setting} by a restart" + ("" if environment == "local" else ", KRaft"),
        override("broker", f"{setting}: {value}"),
        ("file brokers server.properties", "restart brokers"),
        environment,
    )


def zookeeper(setting: str, value: str) -> Row:
    return Row(
        f"{setting} of the ensemble",
        override("zookeeper", f"{setting}: {value}"),
        ("file zookeepers zoo.cfg", "restart zookeepers"),
    )


def jvm(role: str, option: str, *, environment: str = "local", real: bool = False) -> Row:
    many = f"{role}s"
    return Row(
        f"{option} for each {role}" + ("" if environment == "local" else ", KRaft"),
        override("jvm", f'{role}: ["{option}"]'),
        (f"file {many} jvm.options", f"restart {many}"),
        environment,
        real,
    )


TOPICS = "\ntopics:\n"
USERS = "\nusers:"
PRODUCER = "      - {resource: topic, name: orders, operations: [write, describe]}"
GROUP = "      - {resource: group, name: orders-, pattern: prefixed, operations: [read]}"


def topic(name: str, text: str, made: str, *, real: bool = False) -> Row:
    return Row(
        f"a new topic: {made}",
        ((TOPICS, f"{TOPICS}  - {text}\n"),),
        (f"topic {name} made {made}",),
        real=real,
    )


def setting(name: str, value: str, *, real: bool = False) -> Row:
    return Row(
        f"{name} of a topic",
        (("      cleanup.policy: delete\n", f"      cleanup.policy: delete\n      {name}: {value}\n"),),
        (f"topic orders {name} {value}",),
        real=real,
    )


def acl(name: str, entry: str, *happens: str, real: bool = False) -> Row:
    return Row(name, ((PRODUCER, f"{PRODUCER}\n      - {entry}"),), happens, real=real)


CHANGES: tuple[Row, ...] = (
    Row("nothing at all", (), ()),
    # Settings that Kafka takes while it runs: pools, sizes, times, flags, lists, per role of a thread.
    live("num.io.threads", "12", real=True),
    live("num.network.threads", "6"),
    live("num.recovery.threads.per.data.dir", "4"),
    live("background.threads", "12", real=True),
    live("log.cleaner.threads", "2"),
    live("message.max.bytes", "2000000"),
    live("log.segment.bytes", "536870912"),
    live("log.roll.ms", "3600000"),
    live("log.flush.interval.messages", "10000"),
    live("log.cleaner.backoff.ms", "20000"),
    live("log.cleaner.io.max.bytes.per.second", "50000000"),
    live("max.connections", "5000"),
    live("max.connection.creation.rate", "500"),
    live("unclean.leader.election.enable", "true"),
    live("compression.type", "zstd"),
    live("log.message.timestamp.type", "LogAppendTime"),
    live("num.replica.fetchers", "2"),
    live("num.io.threads", "16", environment="local-kraft"),
    Row(
        "a topic's default of brokers, which KRaft's controllers have in their files too",
        override("broker", "message.max.bytes: 2000000"),
        (
            "file brokers server.properties",
            "set brokers message.max.bytes 2000000",
            "file controllers server.properties",
            "restart controllers",
        ),
        "local-kraft",
    ),
    Row(
        "two settings while brokers run",
        override("broker", "num.io.threads: 10", "message.max.bytes: 3000000"),
        (
            "file brokers server.properties",
            "set brokers num.io.threads 10",
            "set brokers message.max.bytes 3000000",
        ),
    ),
    # Settings that take a restart.
    static("queued.max.requests", "400"),
    static("num.partitions", "12"),
    static("auto.create.topics.enable", "true"),
    static("group.initial.rebalance.delay.ms", "5000"),
    static("offsets.retention.minutes", "20160"),
    static("replica.lag.time.max.ms", "45000"),
    static("controlled.shutdown.max.retries", "5"),
    static("zookeeper.session.timeout.ms", "20000"),
    static("queued.max.requests", "400", environment="local-kraft"),
    Row(
        "one setting of each kind: the restart brings both",
        override("broker", "num.io.threads: 12", "queued.max.requests: 300"),
        ("file brokers server.properties", "restart brokers"),
    ),
    # The ensemble and the controllers.
    zookeeper("maxClientCnxns", "100"),
    zookeeper("tickTime", "3000"),
    zookeeper("snapCount", "50000"),
    Row(
        "a setting of the controllers",
        override("controller", "controller.quorum.election.timeout.ms: 2000"),
        ("file controllers server.properties", "restart controllers"),
        "local-kraft",
    ),
    # JVMs.
    jvm("broker", "-Dkdeploy.test=1"),
    jvm("broker", "-XX:MaxGCPauseMillis=40"),
    jvm("broker", "-Xmx300m"),
    jvm("zookeeper", "-Dkdeploy.test=1", real=True),
    jvm("controller", "-Dkdeploy.test=1", environment="local-kraft"),
    Row(
        "the JVMs of both roles",
        override("jvm", 'broker: ["-Da=1"]', 'zookeeper: ["-Db=2"]'),
        ("file brokers jvm.options", "file zookeepers jvm.options", "restart brokers", "restart zookeepers"),
    ),
    # Topics.
    topic(
        "payments",
        "{name: payments, partitions: 2}",
        "2 partitions, 3 copies",
        real=True,
    ),
    topic("payments", "{name: payments, partitions: 1, replication_factor: 2}", "1 partitions, 2 copies"),
    topic(
        "payments",
        "{name: payments, partitions: 1, config: {cleanup.policy: compact}}",
        "1 partitions, 3 copies, cleanup.policy compact",
    ),
    Row(
        "two new topics",
        ((TOPICS, f"{TOPICS}  - {{name: a, partitions: 1}}\n  - {{name: b, partitions: 3}}\n"),),
        ("topic a made 1 partitions, 3 copies", "topic b made 3 partitions, 3 copies"),
    ),
    Row(
        "more partitions",
        (("partitions: 6", "partitions: 9"),),
        ("topic orders partitions 9",),
    ),
    Row(
        "another retention of a topic",
        (("retention.ms: 86400000", "retention.ms: 43200000"),),
        ("topic orders retention.ms 43200000",),
        real=True,
    ),
    setting("max.message.bytes", "500000"),
    setting("min.insync.replicas", "1"),
    setting("segment.ms", "600000", real=True),
    setting("compression.type", "lz4"),
    setting("retention.bytes", "1000000000"),
    Row(
        "partitions and a setting of one topic",
        (("partitions: 6", "partitions: 7"), ("retention.ms: 86400000", "retention.ms: 60000")),
        ("topic orders partitions 7", "topic orders retention.ms 60000"),
    ),
    # Users and access lists.
    Row("a new user", ((USERS, f"{USERS}\n  - name: carol\n#"),), ("user carol made",), real=True),
    Row(
        "a new user with entries",
        (
            (
                USERS,
                f"{USERS}\n  - name: carol\n    acls: [{{name: orders, operations: [read, describe]}}]\n#",
            ),
        ),
        (
            "user carol made",
            "acl + carol may read topic orders",
            "acl + carol may describe topic orders",
        ),
    ),
    acl(
        "one more operation",
        "{name: orders, operations: [describe-configs]}",
        "acl + orders-producer may describe-configs topic orders",
        real=True,
    ),
    acl(
        "a prefix",
        "{name: or, pattern: prefixed, operations: [read]}",
        "acl + orders-producer may read topic or*",
    ),
    acl(
        "a denial from one address",
        "{name: orders, operations: [delete], permission: deny, host: 10.0.0.9}",
        "acl + orders-producer from 10.0.0.9 may not delete topic orders",
    ),
    acl(
        "the cluster itself",
        "{resource: cluster, name: kafka-cluster, operations: [idempotent-write]}",
        "acl + orders-producer may idempotent-write the cluster",
    ),
    acl(
        "a transactional id",
        "{resource: transactional-id, name: tx, operations: [write]}",
        "acl + orders-producer may write transactional-id tx",
    ),
    Row(
        "one operation fewer",
        ((PRODUCER, PRODUCER.replace("write, describe", "write")),),
        ("acl - orders-producer may describe topic orders",),
    ),
    Row(
        "an entry taken out",
        (("\n" + GROUP, ""),),
        ("acl - orders-consumer may read group orders-*",),
    ),
    Row(
        "an entry replaced",
        ((GROUP, GROUP.replace("orders-,", "billing-,")),),
        (
            "acl - orders-consumer may read group orders-*",
            "acl + orders-consumer may read group billing-*",
        ),
    ),
    # All layers at once.
    Row(
        "something in every layer",
        (
            ("partitions: 6", "partitions: 8"),
            (USERS, f"{USERS}\n  - name: carol\n    acls: [{{name: orders, operations: [read]}}]\n#"),
            *override("broker", "queued.max.requests: 350"),
        ),
        (
            "file brokers server.properties",
            "restart brokers",
            "topic orders partitions 8",
            "user carol made",
            "acl + carol may read topic orders",
        ),
    ),
    # Copies, deletions and limits.
    Row(
        "fewer copies of a topic",
        (("    partitions: 6\n", "    partitions: 6\n    replication_factor: 2\n"),),
        ("topic orders copies 2",),
    ),
    Row(
        "a setting of a topic taken out",
        (("      retention.ms: 86400000\n", ""),),
        ("topic orders retention.ms unset",),
    ),
    Row(
        "a topic marked for deletion",
        (
            ("    partitions: 6\n", "    partitions: 6\n    delete: true\n"),
            (PRODUCER, PRODUCER.replace("orders", "bills")),
            ("name: orders, operations: [read, describe]", "name: bills, operations: [read, describe]"),
        ),
        (
            "topic orders gone",
            *(
                f"acl {sign} orders-{user} may {verb} topic {topic}"
                for sign, topic in (("+", "bills"), ("-", "orders"))
                for user, verbs in (("producer", ("write", "describe")), ("consumer", ("read", "describe")))
                for verb in verbs
            ),
        ),
    ),
    Row(
        "a user marked for deletion",
        (("  - name: orders-consumer\n", "  - name: orders-consumer\n    delete: true\n"),),
        (
            "user orders-consumer gone",
            "acl - orders-consumer may read topic orders",
            "acl - orders-consumer may describe topic orders",
            "acl - orders-consumer may read group orders-*",
        ),
    ),
    Row(
        "limits for a user",
        (
            (
                "",
                "\nquotas:\n  - {user: orders-producer, producer_byte_rate: 2MB/s, request_percentage: 150}\n",
            ),
        ),
        ("quota user orders-producer producer_byte_rate 2000000, request_percentage 150",),
    ),
    Row(
        "limits for everybody of a client id",
        (("", '\nquotas:\n  - {user: "*", client_id: loader, consumer_byte_rate: 5MB/s}\n'),),
        ("quota every user client loader consumer_byte_rate 5000000",),
    ),
)
"""Every change that a person can make to what provider local has."""
