"""Whether the declared topics can exist as declared.

Invariant: pure, as all of `kdeploy.spec.check`; names of topic settings are judged by
Kafka's own definitions in `kdeploy.tuning`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kdeploy.spec.check.durability import known_brokers
from kdeploy.spec.check.finding import KEEP_ONE, Finding, duplicates, reserved
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Setting, Topic, setting_text

_INTERNAL: Final = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")
"""Topics that Kafka makes for itself (Kafka 4.1, org.apache.kafka.common.internals.Topic)."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about topics."""
    topics = environment.topics
    yield from duplicates(
        "topic", ((("topics", index, "name"), one.name) for index, one in enumerate(topics))
    )
    yield from _collisions(topics)
    for index, topic in enumerate(topics):
        yield from _topic(environment, ("topics", index), topic)


def _collisions(topics: tuple[Topic, ...]) -> Iterator[Finding]:
    """Kafka refuses names that differ only in dots and underscores: their metrics would be the same."""
    seen: dict[str, str] = {}
    for index, topic in enumerate(topics):
        folded = topic.name.replace(".", "_")
        other = seen.setdefault(folded, topic.name)
        if other != topic.name:
            wrong = f"{topic.name} and {other} differ only in . and _, which Kafka refuses"
            yield Finding(("topics", index, "name"), wrong, "use only one of . and _ in names")


def _topic(environment: Environment, place: Path_, topic: Topic) -> Iterator[Finding]:
    name = (*place, "name")
    if topic.name in (".", ".."):
        yield Finding(
            name, f"a topic cannot be called {topic.name}", "give it a name that says what is in it"
        )
    yield from reserved(name, topic.name)
    if topic.name in _INTERNAL:
        yield Finding(name, f"{topic.name} is Kafka's own", "remove it; Kafka makes it by itself")
    if not topic.delete:
        yield from _copies(environment, place, topic)
        yield from _retention(place, topic)


def _copies(environment: Environment, place: Path_, topic: Topic) -> Iterator[Finding]:
    copies = topic.replication_factor or environment.durability.replication_factor
    for datacenter in environment.datacenters:
        brokers = known_brokers(datacenter)
        if topic.replication_factor and brokers is not None and copies > brokers:
            wrong = f"{copies} copies need {copies} brokers, and datacenter {datacenter.name} has {brokers}"
            yield Finding((*place, "replication_factor"), wrong, f"write {brokers} or less")
    needed = _whole(topic.config.get("min.insync.replicas"))
    if needed is not None and needed > copies:
        wrong = f"min.insync.replicas of {needed} can never be met by {copies} {'copy' if copies == 1 else 'copies'}"
        yield Finding((*place, "config", "min.insync.replicas"), wrong, f"write {max(1, copies - 1)}")


def _retention(place: Path_, topic: Topic) -> Iterator[Finding]:
    if topic.retention is not None and "retention.ms" in topic.config:
        mention = ("also as", (*place, "config", "retention.ms"))
        yield Finding((*place, "retention"), "the retention is there twice", KEEP_ONE, mention=mention)
    for setting in ("retention.ms", "retention.bytes"):
        value = _whole(topic.config.get(setting))
        if value is not None and value < -1:
            wrong = f"{value} is neither an amount nor -1, which stands for no limit"
            yield Finding((*place, "config", setting), wrong, "write -1, 0 or more")


def _whole(value: Setting | None) -> int | None:
    """A setting as a whole number, however it is written; None for any other."""
    if value is None or isinstance(value, bool):
        return None
    text = setting_text(value)
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
