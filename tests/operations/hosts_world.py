"""Hosts that are dictionaries, reached by a way that is no network: `up` on provider hosts runs whole, in a second.

What kdeploy decides, writes into archives, records and asks is the real thing; a host only keeps what the playbook
would put there, and answers as the program that kdeploy sends it does. Invariant: as `tests.operations.world`.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
import shutil
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kdeploy.cluster.state import Broker
from kdeploy.infra.hosts.archive import RECORD
from kdeploy.infra.hosts.ssh import Shell, Unreachable
from kdeploy.operations import prepare, vaults
from kdeploy.playbooks.runner import Failure, Played, Runner
from kdeploy.spec import load, lockfile
from kdeploy.tuning.render import parse_properties
from tests.infra.test_infra_hosts_preflight import EMPTY, GOOD
from tests.operations.world import World

PASSWORD = "correct horse battery staple"


@dataclass
class Host:
    """What there is on one host.

    Attributes:
        files: What the playbook put there, by path.
        of_host: Paths of those that came with what is the host's own.
        kernel: Values of the kernel's files.
        disks: Ids of file systems by the disks they are on.
        names: Lines of /etc/hosts that name nodes.
        firewall: What stands for the rules that are loaded.
        started: What its node was started with; None while it does not run.
        pid: Of its node.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    of_host: set[str] = field(default_factory=set)
    kernel: dict[str, str] = field(default_factory=dict)
    disks: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    firewall: str = ""
    version: str = ""
    formatted: bool = False
    started: str | None = None
    pid: int = 0

    @property
    def record(self) -> dict[str, Any] | None:
        return json.loads(self.files[RECORD]) if RECORD in self.files else None

    def damaged(self) -> list[str]:
        recorded = (self.record or {}).get("files", {})
        return [path for path, digest in recorded.items() if sha256(self.files.get(path)) != digest]

    def drift(self, asked: Mapping[str, Any]) -> list[list[str]]:
        wrong = [
            [name, wanted, self.kernel.get(path, "as booted")]
            for name, path, wanted in asked["settings"]
            if self.kernel.get(path, "as booted") != wanted
        ]
        if asked["firewall"] and self.firewall != asked["firewall"]:
            wrong.append(["firewall", "as in /etc/kdeploy/firewall.nft", "of other rules"])
        return wrong


def sha256(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


class Killed(BaseException):
    """What stands for the end of kdeploy: nothing handles it."""


class HostsWorld(World):
    """One environment on such hosts, by address.

    Attributes:
        hosts: What there is on each.
        silent: Addresses that do not answer.
        touched: How often a host was asked, or had its part of the playbook.
        killed_at: At which of these kdeploy ends; never at 0.
    """

    def __init__(self, root: Path, name: str, patch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[str, Host] = {}
        self.silent: set[str] = set()
        self.touched = self.killed_at = 0
        patch.setenv("KDEPLOY_VAULT_PASSWORD", PASSWORD)
        super().__init__(root, name, patch)

    def _stand_in(self, patch: pytest.MonkeyPatch) -> None:
        super()._stand_in(patch)
        jar = self.root / "kafka-clients.jar"
        jar.write_bytes(b"a jar")
        patch.setattr("kdeploy.infra.artefacts.jars", lambda *_: (jar,))
        patch.setenv("KDEPLOY_CACHE_DIR", str(self.root / "cache"))
        patch.setattr(Shell, "run", lambda _, host, program, **more: self._asked(host, program))
        patch.setattr(Runner, "play", lambda _, part, hosts, **more: self._played(part, hosts))

    def lock(self) -> lockfile.Lock:
        return lockfile.read_lock(self.folder / "lock.yaml")

    def decide(self) -> None:
        """As a person does after an edit: `plan --lock`, and `vault create` for what is new."""
        loaded = load.load(self.folder)
        prepare.save_lock(prepare.design(loaded, freeze=False))
        vaults.create(load.load(self.folder))

    def begin(self) -> None:
        self.decide()
        if self.admin.found_quorum is not None:
            self.admin.id = str(self.lock().datacenters[0].cluster_id)
        self.up()
        self._kept = copy.deepcopy((dict(vars(self.admin)), self.hosts))
        shutil.copytree(self.folder, self.root / "kept")

    def again(self) -> None:
        cluster, hosts = copy.deepcopy(self._kept)
        vars(self.admin).update(cluster)
        self.hosts.clear()
        self.hosts.update(hosts)
        self.silent.clear()
        self.touched = self.killed_at = 0
        shutil.rmtree(self.folder)
        shutil.copytree(self.root / "kept", self.folder)

    def names(self) -> dict[str, str]:
        """Nodes by their hosts' addresses."""
        design = prepare.design(load.load(self.folder), freeze=True)
        return {node.host: node.name for node in design.blueprint.nodes}

    def seen(self) -> dict[str, Any]:
        self.admin.given = set()
        names = self.names()
        own = {names[address]: one for address, one in self.hosts.items() if address in names and one.record}
        known = ("topics", "config", "passwords", "acls", "limits")
        return copy.deepcopy(
            {
                "files": {},
                "carried": {
                    (f"{'host' if path in one.of_host else 'file'} {name}", path): content
                    for name, one in own.items()
                    for path, content in one.files.items()
                    if path != RECORD and not path.endswith("/applied")
                },
                "pids": {name: one.pid for name, one in own.items() if one.started is not None},
                **{name: getattr(self.admin, name) for name in known},
            }
        )

    def happened(self, before: dict[str, Any]) -> frozenset[str]:
        found = super().happened(before)
        now = self.seen()["carried"]
        return found | {
            f"{kind_and_node} {path if kind_and_node.startswith('host') else Path(path).name}"
            for kind_and_node, path in before["carried"].keys() | now.keys()
            if before["carried"].get((kind_and_node, path)) != now.get((kind_and_node, path))
        }

    def _asked(self, address: str, program: str) -> str:
        if address in self.silent:
            raise Unreachable(f"{address} cannot be reached: it does not answer")
        call = re.fullmatch(r"main\('(\w+)', json\.loads\((.*)\)\)", program.splitlines()[-1])
        assert call is not None
        self._touch()
        host = self.hosts.setdefault(address, Host())
        return json.dumps(getattr(self, f"_{call[1]}")(host, json.loads(ast.literal_eval(call[2]))))

    def _touch(self) -> None:
        self.touched += 1
        if self.touched == self.killed_at:
            raise Killed

    def _look(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        applied = host.files.get(f"{asked['config']}/applied")
        runs = host.started is not None
        return {
            "record": host.record,
            "damaged": host.damaged(),
            "applied": None if applied is None else applied.decode().strip(),
            "started": host.started,
            "running": runs,
            "service": {"ActiveState": "active" if runs else "inactive", "MainPID": str(host.pid)},
            "version": host.version,
            "unmounted": [] if host.disks else list(asked["mounts"]),
            "formatted": [host.formatted for _ in asked["data"]],
            "was_formatted": host.formatted,
            "drift": host.drift(asked),
            "open_files": None,
            "last": "",
        }

    def _files(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        record = host.record or {"files": {}, "secrets": []}
        secret = set(record["secrets"])
        return {
            "recorded": host.record is not None,
            "texts": {path: host.files[path].decode() for path in record["files"] if path not in secret},
            "secrets": {path: record["files"][path] for path in secret},
            "damaged": host.damaged(),
        }

    def _start(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.pids += 1
        host.pid, host.started = self.pids, host.files[f"{asked['config']}/applied"].decode().strip()
        text = host.files.get("/etc/kafka/server.properties", b"").decode()
        settings = parse_properties(text)
        if "broker.id" in settings or settings.get("process.roles") == "broker":
            number = int(settings.get("broker.id") or settings["node.id"])
            self.admin.started_with[number] = settings
            if number not in {one.id for one in self.admin.brokers}:
                self.admin.brokers = (
                    *self.admin.brokers,
                    Broker(number, settings["broker.rack"], "localhost"),
                )
        return {"ok": True, "said": "", "service": {}}

    def _stop(self, host: Any, asked: Any, patience: float = 0) -> Any:
        host.started = None
        return {"ok": True, "said": "", "service": {}}

    def _boot(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"boot": "this one"}

    def _hold(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": True, "said": "", "holder": asked["holder"]}

    def _release(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": True, "said": "", "holder": None}

    def _played(self, part: str, hosts: Mapping[str, Mapping[str, Any]]) -> Played:
        played = Played(finished=True)
        for name, given in hosts.items():
            address = given["ansible_host"]
            if address in self.silent:
                played.failures.append(Failure(name, "", "it does not answer"))
                continue
            self._touch()
            host = self.hosts.setdefault(address, Host())
            if part == "preflight":
                facts = self._facts(address, host, given["preflight_questions"])
                played.output[name] = {"Look at the host": json.dumps(facts)}
            elif part == "provision":
                self._provisioned(host, given)
            else:
                self._applied(host, given)
        return played

    def _facts(self, address: str, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        disks = {
            device: {**EMPTY, "type": "xfs", "uuid": host.disks[device]} if device in host.disks else EMPTY
            for device in asked["disks"]
        }
        mine = {"boot": address, "time": time.time(), "disks": disks, "known": host.record is not None}
        large = {"cores": 64, "memory": 2**38, "serves": host.started is not None}
        return {**GOOD, **mine, **large, "login": []}

    def _provisioned(self, host: Host, given: Mapping[str, Any]) -> None:
        carried = contents(given["host_archive"])
        host.files |= carried
        host.of_host |= carried.keys()
        for path, content in carried.items():
            host.kernel |= dict(kernel_values(path, content.decode()))
        host.disks |= {one["device"]: one["file_system"] for one in given["disks_volumes"]}
        host.names, host.firewall = tuple(given["host_names"]), given["firewall_digest"]
        host.version = given["kafka_version"]

    def _applied(self, host: Host, given: Mapping[str, Any]) -> None:
        for path in given["service_stale"]:
            host.files.pop(path, None)
        for role in ("security", "service"):
            host.files |= contents(given[f"{role}_archive"])
        host.formatted |= bool(given["service_format"])


def contents(archive: str) -> dict[str, bytes]:
    """Files of an archive by the paths that they get."""
    with tarfile.open(archive) as opened:
        return {f"/{one.name}": opened.extractfile(one).read() for one in opened}  # type: ignore[union-attr]


def kernel_values(path: str, text: str) -> Sequence[tuple[str, str]]:
    """Values that a file of sysctl.d or tmpfiles.d has the kernel take, by the kernel's own files."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if path.startswith("/etc/sysctl.d/"):
        pairs = [line.partition("=") for line in lines]
        return [
            ("/proc/sys/" + key.strip().replace(".", "/"), " ".join(value.split())) for key, _, value in pairs
        ]
    if path.startswith("/etc/tmpfiles.d/"):
        return [(line.split()[1], line.split()[6]) for line in lines if line.startswith("w")]
    return []
