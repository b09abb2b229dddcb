"""What a killed engine leaves on this machine: processes that go on, locks, and files that were cut short.

Invariant: read-only but for `mended`, which touches only a state in a folder, and only what cannot be read in it.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TORN: Final = re.compile(r"failed to load checkpoint|\bEOF\b|unexpected end of JSON")
"""What an engine says that finds a file cut short."""


@dataclass(frozen=True)
class Holder:
    """An engine that has a stack's lock, as the engine tells of it."""

    user: str
    host: str
    process: int
    since: str

    def __str__(self) -> str:
        return f"process {self.process} of {self.user} on {self.host} since {self.since}"


def holders(message: str) -> tuple[Holder, ...]:
    """Who has a lock, from what the engine says when it is refused one."""
    found = re.findall(r"created by (\S+)@(\S+) \(pid (\d+)\) at (\S+)", message)
    return tuple(Holder(user, host, int(number), since) for user, host, number, since in found)


def left_running(folder: Path) -> tuple[int, ...]:
    """Processes of an engine that work in a stack's folder; none where the system does not tell (no `/proc`)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").samefile(folder) and b"PULUMI_BACKEND_URL=" in (
                entry / "environ"
            ).read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return tuple(sorted(found))


def lives(process: int) -> bool:
    """Whether a process is there, and no other one that has got its number since."""
    program = Path(f"/proc/{process}/cmdline")
    if Path("/proc/self").exists():
        try:
            return b"pulumi" in program.read_bytes()
        except OSError:
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def mended(backend: str, project: str, environment: str) -> tuple[bool, bool]:
    """Put back the state of before, where a kill cut short what the engine was writing into a folder.

    The engine keeps it beside the new one; what was made in between is found again in AWS (`adoption`). What it
    notes of each file in another one (`.attrs`: its type and sum) is written apart, before the file takes its
    place, and can be done without (Go CDK, fileblob: a missing one stands for no attributes).

    Args:
        backend: URL of the place of the state.
        project: The stack's project.
        environment: The stack's name.

    Returns:
        Whether anything was mended; and whether the state is one from before.
    """
    if not backend.startswith("file://"):
        return False, False
    place = Path(backend.removeprefix("file://")) / ".pulumi"
    torn = [one for one in place.rglob("*.attrs") if not _is_whole(one)]
    for one in torn:
        one.unlink(missing_ok=True)
    state = place / "stacks" / project / f"{environment}.json"
    before = state.with_name(f"{state.name}.bak")
    if not state.exists() or _is_whole(state):
        return bool(torn), False
    if _is_whole(before):
        kept = state.with_name(f"{state.name}.mended")
        kept.write_bytes(before.read_bytes())
        os.replace(kept, state)
    else:
        state.unlink()  # it was the first one
    return True, True


def _is_whole(file: Path) -> bool:
    """Whether a file holds a whole document."""
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except (OSError, ValueError):
        return False
