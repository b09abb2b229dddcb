"""Brokers whose data is on disks of the machines' own, in the emulated AWS with machines that are hosts: what stops a machine
empties them, and the cluster fills them again, one after the other.

One environment goes through all tests of this file.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.aws.counted import everything
from tests.e2e.aws.load import DECLARED, fill, in_sync_before_each, under_load
from tests.e2e.aws.running import SMALL, Running, running

pytestmark = [pytest.mark.cloud, pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

FIRST, OTHER = "c6gd.large", "m6gd.large"
"""Types with one disk of 118 GB of their own (Amazon EC2 instance types, 2026-10-27)."""

TEXT = (
    f"""\
kafka: {{version: "4.3.1", coordination: kraft}}
datacenters:
  - name: eu-west-1
    provider: aws
    region: eu-west-1
    racks: [a, b, c]
    ssh: {{user: root, key: KEY, through: direct}}
    network: {{operators: [10.20.0.0/16]}}
    brokers: {{count: 3, storage: local, instance_type: {FIRST}}}
workload: {{throughput: 1MB/s, retention: 1h, partitions: 30}}
durability: {{replication_factor: 3, min_insync_replicas: 2, survive: zone}}
"""
    + SMALL
    + DECLARED
)

BROKERS = [f"eu-west-1/broker-{number}" for number in (1, 2, 3)]
CONTROLLERS = [f"eu-west-1/controller-{number}" for number in (1001, 1002, 1003)]
COPIES, FEWEST = 3, 2
"""Copies of each partition, and those that are in sync where writers are not refused."""

RECORDS = 30_000
"""Records that are there before anything is stopped."""

DATA = "/var/lib/kafka/data/0"
MARK = f"{DATA}/kept-by-nobody"
"""A file beside the data: it goes with the disk."""

OWN = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS*"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, module: pytest.MonkeyPatch) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("own"), TEXT, module) as made:
        yield made


def mark(whole: Running) -> None:
    for key in (*BROKERS, *CONTROLLERS):
        whole.run(key, f"touch {MARK}")


def emptied(whole: Running) -> list[str]:
    """Nodes whose disks are not those that were marked."""
    found = {key: whole.run(key, f"ls {MARK}", check=False) for key in (*BROKERS, *CONTROLLERS)}
    return [key for key, said in found.items() if not said]


def instances(whole: Running) -> dict[str, str]:
    return {key: one["InstanceId"] for key, one in whole.machines().items()}


def test_brokers_have_their_data_on_their_machines_own_disks_and_controllers_on_volumes(
    whole: Running,
) -> None:
    whole.up()
    whole.expect_health()
    assert sorted(whole.machines()) == sorted((*BROKERS, *CONTROLLERS))
    assert sorted(whole.volumes()) == [f"{key.replace('/', '-')}-data-0" for key in CONTROLLERS]
    for key in BROKERS:
        disk = whole.run(key, f"realpath {OWN}")
        assert whole.run(key, f"findmnt --noheadings --output SOURCE {DATA}") == disk
    there = everything(whole.cloud)
    with whole.counted() as calls:
        assert not any(one["changed"] for one in whole.up()["clusters"])
    assert everything(whole.cloud) == there
    assert not [name for name in calls if name.startswith(("ec2:Run", "ec2:Create", "ec2:Modify"))]


def test_another_type_empties_each_broker_in_turn_once_all_copies_are_in_sync_and_no_record_is_lost(
    whole: Running,
) -> None:
    fill(whole, whole.ledger, RECORDS)
    mark(whole)
    before, lives = instances(whole), whole.lives()
    whole.edit(f"instance_type: {FIRST}", f"instance_type: {OTHER}", "--reshape")
    with (
        under_load(whole, whole.ledger, f"{OTHER} for brokers that had {FIRST}") as watching,
        whole.counted() as calls,
    ):
        whole.up()
    assert (watching.most, sorted(watching.turns)) == (1, BROKERS), watching.looks
    assert in_sync_before_each(watching.seen, COPIES), watching.seen
    assert watching.seen[-1] == (frozenset(), COPIES), "and at the end all are"
    assert watching.fewest == FEWEST
    assert (calls["ec2:StopInstances"], calls["ec2:StartInstances"]) == (len(BROKERS), len(BROKERS))
    assert not [name for name in calls if name.startswith(("ec2:Run", "ec2:Terminate", "ec2:Detach"))]
    assert emptied(whole) == BROKERS
    assert instances(whole) == before
    types = {key: one["InstanceType"] for key, one in whole.machines().items()}
    assert {types[key] for key in BROKERS} == {OTHER}
    after = whole.lives()
    assert [key for key in sorted(after) if after[key] != lives[key]] == BROKERS
    whole.expect_health()


@pytest.mark.parametrize("how", ["stopped and started", "terminated"])
def test_a_machine_that_somebody_else_ended_begins_anew_with_all_that_the_others_have(
    whole: Running, how: str
) -> None:
    lost = BROKERS[1]
    mark(whole)
    before = instances(whole)
    ec2, gone = whole.cloud.client("ec2"), before[lost]
    with under_load(whole, whole.ledger, f"{lost} with its own disk {how} by somebody else") as watching:
        if how == "terminated":
            ec2.terminate_instances(InstanceIds=[gone])
            ec2.get_waiter("instance_terminated").wait(InstanceIds=[gone])
        else:
            ec2.stop_instances(InstanceIds=[gone])
            ec2.get_waiter("instance_stopped").wait(InstanceIds=[gone])
            refused = whole.kdeploy("up", whole.name)
            assert refused.returncode == 1
            assert f"aws ec2 start-instances --region eu-west-1 --instance-ids {gone}" in refused.stderr
            ec2.start_instances(InstanceIds=[gone])
            whole.cloud.wait(whole.cloud.hosts()[gone])
        whole.up()
    assert (watching.most, watching.turns) == (1, [lost]), watching.looks
    assert watching.seen[-1] == (frozenset(), COPIES), watching.seen
    assert watching.fewest == FEWEST
    assert emptied(whole) == [lost]
    after = instances(whole)
    others = [key for key in before if after[key] != before[key]]
    assert others == ([lost] if how == "terminated" else [])
    whole.expect_health()


def test_everything_is_given_up_and_nothing_is_left(whole: Running) -> None:
    whole.give_up()
