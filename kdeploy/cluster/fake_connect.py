"""A Connect cluster in memory, for tests of whatever takes `connect.Workers`.

Invariant: it refuses what Connect refuses, in its words (a connector that exists, offsets of one that does not
rest), forgets no offsets of a connector that was deleted, and remembers every change it was asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from kdeploy.cluster.connect import Declined
from kdeploy.cluster.connectors import ConnectorState, Entry, TaskState
from kdeploy.cluster.failure import TimedOut

WORKER = "mirror-1:8083"


class FakeConnect:
    """The workers of a Connect cluster that is a few dictionaries; all that is to happen happens at once.

    Attributes:
        found: Connectors by name.
        kept: Offsets by name of connector and by source partition, written as JSON.
        invalid: What is wrong with configurations, by key, as `validate` says it.
        stops_at_once: Whether a connector that is stopped has no task left then; else `finish_stops` says when.
        calls: Each change, by its method and the connector's name.
    """

    def __init__(self) -> None:
        self.found: dict[str, ConnectorState] = {}
        self.kept: dict[str, dict[str, Entry]] = {}
        self.invalid: dict[str, tuple[str, ...]] = {}
        self.stops_at_once = True
        self.ill: dict[tuple[str, int], str | None] = {("mirror-1", 8083): None}
        self.calls: list[tuple[str, str]] = []

    def why_not(self) -> dict[tuple[str, int], str | None]:
        """What `ill` says."""
        return dict(self.ill)

    def connectors(self) -> dict[str, ConnectorState]:
        """What is there."""
        return dict(sorted(self.found.items()))

    def create(self, name: str, config: Mapping[str, str], *, stopped: bool = False) -> None:
        """Make a connector; one that is there with another configuration is refused."""
        self.calls.append(("create", name))
        if name in self.found and self.found[name].config != config:
            raise Declined(
                f"Kafka Connect refused to create connector {name}: Connector {name} already exists (HTTP 409)",
                409,
            )
        if name not in self.found:
            self._place(ConnectorState(name, dict(config)), "STOPPED" if stopped else "RUNNING")

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Give a connector a configuration; one that is stopped stays so."""
        self.calls.append(("put", name))
        before = self.found.get(name)
        self._place(ConnectorState(name, dict(config)), before.state if before else "RUNNING")

    def validate(self, config: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """What `invalid` says of the keys that are there."""
        return {key: self.invalid[key] for key in config if key in self.invalid}

    def stop(self, name: str) -> None:
        """Stop it."""
        one = self._there("stop", name)
        if self.stops_at_once:
            self._place(one, "STOPPED")
        else:
            self.found[name] = replace(one, state="STOPPED")

    def finish_stops(self) -> None:
        """Let the tasks of connectors that were stopped end."""
        for one in [one for one in self.found.values() if one.state == "STOPPED"]:
            self._place(one, "STOPPED")

    def pause(self, name: str) -> None:
        """Pause it."""
        self._place(self._there("pause", name), "PAUSED")

    def resume(self, name: str) -> None:
        """Let it run."""
        self._place(self._there("resume", name), "RUNNING")

    def restart_failed(self, name: str) -> None:
        """Let what failed of it run."""
        one = self._there("restart", name)
        tasks = tuple(replace(task, state="RUNNING", trace="") if task.trace else task for task in one.tasks)
        state = "RUNNING" if one.state == "FAILED" else one.state
        self.found[name] = replace(one, state=state, trace="", tasks=tasks)

    def fail(self, name: str, task: int, trace: str) -> None:
        """Let a task of it fail."""
        one = self.found[name]
        failed = (
            replace(each, state="FAILED", trace=trace) if each.id == task else each for each in one.tasks
        )
        self.found[name] = replace(one, tasks=tuple(failed))

    def delete(self, name: str) -> None:
        """Remove it; its offsets stay, as they do in the topic of a real one."""
        self.calls.append(("delete", name))
        self.found.pop(name, None)

    def offsets(self, name: str) -> tuple[Entry, ...]:
        """Its offsets."""
        if name not in self.found:
            raise _missing("read the offsets of", name)
        return tuple(self.kept.get(name, {}).values())

    def set_offsets(self, name: str, entries: Iterable[Entry]) -> None:
        """Change some of its offsets; no offset removes one."""
        self._resting("set the offsets of", name)
        held = self.kept.setdefault(name, {})
        for place, offset in entries:
            key = json.dumps(place, sort_keys=True)
            held.pop(key, None)
            if offset is not None:
                held[key] = (dict(place), dict(offset))

    def forget_offsets(self, name: str) -> None:
        """Remove its offsets."""
        self._resting("forget the offsets of", name)
        self.kept.pop(name, None)

    def wait(
        self, until: str, holds: Callable[[Mapping[str, ConnectorState]], bool], timeout: float
    ) -> dict[str, ConnectorState]:
        """Look until something holds; where it does not at once, a test's own thread may yet make it so."""
        deadline = time.monotonic() + timeout
        while not holds(self.connectors()):
            if time.monotonic() > deadline:
                raise TimedOut(f"waited {timeout:g} s until {until}")
            time.sleep(0.01)
        return self.connectors()

    def _there(self, doing: str, name: str) -> ConnectorState:
        self.calls.append((doing, name))
        if name not in self.found:
            raise _missing(doing, name)
        return self.found[name]

    def _resting(self, doing: str, name: str) -> None:
        if not self._there(doing, name).rests:
            raise Declined(
                f"Kafka Connect refused to {doing} connector {name}: Connectors must be in the STOPPED state before "
                "their offsets can be modified (HTTP 400)",
                400,
            )

    def _place(self, one: ConnectorState, state: str) -> None:
        """Give a connector a state, and the tasks that go with it."""
        count = 0 if state == "STOPPED" else int(one.config.get("tasks.max", "1"))
        tasks = tuple(TaskState(number, state, WORKER) for number in range(count))
        self.found[one.name] = replace(one, state=state, worker=WORKER, tasks=tasks, trace="")


def _missing(doing: str, name: str) -> Declined:
    return Declined(
        f"Kafka Connect refused to {doing} connector {name}: Unknown connector {name} (HTTP 404)", 404
    )
