"""Instances that are hosts: they boot with their address, disks and names, and their volumes outlive them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.cloud import Cloud
from tests.cloud.hosts import Machine
from tests.fleet import base

pytestmark = [pytest.mark.cloud, pytest.mark.fleet]

PATIENCE = 300.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF3nJqPpcD2zVxD3h2X9g0pK0sYk4o3jVw4bN1m8Qe2k somebody"


@dataclass
class Account:
    """A network with two subnets, made by calls."""

    cloud: Cloud
    network: str = "10.90"

    def __post_init__(self) -> None:
        self.ec2 = self.cloud.client("ec2")
        parameter = "/aws/service/debian/release/12/latest/amd64"
        self.image = self.cloud.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        self.vpc = self.ec2.create_vpc(CidrBlock=f"{self.network}.0.0/16")["Vpc"]["VpcId"]
        self.subnets = {
            letter: self.ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"{self.network}.{part}.0/20", AvailabilityZone=f"eu-west-1{letter}"
            )["Subnet"]["SubnetId"]
            for letter, part in (("a", 0), ("b", 16))
        }

    def interface(self, zone: str, address: str) -> str:
        made = self.ec2.create_network_interface(SubnetId=self.subnets[zone], PrivateIpAddress=address)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def launch(self, interface: str, sort: str = "m6i.large") -> str:
        data = "#cloud-config\n" + json.dumps({"ssh_authorized_keys": [KEY]}) + "\n"
        made = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType=sort,
            MinCount=1,
            MaxCount=1,
            UserData=data,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def state(self, instance: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def machine(self, instance: str) -> Machine:
        found = self.cloud.hosts()[instance]
        self.cloud.wait(found)
        return found


def until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    with Cloud(tmp_path_factory.mktemp("machines"), machines=True) as cloud:
        yield Account(cloud)


def by_id(volume: str) -> str:
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '', 1)}"


def test_an_instance_boots_with_its_address_its_names_and_who_may_log_in(account: Account) -> None:
    run = account.cloud.run
    one = account.machine(account.launch(account.interface("a", "10.90.0.17")))
    two = account.machine(account.launch(account.interface("b", "10.90.16.17")))
    assert run(one, "hostname") == "ip-10-90-0-17"
    assert "10.90.0.17/20" in run(one, "ip -4 address show dev host0")
    assert KEY in run(one, "cat /home/admin/.ssh/authorized_keys")
    assert run(one, "su admin -c 'sudo -n id -u'") == "0"
    zone = account.cloud.client("route53").create_hosted_zone(
        Name="test.kdeploy",
        CallerReference="one",
        VPC={"VPCId": account.vpc, "VPCRegion": "eu-west-1"},
        HostedZoneConfig={"PrivateZone": True},
    )["HostedZone"]["Id"]
    record: dict[str, Any] = {"Name": "broker-2.test.kdeploy", "Type": "A", "TTL": 60}
    record["ResourceRecords"] = [{"Value": two.address}]
    account.cloud.client("route53").change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    assert run(one, "getent ahostsv4 broker-2.test.kdeploy").split()[0] == "10.90.16.17"
    assert run(one, "getent hosts 10.90.16.17").split()[1] == "ip-10-90-16-17.eu-west-1.compute.internal"
    assert run(one, "getent hosts nobody.test.kdeploy", check=False) == ""
    assert "SSH-2.0" in run(one, "bash -c 'exec 3<>/dev/tcp/10.90.16.17/22; head -c 7 <&3'")


def test_an_instance_knows_its_role_by_sessions_alone_and_may_call_the_account(account: Account) -> None:
    run = account.cloud.run
    one = account.machine(account.launch(account.interface("a", "10.90.0.21")))
    ask = 'python3 -c \'import urllib.request as r; print(r.urlopen(r.Request("%s", method="%s", headers=%s)).read().decode())\''
    beside = "http://169.254.169.254/latest"
    roles = f"{beside}/meta-data/iam/security-credentials/"
    token = run(one, ask % (f"{beside}/api/token", "PUT", '{"X-aws-ec2-metadata-token-ttl-seconds": "60"}'))
    assert run(one, ask % (roles, "GET", "{}"), check=False) == "", "no session, no answer"
    session = f'{{"X-aws-ec2-metadata-token": "{token}"}}'
    assert run(one, ask % (roles, "GET", session)) == "machine"
    known = json.loads(run(one, ask % (f"{roles}machine", "GET", session)))
    assert known["AccessKeyId"] == account.cloud.environment["AWS_ACCESS_KEY_ID"]
    assert run(one, "bash -c 'exec 3<>/dev/tcp/10.90.0.2/4566 && echo open'") == "open"


def test_a_volume_comes_and_grows_while_the_machine_runs_and_outlives_it(account: Account) -> None:
    ec2, run = account.ec2, account.cloud.run
    interface = account.interface("a", "10.90.0.18")
    first = account.launch(interface)
    machine = account.machine(first)
    volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=1, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    disk = by_id(volume)
    run(machine, f"mkfs.xfs -q {disk} && mkdir /data && mount {disk} /data && echo kept > /data/file")
    ec2.modify_volume(VolumeId=volume, Size=2)
    assert run(machine, f"blockdev --getsize64 {disk}") == str(2 * 2**30)
    run(machine, "xfs_growfs /data")
    mac = run(machine, "cat /sys/class/net/host0/address")
    ec2.terminate_instances(InstanceIds=[first])
    until(lambda: account.state(first) == "terminated")
    assert first not in account.cloud.hosts()
    second = account.launch(interface)
    ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")
    machine = account.machine(second)
    assert run(machine, f"mkdir /data && mount {disk} /data && cat /data/file") == "kept"
    assert run(machine, "cat /sys/class/net/host0/address") == mac
    assert machine.address == "10.90.0.18"


def test_a_volume_that_comes_while_the_machine_boots_is_there_and_so_is_its_network(account: Account) -> None:
    ec2, run = account.ec2, account.cloud.run
    instance = account.launch(account.interface("b", "10.90.16.20"))
    account.machine(instance)
    volume = ec2.create_volume(AvailabilityZone="eu-west-1b", Size=1, VolumeType="gp3")["VolumeId"]
    with ThreadPoolExecutor() as pool:
        for later in (0.0, 0.2, 0.4, 0.6):
            ec2.stop_instances(InstanceIds=[instance])
            until(lambda: account.state(instance) == "stopped")
            starting = pool.submit(ec2.start_instances, InstanceIds=[instance])
            time.sleep(later)
            ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
            starting.result()
            machine = account.machine(instance)
            assert run(machine, f"blockdev --getsize64 {by_id(volume)}") == str(2**30)
            ec2.detach_volume(VolumeId=volume, InstanceId=instance)


def test_stop_and_start_keep_the_system_and_its_disks(account: Account) -> None:
    ec2, run = account.ec2, account.cloud.run
    instance = account.launch(account.interface("b", "10.90.16.19"))
    machine = account.machine(instance)
    run(machine, "echo 10.90.16.19 here >> /etc/hosts")
    volume = ec2.create_volume(AvailabilityZone="eu-west-1b", Size=1, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    boot = run(machine, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp")
    ec2.stop_instances(InstanceIds=[instance])
    until(lambda: account.state(instance) == "stopped")
    assert machine.systemd() is None
    ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "m6i.xlarge"})
    ec2.start_instances(InstanceIds=[instance])
    machine = account.machine(instance)
    assert "here" in run(machine, "cat /etc/hosts")
    assert run(machine, f"blockdev --getsize64 {by_id(volume)}") == str(2**30)
    assert boot != run(
        machine, "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestamp"
    )


def test_disks_of_an_instances_own_are_others_and_empty_after_a_stop_as_many_as_its_type_has(
    account: Account,
) -> None:
    ec2, run = account.ec2, account.cloud.run
    interface = account.interface("a", "10.90.0.22")
    instance = account.launch(interface, "m6id.large")
    machine = account.machine(instance)
    listed = "ls /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*"
    (first,) = run(machine, listed).split()
    run(machine, f"mkfs.xfs -q {first} && mkdir /data && mount {first} /data && echo kept > /data/file")
    ec2.reboot_instances(InstanceIds=[instance])
    until(lambda: run(machine, "ls /data", check=False) == "")
    machine = account.machine(instance)
    assert run(machine, f"mount {first} /data && cat /data/file") == "kept", "a reboot keeps them"
    ec2.stop_instances(InstanceIds=[instance])
    until(lambda: account.state(instance) == "stopped")
    ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "i3en.6xlarge"})
    ec2.start_instances(InstanceIds=[instance])
    machine = account.machine(instance)
    disks = run(machine, listed).split()
    assert len(disks) == 2
    assert first not in disks
    assert {run(machine, f"blkid -p {one}; echo $?") for one in disks} == {"2"}, (
        "nothing is recognised on them"
    )


def test_a_machine_that_cannot_boot_is_refused_with_what_its_journal_says(account: Account) -> None:
    from botocore.exceptions import ClientError

    instance = account.launch(account.interface("b", "10.90.16.21"))
    machine = account.machine(instance)
    account.ec2.stop_instances(InstanceIds=[instance])
    until(lambda: account.state(instance) == "stopped")
    program = machine.root / "usr/bin/ip"
    program.rename(program.with_name("no-ip"))
    with pytest.raises(ClientError) as refused:
        account.ec2.start_instances(InstanceIds=[instance])
    assert refused.value.response["Error"]["Code"] == "HostDidNotBoot"
    assert "status=127" in str(refused.value), "the shell found no such program"


def test_nothing_is_left_on_this_machine_afterwards(tmp_path: Path) -> None:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    with Cloud(tmp_path / "cloud", machines=True) as cloud:
        account = Account(
            cloud, "10.91"
        )  # the other account is still there, with name servers on its addresses
        machine = account.machine(account.launch(account.interface("a", "10.91.0.40")))
        folder = machine.home
        assert machine.systemd() is not None
    assert machine.systemd() is None
    assert not folder.exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
