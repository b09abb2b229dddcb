"""What cannot be deployed, or not from here, is said at once: by name, with nothing decided, asked or written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError
from kdeploy.operations import site
from kdeploy.spec import load
from tests.shipped import SHIPPED as SHIPPED_NAMES

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


def test_without_pulumi_nothing_is_brought_up_and_nothing_is_written(place: Path) -> None:
    before = everything(place)
    refused = run(place, "up", "cloud")
    assert refused.returncode == 1
    assert "the Pulumi CLI is missing" in refused.stderr
    assert "KDEPLOY_PULUMI" in refused.stderr
    assert everything(place) == before


def test_without_pulumi_preview_shows_what_it_can_and_how_to_see_the_rest(place: Path) -> None:
    before = everything(place)
    done = run(place, "preview", "cloud")
    said = " ".join(done.stdout.split())
    assert done.returncode == 4, "nodes are to be made, whatever AWS says"
    assert "so what would change there is not in this list: the Pulumi CLI is missing" in said
    assert "KDEPLOY_PULUMI" in said
    assert max(map(len, done.stdout.splitlines())) <= 80
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


HERE_AND_THERE = """\
datacenters:
  - {name: cloud, provider: aws, region: eu-west-1, racks: [a, b, c]}
  - name: cellar
    provider: hosts
    racks: [a, b, c]
    hosts:
"""


def test_machines_of_aws_and_of_yours_in_one_environment_are_refused_by_name(tmp_path: Path) -> None:
    hosts = [
        f"      - {{address: {role[0]}{rack}.example, rack: {rack}, role: {role}}}\n"
        for role in ("broker", "zookeeper")
        for rack in "abc"
    ]
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "environment.yaml").write_text(HERE_AND_THERE + "".join(hosts))
    with pytest.raises(KdeployError, match=r"cloud has provider aws and cellar has machines of yours"):
        site.refuse_undeployable(load.load(folder))


@pytest.mark.parametrize("command", ["preview", "up"])
def test_to_ask_aws_where_nothing_is_there_is_refused_with_what_asks_nodes(
    tmp_path: Path, command: str
) -> None:
    result = run(tmp_path, command, str(SHIPPED / "local"), "--refresh")
    assert result.returncode == 2
    assert "no datacenter of local has provider aws: leave it out" in result.stderr
    assert "`kdeploy drift local`" in result.stderr


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_what_is_shipped_can_be_deployed(name: str) -> None:
    site.refuse_undeployable(load.load(SHIPPED / name))
