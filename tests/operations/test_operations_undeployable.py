"""What AWS needs and this machine lacks is said at once: by name, with nothing decided, asked or written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "environments"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a copy of the AWS environment, as a person would have it."""
    shutil.copytree(SHIPPED / "prod-eu", tmp_path / "environments" / "cloud")
    return tmp_path


def everything(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "KDEPLOY_STATE_DIR": str(place / "state"),
        "HOME": str(place),
        "XDG_CACHE_HOME": str(place / "cache"),
        "PATH": os.pathsep.join(["/usr/bin", "/bin"]),
    }
    environment.pop("KDEPLOY_PULUMI", None)
    return subprocess.run(
        [sys.executable, "-m", "kdeploy", *arguments],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "preview"])
def test_without_pulumi_aws_is_refused_with_how_to_get_it_and_nothing_is_written(
    place: Path, command: str
) -> None:
    before = everything(place)
    refused = run(place, command, "cloud")
    assert refused.returncode == 1
    assert "the Pulumi CLI is missing" in refused.stderr
    assert "KDEPLOY_PULUMI" in refused.stderr
    assert everything(place) == before


@pytest.mark.parametrize("command", ["status", "verify"])
def test_what_was_never_brought_up_is_said_to_be_so(place: Path, command: str) -> None:
    before = everything(place)
    refused = run(place, command, "cloud")
    assert refused.returncode == 1
    assert "was never brought up from here" in refused.stderr
    assert everything(place) == before


def test_down_of_what_was_never_decided_does_nothing(place: Path) -> None:
    before = everything(place)
    done = run(place, "down", "cloud")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing was running" in done.stdout
    assert everything(place) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--yes",), "add --confirm cloud"),
        (("--yes", "--confirm", "prod"), "--confirm says prod, and this is cloud"),
        ((), "--yes --confirm cloud"),
    ],
)
def test_volumes_are_deleted_only_where_the_environment_is_named_once_more(
    place: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused = run(place, "down", "cloud", "--delete-data", *arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
