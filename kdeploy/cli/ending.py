"""How kdeploy ends when it is told to: Ctrl-C, a closed window, a service manager's SIGTERM.

The first signal unwinds what is being done, so that temporary secrets are removed and the
lease is given back; a second Ctrl-C, or a block that does not unwind in time, ends at once.
Both are safe: every command finishes what a killed one left (`kdeploy.operations.up`).

Invariant: nothing here prints a traceback, not even where the terminal is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
import threading
from types import FrameType
from typing import Final, NoReturn

from kdeploy.errors import Stopped

GRACE: Final = 5.0
"""Seconds for what is being done to unwind: requests of the Kafka protocol that nobody waits for any more
may take a minute, a person who pressed Ctrl-C does not."""

AGAIN: Final = 0.01
"""Seconds after which a stop that Python swallowed is tried again."""

NAMES: Final = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "a signal to end (SIGTERM)",
    signal.SIGHUP: "the closing of its terminal",
}
"""Signals that end kdeploy, in words."""


def listen() -> None:
    """Turn the first signal that ends kdeploy into `Stopped`.

    A signal that is ignored on entry (nohup, a background job) stays ignored.
    """
    if threading.current_thread() is threading.main_thread():
        for number in NAMES:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _first)
        sys.unraisablehook = _not_lost


heard: int | None = None
"""The signal that ends kdeploy, once there was one."""


def _first(number: int, _frame: FrameType | None) -> NoReturn:
    global heard  # as the handlers of signals are the process's, so is what they heard
    heard = number
    for other in NAMES:
        # A closed window may say so twice (the kernel and the shell): only a person's second Ctrl-C hurries.
        signal.signal(other, _second if other == signal.SIGINT else signal.SIG_IGN)
    timer = threading.Timer(GRACE, leave, [number])
    timer.daemon = True
    timer.start()
    raise Stopped(number)


def _not_lost(lost: sys.UnraisableHookArgs) -> None:
    """Stop a moment later where a signal came inside what lets no exception out (a callback of a library in C,
    a finaliser): Python would print it there and go on.
    """
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    number = lost.exc_value.signal
    signal.signal(signal.SIGUSR1, lambda *_: _again(number))
    main = threading.main_thread().ident or 0
    timer = threading.Timer(AGAIN, signal.pthread_kill, [main, signal.SIGUSR1])
    timer.daemon = True
    timer.start()


def _again(number: int) -> NoReturn:
    raise Stopped(number)


def _second(number: int, _frame: FrameType | None) -> NoReturn:
    leave(number)


def leave(number: int) -> NoReturn:
    """Say that kdeploy was stopped and how to go on, and end without waiting for any thread.

    Args:
        number: The signal; the exit code is 128 more, as a shell has it.
    """
    name = NAMES.get(signal.Signals(number))
    if name:
        say(
            f"\nkdeploy: stopped by {name}; what was done stays done\n  run the same command again to go on\n"
        )
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(128 + number)


def fitted(text: str) -> str:
    """A message with its lines broken between words where a terminal of 80 columns reads it; else as it is."""
    if not (sys.stderr and sys.stderr.isatty()):
        return text
    lines = []
    for line in text.splitlines():
        indent = max(2, len(line) - len(line.lstrip())) * " "
        broken = textwrap.wrap(
            line, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        lines += broken or [""]
    return "\n".join(lines)


def say(text: str) -> None:
    """Write to stderr; to nobody where the terminal is gone."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
