"""One direction of mirroring as names: which topics and groups it carries, and what they are called on both sides.

Invariant: pure; the names are MirrorMaker's own (DefaultReplicationPolicy and IdentityReplicationPolicy, Kafka 3.9 to
4.3), so that what is looked for is what it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from kdeploy.spec.identity import DRILL
from kdeploy.spec.mirroring import Mirroring, Naming


@dataclass(frozen=True)
class Route:
    """From one datacenter to another.

    Attributes:
        source: The datacenter that is read from; also its cluster's alias.
        target: The one that is written to.
        naming: Whether topics keep their names on the target.
        topics: Names of those that are mirrored; one that ends in an asterisk stands for all that begin so.
        exclude_topics: Those among them that are not.
        groups: Consumer groups whose offsets are translated, in the same way.
        exclude_groups: Those among them that are not.
        beyond: Other datacenters, whose topics at the source are mirrored to the target by themselves.
    """

    source: str
    target: str
    naming: Naming = "identity"
    topics: tuple[str, ...] = ("*",)
    exclude_topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("*",)
    exclude_groups: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    @classmethod
    def of(cls, mirroring: Mirroring, source: str, target: str, everywhere: Iterable[str] = ()) -> Self:
        """As an environment declares it.

        Args:
            mirroring: What is mirrored.
            source: The datacenter that is read from.
            target: The one that is written to.
            everywhere: Names of all datacenters that mirror each other.
        """
        return cls(
            source,
            target,
            mirroring.names,
            tuple(mirroring.topics),
            tuple(mirroring.exclude_topics),
            tuple(mirroring.groups),
            tuple(mirroring.exclude_groups),
            tuple(one for one in everywhere if one not in (source, target)),
        )

    @property
    def records(self) -> str:
        """Name of the connector that carries records."""
        return f"{self.source}-to-{self.target}-records"

    @property
    def connectors(self) -> tuple[str, ...]:
        """Names of the connectors on the target's workers: records, groups, and heartbeats for the way back."""
        return self.records, f"{self.source}-to-{self.target}-groups", f"{self.target}-heartbeats"

    @property
    def heartbeats(self) -> str:
        """Topic on the target with the source's heartbeats, whatever the naming of others."""
        return f"{self.source}.heartbeats"

    @property
    def checkpoints(self) -> str:
        """Topic on the target with where groups are."""
        return f"{self.source}.checkpoints.internal"

    @property
    def syncs(self) -> str:
        """Topic on the target with pairs of offsets (offset-syncs.topic.location=target)."""
        return f"mm2-offset-syncs.{self.source}.internal"

    def carries(self, topic: str) -> bool:
        """Whether a topic of the source is mirrored: not one of Kafka's, MirrorMaker's or a drill's, or from elsewhere."""
        own = topic.endswith((".internal", "-internal", "heartbeats")) or topic.startswith(("__", ".", DRILL))
        elsewhere = tuple(f"{one}." for one in (self.target, *self.beyond))
        back = self.naming == "prefixed" and topic.startswith(elsewhere)
        return not own and not back and _among(topic, self.topics, self.exclude_topics)

    def translates(self, group: str) -> bool:
        """Whether a group's offsets are translated."""
        # The last two are MirrorMaker's own default (`tuning.mirror.OWN_GROUPS`).
        own = group.startswith(("__", DRILL, "connect-", "console-consumer-"))
        return not own and _among(group, self.groups, self.exclude_groups)

    def on_target(self, topic: str) -> str:
        """A mirrored topic's name on the target."""
        return topic if self.naming == "identity" else f"{self.source}.{topic}"


def _among(name: str, wanted: Sequence[str], excluded: Sequence[str]) -> bool:
    return _matches(name, wanted) and not _matches(name, excluded)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
