"""What a person wants: the Environment, as it stands in `environment.yaml`.

Invariant: an `Environment` that exists is complete and makes sense by itself;
every field is checked, every default is here, and nothing downstream supplies
another. Values are frozen, and unknown keys are refused. What only a Kafka
version's own definitions can judge (the names of overrides) is judged in
`kdeploy.tuning`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.aws import Aws, Machine, Network, Through
from kdeploy.spec.firewall import Firewall
from kdeploy.spec.frozen import Frozen
from kdeploy.spec.mirroring import MOST_DATACENTERS, Mirroring
from kdeploy.spec.planning import Planner
from kdeploy.spec.resources import Grant, Policies, Quota, Setting, Topic, TopicName, User
from kdeploy.units import (
    BYTES_OR_RANGE,
    RATE_OR_RANGE,
    SECONDS_OR_RANGE,
    SHARE_OR_RANGE,
    ByteRate,
    Bytes,
    Seconds,
    Share,
    number_or_range,
)

Coordination = Literal["zookeeper", "kraft"]
"""What keeps the cluster's metadata: a ZooKeeper ensemble, or KRaft controllers."""

Provider = Literal["local", "hosts", "aws"]
"""Where nodes come from: processes on this machine, machines you have, or EC2."""

Survive = Literal["none", "broker", "zone"]
"""The failure with which every promise of the plan must still hold."""

Codec = Literal["none", "gzip", "snappy", "lz4", "zstd"]
"""How producers compress their batches."""

Architecture = Literal["x86_64", "arm64"]
"""What processors of EC2 types speak."""

VolumeType = Literal["gp3", "gp2", "io2", "st1"]
"""A kind of EBS volume."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""A name that also serves as a DNS label: lower case letters, digits, hyphens."""

LogLevel = Literal["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"]
"""How much a logger says; names that log4j 1 and log4j 2 share."""


class WorkloadTopic(Frozen):
    """A part of the workload that differs from the rest; what is left out is the workload's."""

    name: TopicName
    """Its name; only for reading."""

    throughput: Annotated[ByteRate, Field(gt=0), *RATE_OR_RANGE]
    """Average produce rate of this topic."""

    fan_out: Annotated[float, *number_or_range(0, 1000)] | None = None
    """How many times each byte is read by consumers."""

    retention: Annotated[Seconds, Field(gt=0, le=3.2e9), *SECONDS_OR_RANGE] | None = None
    """How long records are kept."""

    retention_bytes: Annotated[Bytes, Field(gt=0)] | None = None
    """Most bytes kept per partition."""

    replication_factor: Annotated[int, Field(ge=1, le=32)] | None = None
    """Copies; left out, durability.replication_factor."""

    compaction: bool = False
    """Whether the log cleaner keeps only the last value of each key (cleanup.policy=compact)."""

    partitions: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Partitions, before replication; left out, what its peak needs."""

    message_size: Annotated[Bytes, Field(ge=1, le=2**30), *BYTES_OR_RANGE] | None = None
    """Average size of a record as stored."""


class Workload(Frozen):
    """What the cluster has to carry. Rates are averages, as BytesInPerSec shows them.

    A quantity that is not known well may be a range, `150MB/s..300MB/s`: the plan then holds with
    planner.confidence, and what needs one number takes the middle.
    """

    throughput: Annotated[ByteRate, *RATE_OR_RANGE] = 10e6
    """Average produce rate, after compression by the producers (Kafka's BytesInPerSec)."""

    peak_factor: Annotated[float, *number_or_range(1, 100)] = 2.0
    """How many times the average the peak is; limits are held at the peak."""

    fan_out: Annotated[float, *number_or_range(0, 1000)] = 2.0
    """How many times each byte produced is read by consumers."""

    message_size: Annotated[Bytes, Field(ge=1, le=2**30), *BYTES_OR_RANGE] = 1000.0
    """Average size of a record as stored, in bytes."""

    batch_size: Annotated[Bytes, Field(ge=1, le=2**30), *BYTES_OR_RANGE] = 65536.0
    """Bytes that a produce request carries on average."""

    retention: Annotated[Seconds, Field(gt=0, le=3.2e9), *SECONDS_OR_RANGE] = 7 * 86400.0
    """How long records are kept (Kafka's retention.ms)."""

    retention_bytes: Annotated[Bytes, Field(gt=0)] | None = None
    """Most bytes kept per partition (Kafka's retention.bytes); without it, time alone decides."""

    compression: Codec = "none"
    """Codec the producers use; brokers keep it as it comes (compression.type=producer)."""

    topic_compression: Codec | None = None
    """Codec of the topics (compression.type) where that is another: the leader then compresses anew."""

    partitions: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Partitions of all topics together, before replication; left out, the planner derives it."""

    lagging_consumers: Annotated[Share, Field(ge=0, le=1), *SHARE_OR_RANGE] | None = None
    """Share of the reads that come from disk, not from the page cache; left out, half the produce rate."""

    mirrored_in: Annotated[ByteRate, *RATE_OR_RANGE] = 0.0
    """Average rate that mirroring from other clusters produces here, beside throughput."""

    mirrored_out: Annotated[ByteRate, *RATE_OR_RANGE] = 0.0
    """Average rate that mirroring to other clusters reads here."""

    mirror_consumers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Consumers that mirroring reads with (tasks of MirrorMaker), each with one connection to every broker;
    left out, as many as it takes, and the plan says how many."""

    mirror_round_trip: Annotated[Seconds, Field(gt=0, le=60)] = 0.08
    """Between them and the brokers."""

    clients: Annotated[int, Field(ge=0, le=10_000_000)] = 500
    """Producers and consumers that are connected; each may hold a connection to every broker."""

    growth: Annotated[Share, Field(ge=0, le=100), *SHARE_OR_RANGE] = 0.0
    """How much more is produced each year than the year before."""

    horizon: Annotated[Seconds, Field(gt=0, le=3.2e9)] = 365 * 86400.0
    """How far ahead the plan has to hold, where the workload grows."""

    topics: Annotated[tuple[WorkloadTopic, ...], Field(max_length=100_000)] = ()
    """Topics that differ; their rates together take the place of throughput."""

    @property
    def produced(self) -> float:
        """Average produce rate of the whole cluster today, bytes per second."""
        return sum(topic.throughput for topic in self.topics) if self.topics else self.throughput


class Durability(Frozen):
    """How many copies there are, and what may fail."""

    replication_factor: Annotated[int, Field(ge=1, le=32)] = 3
    """Copies of each partition."""

    min_insync_replicas: Annotated[int, Field(ge=1, le=32)] = 2
    """In-sync copies without which an acks=all producer is refused."""

    survive: Survive = "zone"
    """The failure to survive: broker, zone (a whole rack), or none."""


class Hardware(Frozen):
    """What one machine has, declared because a file has to be rendered before anyone connects."""

    cores: Annotated[int, Field(ge=1, le=1024)] = 4
    """Processor cores."""

    memory: Annotated[Bytes, Field(ge=2**28, le=2**46)] = 16 * 2.0**30
    """Main memory."""

    disks: Annotated[tuple[str, ...], Field(min_length=0, max_length=64)] = ()
    """Block devices for data, by stable path, for example /dev/disk/by-id/...; one log directory each."""

    disk_size: Annotated[Bytes, Field(gt=0)] | None = None
    """Size of each data disk."""

    disk_throughput: Annotated[ByteRate, Field(gt=0)] | None = None
    """What each data disk writes in sequence, sustained."""

    network: Annotated[ByteRate, Field(gt=0)] | None = None
    """What the network card carries each way, sustained."""


class Host(Frozen):
    """One machine you already have."""

    address: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
    """Name or address that kdeploy reaches by SSH and the other nodes by TCP."""

    rack: Name
    """The rack (or zone) it stands in."""

    role: Literal["broker", "zookeeper", "controller", "mirror"]
    """What runs on it; mirror, a worker of mirroring."""

    hardware: Hardware = Hardware.default()
    """Its cores, memory and disks; preflight refuses a host that has less."""


class Ssh(Frozen):
    """How kdeploy logs in to machines. What is left out is as the person's own ~/.ssh/config says."""

    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] | None = None
    """Who to log in as; anyone but root needs sudo there."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the SSH server."""

    key: Annotated[str, StringConstraints(pattern=r'^[^"\s]+$', max_length=4096)] | None = None
    """File with the private key; without it, the agent's and ~/.ssh's."""

    jump: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@:,\[\]-]+$", max_length=1024)] | None = (
        None
    )
    """Hosts to go through: `[USER@]HOST[:PORT]`, separated by commas."""

    through: Through | None = None
    """How SSH gets there: direct, straight or through `jump`; ssm, through AWS Systems Manager, with no port open.
    Left out, direct for hosts and ssm for aws."""

    host_keys: Literal["first-use", "known", "unchecked"] = "first-use"
    """Which hosts are believed: first-use keeps a host's key in `known_hosts` beside the environment when it
    is first seen and refuses another one later; known refuses what is not there yet; unchecked believes all."""


class Brokers(Frozen):
    """How the brokers of a datacenter are chosen."""

    count: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Brokers in this datacenter; left out, the planner decides (local: one per rack)."""

    instance_type: str | None = None
    """EC2 instance type; left out, the planner decides."""

    instance_family: str | None = None
    """Family of EC2 types to choose from, for example m7g; left out, all of the current generation."""

    architecture: Architecture | None = None
    """Processors to choose from: x86_64 or arm64 (Graviton); left out, both."""

    storage: Literal["ebs", "local"] | None = None
    """Where data lies in EC2: on EBS volumes, or on the type's own disks; left out, the planner decides."""

    volume_type: VolumeType | None = None
    """Kind of EBS volume for data; left out, gp3."""

    memory: Annotated[Bytes, Field(ge=2**28)] = 2.0**30
    """Memory of one broker where a process is all there is (provider local)."""


class CoordinationNodes(Frozen):
    """How the ZooKeeper ensemble, or the KRaft controllers, of a datacenter are chosen."""

    count: Annotated[int, Field(ge=1, le=9)] | None = None
    """Nodes, an odd number; left out, 3, or 5 for a large cluster."""

    instance_type: str | None = None
    """EC2 instance type; left out, the planner decides."""

    memory: Annotated[Bytes, Field(ge=2**27)] = 2.0**29
    """Memory of one node where a process is all there is (provider local)."""


class Datacenter(Frozen):
    """One place with one Kafka cluster of its own."""

    name: Name = "dc1"
    """Its name; part of each node's identity, so it never changes."""

    provider: Provider = "local"
    """Where its nodes come from: local (processes on this machine), hosts, or aws."""

    region: str | None = None
    """AWS region, for example eu-west-1 (provider aws)."""

    racks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)] = ("a", "b", "c")
    """Failure domains that copies are spread over; in AWS, the zones' letters or names."""

    brokers: Brokers = Brokers.default()
    """How many brokers, of what kind."""

    coordination: CoordinationNodes = CoordinationNodes.default()
    """How many ZooKeeper nodes or KRaft controllers, of what kind."""

    base_port: Annotated[int, Field(ge=1024, le=60000)] = 19000
    """First of the ports that local nodes listen on; unused for other providers."""

    hosts: tuple[Host, ...] = ()
    """The machines (provider hosts)."""

    ssh: Ssh = Ssh.default()
    """How kdeploy logs in to them (providers hosts and aws)."""

    network: Network = Network.default()
    """Their network (provider aws)."""

    machine: Machine = Machine.default()
    """What machines start from (provider aws)."""

    firewall: Firewall = Firewall.default()
    """What they let in from the network (providers hosts and aws); in AWS, `network` says who clients and operators
    are."""

    time_service: Literal["chrony", "none"] = "chrony"
    """What keeps their clocks right where nothing does yet (providers hosts and aws); none leaves them as
    they are."""


class Kafka(Frozen):
    """Which Kafka."""

    version: str = "3.9.2"
    """Kafka's version, in quotes."""

    coordination: Coordination = "zookeeper"
    """ZooKeeper (up to Kafka 3.9) or kraft (from 3.9)."""


class Security(Frozen):
    """What protects the cluster. The defaults are the secure choice for everything."""

    client_listener: Literal["SASL_SSL", "PLAINTEXT"] = "SASL_SSL"
    """Protocol clients speak; PLAINTEXT means that anyone who reaches the port is let in."""

    authorization: bool = True
    """Whether ACLs are enforced, with everything denied that none allows."""

    certificate_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """How long node and client certificates are valid."""


class Overrides(Frozen):
    """Settings by name that take the place of what kdeploy decided. Unknown names are refused."""

    broker: dict[str, Setting] = {}
    """Broker settings, by Kafka's names (server.properties)."""

    controller: dict[str, Setting] = {}
    """KRaft controller settings, by Kafka's names."""

    zookeeper: dict[str, Setting] = {}
    """ZooKeeper settings, by ZooKeeper's names (zoo.cfg)."""

    jvm: dict[Literal["broker", "controller", "zookeeper", "mirror"], tuple[str, ...]] = {}
    """Java options per role, for example -Xmx2g; one that kdeploy also sets replaces it."""

    kernel: dict[str, Setting] = {}
    """Kernel settings, by sysctl's names (not applied by provider local)."""

    logs: dict[Literal["broker", "controller", "zookeeper", "mirror"], dict[str, LogLevel]] = {}
    """Log levels per role, by the logger's name, for example kafka.server: DEBUG; `root` is all others."""


class Moving(Frozen):
    """How copies of partitions are moved to brokers that are to have more of them."""

    rate: Annotated[ByteRate, Field(ge=1, le=1e12)] = 50e6
    """Most bytes per second that each broker sends, and receives, of copies on their way."""


class Environment(Frozen):
    """Everything a person says about one environment."""

    name: Name
    """The environment's name; left out of the file, its folder's name."""

    kafka: Kafka = Kafka.default()
    """Which Kafka, coordinated by what."""

    workload: Workload = Workload.default()
    """What it has to carry."""

    durability: Durability = Durability.default()
    """How many copies, and what may fail."""

    planner: Planner = Planner.default()
    """How the planner decides."""

    datacenters: Annotated[tuple[Datacenter, ...], Field(min_length=1, max_length=MOST_DATACENTERS)] = (
        Datacenter.default(),
    )
    """Places, each with a cluster of its own; three and more mirror each other with mode: active-active."""

    mirroring: Mirroring | None = None
    """What is mirrored between datacenters; left out, nothing is."""

    aws: Aws = Aws.default()
    """Where Pulumi keeps its state, and what holds for everything in AWS (provider aws)."""

    security: Security = Security.default()
    """What protects it."""

    topics: tuple[Topic, ...] = ()
    """Topics to exist; others are left alone."""

    users: tuple[User, ...] = ()
    """Users to exist, with their ACLs; others are left alone."""

    acls: tuple[Grant, ...] = ()
    """What users may do beside their own ACLs, by role or entry by entry."""

    quotas: tuple[Quota, ...] = ()
    """Limits on what users, client ids and addresses may take; others are left alone."""

    policies: Policies = Policies.default()
    """What topics are to keep to; checked before anything is contacted."""

    moving: Moving = Moving.default()
    """How copies are moved when a topic gets more of them; no node is touched when it changes."""

    overrides: Overrides = Overrides.default()
    """Settings of Kafka, ZooKeeper, the JVM or the kernel, by name."""

    accept_risks: tuple[str, ...] = ()
    """Names of warnings about legal but risky settings that a person has weighed and accepts."""

    def to_json(self) -> dict[str, Any]:
        """The environment as JSON values; `Environment.model_validate` reads it back equal."""
        return self.model_dump(mode="json")
