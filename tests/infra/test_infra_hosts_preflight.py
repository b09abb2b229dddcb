"""Preflight says everything that stands in the way of every host, and nothing of what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kdeploy.blueprint import Disk, HostFirewall
from kdeploy.infra.hosts.preflight import problems
from tests.infra.nodes import node

DISK = Disk("/dev/disk/by-id/one", "0b8a0e9e-0000-5000-8000-000000000001", "/var/lib/kafka/data/0")
EMPTY = {
    "exists": True,
    "block": True,
    "size": 4e12,
    "type": "",
    "uuid": "",
    "mounted": "",
    "parts": 0,
    "held": [],
}
GOOD = {
    "root": True,
    "boot": "b1",
    "os": "debian",
    "version": "12",
    "os_name": "Debian GNU/Linux 12 (bookworm)",
    "systemd": True,
    "cores": 4,
    "memory": 16 * 2**30,
    "java": 17,
    "mkfs": True,
    "disks": {DISK.device: EMPTY},
    "ports": [],
    "serves": False,
    "known": False,
    "names": {},
    "nft": True,
    "login": ["10.0.0.9", 22],
    "firewalls": [],
    "synchronised": True,
    "time_units": [],
}
HOST = node("broker-1", host="10.0.0.1", cores=4, memory=16 * 2.0**30, disks=(DISK,))


def judged(clock: float = 0, size: float | None = None, kafka: str = "3.9.2", **changes: Any) -> list[str]:
    facts = {HOST.key: {**GOOD, **changes}}
    return list(problems([HOST], facts, {HOST.key: clock}, {HOST.key: size}, kafka))


def with_disk(**changes: Any) -> dict[str, Any]:
    return {DISK.device: {**EMPTY, **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"memory": 15.4 * 2**30},
        {"os": "ubuntu", "version": "24.04"},
        {"os": "amzn", "version": "2023"},
        {"java": 0},
        {"java": 21},
        {"clock": -30},
        {"ports": [9092], "serves": True},
        {"disks": with_disk(type="xfs", uuid=DISK.file_system), "known": True},
        {"disks": with_disk(type="xfs", uuid=DISK.file_system, mounted=DISK.mount), "known": True},
        {"size": 4e12},
        {"names": {"10.0.0.2": {"addresses": [], "back": []}}},
        {"names": {"b": {"addresses": ["10.0.0.2"], "back": ["b", "b.example"]}}},
    ],
)
def test_a_host_that_will_do_passes(changes: dict[str, Any]) -> None:
    assert judged(**changes) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"os": "alpine", "os_name": "Alpine Linux"}, "it runs Alpine Linux, which kdeploy does not know"),
        ({"version": "11"}, "which kdeploy does not know; Debian 12 is proven"),
        ({"version": ""}, "which kdeploy does not know"),
        ({"systemd": False}, "not kept by systemd"),
        ({"root": False}, "there is no way to root"),
        ({"cores": 2}, "it has 2 cores, and 4 are declared"),
        ({"memory": 8 * 2**30}, "it has 8 GiB of memory, and 16 GiB are declared"),
        ({"clock": 600}, "its clock is 600 s ahead of this machine's"),
        ({"clock": -600}, "its clock is 600 s behind this machine's"),
        ({"ports": [9092, 9094]}, "port 9092, 9094 is taken by another program"),
        ({"java": 8}, "its Java is 8, and Kafka 3.9.2 needs 11"),
        ({"java": 11, "kafka": "4.3.1"}, "its Java is 11, and Kafka 4.3.1 needs 17"),
        ({"mkfs": False}, "install xfsprogs"),
        ({"disks": with_disk(exists=False)}, "there is no disk /dev/disk/by-id/one"),
        ({"disks": with_disk(block=False)}, "there is no disk /dev/disk/by-id/one"),
        ({"disks": with_disk(type="ext4", uuid="other")}, "is not empty: it holds ext4"),
        ({"disks": with_disk(type="xfs", uuid="other")}, "is not empty: it holds xfs"),
        ({"disks": with_disk(type="something")}, "is not empty: it holds something"),
        ({"disks": with_disk(parts=2)}, "is not empty: it holds partitions"),
        ({"disks": with_disk(held=["dm-0"])}, "is not empty: it holds another device's data"),
        ({"disks": with_disk(type="ext4", mounted="/srv")}, "it holds ext4, mounted at /srv"),
        (
            {"disks": with_disk(type="xfs", uuid=DISK.file_system, mounted="/mnt")},
            "is mounted at /mnt, and belongs at /var/lib/kafka/data/0",
        ),
        ({"known": True}, "is empty, and this node had its data on it"),
        ({"size": 8e12}, "has 3.638 TiB, and 7.276 TiB are declared"),
        ({"names": {"b": {"addresses": [], "back": []}}}, "it does not know the name b"),
        ({"names": {"b": {"addresses": ["10.0.0.2"], "back": ["c"]}}}, "does not lead back to b"),
    ],
)
def test_a_host_that_will_not_do_is_refused_with_its_name(changes: dict[str, Any], said: str) -> None:
    (problem,) = judged(**changes)
    assert said in problem
    assert problem.startswith("10.0.0.1 (broker-1): ")


def test_a_name_need_not_lead_back_where_the_address_is_in_the_certificate() -> None:
    from dataclasses import replace

    from tests.tuning.places import small

    in_aws = replace(HOST, machine=small().nodes[-1].machine)
    facts = {**GOOD, "names": {"b": {"addresses": ["10.0.0.2"], "back": ["ip-10-0-0-2"]}}}
    assert list(problems([in_aws], {HOST.key: facts}, {HOST.key: 0}, {HOST.key: None}, "3.9.2")) == []


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = judged(clock=600, os="alpine", cores=1, memory=2**30, ports=[9092], disks=with_disk(type="ext4"))
    assert len(found) == 6


def test_a_machine_that_is_there_twice_is_refused() -> None:
    other = node("broker-2", host="10.0.0.2")
    facts = {HOST.key: GOOD, other.key: {**GOOD, "disks": {}}}
    (problem,) = problems([HOST, other], facts, {HOST.key: 0, other.key: 0}, {}, "3.9.2")
    assert problem == (
        "10.0.0.2 (broker-2): it is the same machine as 10.0.0.1 (broker-1); let each machine run one node"
    )


GUARDED = replace(HOST, firewall=HostFirewall("digest", ("10.0.0.0/8", "fd00::/8"), (22, 2022)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"login": []}, None),
        ({"login": ["10.9.9.9", 2022]}, None),
        ({"login": ["::ffff:10.9.9.9", 22]}, None),
        ({"login": ["fd00::9", 22]}, None),
        ({"login": ["192.168.0.9", 22]}, "comes from 192.168.0.9, which firewall.operators would shut out"),
        ({"login": ["::ffff:192.168.0.9", 22]}, "comes from 192.168.0.9, which firewall.operators would"),
        ({"login": ["2001:db8::1", 22]}, "comes from 2001:db8::1, which firewall.operators would shut out"),
        ({"login": ["10.0.0.9", 2222]}, "listens on port 2222, which is not among firewall.ssh_ports"),
        ({"firewalls": ["firewalld"]}, "its firewall is kept by firewalld"),
        ({"firewalls": ["ufw"]}, "its firewall is kept by ufw"),
    ],
)
def test_a_firewall_that_would_shut_kdeploy_out_is_refused(changes: dict[str, Any], said: str | None) -> None:
    facts = {HOST.key: {**GOOD, **changes}}
    found = problems([GUARDED], facts, {HOST.key: 0}, {HOST.key: None}, "3.9.2")
    assert (said is None) == (found == ())
    assert said is None or said in found[0]
    assert problems([HOST], facts, {HOST.key: 0}, {HOST.key: None}, "3.9.2") == (), "where there is none"
