"""Connectors of a Kafka Connect cluster as values: as they are, how far they are, and what differs from what is wanted.

    offset of a record that was mirrored last  ⇄  position: the next offset of the source that was not mirrored

Invariant: pure and frozen. No password is in the words of any value here: values of keys that hold one are not
said, and traces come with theirs taken out (`connect`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

KINDS: Final = ("records", "groups", "heartbeats", "drill")
"""How names of connectors of kdeploy's end: what they carry."""

SECRET: Final = re.compile(
    r"password|secret|jaas|credential|private|token|ssl\.key$|keystore\.key", re.IGNORECASE
)
"""Keys of configuration whose values are never said."""

HIDDEN: Final = "(not shown)"

Positions: TypeAlias = dict[str, dict[int, int]]
"""By topic and partition, an offset to go on from."""

Entry: TypeAlias = tuple[dict[str, Any], dict[str, Any] | None]
"""A source partition and its source offset, as a connector has put them into words; None for no offset."""


@dataclass(frozen=True, order=True)
class TaskState:
    """One task of a connector.

    Attributes:
        id: Its number.
        state: RUNNING, FAILED, PAUSED, UNASSIGNED, RESTARTING or DESTROYED (AbstractStatus.State, Kafka 3.9).
        worker: `host:port` of the worker that runs it; empty where none does.
        trace: First line of why it failed; empty where it did not.
    """

    id: int
    state: str
    worker: str = ""
    trace: str = ""


@dataclass(frozen=True)
class ConnectorState:
    """A connector as it is.

    Attributes:
        name: Its name.
        config: Its configuration, placeholders not filled in, without its name.
        state: RUNNING, FAILED, PAUSED, STOPPED, UNASSIGNED or RESTARTING; UNKNOWN where it has none yet, which is
            so just after it was made.
        worker: `host:port` of the worker that runs it; empty where none does.
        tasks: By number.
        trace: First line of why it failed; empty where it did not.
    """

    name: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    state: str = "UNKNOWN"
    worker: str = ""
    tasks: tuple[TaskState, ...] = ()
    trace: str = ""

    @property
    def runs(self) -> bool:
        """Whether it runs, has tasks, and all of them run."""
        return (
            self.state == "RUNNING" and bool(self.tasks) and all(one.state == "RUNNING" for one in self.tasks)
        )

    @property
    def rests(self) -> bool:
        """Whether it is stopped and has no task left: only then its offsets can be altered."""
        return self.state == "STOPPED" and not self.tasks

    @property
    def failed(self) -> bool:
        """Whether it, or a task of it, failed and stays so until it is restarted."""
        return "FAILED" in (self.state, *(one.state for one in self.tasks))


@dataclass(frozen=True)
class CreateConnector:
    """A wanted connector is not there."""

    name: str
    config: Mapping[str, str] = field(repr=False)
    kind: str = "create-connector"

    def __str__(self) -> str:
        return f"create connector {self.name} ({self.config.get('connector.class', '?').rpartition('.')[2]})"


@dataclass(frozen=True)
class UpdateConnector:
    """A connector has another configuration than wanted.

    Attributes:
        name: Its name.
        config: The whole configuration that it is to have.
        changed: By key, the value before and after; None where it has none.
    """

    name: str
    config: Mapping[str, str] = field(repr=False)
    changed: Mapping[str, tuple[str | None, str | None]] = field(repr=False)
    kind: str = "update-connector"

    def __str__(self) -> str:
        said = (
            f"{key} {_said(key, before)} → {_said(key, after)}"
            for key, (before, after) in self.changed.items()
        )
        return f"connector {self.name}: {', '.join(said)}"


@dataclass(frozen=True)
class DeleteConnector:
    """A connector of kdeploy's that is not wanted any more."""

    name: str
    kind: str = "delete-connector"

    def __str__(self) -> str:
        return f"delete connector {self.name}"


ConnectorChange: TypeAlias = CreateConnector | UpdateConnector | DeleteConnector
"""One difference between the connectors that are wanted and those that are there."""


def difference(
    wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, ConnectorState], datacenters: Collection[str]
) -> tuple[ConnectorChange, ...]:
    """What is to be done so that the connectors are as wanted: those that are to go first, each by name.

    Args:
        wanted: Configurations by the names of connectors.
        found: What is there.
        datacenters: Names of the environment's datacenters; connectors of others, and of anybody else, stay.
    """
    deleted = [
        DeleteConnector(name) for name in sorted(found) if name not in wanted and ours(name, datacenters)
    ]
    changes: list[ConnectorChange] = [*deleted]
    for name, config in sorted(wanted.items()):
        config = _nameless(config)
        if name not in found:
            changes.append(CreateConnector(name, config))
        elif changed := _changed(_nameless(found[name].config), config):
            changes.append(UpdateConnector(name, config, changed))
    return tuple(changes)


def ours(name: str, datacenters: Collection[str]) -> bool:
    """Whether a connector's name is one that kdeploy gives: `S-to-T-records`, `S-to-T-groups`, `T-heartbeats`, `S-to-T-drill`."""
    places, _, kind = name.rpartition("-")
    if kind not in KINDS:
        return False
    if kind == "heartbeats":
        return places in datacenters
    return any(f"{source}-to-{target}" == places for source in datacenters for target in datacenters)


def positions(entries: Iterable[Entry], source: str) -> Positions:
    """How far a records connector has mirrored: for each partition, the next offset of the source.

    Args:
        entries: Its offsets, as Connect's REST interface has them.
        source: Alias of the source cluster; entries of another are left aside.
    """
    found: Positions = {}
    for place, offset in entries:
        if place.get("cluster") == source and offset is not None:
            # MirrorSourceTask.loadOffset reads on after the offset that it kept (Kafka 3.9 to 4.3).
            found.setdefault(str(place["topic"]), {})[int(place["partition"])] = int(offset["offset"]) + 1
    return found


def entries(wanted: Mapping[str, Mapping[int, int]], source: str) -> tuple[Entry, ...]:
    """Offsets that make a records connector go on from positions; from 0, where there is none to keep, by none."""
    return tuple(
        (
            {"cluster": source, "partition": partition, "topic": topic},
            {"offset": position - 1} if position > 0 else None,
        )
        for topic, partitions in sorted(wanted.items())
        for partition, position in sorted(partitions.items())
    )


def _nameless(config: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in config.items() if key != "name"}


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    keys = sorted(before.keys() | after.keys())
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def _said(key: str, value: str | None) -> str:
    if value is None:
        return "unset"
    return HIDDEN if SECRET.search(key) else value or '""'
