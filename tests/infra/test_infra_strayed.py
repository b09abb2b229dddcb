"""What somebody else changed on a node is named, file by file and setting by setting; no secret is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import RenderedFile
from kdeploy.infra import Strayed
from kdeploy.infra.hosts import look, remote
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import SECRETS, blueprint, node, with_text
from tests.infra.test_infra_hosts_provider import broker

SERVER = "config/server.properties"
IDENTITY = "secrets/identity.pem"

Meddling = Callable[[Path], object]

BY_HAND: tuple[tuple[str, Meddling, Strayed | None], ...] = (
    ("nothing", lambda home: None, None),
    (
        "an edited file",
        lambda home: (home / SERVER).write_text("broker.id=7\n"),
        Strayed("files", SERVER, "broker.id=1\n", "broker.id=7\n", "it was edited"),
    ),
    (
        "a removed file",
        lambda home: (home / SERVER).unlink(),
        Strayed("files", SERVER, "broker.id=1\n", None, "it is missing"),
    ),
    (
        "a file opened to others",
        lambda home: (home / SERVER).chmod(0o644),
        Strayed("files", SERVER, "broker.id=1\n", "broker.id=1\n", "others may read it"),
    ),
    (
        "a secret that was replaced",
        lambda home: (home / IDENTITY).write_bytes(b"another key"),
        Strayed("files", IDENTITY, None, None, "its content or its mode was changed; it is secret"),
    ),
    (
        "a secret that was removed",
        lambda home: (home / IDENTITY).unlink(),
        Strayed("files", IDENTITY, None, None, "it is missing"),
    ),
)


@pytest.mark.parametrize(("what", "meddle", "expected"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_what_was_changed_by_hand_in_a_nodes_folder_is_named(
    provider: LocalProvider, tmp_path: Path, what: str, meddle: Meddling, expected: Strayed | None
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    meddle(tmp_path / "nodes" / "here" / "broker-1")
    found = provider.strayed([one])[one.key]
    assert found == ((expected,) if expected else ()), what
    assert "another key" not in repr(found)


def test_what_git_has_changed_since_is_not_strayed(provider: LocalProvider) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    assert provider.strayed([with_text(one, "broker.id=9\n")])[one.key] == ()


def test_a_node_that_was_never_applied_has_nothing_strayed(provider: LocalProvider) -> None:
    one = node()
    assert provider.strayed([one])[one.key] == ()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's record with one file, one secret and one kernel setting, all as they were put there."""
    files = {"server.properties": b"broker.id=1\n", "identity.pem": b"a key"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    record = {
        "files": {str(tmp_path / name): hash_of(content) for name, content in files.items()},
        "secrets": [str(tmp_path / "identity.pem")],
    }
    (tmp_path / "node.json").write_text(json.dumps(record))
    (tmp_path / "swappiness").write_text("1\n")
    monkeypatch.setattr(remote, "RECORD", str(tmp_path / "node.json"))
    return tmp_path


def hash_of(content: bytes) -> str:
    return RenderedFile("x", content.decode()).sha256


def asked(host: Path) -> dict[str, Any]:
    return {"settings": [["vm.swappiness", str(host / "swappiness"), "1"]], "queues": {}, "firewall": ""}


def test_a_host_as_it_was_left_has_nothing_strayed(host: Path) -> None:
    seen = remote.strayed(asked(host))
    assert (seen["files"], seen["settings"]) == ([], [])


def test_a_host_tells_an_edited_file_a_changed_secret_without_it_and_a_setting(host: Path) -> None:
    (host / "server.properties").write_text("broker.id=8\n")
    (host / "identity.pem").write_text("a key of somebody else")
    (host / "swappiness").write_text("60\n")
    seen = remote.strayed(asked(host))
    assert "somebody else" not in json.dumps(seen)
    path = str(host / "server.properties")
    one = replace(broker(), files=(RenderedFile(path, "broker.id=1\n"),))
    assert look.strayed(one, seen) == (
        Strayed(
            "files",
            str(host / "identity.pem"),
            None,
            None,
            "its content or its mode was changed; it is secret",
        ),
        Strayed("files", path, "broker.id=1\n", "broker.id=8\n", "it was edited"),
        Strayed("host", "vm.swappiness", "1", "60"),
    )


def test_a_kernel_setting_that_git_has_changed_is_not_strayed() -> None:
    sysctl = RenderedFile("/etc/sysctl.d/99-kdeploy.conf", "vm.swappiness = 10\n")
    seen = {"files": [], "settings": [["vm.swappiness", "10", "1"]], "recorded": {sysctl.path: "of before"}}
    one = replace(broker(), files=(sysctl,))
    assert look.strayed(one, seen) == ()
    seen["recorded"] = {sysctl.path: sysctl.sha256}
    assert look.strayed(one, seen) == (Strayed("host", "vm.swappiness", "10", "1"),)


TIMER = "kdeploy-disk-use.timer"
SHOWN = {
    "as it was left": ("active", "enabled", None),
    "stopped": ("inactive", "enabled", ("running", "stopped")),
    "ended by an error": ("failed", "enabled", ("running", "stopped")),
    "gone": ("inactive", "", ("running", "stopped")),
    "not to be started at boot": ("active", "disabled", ("started at boot", "not started at boot")),
}


@pytest.mark.parametrize("put_there", [True, False])
@pytest.mark.parametrize("how", SHOWN)
def test_a_timer_of_metrics_that_somebody_stopped_is_named_where_one_was_put_there(
    host: Path, monkeypatch: pytest.MonkeyPatch, how: str, put_there: bool
) -> None:
    active, at_boot, told = SHOWN[how]
    asked_of: list[str] = []

    def shown(*command: str) -> str:
        asked_of.append(command[2])
        return f"ActiveState={active}\nUnitFileState={at_boot}\n"

    monkeypatch.setattr(remote, "output", shown)
    if put_there:
        record = json.loads((host / "node.json").read_text())
        (host / TIMER).write_text("[Timer]\n")
        record["files"][str(host / TIMER)] = hash_of(b"[Timer]\n")
        (host / "node.json").write_text(json.dumps(record))
    seen = remote.strayed(asked(host))
    expected = [[TIMER, *told]] if told and put_there else []
    assert seen["settings"] == expected
    assert asked_of == [TIMER] * put_there
    found = look.strayed(replace(broker(), files=()), seen)
    assert found == tuple(Strayed("host", *one) for one in expected)


def test_status_names_a_timer_that_was_stopped_and_up_has_something_to_do() -> None:
    one = replace(broker(), files=(), secrets=())
    seen = {
        "record": {"files": {}, "live": []},
        "damaged": [],
        "drift": [],
        "applied": "a",
        "started": "a",
        "running": True,
        "unmounted": [],
        "service": {"MainPID": "7", "ActiveEnterTimestamp": "now"},
        "open_files": None,
        "version": "3.9.2",
    }
    calm = look.state(one, seen)
    found = look.state(one, {**seen, "drift": [[TIMER, "running", "stopped"]]})
    assert (calm.applied, found.applied) == ("a", None)
    assert found.detail == f"{calm.detail}; {TIMER} is stopped, wanted running"
