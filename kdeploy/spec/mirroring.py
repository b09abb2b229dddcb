"""What a person wants mirrored between datacenters: in which direction, which topics and groups, how far behind.

Invariant: as `kdeploy.spec.model`, of which this is a part: a value that exists was checked, is frozen and makes
sense by itself. Whether it fits the datacenters, their copies and their users is judged in `kdeploy.spec.check`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.frozen import Frozen
from kdeploy.spec.resources import ResourceNames
from kdeploy.units import ByteRate, Bytes, Seconds, Share

Mode = Literal["active-passive", "active-active"]
"""Whether one datacenter is written to at a time, or all of them are."""

Naming = Literal["identity", "prefixed"]
"""Whether a mirrored topic keeps its name, or gets its datacenter's in front of it (`eu.orders`)."""

DatacenterName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""The name of a datacenter (`spec.model.Name`)."""


MOST_DATACENTERS: Final = 10
"""Datacenters of an environment. With each one more, every worker that mirrors reads in one more: ten have 90 directions."""


MOST_WITH_HEARTBEATS: Final = 4
"""Datacenters where heartbeats are passed on: each then has a topic for every way without a circle from another one to it,
15 of four and 64 of five."""


def passes_heartbeats_on(version: str) -> bool:
    """Whether MirrorMaker of a Kafka version mirrors heartbeats that came from elsewhere, whatever its filter says.

    From 4.0 on `heartbeats.replication.enabled=false` has it keep to the filter (KIP-1089); 3.9 has no such setting
    (MirrorSourceConnector.shouldReplicateTopic, 3.9.2).
    """
    return version.startswith("3.")


class Link(Frozen):
    """What one direction of mirroring runs over."""

    source: DatacenterName
    """The datacenter that is read from."""

    target: DatacenterName
    """The datacenter that is written to."""

    bandwidth: Annotated[ByteRate, Field(gt=0)] | None = None
    """What the network between them carries in this direction, sustained; left out, it is taken as enough."""

    round_trip: Annotated[Seconds, Field(gt=0, le=60)] = 0.08
    """Between the two."""


class Workers(Frozen):
    """The Kafka Connect workers that run MirrorMaker, beside the brokers of each datacenter."""

    count: Annotated[int, Field(ge=1, le=100)] | None = None
    """Workers in each datacenter; left out, the planner decides (local: 1)."""

    tasks: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most tasks of each direction (tasks.max); left out, the planner decides."""

    memory: Annotated[Bytes, Field(ge=2**28)] | None = None
    """Memory of one worker where a process is all there is (provider local); left out, what its tasks need."""

    instance_type: str | None = None
    """EC2 instance type; left out, the planner decides."""

    def tasks_of(self, workers: int, directions: int, usual: int) -> int:
        """Most tasks of each direction: as stated, or what is usual for each worker, dealt out to the directions.

        Args:
            workers: Workers of a datacenter.
            directions: Datacenters that they read from at a time (`Mirroring.read_at_once`).
            usual: Tasks for each worker.
        """
        return self.tasks or -(-workers * usual // directions)


class Mirroring(Frozen):
    """Topics and groups of one datacenter, kept in the others."""

    mode: Mode = "active-passive"
    """active-passive: one datacenter is written to, every other one stands by until `kdeploy failover`.
    active-active: all of two and more are written to, and each has what the others' applications write."""

    primary: DatacenterName | None = None
    """The datacenter that is written to at first (active-passive); left out, the first one."""

    topics: Annotated[ResourceNames, Field(min_length=1)] = ("*",)
    """Topics that are mirrored; a name that ends in an asterisk stands for all that begin so."""

    exclude_topics: ResourceNames = ()
    """Topics among them that are not."""

    groups: Annotated[ResourceNames, Field(min_length=1)] = ("*",)
    """Consumer groups whose offsets are translated and kept on the other side."""

    exclude_groups: ResourceNames = ()
    """Groups among them that are not."""

    naming: Naming | None = None
    """Names of mirrored topics: identity, as they are, or prefixed with their datacenter's name and a dot. Left out,
    identity for active-passive and prefixed for active-active, where one name for all would loop."""

    sync_topic_configs: bool = True
    """Whether settings of a mirrored topic follow those it has where it is written to (MirrorMaker's
    sync.topic.configs.enabled); if not, it keeps those that it was made with."""

    sync_topic_acls: bool = False
    """Whether ACLs of mirrored topics are copied to the other datacenters, all but the right to write (MirrorMaker's
    sync.topic.acls.enabled): those of users that are not declared here too."""

    rpo: Annotated[Seconds, Field(gt=0, le=86400 * 30)] = 30.0
    """Recovery point objective: how far behind the mirror may be, in seconds of records that would be lost."""

    rto: Annotated[Seconds, Field(gt=0, le=86400 * 30)] = 300.0
    """Recovery time objective: within which a failover is to be done."""

    survivor_share: Annotated[Share, Field(ge=0, le=1)] = 1.0
    """Share of another datacenter's load that each is sized to carry besides its own once that one is lost
    (active-active)."""

    links: Annotated[tuple[Link, ...], Field(max_length=MOST_DATACENTERS * (MOST_DATACENTERS - 1))] = ()
    """What is known of the network between datacenters, a direction each."""

    workers: Workers = Workers.default()
    """How many workers run it, of what kind."""

    @property
    def names(self) -> Naming:
        """How mirrored topics are named: as stated, or as the mode has it."""
        return self.naming or ("identity" if self.mode == "active-passive" else "prefixed")

    def link(self, source: str, target: str) -> Link:
        """What is known of a direction; the defaults where nothing was said."""
        said = (one for one in self.links if (one.source, one.target) == (source, target))
        return next(said, None) or Link(source=source, target=target)

    def read_at_once(self, others: int) -> int:
        """Datacenters that workers read in at a time: every other one, or the one that is written to.

        Args:
            others: Datacenters besides their own.
        """
        return others if self.mode == "active-active" else min(others, 1)

    def mirrors(self, topic: str) -> bool:
        """Whether a topic is mirrored, by its name on the side that it is written to."""
        return _is_among(topic, self.topics) and not _is_among(topic, self.exclude_topics)


def _is_among(name: str, listed: tuple[str, ...]) -> bool:
    """Whether a name is listed, or begins as one that ends in an asterisk."""
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in listed)
