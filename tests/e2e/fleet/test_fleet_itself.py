"""The fleet: a host is a real machine to kdeploy, and nothing of it is left, whatever became of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fleet import base
from tests.fleet.fleet import BRIDGE, SHARED, Fleet

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


def test_a_host_has_its_own_systemd_disk_address_and_key(fleet: Fleet) -> None:
    (host,) = fleet.hosts()
    assert fleet.run(host, "cat /proc/1/comm; hostname").stdout.split() == ["systemd", host.name]
    assert fleet.run(host, f"blockdev --getsize64 {host.devices[0]}").stdout.strip() == str(2 * 2**30)
    fleet.run(host, f"mkfs.xfs -q {host.devices[0]} && mount {host.devices[0]} /mnt && touch /mnt/x")


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
