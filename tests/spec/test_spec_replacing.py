"""Replacing a file in one step: killed anywhere, nothing half and nothing left for ever."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kdeploy.spec.replacing import clear, replace

KILLED_AT = {
    "its first byte is written": "os.fdopen",
    "its permissions are given": "os.fchmod",
    "it is on the disk": "os.fsync",
    "it takes its place": "os.replace",
}


def killed_before(function: str, file: Path) -> None:
    """A process that replaces a file and is killed where it would call a function."""
    room, name = function.split(".")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom kdeploy.spec.replacing import replace\n"
        f"{room}.{name} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "replace(Path(sys.argv[1]), b'new')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", KILLED_AT)
def test_killed_before_a_moment_the_old_is_whole_and_the_next_one_leaves_nothing_else(
    tmp_path: Path, moment: str
) -> None:
    file = tmp_path / "vault.yaml"
    replace(file, b"old")
    killed_before(KILLED_AT[moment], file)
    assert file.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {file}
    assert stat.S_IMODE(left.stat().st_mode) & 0o077 == 0 or KILLED_AT[moment] == "os.replace"
    replace(file, b"newer")
    assert file.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [file]


def test_only_what_a_dead_replacement_of_the_same_file_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kept = [f".a.{os.getpid()}.00000000", f".ab.{gone.pid}.00000000", f".a.{gone.pid}.zz", ".a.swp", "a"]
    for name in (*kept, f".a.{gone.pid}.0123abcd", f".a.{10**30}.0123abcd"):
        (tmp_path / name).touch()
    clear(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_file_has_just_the_permissions_asked_for(tmp_path: Path, mode: int) -> None:
    old = os.umask(0o077)
    try:
        replace(tmp_path / "a", b"", mode)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
