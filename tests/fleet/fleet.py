"""A fleet: hosts on one bridge, in three racks, with what tests and developers need to reach them.

Invariant: what a fleet changes of this machine (a bridge, kernel settings that all hosts share,
loop devices) is undone by `remove`, whatever became of it in between.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fleet import host
from tests.fleet.base import base
from tests.fleet.host import Host

RACKS: Final = ("a", "b", "c")
SUBNET: Final = "10.77.0"
BRIDGE: Final = "kdeploy0"
FIRST: Final = 11
"""Last number of the first host's address."""

SHARED: Final = (
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/swappiness",
    "/proc/sys/vm/dirty_background_ratio",
    "/proc/sys/vm/dirty_ratio",
    "/proc/sys/vm/max_map_count",
    "/proc/sys/fs/protected_fifos",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/fs/protected_regular",
    "/proc/sys/fs/protected_symlinks",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/defrag",
)
"""Kernel settings that hosts, or their systemd at boot, set and that are this machine's own: put back at the end."""

PATIENCE: Final = 240.0
"""Seconds for a host to boot: two on calm processors, with six at once on busy ones some 90 and more."""


@dataclass(frozen=True)
class Fleet:
    """Hosts below one folder."""

    folder: Path

    @property
    def key(self) -> Path:
        """The private key that logs in to every host."""
        return self.folder / "id_ed25519"

    def hosts(self) -> list[Host]:
        """Every host, by address."""
        found = [host.read(file.parent) for file in (self.folder / "hosts").glob("*/host.json")]
        return sorted(found, key=lambda one: tuple(map(int, one.address.split("."))))

    def up(self, count: int, coordinator: str = "zookeeper", *, disks: int = 1) -> list[Host]:
        """Boot hosts until there are so many: of the first half up to three coordinate, the rest are brokers.

        Args:
            count: How many hosts there are then.
            coordinator: zookeeper or controller: what those that coordinate are.
            disks: Data disks of each broker; who coordinates has one.
        """
        root = base()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.note_shared()
        self.make_key()
        _bridge()
        present = {one.name for one in self.hosts()}
        for number in range(count):
            made = self._host(number, count, coordinator, disks)
            if made.name not in present:
                made.make(root)
        return self.start()

    def make_key(self) -> None:
        """Make the key that logs in, once."""
        if not self.key.exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(self.key))

    def start(self) -> list[Host]:
        """Boot every host that is down, and wait until all answer."""
        hosts = self.hosts()
        _bridge()
        for one in hosts:
            if one.systemd() is None:
                one.personalise()
                one.start()
        with ThreadPoolExecutor(len(hosts) or 1) as pool:
            list(pool.map(self.wait, hosts))
        return hosts

    def wait(self, one: Host) -> None:
        """Wait until a host has booted.

        Raises:
            BootFailed: What it does at boot failed.
            SystemExit: It has not booted in time.
        """
        deadline, said = time.monotonic() + PATIENCE, "nothing listens"
        while time.monotonic() < deadline:
            answers = _answers(one.address)
            one.booted()  # which says why where that failed; it ends before anything listens
            if answers:
                # Asked again rather than with `--wait`, so that a host that hangs says what it waits for.
                asked = self.run(
                    one, "systemctl is-system-running; systemctl list-jobs --no-legend", check=False
                )
                said = " ".join(f"{asked.stdout} {asked.stderr}".split())
                if said.startswith(("running", "degraded")):
                    return
            time.sleep(0.25)
        runs = (
            "its systemd runs" if one.systemd() else f"its systemd does not run; see {one.home}/console.log"
        )
        raise SystemExit(f"{one.name} did not boot: {runs}; SSH: {said}")

    def run(self, one: Host, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on a host as root."""
        options = [
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oLogLevel=ERROR",
            "-oBatchMode=yes",
            "-oConnectTimeout=5",
        ]
        done = subprocess.run(
            ["ssh", "-F/dev/null", *options, "-i", str(self.key), f"root@{one.address}", command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{one.name}: {command}: {done.stdout}{done.stderr}")
        return done

    def cut(self, one: Host) -> None:
        """Take a host off the network, as if its cable were pulled; it goes on running."""
        self._link(one, "down")

    def mend(self, one: Host) -> None:
        """Put a host that was cut off back on the network."""
        self._link(one, "up")

    def _link(self, one: Host, state: str) -> None:
        # systemd-nspawn(1), --network-bridge: this machine's end is named after the host.
        _run("ip", "link", "set", f"vb-{one.name}", state)

    def remove(self) -> None:
        """End every host, and undo all that the fleet changed; also after a failed run."""
        if not self.folder.exists():
            return
        bridges = {BRIDGE, *(one.bridge for one in self.hosts())}
        for folder in (self.folder / "hosts").glob("*"):
            if (folder / "host.json").exists():
                host.read(folder).remove()
        for bridge in bridges:
            if not any(line.split()[1:2] == [bridge] for line in _links(bridge)):
                subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
        self.restore_shared()
        shutil.rmtree(self.folder)

    def _host(self, number: int, count: int, coordinator: str, disks: int) -> Host:
        coordinators = min(count // 2, 3)
        role = coordinator if number < coordinators else "broker"
        place = number if number < coordinators else number - coordinators
        name = f"{role}-{place + 1}"
        return Host(
            folder=str(self.folder / "hosts" / name),
            name=name,
            address=f"{SUBNET}.{FIRST + number}",
            rack=RACKS[place % len(RACKS)],
            role=role,
            disks=disks if role == "broker" else 1,
            bridge=BRIDGE,
            authorized=self.key.with_suffix(".pub").read_text(),
        )

    def note_shared(self) -> None:
        """Note the kernel's settings as they are before any host sets one."""
        file = self.folder / "kernel.json"
        if not file.exists():
            before = {path: _setting(path) for path in SHARED if Path(path).exists()}
            file.write_text(json.dumps(before, indent=1))

    def restore_shared(self) -> None:
        """Put the kernel's settings back as they were noted."""
        file = self.folder / "kernel.json"
        for path, value in json.loads(file.read_text()).items() if file.exists() else ():
            if _setting(path) != value:
                Path(path).write_text(value)


def sweep(folder: Path) -> None:
    """Remove every fleet whose folder is called `fleet` one level below this one, whoever left it."""
    for found in folder.glob("*/fleet"):
        if not found.parent.is_symlink():
            Fleet(found).remove()


def others() -> str | None:
    """What says that another fleet is up on this machine, in one line; None when none is."""
    # sysfs: a folder for each interface, in which a bridge lists those that are connected to it.
    if any((_bridge_folder() / "brif").glob("*")):
        return (
            f"another fleet of hosts is up on this machine (bridge {BRIDGE}), and there can be one at a time"
        )
    return None


def _setting(path: str) -> str:
    text = Path(path).read_text().strip()
    return text.partition("[")[2].partition("]")[0] if "[" in text else text


def _bridge_folder() -> Path:
    return Path(f"/sys/class/net/{BRIDGE}")


def _bridge() -> None:
    if not _bridge_folder().exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")


def _links(bridge: str) -> list[str]:
    """What is connected to a bridge, a line each."""
    shown = subprocess.run(
        ["ip", "-o", "link", "show", "master", bridge], capture_output=True, text=True, check=False
    )
    return [f"- {bridge}" for _ in shown.stdout.splitlines()]


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as opened:
            return opened.recv(4) == b"SSH-"
    except OSError:
        return False


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()}")
