"""The whole of `kdeploy up` in AWS: instances are hosts of this machine, and Kafka runs on them; in a real account they are
what AWS makes of them, reached by sessions of Systems Manager.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import real
from tests.cloud.account import Account
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.world import TEXT, kdeploy, left, written
from tests.fleet import base

pytestmark = [
    *(pytest.mark.cloud, pytest.mark.fleet, pytest.mark.real_account),
    pytest.mark.timeout(real.LONG if real.wanted() else 3600),
]

SESSIONS = TEXT.replace(
    "user: root, key: KEY, through: direct", "user: admin, key: KEY, through: ssm"
).replace("    network: {operators: [10.20.0.0/16]}\n", "")
"""The same environment, with machines that nothing but AWS itself has a way to."""

NEEDED = ("aws", "session-manager-plugin")
"""Programs that sessions of Systems Manager take."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, Path, dict[str, str]]]:
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    problem = base.lacking() if not real.wanted() else " and ".join(lacking)
    if problem:
        pytest.skip(f"this machine lacks {problem}" if real.wanted() else problem)
    if real.wanted():
        with real.Real(real.permitted()) as account:
            folder = account.folder / "work"
            yield account, folder, decided(account, folder, written(folder, account, SESSIONS))
        return
    folder = tmp_path_factory.mktemp("whole")
    with Cloud(folder / "cloud", machines=True) as cloud:
        own = written(folder, cloud)
        file = folder / "environments" / cloud.name / "environment.yaml"
        file.write_text(file.read_text().replace(str(folder / "key"), str(cloud.key)))
        yield cloud, folder, decided(cloud, folder, own)


def decided(cloud: Account, folder: Path, own: dict[str, str]) -> dict[str, str]:
    """Make the lock and the vault; the variables of whoever works on the environment."""
    for arguments in (("plan", cloud.name, "--lock"), ("vault", "create", cloud.name)):
        done = kdeploy(folder, own, *arguments)
        assert done.returncode == 0, done.stderr
    return own


def machines(cloud: Account) -> dict[str, Any]:
    """Machines that run, by their node."""
    filters = [{"Name": "tag:kdeploy:environment", "Values": [cloud.name]}]
    answer = cloud.client("ec2").describe_instances(Filters=filters)
    found = [one for group in answer["Reservations"] for one in group["Instances"]]
    return {
        tag["Value"]: one
        for one in found
        for tag in one.get("Tags", [])
        if tag["Key"] == "kdeploy:node" and one["State"]["Name"] == "running"
    }


def up(place: tuple[Account, Path, dict[str, str]]) -> dict[str, Any]:
    cloud, folder, own = place
    done: subprocess.CompletedProcess[str] = kdeploy(folder, own, "up", cloud.name, "--output", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_account_becomes_a_healthy_kafka_stays_it_heals_and_is_empty_again(
    place: tuple[Any, Path, dict[str, str]],
) -> None:
    cloud, folder, own = place
    up(place)
    before = machines(cloud)
    assert len(before) == 6
    assert kdeploy(folder, own, "status", cloud.name).returncode == 0
    there = everything(cloud)
    if cloud.emulated:
        cloud.calls(forget=True)
    up(place)
    assert everything(cloud) == there
    if cloud.emulated:
        changing = ("ec2:Run", "ec2:Create", "ec2:Modify")
        assert not [name for name in cloud.calls() if name.startswith(changing)]
    gone = before["eu-west-1/broker-2"]
    ec2 = cloud.client("ec2")
    ec2.terminate_instances(InstanceIds=[gone["InstanceId"]])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[gone["InstanceId"]])
    up(place)
    after = machines(cloud)
    assert after["eu-west-1/broker-2"]["InstanceId"] != gone["InstanceId"]
    assert after["eu-west-1/broker-2"]["PrivateIpAddress"] == gone["PrivateIpAddress"]
    assert kdeploy(folder, own, "verify", cloud.name).returncode == 0
    done = kdeploy(folder, own, "down", cloud.name, "--delete-data", "--yes", "--confirm", cloud.name)
    assert done.returncode == 0, done.stderr
    assert not left(cloud)
