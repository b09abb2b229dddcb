"""How the command line ends: a defect that hides what it saw, a reader that has gone, a window that closes."""

from __future__ import annotations

import errno
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from kdeploy.cli import COMMANDS, kdeploy, main

SECRET = "hunter2-correct-horse"
PROGRAM = Path(sys.executable).with_name("kdeploy")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["kdeploy", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr("kdeploy.spec.load.load", raising)


def test_a_defect_shows_no_secret_and_writes_it_where_nobody_else_reads(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fail_with(monkeypatch, RuntimeError(f"password={SECRET}"))
    assert call(monkeypatch, "up", "local") == 1
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err
    assert "Traceback" not in shown.err
    [file] = tmp_path.iterdir()
    assert str(file) in shown.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "RuntimeError" in file.read_text()


def test_a_defect_is_told_even_where_it_cannot_be_written_down(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    fail_with(monkeypatch, RuntimeError(SECRET))
    assert call(monkeypatch, "up", "local") == 1
    shown = capfd.readouterr().err
    assert "could not be written down" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.EACCES])
def test_what_the_machine_refuses_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    fail_with(monkeypatch, OSError(number, os.strerror(number), "/state/demo/x"))
    assert call(monkeypatch, "up", "local") == 1
    shown = capfd.readouterr().err
    assert f"this machine says no: /state/demo/x: {os.strerror(number)}" in shown
    assert "defect" not in shown


def test_a_full_device_behind_a_redirection_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [PROGRAM, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, "No space left on device" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


def test_a_reader_that_has_gone_ends_it_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [PROGRAM, "schema"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_the_window_that_closes_ends_it_without_a_word() -> None:
    """A command that asks on its terminal, whose terminal is closed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "down", "local", "--delete-data"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while b"Type its name" not in seen:
        assert time.monotonic() < deadline
        seen += os.read(ours, 1000)
    os.close(ours)
    assert process.wait(30) in (128 + signal.SIGHUP, 130)
    assert b"Traceback" not in seen


SWALLOWED = """
import os, signal, sys, time
from kdeploy.cli import ending
from kdeploy.errors import Stopped

class Finaliser:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})
        time.sleep(0.2)

ending.listen()
try:
    Finaliser()
    time.sleep(30)
except Stopped as stopped:
    sys.exit(128 + stopped.signal)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_where_a_library_swallows_exceptions_still_stops_it_in_silence(name: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SWALLOWED.format(signal=name)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (code, ""), "no word of the block that did not unwind in time"


def test_a_library_that_makes_its_own_error_of_a_signal_does_not_make_a_defect_of_it(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, kdeploy.spec.load as load, kdeploy.cli as cli\n"
        "def translated(*_):\n"
        "    try:\n        signal.raise_signal(signal.SIGINT)\n"
        "    except BaseException as error:\n        raise RuntimeError('its own') from error\n"
        "load.load = translated\n"
        "sys.argv = ['kdeploy', 'up', 'local']\n"
        "cli.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert ended.returncode == 130
    assert "stopped by Ctrl-C" in ended.stderr
    assert "defect" not in ended.stderr
    assert not list(tmp_path.glob("kdeploy-defect*"))


def test_other_exceptions_that_nobody_hears_are_still_printed() -> None:
    program = SWALLOWED.replace("os.kill(os.getpid(), signal.{signal})", "raise RuntimeError('heard')")
    program = program.replace("time.sleep(30)", "pass")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "RuntimeError: heard" in ended.stderr


def helps(command: click.Command, name: str) -> list[tuple[str, str]]:
    context = click.Context(command, info_name=name, terminal_width=80)
    found = [(name, command.get_help(context))]
    for below, one in getattr(command, "commands", {}).items():
        found += helps(one, f"{name} {below}")
    return found


def test_every_help_fits_a_terminal_of_80_columns() -> None:
    context = click.Context(kdeploy, info_name="kdeploy", terminal_width=80)
    for name in COMMANDS:
        command = kdeploy.get_command(context, name)
        assert command is not None
        for called, text in helps(command, f"kdeploy {name}"):
            assert [line for line in text.splitlines() if len(line) > 80] == [], called


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("plan", "--throughput", "900GB/s"),
        ("plan", "--throughput", "fast"),
        ("plan", "prod-eu"),
        ("validate", "local", "prod-eu"),
        ("preview", "local"),
        ("status", "local"),
        ("status", "no-such-environment"),
    ],
    ids=" ".join,
)
def test_what_is_printed_fits_80_columns_without_an_escape_code(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
    call(monkeypatch, *arguments)
    shown = capfd.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert [line for line in shown.out.splitlines() if len(line) > 80] == []


def test_an_error_breaks_its_lines_between_words_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    ended = subprocess.run([PROGRAM, "status", "no-such-environment"], stderr=theirs, check=False)
    os.close(theirs)
    seen = os.read(ours, 4000).decode().splitlines()
    os.close(ours)
    assert (ended.returncode, "there is no environment called" in seen[0]) == (2, True)
    assert [line for line in seen if len(line) > 80 or "\x1b" in line] == []
    assert all(line.startswith("  ") for line in seen[1:])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_is_no_defect(closed: str, tmp_path: Path) -> None:
    script = f'"$0" down local --delete-data {closed}'
    ended = subprocess.run(
        ["/bin/sh", "-c", script, PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert ended.returncode == 2, ended.stderr
    assert ("in a pipeline, add --yes" in ended.stderr) == ("2>&-" not in closed)
    assert list(tmp_path.iterdir()) == [], "no defect was written down"


def test_a_character_that_the_terminal_does_not_have_is_no_defect(tmp_path: Path) -> None:
    folder = tmp_path / "3→4"
    ended = subprocess.run(
        [PROGRAM, "render", "local", "--to", folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (ended.returncode, "3\\u21924: 27 files" in ended.stdout) == (0, True), ended.stderr


def test_a_place_that_cannot_be_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert call(monkeypatch, "render", "local", "--to", str(tmp_path / "file" / "below")) == 1
    shown = capfd.readouterr().err
    assert "Not a directory" in shown
    assert "name another place" in shown


def test_a_home_of_nobody_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDEPLOY_STATE_DIR", "~no-such-user/state")
    assert call(monkeypatch, "status", "local") == 1
    assert "was never brought up from here" in capfd.readouterr().err
