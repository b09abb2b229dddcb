"""The operating system that every host of a fleet starts from: Debian 12, built once, kept in the cache.

Invariant: the base appears whole or not at all, outside the checkout; hosts only ever read it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

RELEASE: Final = "bookworm"
PACKAGES: Final = (
    "systemd,systemd-sysv,dbus,openssh-server,python3,python3-apt,iproute2,procps,ca-certificates,sudo,"
    "xfsprogs,nftables,chrony,kmod,openjdk-17-jre-headless,libfaketime"
)
EDITION: Final = "2"
"""Counted up whenever what is below changes, so that a cached base of before is not used."""

TOOLS: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "mkfs.xfs": "xfsprogs",
    "ssh": "openssh-client",
    "ip": "iproute2",
    "losetup": "mount",
    "nsenter": "util-linux",
}
"""Programs a fleet needs on this machine, with the package that has each in Debian."""


MEMORY: Final = 6 * 2**30
"""Bytes that six hosts with Kafka, and kdeploy and its clients beside them, want to have available."""


def lacking() -> str | None:
    """What this machine lacks for a fleet, in one line; None when nothing."""
    if os.geteuid() != 0:
        return "a fleet of hosts needs root"
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    return f"a fleet of hosts needs the packages {', '.join(missing)}" if missing else None


def crowded() -> str | None:
    """Whether six hosts would find no room here now, in one line; None when they would."""
    (available,) = (
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    if available < MEMORY:
        return f"a fleet of hosts needs {MEMORY >> 30} GiB of memory available, and {available >> 30} GiB are"
    return None


def cache() -> Path:
    """Where the base is kept."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KDEPLOY_FLEET_CACHE") or user_cache_path("kdeploy-fleet"))


def base() -> Path:
    """The base's folder; made when it is not there yet, which takes some minutes."""
    folder = cache() / f"debian-12-{EDITION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = folder.with_suffix(".making")
            for mounted in mounts_below(making, Path("/proc/mounts").read_text()):
                _run("umount", mounted)  # a debootstrap that was killed leaves a /proc in there
            if making.exists():
                shutil.rmtree(making)
            _run("nice", "debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(making))
            _adapt(making)
            making.rename(folder)
    return folder


def mounts_below(folder: Path, mounts: str) -> list[str]:
    """What is mounted below a folder, the innermost first, by the text of /proc/mounts."""
    below = [line.split()[1] for line in mounts.splitlines() if line.split()[1].startswith(f"{folder}/")]
    return sorted(below, reverse=True)


def _adapt(root: Path) -> None:
    """What a machine in a namespace needs otherwise than one of its own."""
    for unit in ("systemd-networkd.service", "systemd-networkd.socket", "systemd-udevd.service"):
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    # The clock is this machine's own: chronyd runs, and must not try to set it.
    (root / "etc/default/chrony").write_text('DAEMON_OPTS="-F 1 -x"\n')
    (root / "etc/machine-id").write_text("")
    (root / "etc/ssh/sshd_config.d/fleet.conf").write_text("UseDNS no\nMaxStartups 100\n")
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    for unit, target in (("fleet-boot.service", "sysinit"), ("fleet-disks.service", "multi-user")):
        shutil.copy(Path(__file__).parent / "units" / unit, root / "etc/systemd/system" / unit)
        wants = root / f"etc/systemd/system/{target}.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
