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

PATIENCE: Final = 90.0


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
        return sorted(found, key=lambda one: int(one.address.rpartition(".")[2]))

    def up(self, count: int, coordinator: str = "zookeeper", *, disks: int = 1) -> list[Host]:
        """Boot hosts until there are so many: of the first half up to three coordinate, the rest are brokers."""
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
        """Wait until a host has booted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if _answers(one.address):
                state = self.run(one, "systemctl is-system-running --wait", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.1)
        raise SystemExit(f"{one.name} did not boot; see {one.home}/console.log")

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
        for folder in (self.folder / "hosts").glob("*"):
            if (folder / "host.json").exists():
                host.read(folder).remove()
        if not any(line.split()[1:2] == [BRIDGE] for line in _links()):
            subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
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
            disks=disks,
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


def _setting(path: str) -> str:
    text = Path(path).read_text().strip()
    return text.partition("[")[2].partition("]")[0] if "[" in text else text


def _bridge() -> None:
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")


def _links() -> list[str]:
    """What is connected to the bridge, a line each."""
    shown = subprocess.run(
        ["ip", "-o", "link", "show", "master", BRIDGE], capture_output=True, text=True, check=False
    )
    return [f"- {BRIDGE}" for _ in shown.stdout.splitlines()]


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
