"""A machine whose nodes are no processes, and a cluster that is a few dictionaries: `up` runs whole, in a second.

Files, records, fingerprints, locks and vaults are the real ones; only what would be a process, and what would be
a connection, is remembered here. Invariant: `seen` is told by what is on disk and in the cluster, never by kdeploy.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import HealthReport, fake
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Metadata, Quorum, Voter
from kdeploy.infra.local import process
from kdeploy.operations import places, preview, readiness, up
from kdeploy.operations.progress import Silent
from kdeploy.spec import load, lockfile
from kdeploy.tuning.definitions import definitions
from kdeploy.tuning.render import parse_properties

SHIPPED = Path(__file__).parents[2] / "environments"


class Cluster(FakeAdmin):
    """A cluster that knows every setting of its version, and remembers what brokers were given."""

    def __init__(self, quorum: Quorum | None) -> None:
        super().__init__(quorum=quorum)
        self.id = "chosen-by-zookeeper"
        self.given: set[tuple[int, str]] = set()

    def metadata(self) -> Metadata:
        return replace(super().metadata(), cluster_id=self.id)

    def set_broker_settings(self, broker: int, settings: Any, *, only_judge: bool = False) -> None:
        super().set_broker_settings(broker, settings, only_judge=only_judge)
        if not only_judge:
            self.given |= {(broker, name) for name in settings}


class World:
    """One environment on such a machine.

    Attributes:
        folder: The environment's folder.
        admin: Its cluster.
    """

    def __init__(self, root: Path, name: str, patch: pytest.MonkeyPatch) -> None:
        self.root, self.folder = root, root / "environments" / name
        shutil.copytree(SHIPPED / name, self.folder)
        patch.setenv("KDEPLOY_STATE_DIR", str(root / "state"))
        self.base = (self.folder / "environment.yaml").read_text()
        kraft = "coordination: kraft" in self.base
        voters = tuple(Voter(number, 0, 0.0) for number in (1001, 1002, 1003))
        self.admin = Cluster(Quorum(1001, voters) if kraft else None)
        self.processes: dict[Path, process.Started] = {}
        self.pids = 1000
        self._stand_in(patch)
        self._kept: Any = None

    def _stand_in(self, patch: pytest.MonkeyPatch) -> None:
        known = definitions(self.environment().kafka.version)
        broker = {key: one.default for key, one in known.broker.items()}
        topic = {key: str(one.default) for key, one in known.topic.items()}
        patch.setattr(fake, "BROKER_DEFAULTS", broker)
        patch.setattr(fake, "DEFAULTS", {**topic, "min.insync.replicas": "2"})
        patch.setattr(process, "is_running", lambda folder: self._runs(folder))
        patch.setattr(process, "read_started", self.processes.get)
        patch.setattr(process, "launch", self._launch)
        patch.setattr(process, "stop", self._stop)
        patch.setattr("kdeploy.infra.local.ports.refuse_taken", lambda node: None)
        patch.setattr("kdeploy.infra.local.provider.preflight", lambda root, nodes: None)
        patch.setattr("kdeploy.infra.local.storage.format_new", lambda *_: None)
        java = SimpleNamespace(java="java", class_path_text="")
        patch.setattr("kdeploy.infra.artefacts.fetch", lambda *_: java)
        patch.setattr("kdeploy.cluster.admin.connect", lambda access, *_: self._connect())
        patch.setattr(readiness, "PAUSE", 0.0)
        patch.setattr(readiness, "CALM_READINGS", 1)
        patch.setattr(readiness, "wait_for_coordination", lambda site, *, all_of_them: None)
        patch.setattr(readiness, "leading_coordinator", lambda site: site.cluster.coordinators[0].id)
        well = HealthReport("dc1", ())
        patch.setattr(readiness, "check", lambda site: well)
        patch.setattr(readiness, "verify", lambda site: well)
        patch.setattr(up, "_hand_out", lambda site: None)

    @contextmanager
    def _connect(self) -> Iterator[FakeAdmin]:
        yield self.admin

    def _runs(self, folder: Path) -> bool:
        return folder in self.processes and self.processes[folder].stopping is None

    def _launch(
        self, folder: Path, lock: int, command: Sequence[str], environment: Any, started: str
    ) -> None:
        self.pids += 1
        self.processes[folder] = process.Started(self.pids, started, None)
        if folder.name.startswith("broker-"):
            number = int(folder.name.rpartition("-")[2])
            text = (folder / "config" / "server.properties").read_text()
            self.admin.started_with[number] = parse_properties(text)

    def _stop(self, folder: Path, how: Any, patience: float) -> None:
        if self._runs(folder):
            self.processes[folder] = replace(self.processes[folder], stopping=how)

    def environment(self) -> Any:
        return load.load(self.folder).environment

    def edit(self, edits: Sequence[tuple[str, str]]) -> None:
        """Change the environment's file as a person would."""
        text = (self.folder / "environment.yaml").read_text()
        for old, new in edits:
            assert not old or text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, new) if old else text + new
        (self.folder / "environment.yaml").write_text(text)

    def preview(self) -> preview.Preview:
        return preview.preview(load.load(self.folder))

    def up(self, **more: Any) -> Any:
        outcomes = up.up(load.load(self.folder), Silent(), **more)
        lock = lockfile.read_lock(places.lock_file(load.load(self.folder)))
        assert lock is not None
        if self.admin.found_quorum is not None:
            self.admin.id = str(lock.datacenters[0].cluster_id)
        return outcomes

    def begin(self) -> None:
        """Bring it up for the first time, and keep how it is then."""
        if self.admin.found_quorum is not None:  # its id is in the lock before it starts
            from kdeploy.operations import prepare

            design = prepare.design(load.load(self.folder), freeze=True)
            prepare.save_lock(design)
            self.admin.id = str(design.lock.datacenters[0].cluster_id)
        self.up()
        cluster = dict(vars(self.admin))
        self._kept = copy.deepcopy((cluster, self.processes))
        shutil.copytree(self.root / "state", self.root / "kept")

    def again(self) -> None:
        """Put everything back to how it was after `begin`."""
        cluster, processes = copy.deepcopy(self._kept)
        vars(self.admin).update(cluster)
        self.processes.clear()
        self.processes.update(processes)
        shutil.rmtree(self.root / "state")
        shutil.copytree(self.root / "kept", self.root / "state")
        (self.folder / "environment.yaml").write_text(self.base)

    def seen(self) -> dict[str, Any]:
        """All there is, as it is now."""
        self.admin.given = set()
        nodes = self.root / "state" / self.folder.name / "nodes"
        files = {
            (path.relative_to(nodes).parts[1], path.name): path.read_bytes()
            for kind in ("config", "secrets")
            for path in nodes.glob(f"*/*/{kind}/*")
        }
        cluster = {
            name: getattr(self.admin, name) for name in ("topics", "config", "passwords", "acls", "limits")
        }
        pids = {folder.name: one.pid for folder, one in self.processes.items() if one.stopping is None}
        return copy.deepcopy({"files": files, "pids": pids, **cluster})

    def happened(self, before: dict[str, Any]) -> frozenset[str]:
        """Everything that is not as it was, as tokens of the table."""
        given = sorted(self.admin.given)
        now = self.seen()
        return frozenset(
            [
                *_processes(before["pids"], now["pids"]),
                *(
                    f"file {node} {name}"
                    for node, name in before["files"].keys() | now["files"].keys()
                    if before["files"].get((node, name)) != now["files"].get((node, name))
                ),
                *(
                    f"set broker-{number} {name} {self.admin.broker_settings(number, [name])[name].value}"
                    for number, name in given
                ),
                *_topics(before, now),
                *_users(before["passwords"], now["passwords"]),
                *_quotas(before["limits"], now["limits"]),
                *(f"acl + {one}" for one in now["acls"] - before["acls"]),
                *(f"acl - {one}" for one in before["acls"] - now["acls"]),
            ]
        )


def _processes(before: dict[str, int], now: dict[str, int]) -> Iterator[str]:
    for node in before.keys() | now.keys():
        if before.get(node) != now.get(node):
            yield f"restart {node}" if node in before and node in now else f"start {node}"


def _topics(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name, partitions in now["topics"].items():
        config, old = now["config"][name], before["config"].get(name, {})
        if name not in before["topics"]:
            own = "".join(f", {key} {value}" for key, value in sorted(config.items()))
            yield f"topic {name} made {len(partitions)} partitions, {len(partitions[0].replicas)} copies{own}"
            continue
        if len(partitions) != len(before["topics"][name]):
            yield f"topic {name} partitions {len(partitions)}"
        copies = len(partitions[0].replicas)
        if copies != len(before["topics"][name][0].replicas):
            yield f"topic {name} copies {copies}"
        yield from (f"topic {name} {key} {value}" for key, value in config.items() if old.get(key) != value)
        yield from (f"topic {name} {key} unset" for key in old.keys() - config.keys())
    yield from (f"topic {name} gone" for name in before["topics"].keys() - now["topics"].keys())


def _quotas(before: dict[Any, dict[str, float]], now: dict[Any, dict[str, float]]) -> Iterator[str]:
    yield from (f"quota {whom} gone" for whom in before.keys() - now.keys())
    for whom, limits in now.items():
        old = before.get(whom, {})
        changed = sorted(key for key in limits.keys() | old.keys() if limits.get(key) != old.get(key))
        if changed:
            said = (f"{key} {limits[key]:.15g}" if key in limits else f"{key} unset" for key in changed)
            yield f"quota {whom} {', '.join(said)}"


def _users(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for user in before.keys() | now.keys():
        if before.get(user) != now.get(user):
            yield f"user {user} " + (
                "made" if user not in before else "gone" if user not in now else "password"
            )


def predicted(document: dict[str, Any]) -> frozenset[str]:
    """The same tokens, from the JSON of `preview`."""
    return frozenset(token for one in document["changes"] for token in _of(one))


def _of(change: dict[str, Any]) -> Iterator[str]:
    name, what = change["name"], change["what"]
    match change["layer"], change["kind"]:
        case "nodes", "update":
            pass  # its files say so
        case "nodes", kind:
            yield f"{kind} {name}"
        case "host" | "files", _:
            yield _of_file(change)
        case "settings", _:
            yield f"set {name} {what.split()[0]} {change['after']}"
        case "topics", kind:
            yield from _of_topic(kind, name, what, change["after"])
        case "users", kind:
            yield f"user {name} " + ("gone" if what.startswith("remove") else USERS[kind])
        case "acls", kind:
            yield f"acl {'+' if kind == 'create-acl' else '-'} {what.partition(': ')[2]}"
        case "quotas", _:
            yield f"quota {name} {change['after'] or 'gone'}"
        case layer, kind:
            raise AssertionError(f"{layer} {kind} has no token yet")


def _of_file(change: dict[str, Any]) -> str:
    path = change["path"]
    return (
        f"host {change['name']} {path}"
        if change["layer"] == "host"
        else f"file {change['name']} {Path(path).name}"
    )


USERS = {"create-user": "made", "set-password": "password", "shut-out-user": "password"}


def _of_topic(kind: str, name: str, what: str, after: str | None) -> Iterator[str]:
    match kind:
        case "create-topic":
            said = what.partition(": ")[2].removeprefix("partitions ")
            partitions, _, rest = said.partition(", replication factor ")
            copies, comma, own = rest.partition(", ")
            yield f"topic {name} made {partitions} partitions, {copies} copies{comma}{own}"
        case "add-partitions":
            yield f"topic {name} partitions {after}"
        case "alter-replication":
            yield f"topic {name} copies {after}"
        case "delete-topic":
            yield f"topic {name} gone"
        case _:
            yield from (f"topic {name} {one}" for one in (after or "").split(", "))
