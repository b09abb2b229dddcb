"""One host of a fleet: an overlay on the base, disks on loop devices, a systemd of its own.

Invariant: a host is found by its folder alone: its systemd is the first process of a pid
namespace whose root is that folder, its disks are the loop devices on files in it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.fleet import groups

DISK_BYTES: Final = 2 * 2**30
"""Size of a data disk: a sparse file, so only what is written takes room."""

PATIENCE: Final = 60.0

BOOT: Final = "fleet-boot.service"
"""The unit of what a host does at boot."""

KEEP_STARTING: Final = """
folder=$1 name=$2 bridge=$3
shift 3
for group; do echo $$ >"$group/cgroup.procs" || exit 1; done 2>>"$folder/console.log"
while :; do
  systemd-nspawn -q -D "$folder/root" -M "$name" --network-bridge="$bridge" --boot --register=no --keep-unit \\
    --capability=all --console=pipe </dev/null >>"$folder/console.log" 2>&1
  [ $? = 133 ] || break
done
"""
"""133 is systemd-nspawn's way to say that the host wants to boot again (EXIT_FORCE_RESTART)."""


class BootFailed(RuntimeError):
    """What a host does at boot failed: it has no network, or not its disks."""


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        folder: Everything it is.
        name: Its host name.
        address: Its address.
        rack: The rack it pretends to stand in.
        role: What is to run on it.
        disks: Its data disks.
        bridge: The bridge it is connected to.
        authorized: Public key that may log in, as root.
        gateway: By which it reaches other networks; empty where it is to reach none.
    """

    folder: str
    name: str
    address: str
    rack: str
    role: str
    disks: int
    bridge: str
    authorized: str
    gateway: str = ""

    @property
    def home(self) -> Path:
        return Path(self.folder)

    @property
    def root(self) -> Path:
        """Its file system, as this machine sees it."""
        return self.home / "root"

    @property
    def hostname(self) -> str:
        """What it calls itself at first."""
        return self.name

    @property
    def devices(self) -> list[str]:
        """Its disks by the stable paths that it has for them."""
        return [f"/dev/disk/by-id/fleet-{self.name}-{number}" for number in range(self.disks)]

    def make(self, base: Path) -> None:
        """Make its file system and its disks."""
        for part in ("upper", "work", "root"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        (self.home / "host.json").write_text(json.dumps(asdict(self), indent=1))
        options = f"lowerdir={base},upperdir={self.home}/upper,workdir={self.home}/work"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        for number in range(self.disks):
            with (self.home / f"disk-{number}").open("wb") as file:
                file.truncate(DISK_BYTES)
        self.personalise()

    def personalise(self) -> None:
        """Its name, its keys, who may log in, and what it does at boot."""
        self.introduce()
        self.prepare_boot()

    def introduce(self) -> None:
        """Its name, its keys, and who may log in."""
        root = self.root
        (root / "etc/hostname").write_text(self.hostname + "\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.hostname}\n")
        key = root / "etc/ssh/ssh_host_ed25519_key"
        if not key.exists():
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        ssh = root / "root/.ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        (ssh / "authorized_keys").write_text(self.authorized)

    def prepare_boot(self) -> None:
        """What it does at boot: its network, its disks."""
        disks = self.loops()
        links = "\n".join(
            # By the kernel's own name, as on any machine: below /sys a disk is found by it.
            # One that is attached just now is made from outside at the same moment.
            f"[ -b {loop} ] || mknod {loop} b 7 {loop.removeprefix('/dev/loop')} || [ -b {loop} ]\n"
            f"ln -sfn ../../{loop.removeprefix('/dev/')} {self.devices[number]}"
            for number, loop in enumerate(disks)
        )
        boot = """
        mount -o remount,bind,rw /proc/sys
        for part in /sys/kernel /sys/devices; do mount -o remount,rw $part; done
        set -e
        mkdir -p /dev/disk/by-id /dev/disk/by-uuid
        """
        follow = """
        while sleep 1; do
          for disk in /dev/loop[0-9]*; do
            id=$(blkid -p -o value -s UUID "$disk") || continue
            [ -z "$id" ] || ln -sfn "../../${disk#/dev/}" "/dev/disk/by-uuid/$id"
          done
        done
        """
        folder = self.root / "usr/local/sbin"
        boots = [
            textwrap.dedent(boot) + "\n".join([*self.network(), links]),
            f"/bin/sh -c '{_links_once()}'",
            "",
        ]
        _put(folder / "fleet-boot", "\n".join(boots))
        _put(folder / "fleet-disks", textwrap.dedent(follow))

    def network(self) -> list[str]:
        """What puts it on the network at boot."""
        out = [f"ip route replace default via {self.gateway}"] if self.gateway else []
        return ["ip link set host0 up", f"ip address replace {self.address}/24 dev host0", *out]

    def loops(self) -> list[str]:
        """Its loop devices, attached first where they are not."""
        found = []
        for number in range(self.disks):
            file = str(self.home / f"disk-{number}")
            attached = _output("losetup", "-j", file).partition(":")[0]
            found.append(attached or _output("losetup", "-f", "--show", file))
        return found

    def start(self) -> None:
        """Boot it; returns at once."""
        # In a session of its own that belongs to no one, so that it outlives whoever started it.
        own = [str(group) for group in groups.of(self.home)]
        keep = ["/bin/sh", "-c", KEEP_STARTING, "fleet", self.folder, self.name, self.bridge, *own]
        nowhere = subprocess.DEVNULL
        subprocess.run(["setsid", "--fork", *keep], stdin=nowhere, stdout=nowhere, stderr=nowhere, check=True)

    def systemd(self) -> int | None:
        """The pid of its first process on this machine; None when it does not run."""
        try:
            root = self.root.stat()
        except FileNotFoundError:
            return None
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                inside = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
                if inside.split()[-1] == "1" and len(inside.split()) > 2:
                    there = os.stat(status.parent / "root")
                    if (there.st_dev, there.st_ino) == (root.st_dev, root.st_ino):
                        return int(status.parent.name)
        return None

    def booted(self) -> bool:
        """Whether it has done what it does at boot; asked from this machine, as a host where that failed has no network.

        Raises:
            BootFailed: It failed, with what the host's systemd and journal know of it.
        """
        state = self._ask("systemctl", "show", "--property=ActiveState", "--value", BOOT)
        if state == "failed":
            status = self._ask("systemctl", "status", "--no-pager", "--full", "--lines=50", BOOT)
            raise BootFailed(
                f"what {self.name} does at boot failed, so that it may have no network:\n{status}"
            )
        return state == "active"

    def _ask(self, *command: str) -> str:
        """What a command says that is run in its namespaces; nothing while it does not run."""
        pid = self.systemd()
        if pid is None:
            return ""
        enter = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        asked = subprocess.run([*enter, *command], capture_output=True, text=True, check=False)
        return asked.stdout.strip()

    def set_clock(self, offset: str) -> None:
        """Let whoever logs in from now on see another time; the kernel's own clock is all hosts' together.

        Args:
            offset: As libfaketime(1) takes it, for example `+10m`; nothing for the right time.
        """
        (library,) = (self.root / "usr/lib").glob("*/faketime/libfaketime.so.1")
        preloaded = f"LD_PRELOAD=/{library.relative_to(self.root)}\nFAKETIME={offset}\n"
        # Read at every login (pam_env(8)); sshd itself, shut in by seccomp, does not bear the library.
        (self.root / "etc/environment").write_text(preloaded if offset else "")

    def kill(self) -> None:
        """End it as a loss of power would."""
        pid = self.systemd()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        # One that is ending has no root any more, but holds mounts until the last of its processes has ended.
        while self.systemd() is not None or self._supervisors() or (pid is not None and _runs(pid)):
            for supervisor in self._supervisors() if self.systemd() is None else []:
                with suppress(ProcessLookupError):
                    os.kill(supervisor, signal.SIGTERM)
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not end")
            time.sleep(0.05)

    def _supervisors(self) -> list[int]:
        """Processes on this machine that keep it running: by the folder in their arguments."""
        found = []
        for arguments in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                parts = arguments.read_bytes().decode(errors="replace").split("\0")
                ours = self.folder in parts or f"{self.folder}/root" in parts
                if ours and _state(arguments.parent) != "Z" and int(arguments.parent.name) != os.getpid():
                    found.append(int(arguments.parent.name))
        return found

    def remove(self) -> None:
        """End it and delete everything of it."""
        self.kill()
        for number in range(self.disks):
            attached = _output("losetup", "-j", str(self.home / f"disk-{number}")).partition(":")[0]
            if attached:
                _run("losetup", "-d", attached)
        self.clear()

    def clear(self) -> None:
        """Delete what is left of it once it has ended and no disk is attached."""
        while os.path.ismount(self.root):
            _run("umount", str(self.root))
        groups.remove(self.home)
        shutil.rmtree(self.home)


def read(folder: Path) -> Host:
    """The host that a folder holds."""
    return Host(**json.loads((folder / "host.json").read_text()))


def _runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody waits for stays listed as a zombie."""
    try:
        return _state(Path(f"/proc/{pid}")) != "Z"
    except OSError:
        return False


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def _links_once() -> str:
    """Links by file system for disks that were formatted before this boot: mount units want them early."""
    return (
        "for disk in /dev/loop[0-9]*; do id=$(blkid -p -o value -s UUID $disk) && "
        "ln -sfn ../../${disk#/dev/} /dev/disk/by-uuid/$id; done; true"
    )


def _put(file: Path, text: str) -> None:
    """Write a script whole: a host that boots just now runs the one before it or this one, and never half of one."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()}")
