"""`down` on hosts of which some cannot be asked: it says so, since what runs there may go on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import Node
from kdeploy.errors import KdeployError
from kdeploy.infra import NodeState
from kdeploy.operations import hosts, prepare
from kdeploy.operations.progress import Silent
from kdeploy.spec import load

SHIPPED = Path(__file__).parents[2] / "environments"
WHY = "10.20.2.21 cannot be reached: it does not answer"


class Provider:
    """Hosts of which every node runs, but for those that do not answer."""

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.stopped: set[str] = set()
        self.deleted: set[str] = set()

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        return {
            one.key: NodeState(True, False, None, None, WHY, unseen=True)
            if one.name in self.silent
            else NodeState(True, True, None, None, "process 1")
            for one in nodes
        }

    def stop(self, node: Node) -> None:
        self.stopped.add(node.name)

    def delete(self, node: Node) -> None:
        self.deleted.add(node.name)

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        """Everybody may work here."""

    def release(self, nodes: Sequence[Node], operator: str | None = None) -> tuple[str, ...]:
        return ()


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An environment on hosts that was decided."""
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    shutil.copytree(SHIPPED / "datacenter-zk", tmp_path / "dc")
    found = load.load(tmp_path / "dc")
    prepare.save_lock(prepare.design(found, freeze=False))
    return found


def provided(monkeypatch: pytest.MonkeyPatch, *silent: str) -> Provider:
    made = Provider(*silent)
    monkeypatch.setattr(hosts, "any_provider", lambda *_: made)
    return made


ALL = {f"{role}-{number}" for role in ("zookeeper", "broker") for number in (1, 2, 3)}


def test_where_every_host_answers_all_of_them_are_stopped(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = provided(monkeypatch)
    assert set(hosts.down(loaded, Silent(), delete_data=False)) == provider.stopped == ALL


def test_a_node_that_cannot_be_asked_is_not_called_stopped_and_the_others_are(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = provided(monkeypatch, "broker-2")
    with pytest.raises(KdeployError) as caught:
        hosts.down(loaded, Silent(), delete_data=False)
    assert str(caught.value) == (
        "what could be asked is stopped, and what could not may still run:\n"
        f"  - broker-2: {WHY}\n"
        "  run this again when they answer, or stop them there"
    )
    assert provider.stopped == ALL - {"broker-2"}


def test_no_data_is_deleted_anywhere_while_a_host_cannot_be_asked(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = provided(monkeypatch, "zookeeper-3", "broker-1")
    with pytest.raises(KdeployError, match="nothing was stopped or deleted") as caught:
        hosts.down(loaded, Silent(), delete_data=True)
    assert "- zookeeper-3: " in str(caught.value)
    assert "- broker-1: " in str(caught.value)
    assert (provider.stopped, provider.deleted) == (set(), set())
