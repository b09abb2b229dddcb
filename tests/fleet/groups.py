"""Control groups of a host's own: without them every host's systemd works in one tree, in groups that are named by units.

Invariant: what a host's systemd makes, empties and removes is below a group of that host alone. Where all have one, one
removes the group of its `kafka.service`, or of what it does at boot, while another is about to start a process in it, which
fails (systemd.exec(5), 219/CGROUP); and none can end what it finds there, since processes of others have no number to it.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

NOTED: Final = "control-groups"
"""File in a host's folder that names its groups, for whoever removes it."""

PATIENCE: Final = 10.0
"""Seconds for the kernel to know that a process has ended, which takes none."""


def of(home: Path) -> list[Path]:
    """The groups of the host that a folder holds, made where they are not there."""
    noted = home / NOTED
    if not noted.exists():
        own = f"{home.name}-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
        noted.write_text("".join(f"{parent / own}\n" for parent in _parents()))
    found = [Path(line) for line in noted.read_text().splitlines()]
    for group in found:
        group.mkdir(parents=True, exist_ok=True)
    return found


def remove(home: Path) -> None:
    """Remove the groups of a host that has ended."""
    noted = home / NOTED
    for group in noted.read_text().splitlines() if noted.exists() else ():
        for folder, _, _ in os.walk(group, topdown=False):
            _remove(Path(folder))


def _remove(folder: Path) -> None:
    """Remove one that has none below it; its files are the kernel's, and go with it."""
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:  # a process that has just ended may be counted for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _parents() -> list[Path]:
    """This process's own groups in the hierarchies that a systemd works in: cgroup2's, and the one that is named after it."""
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    joined = {hierarchy: path.lstrip("/") for _, hierarchy, path in lines}
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        hierarchy = {"cgroup": "name=systemd", "cgroup2": ""}.get(kind)
        if hierarchy in joined and (kind == "cgroup2" or hierarchy in options.split(",")):
            group = Path(place) / joined[hierarchy]
            found.append(group if group.is_dir() else Path(place))
    return found
