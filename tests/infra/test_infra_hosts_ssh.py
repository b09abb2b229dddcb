"""How hosts are reached: what a person wrote, one configuration, and failures in plain words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError
from kdeploy.infra.hosts.ssh import NoPrivilege, Shell, Unreachable
from kdeploy.spec.model import Ssh


def shell(tmp_path: Path, password: str | None = None, **settings: object) -> Shell:
    file = None
    if password is not None:
        file = tmp_path / "sudo"
        file.write_text(password + "\n")
    return Shell(Ssh.model_validate(settings), tmp_path / "known_hosts", tmp_path / "ssh", file)


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that runs the command here, or fails as a file beside it says."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = (
        '#!/bin/sh\nif [ -f "$0.fails" ]; then . "$0.fails"; fi\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    (programs / "ssh").write_text(script)
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs


def test_the_configuration_says_what_the_person_wrote(tmp_path: Path) -> None:
    text = shell(tmp_path, user="ops", port=2222, key="/k/id", jump="me@bastion").configuration.read_text()
    for line in ("User ops", "Port 2222", 'IdentityFile "/k/id"', "ProxyJump me@bastion", "BatchMode yes"):
        assert f"  {line}\n" in text
    assert f'UserKnownHostsFile "{tmp_path}/known_hosts"' in text
    assert "StrictHostKeyChecking accept-new" in text


@pytest.mark.parametrize(
    ("kind", "word"), [("known", "yes"), ("unchecked", "no"), ("first-use", "accept-new")]
)
def test_hosts_are_believed_as_the_person_wrote(tmp_path: Path, kind: str, word: str) -> None:
    text = shell(tmp_path, host_keys=kind).configuration.read_text()
    assert f"StrictHostKeyChecking {word}\n" in text
    assert ("/dev/null" in text.split("UserKnownHostsFile")[1].splitlines()[0]) == (kind == "unchecked")


@pytest.mark.usefixtures("fake_ssh")
@pytest.mark.skipif(os.geteuid() != 0, reason="root needs no sudo, which this machine may not have")
@pytest.mark.parametrize("password", [None, "hunter2"])
def test_a_program_travels_through_standard_input(tmp_path: Path, password: str | None) -> None:
    assert shell(tmp_path, password).run("here", "print(1 + 1)") == "2\n"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("ops@h: Permission denied (publickey).", "it does not let ops in"),
        ("Host key verification failed.", "its host key is not the known one"),
        ("ssh: connect to host h port 22: No route to host", "there is no way to its address"),
        ("ssh: connect to host h port 22: Connection refused", "nothing answers at its SSH port"),
        ("ssh: Could not resolve hostname h: Name or service not known", "its name is not known here"),
        ("ssh: connect to host h port 22: Connection timed out", "it does not answer"),
        ("kex_exchange_identification: read: Connection reset", "Connection reset"),
    ],
)
def test_a_host_that_cannot_be_reached_is_told_in_plain_words(
    tmp_path: Path, fake_ssh: Path, stderr: str, said: str
) -> None:
    (fake_ssh / "ssh.fails").write_text(f"echo '{stderr}' >&2; exit 255\n")
    with pytest.raises(Unreachable, match=r"^h cannot be reached: ") as caught:
        shell(tmp_path, user="ops").run("h", "pass")
    assert said in str(caught.value)


def test_no_way_to_root_names_the_remedy(tmp_path: Path, fake_ssh: Path) -> None:
    (fake_ssh / "ssh.fails").write_text("exit 77\n")
    with pytest.raises(NoPrivilege, match="ops is not root, and sudo asks for a password"):
        shell(tmp_path, user="ops").run("h", "pass")
    with pytest.raises(NoPrivilege, match="sudo does not accept the password"):
        shell(tmp_path, "wrong", user="ops").run("h", "pass")


@pytest.mark.usefixtures("fake_ssh")
@pytest.mark.skipif(os.geteuid() != 0, reason="root needs no sudo, which this machine may not have")
def test_a_program_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(KdeployError, match="h: ValueError: no"):
        shell(tmp_path).run("h", "raise ValueError('no')")
