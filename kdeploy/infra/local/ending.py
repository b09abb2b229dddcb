"""How a process ended, in one line, from what it left in its logs.

Invariant: no line of any secret file of the node is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TAIL: Final = 65536
"""Bytes read from the end of a log."""

WORST: Final = re.compile(
    r"\[?[-\d:, .T]*\]? ?(?:FATAL|ERROR)\b"  # a log line of log4j: [time] LEVEL message
    r"|(?:Caused by: |Exception in thread .* )?[\w.$]+(?:Exception|Error)\b(?::|$)"  # a stack trace's head
    r"|Error:? |java: |sh: "  # what the JVM, its launcher or the shell say
)
"""Begins a line that says why."""

LONGEST: Final = 300
"""Characters of a line that are shown."""


def last_words(folder: Path, secret_paths: Iterable[str]) -> str:
    """The last line that tells of an error, else the last line of the console; empty where there is none."""
    secrets = _secret_lines(folder, secret_paths)
    logs = folder / "logs"
    console = _tail(logs / "console.log")
    for lines in (_newest_log(logs), console):
        worst = [line for line in lines if WORST.match(line)]
        if worst:
            return _shown(worst[-1], secrets)
    said = [line for line in console if line.strip()]
    return _shown(said[-1], secrets) if said else ""


def _newest_log(logs: Path) -> list[str]:
    """The end of the program's own log: the newest that is neither the console's nor the collector's."""
    found = [log for log in logs.glob("*.log") if log.name != "console.log" and "gc" not in log.name.lower()]
    return _tail(max(found, key=_written)) if found else []


def _written(log: Path) -> float:
    """When a log was last written to, in seconds since 1970; long ago where it was rotated away meanwhile."""
    try:
        return log.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _tail(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - TAIL))
            return stream.read(TAIL).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _secret_lines(folder: Path, paths: Iterable[str]) -> set[str]:
    lines: set[str] = set()
    for path in paths:
        file = folder / path
        if file.is_file():
            lines |= {line.strip() for line in file.read_text(errors="replace").splitlines()}
    return {line for line in lines if len(line) >= 8 and not line.startswith("-----")}


def _shown(line: str, secrets: set[str]) -> str:
    for secret in secrets:
        line = line.replace(secret, "[hidden]")
    line = line.strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
