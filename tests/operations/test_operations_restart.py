"""`restart` and `unlock` refuse what they cannot do, before anything is taken or touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import hosts, places
from kdeploy.operations.progress import Silent
from kdeploy.operations.restart import restart
from kdeploy.operations.site import Manner
from kdeploy.spec import load

SHIPPED = Path(__file__).parents[2] / "environments"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"nodes": ["broker-9"]}, r"there is no node 'broker-9'\n  there are: broker-1, broker-2, broker-3"),
        ({"racks": ["z"]}, r"there is no rack 'z'\n  there are: a, b, c"),
        ({"nodes": ["broker-1"], "racks": ["z"]}, "there is no rack 'z'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    asked: dict[str, list[str]], said: str, state: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        restart(load.load(SHIPPED / "local"), Silent(), **asked)
    assert not state.exists()


def test_this_machine_is_never_booted_anew(state: Path) -> None:
    with pytest.raises(UsageError, match="processes on this machine, which --reboot would boot anew"):
        restart(load.load(SHIPPED / "local"), Silent(), manner=Manner(reboot=True))
    assert not state.exists()


def test_an_environment_that_was_never_up_is_refused(state: Path) -> None:
    with pytest.raises(KdeployError, match="nothing is decided about local yet"):
        restart(load.load(SHIPPED / "local"), Silent())
    assert not state.exists()


@pytest.mark.parametrize("name", ["local", "datacenter-zk"])
def test_unlocking_what_was_never_up_finds_nothing(name: str, state: Path) -> None:
    assert hosts.unlock(load.load(SHIPPED / name)) == hosts.Unlocked()
    assert not state.exists()


def test_what_stands_for_an_operator_is_made_once(state: Path) -> None:
    folder = places.hosts_folder("any")
    assert hosts._operator(folder) == hosts._operator(folder)
