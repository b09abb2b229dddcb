"""The fleet: a host is a real machine to kdeploy, and nothing of it is left, whatever became of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fleet import base, groups
from tests.fleet.fleet import BRIDGE, SHARED, Fleet
from tests.fleet.host import BootFailed

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(1800)]

SWAPPINESS = Path("/proc/sys/vm/swappiness")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    made = Fleet(tmp_path / "fleet")
    try:
        made.up(1)
        yield made
    finally:
        made.remove()


def processes(folder: Path) -> list[int]:
    """Processes on this machine that name the folder in their arguments."""
    found = []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(folder).encode() in arguments.read_bytes() and int(arguments.parent.name) != os.getpid():
                found.append(int(arguments.parent.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waits for stays listed as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def namespaces(group: Path) -> set[str]:
    """Of processes in a control group and below it."""
    found = set()
    for folder, _, _ in os.walk(group):
        for pid in (Path(folder) / "cgroup.procs").read_text().split():
            with suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/pid"))
    return found


def test_a_host_has_its_own_systemd_disk_address_and_key(fleet: Fleet) -> None:
    (host,) = fleet.hosts()
    assert fleet.run(host, "cat /proc/1/comm; hostname").stdout.split() == ["systemd", host.name]
    assert fleet.run(host, f"blockdev --getsize64 {host.devices[0]}").stdout.strip() == str(2 * 2**30)
    fleet.run(host, f"mkfs.xfs -q {host.devices[0]} && mount {host.devices[0]} /mnt && touch /mnt/x")


def test_hosts_that_boot_at_once_have_control_groups_of_their_own_and_none_fails_to_start_what_another_stops(
    fleet: Fleet,
) -> None:
    fleet.remove()
    hosts = fleet.up(4)
    for _ in range(3):
        for host in hosts:
            host.kill()
        fleet.start()
        failed = {one.name: fleet.run(one, "systemctl --failed --no-legend --plain").stdout for one in hosts}
        assert not any(failed.values()), failed
    made = [group for host in hosts for group in groups.of(host.home)]
    assert len(set(made)) == len(made) >= len(hosts)
    for host in hosts:
        for group in groups.of(host.home):
            inside = namespaces(group) - {os.readlink("/proc/self/ns/pid")}
            assert inside == {os.readlink(f"/proc/{host.systemd()}/ns/pid")}
    fleet.remove()
    assert not [group for group in made if group.exists()]


def test_a_host_whose_boot_fails_says_why_at_once(fleet: Fleet) -> None:
    (host,) = fleet.hosts()
    host.kill()
    host.personalise()
    (host.root / "usr/local/sbin/fleet-boot").write_text("echo a disk is missing >&2\nexit 3\n")
    host.start()
    with pytest.raises(BootFailed) as failed:
        fleet.wait(host)
    assert "status=3" in str(failed.value)
    assert host.name in str(failed.value)


def test_nothing_is_left_when_what_keeps_a_host_running_was_killed(fleet: Fleet) -> None:
    (host,) = fleet.hosts()
    before = SWAPPINESS.read_text()
    fleet.run(host, "sysctl -qw vm.swappiness=7")
    systemd = host.systemd()
    assert systemd is not None
    for pid in processes(fleet.folder):
        os.kill(pid, signal.SIGKILL)
    fleet.remove()
    assert not fleet.folder.exists()
    assert not runs(systemd)
    assert processes(fleet.folder) == []
    assert str(fleet.folder) not in Path("/proc/self/mountinfo").read_text()
    attached = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    assert str(fleet.folder) not in attached
    assert not Path(f"/sys/class/net/{BRIDGE}").exists()
    assert SWAPPINESS.read_text() == before
    assert str(SWAPPINESS) in SHARED


def test_a_host_that_boots_again_keeps_its_disks_and_one_that_lost_power_can_be_started(fleet: Fleet) -> None:
    (host,) = fleet.hosts()
    fleet.run(host, f"mkfs.xfs -q {host.devices[0]}")
    host.kill()
    assert host.systemd() is None
    fleet.start()
    assert fleet.run(host, f"blkid -p -o value -s TYPE {host.devices[0]}").stdout.strip() == "xfs"
    assert fleet.run(host, "ls /dev/disk/by-uuid").stdout.strip()
