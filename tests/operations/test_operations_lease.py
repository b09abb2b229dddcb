"""One operator at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError, LeaseHeld
from kdeploy.operations.down import _delete
from kdeploy.operations.lease import lease

HOLDER = """
import sys
from pathlib import Path
from kdeploy.operations.lease import lease
with lease(Path(sys.argv[1]), "up"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def holder(folder: Path) -> tuple[str, int]:
    """What the lease says of who holds it."""
    said = json.loads((folder / "lease").read_text())
    return said["command"], said["pid"]


def test_a_second_operator_is_refused_and_told_who_is_at_work_since_when(tmp_path: Path) -> None:
    with hold(tmp_path / "local") as first:
        with pytest.raises(LeaseHeld) as refused, lease(tmp_path / "local", "down"):
            pass
        assert f"process {first.pid}" in str(refused.value)
        assert "up by" in str(refused.value)
        assert " since 20" in str(refused.value)
        first.kill()


def test_a_lease_ends_with_its_holder_however_that_dies(tmp_path: Path) -> None:
    with hold(tmp_path / "local") as first:
        first.kill()
    with lease(tmp_path / "local", "down"):
        assert holder(tmp_path / "local") == ("down", os.getpid())


def test_a_lease_can_be_taken_again_and_again(tmp_path: Path) -> None:
    for command in ("up", "down", "up"):
        with lease(tmp_path / "local", command):
            assert holder(tmp_path / "local") == (command, os.getpid())


def test_a_lease_on_a_folder_that_was_deleted_meanwhile_is_not_one(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "local"
    with lease(folder, "down"):
        shutil.rmtree(folder)
        with lease(folder, "up"):
            assert (folder / "lease").exists()


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(KdeployError, match=r"state folder .*file/local cannot be written"),
        lease(tmp_path / "file" / "local", "up"),
    ):
        pass


def test_a_state_folder_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(KdeployError, match="No locks available"), lease(tmp_path / "env", "up"):
        pass


def test_the_lease_of_a_folder_is_deleted_last_so_that_nobody_begins_in_what_is_being_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "env"
    with lease(folder, "down"):
        for name in ("vault.yaml", "zzz", "aaa"):
            (folder / name).touch()
        (folder / "nodes" / "dc1").mkdir(parents=True)
        left: list[set[str]] = []

        def unlink(path: Path, missing_ok: bool = False) -> None:
            left.append({entry.name for entry in folder.iterdir()})
            os.unlink(path)

        monkeypatch.setattr(Path, "unlink", unlink)
        _delete(folder)
    assert all("lease" in names for names in left)
    assert left[-1] == {"lease"}
    assert not folder.exists()


def test_what_cannot_be_deleted_is_named_with_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(KdeployError, match="run this again"):
        _delete(tmp_path / "never")
