"""What was decided before: `lock.yaml`, small, reviewed and committed.

Invariant: a decision in the lock is never taken again by itself. Ids in it are
stable and never reused; a later plan starts from here, so new prices or a little
more load never reshape a running cluster.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from kdeploy.spec.frozen import Frozen
from kdeploy.spec.model import Coordination, Provider

LOCK_SCHEMA: Final = "kdeploy.lock/v1"

Role = Literal["zookeeper", "controller", "broker", "mirror"]
"""What a node is."""


class LockedVolumes(Frozen):
    """Data volumes of each node of a role; see `planner.result.Volumes`. Sizes in bytes."""

    type: str
    count: int
    size: float
    iops: float | None = None
    throughput: float | None = None


class LockedShape(Frozen):
    """What every node of a role in a datacenter is made of."""

    instance_type: str | None = None
    cores: int
    memory: float
    volumes: tuple[LockedVolumes, ...] = ()


class LockedNode(Frozen):
    """One node's identity: it belongs to (datacenter, rack, ordinal) for good.

    `directory_id` is a KRaft log directory's id (base64 UUID), None elsewhere.
    `ports` maps a port's purpose (client, internal, admin, controller, quorum,
    election) to its number. `host` is the declared machine it runs on (provider hosts), None elsewhere.
    `address` is its private address (provider aws): its network interface keeps it, whatever machine it is on.
    """

    id: int
    name: str
    role: Role
    rack: str
    ordinal: int
    ports: dict[str, int]
    directory_id: str | None = None
    host: str | None = None
    address: str | None = None


class LockedDatacenter(Frozen):
    """One cluster's decisions.

    `cluster_id` is chosen at lock time for KRaft. ZooKeeper mode chooses it at first start: it is
    None until the first `up` has succeeded, which writes it here. A cluster of another id is refused.

    Of provider aws: `network` is the VPC's id, or the range of the one that is made; `subnets` is the range of each
    rack's; `images` are the machine images by architecture, noted by the first `up` where the environment names
    none, so that a newer one never replaces a machine by itself; `kms_key` is what the volumes were encrypted with;
    `balancer_port` is the load balancer's port for bootstrap, and brokers' ports follow from it.

    `mirror` is what each worker of MirrorMaker is made of, and `mirrors` are the workers; none where nothing is mirrored.
    """

    name: str
    provider: Provider
    region: str | None = None
    cluster_id: str | None = None
    brokers: LockedShape
    coordination: LockedShape
    partitions: int
    nodes: tuple[LockedNode, ...]
    retired_ids: tuple[int, ...] = ()
    network: str | None = None
    subnets: dict[str, str] | None = None
    images: dict[str, str] = Field(default_factory=dict)
    kms_key: str | None = None
    balancer_port: int | None = None
    mirror: LockedShape | None = None
    mirrors: tuple[LockedNode, ...] = ()


class Lock(Frozen):
    """All decisions of one environment."""

    kdeploy: str
    environment: str
    id: str | None = None
    """Tells it in AWS from another environment of its name; None where nothing of it is there."""
    kafka_version: str
    kafka_coordination: Coordination
    catalogue_date: str | None = None
    inputs: str
    """Hash of everything in the environment that a plan or a file depends on; not topics, users, ACLs."""
    asked: dict[str, str] = Field(default_factory=dict)
    """The same as text by path, without defaults: it says in words what differs when the hash does."""
    datacenters: tuple[LockedDatacenter, ...]
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each rendered file, by `datacenter/node/path`."""

    def to_json(self) -> dict[str, Any]:
        """The lock as JSON values with its schema."""
        return {"schema": LOCK_SCHEMA, **self.model_dump(mode="json")}
