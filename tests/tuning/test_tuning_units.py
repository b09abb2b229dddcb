"""Units are what systemd takes: it reads each as a host would, and names no key, value or filter that it does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = sorted(GOLDEN.glob("*/*/*/etc/systemd/system"))

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="this machine has no systemd to read units"
)


def kinds() -> dict[str, Path]:
    """One node of each role in each datacenter of each shipped environment."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        node = folder.relative_to(GOLDEN).parts[:3]
        found.setdefault("/".join(node).rstrip("0123456789-"), folder)
    return found


def said(units: list[Path]) -> list[str]:
    """What systemd says of units; that a host's program is not on this machine is none of theirs."""
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    return lines or (
        [] if "is not executable" in done.stderr else [f"exit {done.returncode}"] * done.returncode
    )


@pytest.mark.parametrize("kind", kinds())
def test_systemd_takes_every_unit_of_a_host(kind: str) -> None:
    units = sorted(kinds()[kind].iterdir())
    assert units
    assert said(units) == []


def test_what_systemd_does_not_know_would_be_named(tmp_path: Path) -> None:
    golden = next(one for one in FOLDERS if (one / "kdeploy-disk-use.service").is_file())
    text = (golden / "kdeploy-disk-use.service").read_text()
    wrong = text.replace("@system-service", "@sytem-service").replace("ProtectClock", "ProtectClocks")
    unit = tmp_path / "kdeploy-disk-use.service"
    unit.write_text(wrong)
    found = " ".join(said([unit]))
    assert re.search("system call group.*@sytem-service", found)
    assert "'ProtectClocks'" in found
