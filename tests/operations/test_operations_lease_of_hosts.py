"""The lease of hosts: whose are held, what becomes of one that a killed run left, and who cannot be asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdeploy.blueprint import Blueprint, Node
from kdeploy.cli import kdeploy
from kdeploy.errors import KdeployError, LeaseHeld
from kdeploy.infra.hosts import remote
from kdeploy.infra.hosts.ssh import Shell, Unreachable
from kdeploy.operations import hosts, places, prepare
from kdeploy.spec import load
from tests.contracts import hold
from tests.tuning.test_tuning_goldens import rendered

SHIPPED = Path(__file__).parents[2] / "environments"


class Provider:
    """Remembers whose hosts were asked."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.released: list[str] = []

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        self.held = [node.key for node in nodes]

    def release(self, nodes: Sequence[Node], operator: str | None = None) -> tuple[str, ...]:
        self.released = [node.key for node in nodes]
        return ()


def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **given: Any) -> tuple[Provider, Blueprint]:
    provider, blueprint = Provider(), rendered("datacenter-two-dc")
    loaded = SimpleNamespace(environment=SimpleNamespace(name="datacenter-two-dc"))
    design: Any = SimpleNamespace(loaded=loaded, blueprint=blueprint)
    monkeypatch.setattr(places, "is_local", lambda _: False)
    monkeypatch.setattr(places, "hosts_folder", lambda _: tmp_path)
    monkeypatch.setattr(hosts, "any_provider", lambda *_: provider)
    with hosts.held(design, "failover", **given):
        assert provider.held
    return provider, blueprint


def test_every_host_is_held_workers_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provider, blueprint = held(monkeypatch, tmp_path)
    assert provider.held == provider.released == [node.key for node in blueprint.nodes]
    assert "paris/mirror-2" in provider.held


class Machines:
    """The hosts of an environment, each a folder: the program that hosts run works on it, over no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.silent: set[str] = set()

    def run(self, host: str, program: str, *, patience: float = 60) -> str:
        if host in self.silent:
            raise Unreachable(f"{host} cannot be reached: it does not answer")
        text = program.replace(remote.LEASE, str(self.folder / host / "lease.json"))
        ran = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, check=True)
        return ran.stdout


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> prepare.Design:
    """An environment on hosts with a lock beside it."""
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    shutil.copytree(SHIPPED / "datacenter-zk", tmp_path / "dc")
    made = prepare.design(load.load(tmp_path / "dc"), freeze=False)
    prepare.save_lock(made)
    return made


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    made = Machines(tmp_path)
    monkeypatch.setattr(Shell, "run", lambda self, host, program, **more: made.run(host, program, **more))
    return made


def unlock(design: prepare.Design, *more: str) -> Result:
    return CliRunner().invoke(kdeploy, ["unlock", str(design.loaded.folder), "--yes", *more])


def test_a_lease_that_a_killed_run_elsewhere_left_is_ended_by_unlock(
    decided: prepare.Design, machines: Machines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed = hosts.held(decided, "up")
    killed.__enter__()  # and never left
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "another machine"))
    with pytest.raises(LeaseHeld, match=r"(?s)at work on these hosts: up by .*`kdeploy unlock ENV`"):
        hosts.held(decided, "restart").__enter__()
    done = unlock(decided)
    assert (done.exit_code, done.stdout.count("up by")) == (0, 1), "six hosts have one and the same lease"
    assert unlock(decided).stdout == "no lease was held\n"
    with hosts.held(decided, "restart"):
        assert "restart by" in unlock(decided, "--output", "json").stdout


def test_hosts_that_cannot_be_reached_are_named_by_unlock_and_where_none_can_it_says_so(
    decided: prepare.Design, machines: Machines
) -> None:
    nodes = decided.blueprint.nodes
    killed = hosts.held(decided, "up")
    killed.__enter__()  # and never left
    machines.silent = {nodes[0].host}
    done = unlock(decided)
    assert done.exit_code == 0
    assert done.stdout.startswith("ended: up by")
    assert "not asked, since they cannot be reached: zookeeper-1; a lease there ends when" in done.stdout
    document = json.loads(unlock(decided, "--output", "json").stdout)
    hold(document)
    assert (document["ended"], document["unasked"]) == ([], ["zookeeper-1"])
    machines.silent = {node.host for node in nodes}
    failed = unlock(decided).exception
    assert isinstance(failed, KdeployError)
    assert "no host of dc can be reached, so no lease was looked at" in str(failed)


def test_hosts_of_a_datacenter_that_does_not_answer_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider, _ = held(monkeypatch, tmp_path, datacenters={"paris"})
    assert {key.partition("/")[0] for key in provider.held} == {"paris"}
    assert provider.released == provider.held
