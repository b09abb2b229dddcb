"""What cannot be deployed yet is refused at once: by name, with nothing decided, asked or written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KDEPLOY = Path(sys.executable).with_name("kdeploy")
SHIPPED = Path(__file__).parents[2] / "environments"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a copy of the AWS environment, as a person would have it."""
    shutil.copytree(SHIPPED / "prod-eu", tmp_path / "environments" / "cloud")
    return tmp_path


def everything(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def run(place: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KDEPLOY_STATE_DIR": str(place / "state")}
    return subprocess.run(
        [str(KDEPLOY), command, "cloud"],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "preview", "apply", "status", "verify", "down"])
def test_a_provider_that_cannot_be_driven_yet_is_refused_by_name_and_nothing_is_written(
    place: Path, command: str
) -> None:
    before = everything(place)
    refused = run(place, command)
    assert refused.returncode == 1
    assert (
        "has provider aws, which this version of kdeploy plans and renders but does not deploy"
        in refused.stderr
    )
    assert "kdeploy render" in refused.stderr
    assert everything(place) == before
