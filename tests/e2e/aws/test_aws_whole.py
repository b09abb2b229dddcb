"""The whole of `kdeploy up` in AWS: instances are hosts of this machine, and Kafka runs on them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.cloud import Cloud
from tests.e2e.aws.test_aws_up import ENVIRONMENT, everything, kdeploy, written
from tests.fleet import base

pytestmark = [pytest.mark.cloud, pytest.mark.fleet, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Path, dict[str, str]]]:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("whole")
    with Cloud(folder / "cloud", machines=True) as cloud:
        own = written(folder, cloud)
        file = folder / "environments" / ENVIRONMENT / "environment.yaml"
        file.write_text(file.read_text().replace(str(folder / "key"), str(cloud.key)))
        for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
            done = kdeploy(folder, own, *arguments)
            assert done.returncode == 0, done.stderr
        yield cloud, folder, own


def machines(cloud: Cloud) -> dict[str, Any]:
    """Machines that run, by their node."""
    answer = cloud.client("ec2").describe_instances()
    found = [one for group in answer["Reservations"] for one in group["Instances"]]
    return {
        tag["Value"]: one
        for one in found
        for tag in one.get("Tags", [])
        if tag["Key"] == "kdeploy:node" and one["State"]["Name"] == "running"
    }


def up(place: tuple[Cloud, Path, dict[str, str]]) -> dict[str, Any]:
    _, folder, own = place
    done: subprocess.CompletedProcess[str] = kdeploy(folder, own, "up", ENVIRONMENT, "--output", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_account_becomes_a_healthy_kafka_stays_it_heals_and_is_empty_again(
    place: tuple[Cloud, Path, dict[str, str]],
) -> None:
    cloud, folder, own = place
    up(place)
    before = machines(cloud)
    assert len(before) == 6
    assert kdeploy(folder, own, "status", ENVIRONMENT).returncode == 0
    cloud.calls(forget=True)
    up(place)
    assert not [name for name in cloud.calls() if name.startswith(("ec2:Run", "ec2:Create", "ec2:Modify"))]
    gone = before["eu-west-1/broker-2"]
    cloud.client("ec2").terminate_instances(InstanceIds=[gone["InstanceId"]])
    up(place)
    after = machines(cloud)
    assert after["eu-west-1/broker-2"]["InstanceId"] != gone["InstanceId"]
    assert after["eu-west-1/broker-2"]["PrivateIpAddress"] == gone["PrivateIpAddress"]
    assert kdeploy(folder, own, "verify", ENVIRONMENT).returncode == 0
    done = kdeploy(folder, own, "down", ENVIRONMENT, "--delete-data", "--yes", "--confirm", ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert not everything(cloud)
