"""The whole of `kdeploy up` in AWS: instances are hosts of this machine, and Kafka runs on them; in a real account they are
what AWS makes of them, reached by sessions of Systems Manager.

One environment goes through all tests of this file. Records flow while its machines change, where clients of this machine
reach its brokers: not in a real account.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cloud import real
from tests.cloud.account import Account
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.load import DECLARED, Watching, under_load
from tests.e2e.aws.world import NODES, TEXT, World, left, written
from tests.e2e.local.records import Ledger
from tests.fleet import base

pytestmark = [
    *(pytest.mark.cloud, pytest.mark.fleet),
    pytest.mark.timeout(real.LONG if real.wanted() else 3600),
]

in_real = pytest.mark.real_account

SESSIONS = TEXT.replace(
    "user: root, key: KEY, through: direct", "user: admin, key: KEY, through: ssm"
).replace("    network: {operators: [10.20.0.0/16]}\n", "")
"""The same environment, with machines that nothing but AWS itself has a way to."""

WRITTEN = TEXT.replace("users: [{name: somebody}]\n", DECLARED).replace(
    "alarms: true}", 'alarms: true, metrics_endpoint: "http://10.20.0.2:4566"}'
)
"""The same, with a topic and with users that write and read it; its machines call the account where they reach it
(`tests.cloud.machines`, CALLED)."""

MOST: Final = 600.0
"""Seconds until a metric is known: it is sent each minute, and seen in a real account some minutes later."""

DATA: Final = "/var/lib/kafka/data/0"

NEEDED = ("aws", "session-manager-plugin")
"""Programs that sessions of Systems Manager take."""

BROKERS = [key for key in NODES if "broker" in key]

OTHER = "m6g.large"
"""Another type for brokers, which have c6g.large."""


class Whole(World):
    """An environment whose nodes run.

    Attributes:
        ledger: What its cluster acknowledged.
    """

    def __init__(self, folder: Path, cloud: Any, own: dict[str, str]) -> None:
        super().__init__(folder, cloud, own)
        self.ledger = Ledger()

    def under_load(self, what: str) -> AbstractContextManager[Watching | None]:
        """Records flow through it, where clients reach it."""
        return under_load(self, self.ledger, what) if self.cloud.emulated else nullcontext()

    def addresses(self) -> dict[str, str]:
        return {key: one["PrivateIpAddress"] for key, one in self.machines().items()}

    def instances(self) -> dict[str, str]:
        """AWS's names of machines."""
        return {key: one["InstanceId"] for key, one in self.machines().items()}

    def attached(self) -> dict[str, list[str]]:
        """Instances that have each data volume, by its id."""
        return {
            one["VolumeId"]: [each["InstanceId"] for each in one["Attachments"]]
            for one in self.volumes().values()
        }

    def disk_use(self, node: str, mount: str, since: datetime.datetime) -> float:
        """How full a disk is, as CloudWatch knows it from what the node's machine sent after a moment; waits for it."""
        dimensions = {"environment": self.name, "node": node, "mount": mount}
        listed = [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]
        client = self.cloud.client("cloudwatch")
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
        pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"kdeploy-{self.name}-")
        alarms = [
            one
            for page in pages
            for one in page["MetricAlarms"]
            if (one["Namespace"], one["MetricName"]) == ("kdeploy", "DiskUsedPercent")
            and sorted(one["Dimensions"], key=lambda each: each["Name"]) == listed
        ]
        assert [one["Threshold"] for one in alarms] == [85.0], "one alarm looks at exactly what is sent"
        return float(max(one["Maximum"] for one in found))

    def lives(self) -> dict[str, str]:
        """What tells each machine's life since it booted from any other, and that of the node on it."""
        asked = (
            "cat /proc/sys/kernel/random/boot_id && "
            "{ systemctl show --property=MainPID --value kafka.service zookeeper.service; true; }"
        )
        return {
            key: self.cloud.run(self.cloud.host(address), asked) for key, address in self.addresses().items()
        }


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Account, Path]]:
    """An account, and the folder that whoever works in it has."""
    if real.wanted():
        with real.Real(real.permitted()) as account:
            yield account, account.folder / "work"
        return
    with Cloud(folder / "cloud", machines=True) as cloud:
        yield cloud, folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, module: pytest.MonkeyPatch) -> Iterator[Whole]:
    """An environment that was decided, of which nothing is made yet."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    problem = base.lacking() if not real.wanted() else " and ".join(lacking)
    if problem:
        pytest.skip(f"this machine lacks {problem}" if real.wanted() else problem)
    with opened(tmp_path_factory.mktemp("whole")) as (account, folder):
        made = Whole(folder, account, written(folder, account, SESSIONS if real.wanted() else WRITTEN))
        if isinstance(account, Cloud):
            file = made.environment / "environment.yaml"
            file.write_text(file.read_text().replace(str(folder / "key"), str(account.key)))
        for name in ("KDEPLOY_STATE_DIR", "KDEPLOY_VAULT_PASSWORD"):
            module.setenv(name, made.own[name])
        made.have_lock_and_vault()
        yield made


@in_real
def test_an_account_becomes_a_healthy_kafka_and_stays_it(whole: Whole) -> None:
    begun = datetime.datetime.now(datetime.UTC)
    whole.up()
    for mount in ("/", DATA):
        assert 0 < whole.disk_use("eu-west-1/broker-1", mount, begun) <= 100
    assert sorted(whole.machines()) == NODES
    whole.expect_health()
    there = everything(whole.cloud)
    with whole.counted() as calls:
        whole.up()
    assert everything(whole.cloud) == there
    assert not [name for name in calls if name.startswith(("ec2:Run", "ec2:Create", "ec2:Modify"))]


def test_brokers_get_another_type_in_turn_while_records_flow_and_none_is_lost(whole: Whole) -> None:
    before, volumes, lives = whole.machines(), whole.attached(), whole.lives()
    whole.edit("brokers: {count: 3}", f"brokers: {{count: 3, instance_type: {OTHER}}}", "--reshape")
    assert OTHER not in {before[key]["InstanceType"] for key in BROKERS}
    with whole.under_load(f"{OTHER} for brokers that had c6g.large") as watching, whole.counted() as calls:
        whole.up()
    assert watching is not None
    assert (watching.most, sorted(watching.turns)) == (1, BROKERS), watching.looks
    assert (calls["ec2:StopInstances"], calls["ec2:StartInstances"]) == (len(BROKERS), len(BROKERS))
    assert not [name for name in calls if name.startswith(("ec2:Run", "ec2:Terminate", "ec2:Detach"))]
    types = {key: one["InstanceType"] for key, one in whole.machines().items()}
    assert types == {key: OTHER if key in BROKERS else before[key]["InstanceType"] for key in NODES}
    assert whole.instances() == {key: one["InstanceId"] for key, one in before.items()}
    assert whole.addresses() == {key: one["PrivateIpAddress"] for key, one in before.items()}
    assert whole.attached() == volumes
    after = whole.lives()
    assert [key for key in NODES if after[key] != lives[key]] == BROKERS, "ZooKeeper was left alone"
    whole.expect_health()


@in_real
def test_a_machine_that_is_terminated_comes_again_with_its_volume_and_address_while_records_flow_and_none_is_lost(
    whole: Whole,
) -> None:
    lost = "eu-west-1/broker-2"
    instances, addresses, volumes = whole.instances(), whole.addresses(), whole.attached()
    gone = instances[lost]
    with whole.under_load(f"{lost} terminated, and made again") as watching:
        ec2 = whole.cloud.client("ec2")
        ec2.terminate_instances(InstanceIds=[gone])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[gone])
        ended = datetime.datetime.now(datetime.UTC)
        whole.up()
    assert 0 < whole.disk_use(lost, DATA, ended) <= 100, "the one in its place goes on with the same metric"
    if watching is not None:
        assert (watching.most, watching.turns) == (1, [lost]), watching.looks
    after = whole.instances()
    assert [key for key in NODES if after[key] != instances[key]] == [lost]
    assert whole.addresses() == addresses
    assert whole.attached() == {
        volume: [after[lost] if one == gone else one for one in those] for volume, those in volumes.items()
    }
    whole.expect_health()


@in_real
def test_everything_is_given_up_and_nothing_is_left(whole: Whole) -> None:
    done = whole.kdeploy("down", whole.name, "--delete-data", "--yes", "--confirm", whole.name)
    assert done.returncode == 0, done.stderr
    assert not left(whole.cloud)
