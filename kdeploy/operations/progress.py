"""What an operation says while it works, on stderr: one plain line per step, and on a terminal a view of now.

The view stands below the lines while something lasts: the phase and for how long, what each host or node is
doing, what a gate waits for. It is redrawn in place, and nothing of it is left when that has ended.

Invariant: nothing here ever holds a secret, and an operation behaves the same
whether anyone listens or not.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol, TextIO


class Progress(Protocol):
    """Where an operation reports."""

    def step(self, phase: str, text: str) -> None:
        """Something starts or was done: `start`, `zookeeper-1, zookeeper-2`."""
        ...

    def bar(self, text: str, done: float, total: float) -> None:
        """How far a long transfer is, in bytes; called often, shown now and then."""
        ...

    def now(self, who: str, text: str) -> None:
        """What a host, a node or a gate is doing, or waits for, from now on; nothing any more where it is empty."""
        ...


@contextmanager
def lasting(progress: Progress, who: str, text: str = "") -> Iterator[None]:
    """Something that lasts as long as the block, whatever ends it; `now` may say more of it meanwhile."""
    if text:
        progress.now(who, text)
    try:
        yield
    finally:
        progress.now(who, "")


WIDTH: Final = 61
"""Characters of a step's text, so that a line with the time and the phase fits 80."""


def _broken(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)


class Silent:
    """Reports nowhere."""

    def step(self, phase: str, text: str) -> None:
        """Say nothing."""

    def bar(self, text: str, done: float, total: float) -> None:
        """Show nothing."""

    def now(self, who: str, text: str) -> None:
        """Show nothing."""


class Lines:
    """Reports lines; on a terminal a transfer redraws its own line.

    Args:
        stream: Where to; stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = time.monotonic()
        self._shown = 0.0
        self._open_bar = False

    def step(self, phase: str, text: str) -> None:
        """Print the phase, the text and the seconds since the beginning."""
        self._close_bar()
        lines = [part for line in text.splitlines() for part in _broken(line)]
        for index, line in enumerate(lines or [""]):
            label = f"{self._seconds():5.1f} s  {phase:<9}" if index == 0 else " " * 18
            print(f"{label} {line}".rstrip(), file=self._stream, flush=True)

    def bar(self, text: str, done: float, total: float) -> None:
        """Redraw a bar on a terminal at most ten times a second; elsewhere a line at the start and end."""
        now, complete = time.monotonic(), done >= total
        if self._stream.isatty():
            if complete or now - self._shown > 0.1:
                self._shown, self._open_bar = now, True
                share = min(1.0, done / total) if total else 1.0
                filled = int(24 * share)
                drawn = f"{'█' * filled}{'░' * (24 - filled)} {share:4.0%} {text}"
                print(
                    f"\r{self._seconds():5.1f} s  {'fetch':<9} {drawn:.60}\x1b[K",
                    end="",
                    file=self._stream,
                    flush=True,
                )
            if complete:
                self._close_bar()
        elif complete or now - self._shown > 10:
            self._shown = now
            self.step("fetch", f"{text}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def now(self, who: str, text: str) -> None:
        """Say nothing: a line is for what begins and what was done."""

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _close_bar(self) -> None:
        if self._open_bar:
            self._open_bar = False
            print(file=self._stream, flush=True)


REDRAWN: Final = 0.5
"""Seconds between two drawings of the view: seconds count up, and a slow terminal keeps up."""

VIEW_LINES: Final = 6
"""Lines of the view at most, so that what was said before stays in sight."""

NAMES_WIDTH: Final = 30
"""Characters of the names that do the same; the rest are counted."""


def view(phase: str, seconds: float, lasted: float, going: dict[str, str], columns: int) -> list[str]:
    """The lines of a view.

    Args:
        phase: What is being done.
        seconds: Since the operation began.
        lasted: Seconds since its last step.
        going: What each is doing, by name; one without a name is a text alone.
        columns: Width of the terminal; every line is shorter.
    """
    together: dict[str, list[str]] = {}
    for who, text in going.items():
        first, *more = text.splitlines() or [""]
        together.setdefault(f"{first} (and {len(more)} more)" if more else first, []).append(who)
    said = [f"{_names(names)}: {text}" if any(names) else text for text, names in together.items()]
    left = len(said) - (VIEW_LINES - 1)
    if left > 0:
        said = [*said[: VIEW_LINES - 2], f"and {left + 1} more"]
    lines = [f"{seconds:5.1f} s  {phase:<9} for {lasted:.0f} s", *(f"{'':18} {one}" for one in said)]
    return [line if len(line) < columns else f"{line[: max(0, columns - 2)]}…" for line in lines]


def _names(names: list[str]) -> str:
    """Names in a line of bounded length, and how many they are."""
    known = sorted(filter(None, names))
    shown = list(known)
    while len(shown) > 1 and len(", ".join(shown)) > NAMES_WIDTH:
        shown.pop()
    left = len(known) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


class Live(Lines):
    """Lines, and below them what goes on now, while anything does; for a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._lock = threading.RLock()
        self._going: dict[str, str] = {}
        self._drawn = 0
        self._phase, self._since = "", self._began
        self._drawing: threading.Thread | None = None

    def step(self, phase: str, text: str) -> None:
        """Print the line above the view."""
        with self._lock:
            self._erase()
            super().step(phase, text)
            self._phase, self._since = phase, time.monotonic()
            self._draw()

    def bar(self, text: str, done: float, total: float) -> None:
        """Redraw the bar, in the view's place."""
        with self._lock:
            self._erase()
            super().bar(text, done, total)

    def now(self, who: str, text: str) -> None:
        """Show it with the next drawing; take the view away at once when nothing lasts any more."""
        with self._lock:
            if text:
                self._going[who] = text
            else:
                self._going.pop(who, None)
            if not self._going:
                with suppress(OSError, ValueError):  # it is said at the end of something, which is as it was
                    self._erase()
            elif self._drawing is None:
                self._drawing = threading.Thread(target=self._keep_drawing, daemon=True)
                self._drawing.start()

    def _keep_drawing(self) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone sees nothing
            while True:
                with self._lock:
                    if not self._going:
                        self._drawing = None
                        return
                    self._draw()
                time.sleep(REDRAWN)

    def _draw(self) -> None:
        if self._going and not self._open_bar:
            now = time.monotonic()
            lines = view(
                self._phase,
                self._seconds(),
                now - self._since,
                self._going,
                shutil.get_terminal_size().columns,
            )
            self._erase()
            # Without a line's end behind the last one, so that a terminal that is full does not scroll each time.
            print("\n".join(lines), end="", file=self._stream, flush=True)
            self._drawn = len(lines)

    def _erase(self) -> None:
        """Take the view away: to its first line's beginning, and everything from there (ECMA-48: CUU, ED)."""
        if self._drawn:
            up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
            print(f"\r{up}\x1b[J", end="", file=self._stream, flush=True)
            self._drawn = 0


def shown() -> Progress:
    """Where a command reports: lines, with the view of now where stderr is a terminal that can redraw it."""
    return Live() if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" else Lines()
