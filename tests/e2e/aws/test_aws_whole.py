"""The whole of `kdeploy up` in AWS: instances are hosts of this machine, and Kafka runs on them; in a real account they are
what AWS makes of them, reached by sessions of Systems Manager.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cloud import real
from tests.cloud.account import Account
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.test_aws_up import TEXT, kdeploy, left, written
from tests.fleet import base

pytestmark = [
    *(pytest.mark.cloud, pytest.mark.fleet, pytest.mark.real_account),
    pytest.mark.timeout(real.LONG if real.wanted() else 3600),
]

SESSIONS = TEXT.replace(
    "user: root, key: KEY, through: direct", "user: admin, key: KEY, through: ssm"
).replace("    network: {operators: [10.20.0.0/16]}\n", "")
"""The same environment, with machines that nothing but AWS itself has a way to."""

EMULATED = TEXT.replace("alarms: true}", 'alarms: true, metrics_endpoint: "http://10.20.0.2:4566"}')
"""The same environment, whose machines call the account where they reach it (`tests.cloud.machines`, CALLED)."""

MOST: Final = 600.0
"""Seconds until a metric is known: it is sent each minute, and seen in a real account some minutes later."""

DATA: Final = "/var/lib/kafka/data/0"

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
        own = written(folder, cloud, EMULATED)
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


def known(cloud: Account, node: str, mount: str, since: datetime.datetime) -> float:
    """How full a disk is, as CloudWatch knows it from what the node's machine sent after a moment; waits for it."""
    dimensions = {"environment": cloud.name, "node": node, "mount": mount}
    listed = [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]
    client = cloud.client("cloudwatch")
    until = time.monotonic() + MOST
    while True:
        found = client.get_metric_statistics(
            Namespace="kdeploy",
            MetricName="DiskUsedPercent",
            Dimensions=listed,
            StartTime=since,
            EndTime=datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        if found:
            break
        assert time.monotonic() < until, f"nothing is known of {mount} of {node}"
        time.sleep(5)
    pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"kdeploy-{cloud.name}-")
    alarms = [
        one
        for page in pages
        for one in page["MetricAlarms"]
        if (one["Namespace"], one["MetricName"]) == ("kdeploy", "DiskUsedPercent")
        and sorted(one["Dimensions"], key=lambda each: each["Name"]) == listed
    ]
    assert [one["Threshold"] for one in alarms] == [85.0], "one alarm looks at exactly what is sent"
    return float(max(one["Maximum"] for one in found))


def test_an_account_becomes_a_healthy_kafka_stays_it_heals_and_is_empty_again(
    place: tuple[Any, Path, dict[str, str]],
) -> None:
    cloud, folder, own = place
    begun = datetime.datetime.now(datetime.UTC)
    up(place)
    for mount in ("/", DATA):
        assert 0 < known(cloud, "eu-west-1/broker-1", mount, begun) <= 100
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
    ended = datetime.datetime.now(datetime.UTC)
    up(place)
    assert 0 < known(cloud, "eu-west-1/broker-2", DATA, ended) <= 100, "its successor goes on in its place"
    after = machines(cloud)
    assert after["eu-west-1/broker-2"]["InstanceId"] != gone["InstanceId"]
    assert after["eu-west-1/broker-2"]["PrivateIpAddress"] == gone["PrivateIpAddress"]
    assert kdeploy(folder, own, "verify", cloud.name).returncode == 0
    done = kdeploy(folder, own, "down", cloud.name, "--delete-data", "--yes", "--confirm", cloud.name)
    assert done.returncode == 0, done.stderr
    assert not left(cloud)
