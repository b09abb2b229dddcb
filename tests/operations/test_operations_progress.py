"""What an operation says while it works: lines that stay, and on a terminal a view that leaves nothing."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.operations import progress
from kdeploy.operations.progress import Lines, Live, Silent, lasting, view

COLUMNS = 80

WORK = """
import time
from kdeploy.operations import progress
progress.REDRAWN = 0.02
to = progress.shown()
to.step("gate", "broker-1 waits: orders-3 has 1 of the 2 copies that it needs to stay writable")
with progress.lasting(to, "", "apply on 2 hosts"):
    to.now("broker-1", "kafka: " + "switch to the version that is wanted " * 4)
    to.now("broker-2", "java: install")
    while not getattr(to, "_drawn", True):
        time.sleep(0.01)
    to.bar("kafka.tgz", 1e6, 2e6)
    to.bar("kafka.tgz", 2e6, 2e6)
    to.step("roll", "broker-1: no partition needs it to stay writable, restarting")
    to.now("broker-1", "")
    to.now("broker-2", "")
print("the result")
"""


class Screen:
    """What a terminal shows of what was written to it: lines, and the few control sequences that are used here.

    Attributes:
        lines: From the top; nothing scrolls away.
        seen: Every line that ever stood there when the cursor left it.
    """

    def __init__(self) -> None:
        self.lines, self.row, self.column, self.seen = [""], 0, 0, set[str]()

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[\d*[A-Z]|\r|\n|[^\x1b\r\n]+", text):
            if part in ("\r", "\n") or part.startswith("\x1b"):
                self.seen.add(self.lines[self.row])
                self._move(part)
            else:
                assert len(part) + self.column < COLUMNS, "it would wrap"
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
                self.column += len(part)

    def _move(self, control: str) -> None:
        if control == "\r":
            self.column = 0
        elif control == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif control.endswith("A"):
            self.row -= int(control[2:-1] or 1)
            assert self.row >= 0, "it went above what was written"
        elif control == "\x1b[J":
            del self.lines[self.row + 1 :]
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif control == "\x1b[K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        else:
            raise AssertionError(f"unknown: {control!r}")


def on_a_terminal(program: str, **variables: str) -> Screen:
    """What stands on a terminal of 80 columns after a program."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm", "PYTHONPATH": str(Path(progress.__file__).parents[2]), **variables},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed: pty(7)
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait(60) == 0, said
    screen = Screen()
    screen.write(said.decode().replace("\r\n", "\n"))
    return screen


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"^ *\d+\.\d s", "", line).strip() for line in lines]


def test_a_view_of_now_stands_below_the_lines_and_leaves_nothing() -> None:
    screen = on_a_terminal(WORK)
    assert without_times(screen.lines) == [
        "gate      broker-1 waits: orders-3 has 1 of the 2 copies that it needs",
        "to stay writable",
        "fetch     ████████████████████████ 100% kafka.tgz",
        "roll      broker-1: no partition needs it to stay writable, restarting",
        "the result",
        "",
    ]
    seen = without_times(sorted(screen.seen))
    assert {"apply on 2 hosts", "broker-2: java: install"} <= set(seen)
    assert {line.partition(" for ")[0].rstrip() for line in seen if " for " in line} == {"gate", "roll"}
    (cut,) = (line for line in seen if line.startswith("broker-1: kafka"))
    assert cut.endswith("…")


def test_a_terminal_that_cannot_redraw_gets_lines_alone() -> None:
    seen = without_times(sorted(on_a_terminal(WORK, TERM="dumb").seen))
    assert not any("java: install" in line for line in seen)
    assert "roll      broker-1: no partition needs it to stay writable, restarting" in seen


def test_in_a_pipe_there_are_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    to = progress.shown()
    assert isinstance(to, Lines)
    assert not isinstance(to, Live)
    with lasting(to, "broker-1", "starts"):
        to.step("start", "broker-1")
    assert without_times(stream.getvalue().splitlines()) == ["start     broker-1"]


def test_what_lasts_has_ended_also_when_it_failed() -> None:
    told: list[tuple[str, str]] = []

    class Noting(Silent):
        def now(self, who: str, text: str) -> None:
            told.append((who, text))

    def fail() -> None:
        with lasting(Noting(), "broker-1", "starts"):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail()
    assert told == [("broker-1", "starts"), ("broker-1", "")]


def test_hosts_that_do_the_same_are_one_line_and_many_are_counted() -> None:
    going = {"": "apply on 9 hosts", **{f"broker-{number}": "java: install" for number in range(1, 9)}}
    going["gate"] = "orders-1 has one copy\norders-2 has one copy\norders-3 has one copy"
    assert view("hosts", 75.26, 12.4, going, COLUMNS) == [
        " 75.3 s  hosts     for 12 s",
        "                   apply on 9 hosts",
        "                   broker-1, broker-2, broker-3 and 5 more: java: install",
        "                   gate: orders-1 has one copy (and 2 more)",
    ]


@given(
    phase=st.sampled_from(["", "gate", "catch up", "reconcile"]),
    seconds=st.floats(0, 1e6),
    going=st.dictionaries(
        st.text("abc-1", max_size=40), st.text("ab: \n", min_size=1, max_size=300), min_size=1, max_size=40
    ),
    columns=st.integers(1, 200),
)
def test_a_view_has_few_lines_each_shorter_than_the_terminal(
    phase: str, seconds: float, going: dict[str, str], columns: int
) -> None:
    lines = view(phase, seconds, seconds, going, columns)
    assert 1 < len(lines) <= progress.VIEW_LINES
    assert all(len(line) < max(columns, 2) and "\n" not in line for line in lines)
