"""An instance as a host of this machine: its network card, its volumes by their ids, what it did at first boot.

Invariant: a volume is a file below the account's folder that outlives every host; a host only has
loop devices on those that are attached to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.cloud import metadata
from tests.fleet.host import DISK_BYTES, Host

BY_ID: Final = "nvme-Amazon_Elastic_Block_Store_{}"
"""What udev calls a volume on an instance, its id without the dash (EC2 user guide, "Identify the EBS
device", 2026-11)."""
LOCAL: Final = "nvme-Amazon_EC2_NVMe_Instance_Storage_{}"
"""What it calls a disk of the instance's own (the same)."""

SHUTDOWN: Final = signal.SIGRTMIN + 4
"""To systemd: power off (systemd(1), "Signals")."""
REBOOT: Final = signal.SIGRTMIN + 5

GRACE: Final = 120.0
"""Seconds that an instance gets to shut down before it is ended, as EC2 gives it some minutes."""

METADATA: Final = f"""[Unit]
Before=ssh.service
[Service]
Type=notify
ExecStartPre=/bin/ip address replace {metadata.ADDRESS}/32 dev lo
ExecStart=/usr/bin/python3 /usr/local/sbin/metadata.py /etc/metadata.json
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
"""The unit of a host's own metadata service, which answers before anybody can log in, as EC2's does."""

USER: Final = "admin"
"""Who logs in to Debian's images (wiki.debian.org, "Cloud/AmazonEC2Image", 2026-11)."""


@dataclass(frozen=True)
class Machine(Host):
    """A host that is an instance.

    Attributes:
        instance: The instance's id.
        mac: Of its network interface; the address keeps it, so that neighbours find its successor.
        prefix: Length of its subnet's prefix.
        volumes: Ids of the volumes that are attached to it.
        storage: Folder with the files of all volumes.
        resolver: Who answers names.
        domain: Of the region's own names.
    """

    instance: str = ""
    mac: str = ""
    prefix: int = 24
    volumes: tuple[str, ...] = ()
    storage: str = ""
    resolver: str = ""
    domain: str = ""

    @property
    def hostname(self) -> str:
        """As EC2 names an instance."""
        return f"ip-{self.address.replace('.', '-')}"

    @property
    def files(self) -> list[Path]:
        """Files of its disks: volumes first, then its own."""
        own = sorted(self.home.glob("disk-*"))
        return [*(Path(self.storage) / one for one in self.volumes), *own]

    @property
    def devices(self) -> list[str]:
        return [f"/dev/disk/by-id/{link_of(file, self.instance)}" for file in self.files]

    def loops(self) -> list[str]:
        return [attached(file) for file in self.files]

    def introduce(self) -> None:
        super().introduce()
        # As EC2's images: names are asked of the network, not of a file.
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text(f"search {self.domain}\nnameserver {self.resolver}\n")

    def network(self) -> list[str]:
        lines = [
            f"ip link set host0 address {self.mac}",
            "ip link set host0 up",
            f"ip address replace {self.address}/{self.prefix} dev host0",
        ]
        # Every private address is a neighbour: peerings and route tables are not played by this machine.
        private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
        return [*lines, *(f"ip route replace {one} dev host0" for one in private)]

    def note(self) -> None:
        """Write down what it is, for whoever finds its folder."""
        from dataclasses import asdict

        (self.home / "host.json").write_text(json.dumps(asdict(self), indent=1))

    def boot(self) -> None:
        """Boot it; returns at once."""
        self.prepare_boot()
        self.start()

    def attach(self, volume: str) -> Machine:
        """With one more volume, which appears at once when it runs."""
        changed = replace(self, volumes=(*self.volumes, volume))
        changed.note()
        # First for the next boot, which may be under way without having come to its disks yet.
        changed.prepare_boot()
        inside = changed.inside()
        if inside is not None:
            file = Path(self.storage) / volume
            loop = attached(file)
            node = inside / loop.lstrip("/")
            # A host that boots just now makes both itself, at the same moment.
            with suppress(FileExistsError):
                os.mknod(node, 0o660 | 0o060000, os.makedev(7, int(loop.removeprefix("/dev/loop"))))
            link = inside / "dev/disk/by-id" / link_of(file, self.instance)
            link.parent.mkdir(parents=True, exist_ok=True)
            new = link.with_name(f".{link.name}")
            new.symlink_to(f"../../{node.name}")
            new.replace(link)
        return changed

    def detach(self, volume: str) -> Machine:
        """With one volume less, which disappears at once when it runs."""
        changed = replace(self, volumes=tuple(one for one in self.volumes if one != volume))
        changed.note()
        changed.prepare_boot()
        file = Path(self.storage) / volume
        inside = changed.inside()
        loop = loop_of(file)
        if inside is not None and loop:
            for folder in ("by-id", "by-uuid"):
                for link in (inside / "dev/disk" / folder).glob("*"):
                    if os.readlink(link) == f"../../{Path(loop).name}":
                        link.unlink()
            (inside / loop.lstrip("/")).unlink(missing_ok=True)
        release(file)
        return changed

    def renew_own_disks(self, count: int) -> None:
        """Give it other disks of its own, with nothing on them: a stopped instance starts on other hardware.

        Args:
            count: As many as its type has.
        """
        for file in self.home.glob("disk-*"):
            release(file)
            file.unlink()
        for number in range(count):
            with (self.home / f"disk-{uuid.uuid4().hex[:6]}{number}").open("wb") as made:
                made.truncate(DISK_BYTES)

    def mounts(self, volume: str) -> bool:
        """Whether it runs and has a file system of a volume mounted."""
        pid, loop = self.systemd(), loop_of(Path(self.storage) / volume)
        if pid is None or not loop:
            return False
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/mounts").read_text().splitlines()
            return any(line.split()[0] == loop for line in lines)
        return False

    def inside(self) -> Path | None:
        """Its root as its own processes see it; None while it is down."""
        pid = self.systemd()
        return Path(f"/proc/{pid}/root") if pid is not None else None

    def shut_down(self) -> None:
        """Let it end itself; after a while end it."""
        pid = self.systemd()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, SHUTDOWN)
        until = time.monotonic() + GRACE
        while self.systemd() is not None and time.monotonic() < until:
            time.sleep(0.2)
        self.kill()

    def reboot(self) -> None:
        """Let it boot again."""
        pid = self.systemd()
        if pid is not None:
            os.kill(pid, REBOOT)

    def remove(self) -> None:
        """End it and delete it; its volumes stay."""
        self.kill()
        for file in self.files:
            release(file)
        self.clear()

    def first_boot(self, user_data: str) -> None:
        """What cloud-init does with user data, as far as kdeploy uses it: who may log in.

        Args:
            user_data: `#cloud-config`, in JSON as kdeploy writes it, or a script, which is not run.
        """
        head, _, body = user_data.partition("\n")
        config: dict[str, Any] = {}
        if head.strip() == "#cloud-config":
            with suppress(ValueError):
                config = json.loads(body)
        self._login(USER, config.get("ssh_authorized_keys") or [])
        for one in config.get("users") or []:
            if isinstance(one, dict):
                self._login(one["name"], one.get("ssh_authorized_keys") or [])
        if config.get("disable_root") is False:
            file = self.root / "root/.ssh/authorized_keys"
            file.write_text(
                "\n".join([self.authorized.strip(), *config.get("ssh_authorized_keys", [])]) + "\n"
            )

    def answer_about_itself(self, known: dict[str, str]) -> None:
        """Let it have a metadata service of its own from its next boot on.

        Args:
            known: As `metadata.server` takes it.
        """
        folder = self.root / "usr/local/sbin"
        shutil.copy(metadata.__file__, folder / "metadata.py")
        file = self.root / "etc/metadata.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(known))
        units = self.root / "etc/systemd/system"
        (units / "metadata.service").write_text(METADATA)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "metadata.service").symlink_to("/etc/systemd/system/metadata.service")

    def _login(self, user: str, keys: list[str]) -> None:
        """A user who may become root and logs in by key; the account's own key is always let in."""
        if not (self.root / "home" / user).exists():
            _run("chroot", str(self.root), "useradd", "--create-home", "--shell", "/bin/bash", user)
        sudo = self.root / "etc/sudoers.d" / user
        sudo.write_text(f"{user} ALL=(ALL) NOPASSWD:ALL\n")
        sudo.chmod(0o440)
        folder = self.root / "home" / user / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text("\n".join([self.authorized.strip(), *keys]) + "\n")
        _run("chroot", str(self.root), "chown", "-R", f"{user}:{user}", f"/home/{user}/.ssh")


def read(folder: Path) -> Machine:
    """The machine that a folder holds."""
    found = json.loads((folder / "host.json").read_text())
    return Machine(**{**found, "volumes": tuple(found["volumes"])})


def link_of(file: Path, instance: str) -> str:
    """What udev would call a disk by its id."""
    if file.name.startswith("vol-"):
        return BY_ID.format(file.name.replace("-", "", 1))
    return LOCAL.format(f"AWS{instance.removeprefix('i-')[:15].upper()}{file.name.removeprefix('disk-')}")


def loop_of(file: Path) -> str:
    """The loop device on a file; nothing where there is none."""
    return _output("losetup", "-j", str(file)).partition(":")[0]


def attached(file: Path) -> str:
    """The loop device on a file, made first where there is none."""
    return loop_of(file) or _output("losetup", "-f", "--show", str(file))


def release(file: Path) -> None:
    """Take the loop device off a file."""
    loop = loop_of(file)
    if loop:
        _run("losetup", "-d", loop)


def grow(file: Path, size: int) -> None:
    """Give a volume so many bytes; a host that has it sees them at once."""
    with file.open("ab") as opened:
        opened.truncate(size)
    loop = loop_of(file)
    if loop:
        _run("losetup", "-c", loop)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
