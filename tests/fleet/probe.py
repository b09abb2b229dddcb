"""Whether this machine can have a fleet: asked by booting one host, which is the only way to know.

Invariant: an answer comes within `PATIENCE`, whatever the machine does, and nothing of the host is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.fleet import base, fleet
from tests.fleet.fleet import Fleet

PATIENCE: Final = 900.0
"""Seconds for the base to be made, which takes some minutes where it is not in the cache, and a host to boot."""

ENDING: Final = 60.0

NEEDED: Final = (
    "nft add table inet probe && nft list tables && nft delete table inet probe",
    "mkfs.xfs -q DISK && mount DISK /mnt && touch /mnt/probe && umount /mnt",
    "java -version",
)
"""What a host has to be able to do: its kernel is this machine's."""


def problem(folder: Path | None = None, *, patience: float = PATIENCE) -> str | None:
    """Why this machine cannot have a fleet, in one line; None when it can.

    Args:
        folder: Where the host's folder is made; a temporary one by default.
        patience: Seconds to wait.
    """
    known = base.lacking() or base.crowded() or fleet.others()
    if known:
        return known
    with tempfile.TemporaryDirectory(prefix="kdeploy-probe-", dir=folder) as made:
        place = Path(made) / "fleet"
        try:
            return _answer([sys.executable, "-m", "tests.fleet.probe", str(place)], patience)
        finally:
            Fleet(place).remove()


def _answer(command: list[str], patience: float) -> str | None:
    """What a command in a session of its own says last where it fails; it is ended where it takes too long."""
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"a host did not boot within {patience:g} s"
    if process.returncode == 0:
        return None
    lines = said.strip().splitlines() or [f"exit code {process.returncode}"]
    return f"a host cannot be booted here: {lines[-1]}"


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and all of its session: debootstrap takes its mounts away when it is asked to end."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, one)
        try:
            process.communicate(timeout=ENDING)
        except subprocess.TimeoutExpired:
            continue
        return


def main(place: Path) -> None:
    """Boot one host and have it do what hosts have to do; ends with what went wrong."""
    made = Fleet(place)
    (host,) = made.up(1)
    for command in NEEDED:
        done = made.run(host, command.replace("DISK", host.devices[0]), check=False)
        if done.returncode != 0:
            said = " ".join(f"{done.stdout} {done.stderr}".split())
            sys.exit(f"`{command}` on it failed: {said}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
