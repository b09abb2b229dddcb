"""Two datacenters of a shipped environment in memory: clusters and Connect workers that are a few dictionaries.

The lock, the vault, the state folder and all that is decided are the real ones. Invariant: `happened` is told by what
the fakes were asked to change, never by kdeploy.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.cluster import Check, HealthReport, connectors, direction, fake
from kdeploy.cluster.direction import Direction
from kdeploy.cluster.failure import Unreachable
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.fake_connect import FakeConnect
from kdeploy.cluster.state import Broker, LogRecord, Metadata
from kdeploy.operations import apply, mirroring, prepare, readiness, set_out, site, switching
from kdeploy.operations.failover import failover
from kdeploy.operations.failover_report import Report
from kdeploy.operations.progress import Silent
from kdeploy.spec import load
from kdeploy.tuning.definitions import definitions

SHIPPED = Path(__file__).parents[2] / "environments"
NOW = time.time()


class Side(FakeAdmin):
    """One of the two clusters."""

    def __init__(self, cluster_id: str | None) -> None:
        super().__init__(brokers=(Broker(1, "a", "localhost"), Broker(2, "b", "localhost")))
        self.id = cluster_id

    def metadata(self) -> Metadata:
        return replace(super().metadata(), cluster_id=self.id)


class Steps(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, phase: str, text: str) -> None:
        self.said.append(text)


class TwoSides:
    """East and west, after a first `up`: topics, users and rights are there, and the mirror runs."""

    def __init__(self, root: Path, name: str, patch: pytest.MonkeyPatch) -> None:
        folder = root / "environments" / name
        shutil.copytree(SHIPPED / name, folder)
        self._root = root
        self.loaded = load.load(folder)
        self.steps = Steps()
        self.down: set[str] = set()
        self.unwell: set[str] = set()
        self._stand_in(patch)
        design = prepare.design(self.loaded, freeze=True)
        prepare.save_lock(design)
        vault = prepare.complete_vault(design, None)
        design = prepare.design(self.loaded, freeze=True)
        self.sides = {one.datacenter: Side(one.cluster_id) for one in design.blueprint.clusters}
        self.connects = {one.datacenter: FakeConnect() for one in design.blueprint.clusters}
        self._where = {
            one.bootstrap("admin"): (one.datacenter, self.sides[one.datacenter])
            for one in design.blueprint.clusters
        }
        self.sites = site.sites(design, vault, Silent())
        for one in self.sites:
            with readiness.connected(one) as admin:
                apply.carry_out(one, admin, readiness.pending(one, admin, resources_only=True))
        mirroring.bring_up(self.sites)
        self._everything: dict[str, Side | FakeConnect] = {
            **self.sides,
            **{f"{key} workers": one for key, one in self.connects.items()},
        }
        self._kept = copy.deepcopy({key: vars(one) for key, one in self._everything.items()})
        shutil.copytree(root / "state", root / "kept")
        self.again()

    def stand_in(self, patch: pytest.MonkeyPatch) -> TwoSides:
        """This one, as it was after the first `up`, in place of what is real for as long as a test runs."""
        self._stand_in(patch)
        self.anew()
        return self

    def _stand_in(self, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("KDEPLOY_STATE_DIR", str(self._root / "state"))
        version = definitions(self.loaded.environment.kafka.version)
        defaults = {key: str(one.default) for key, one in version.topic.items()}
        patch.setattr(fake, "DEFAULTS", {**defaults, "min.insync.replicas": "1"})
        patch.setattr("kdeploy.cluster.admin.connect", lambda access, *_: self._connect(access))
        patch.setattr(
            mirroring, "connect", lambda here, patience=None: self.connects[here.cluster.datacenter]
        )
        patch.setattr(mirroring, "_workers", lambda here, has_begun, **_: ((), ()))
        patch.setattr(set_out, "STARTS_WITHIN", 1.0)
        patch.setattr(readiness, "check", lambda here: self._check(here.cluster.datacenter))
        patch.setattr(switching, "LOOK", 0.01)
        patch.setattr("kdeploy.operations.sides.ALIVE_WITHIN", 0.0)
        patch.setattr(mirroring, "ASK_WITHIN", 0.0)
        patch.setattr("kdeploy.operations.readiness._refuse_dead", lambda *_: None)
        patch.setattr("kdeploy.tuning.mirror.SYNC", 0.1)

    @contextmanager
    def _connect(self, access: Any) -> Iterator[FakeAdmin]:
        name, side = self._where[access.bootstrap]
        if name in self.down:
            raise Unreachable("no broker could be reached within 0 s")
        yield side

    def _check(self, name: str) -> HealthReport:
        wrong = (Check("under-replicated partitions", False, "orders-0 is"),) if name in self.unwell else ()
        return HealthReport(name, (Check("brokers", True, "2 of 2"), *wrong))

    def where(self, access: Any) -> tuple[str, Side]:
        """The datacenter that somebody reaches, and its cluster."""
        return self._where[access.bootstrap]

    def anew(self) -> None:
        """Put everything back to how it was after the first `up`."""
        for key, held in copy.deepcopy(self._kept).items():
            vars(self._everything[key]).clear()
            vars(self._everything[key]).update(held)
        shutil.rmtree(self._root / "state")
        shutil.copytree(self._root / "kept", self._root / "state")
        self.down, self.unwell = set(), set()
        self.steps.said.clear()
        self.again()

    def again(self) -> None:
        """From now on, nothing happened yet."""
        for one in self._everything.values():
            one.calls.clear()

    def happened(self) -> list[Any]:
        """Every change that a cluster or its workers were asked for."""
        return [call for one in self._everything.values() for call in one.calls]

    def write(self, datacenter: str, count: int, topic: str = "orders", age: float = 0.0) -> None:
        """Records at the end of a topic's first partition."""
        log = self.sides[datacenter].logs.setdefault((topic, 0), [])
        start = log[-1].offset + 1 if log else 0
        log += [LogRecord(topic, 0, start + number, NOW - age) for number in range(count)]

    def mirrored(self, source: str, target: str, position: int, topic: str = "orders") -> None:
        """The connector is so far, and the target has as many records."""
        name = f"{source}-to-{target}-records"
        (entry,) = connectors.entries({topic: {0: position}}, source)
        self.connects[target].kept[name] = {"orders-0": entry}
        self.sides[target].logs[topic, 0] = self.sides[source].logs[topic, 0][:position]

    def direction(self, datacenter: str) -> Direction | None:
        """What a cluster keeps of who is written to."""
        return direction.read(self.sides[datacenter])

    def writers(self, datacenter: str) -> set[str]:
        """Topics that the application may write there."""
        return {
            one.name
            for one in self.sides[datacenter].acls
            if one.user == "orders-producer" and one.operation == "write"
        }

    def running(self, datacenter: str) -> set[str]:
        """Connectors that run there."""
        return {name for name, one in self.connects[datacenter].found.items() if one.state == "RUNNING"}


def go(two: TwoSides, to: str = "west", *, accept_loss: bool = False, patience: float = 0.2) -> Report:
    """A failover that does not wait long."""
    return failover(two.loaded, to, two.steps, accept_loss=accept_loss, patience=patience)


def lose_east(two: TwoSides) -> None:
    """East is gone with 4 records that west has not, and west took over; east answers again."""
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    go(two, accept_loss=True)
    two.down = set()
    two.again()
