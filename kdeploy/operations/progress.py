"""What an operation says while it works: one plain line per step, on stderr.

Invariant: nothing here ever holds a secret, and an operation behaves the same
whether anyone listens or not.
"""

from __future__ import annotations

import sys
import textwrap
import time
from typing import Final, Protocol, TextIO


class Progress(Protocol):
    """Where an operation reports."""

    def step(self, phase: str, text: str) -> None:
        """Something starts or was done: `start`, `zookeeper-1, zookeeper-2`."""
        ...

    def bar(self, text: str, done: float, total: float) -> None:
        """How far a long transfer is, in bytes; called often, shown now and then."""
        ...


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

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _close_bar(self) -> None:
        if self._open_bar:
            self._open_bar = False
            print(file=self._stream, flush=True)
