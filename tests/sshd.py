"""A real sshd of a test's own: on a high port of 127.0.0.1 and 127.0.0.2, with its own keys, for whoever runs the test.

Where there is no sshd, `missing` says so in one line.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdeploy.infra.hosts.ssh import Shell
from kdeploy.spec.model import Ssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

HOST, JUMP = "127.0.0.1", "127.0.0.2"
"""The same sshd by two addresses: for ssh two hosts, and its log tells who came from where."""


def missing() -> str | None:
    """What lacks to run one; None when nothing does."""
    if SSHD is None:
        return "there is no sshd (Debian: openssh-server)"
    return None if shutil.which("ssh") else "there is no ssh"


AWS = """#!{python}
import os, socket, sys, threading
with open({record!r}, "a") as record:
    print(*sys.argv[1:], file=record)
target = sys.argv[sys.argv.index("--target") + 1]
if target != {instance!r}:
    sys.exit("An error occurred (TargetNotConnected) when calling the StartSession operation: "
             + target + " is not connected.")
channel = socket.socket(socket.AF_UNIX if isinstance({where!r}, str) else socket.AF_INET)
channel.connect({where!r})
def up():
    while part := os.read(0, 65536):
        channel.sendall(part)
    channel.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while part := channel.recv(65536):
    os.write(1, part)
"""


def fake_aws(folder: Path, instance: str, where: tuple[str, int] | str) -> Path:
    """A folder for PATH with the AWS CLI and its plugin, as far as ssh's command line goes.

    Args:
        folder: To be made; the file `asked` in it gets a line for each time that it is called.
        instance: The one that sessions are to be had with.
        where: Where they lead: an address, or the path of a Unix socket.
    """
    folder.mkdir()
    text = AWS.format(python=sys.executable, record=str(folder / "asked"), instance=instance, where=where)
    (folder / "aws").write_text(text)
    (folder / "session-manager-plugin").write_text("#!/bin/sh\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


@dataclass
class Server:
    """One that runs."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def shell(self, **settings: Any) -> Shell:
        """A way to it, with settings of `ssh` beside its user, key and port."""
        given = {"user": getpass.getuser(), "key": str(self.folder / "user"), "port": self.port, **settings}
        return Shell(Ssh.model_validate(given), self.folder / "known_hosts", self.folder / "shell")

    @property
    def jump(self) -> str:
        """Its second address, as `ssh.jump` takes it."""
        return f"{JUMP}:{self.port}"

    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def sessions(self) -> list[int]:
        """Processes of connections that it serves now."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(one) for one in found.stdout.split()]

    def cut(self) -> None:
        """End every connection that it serves, as a reboot would; one that ends by itself meanwhile is as good."""
        for session in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)


@contextmanager
def serving(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """An sshd for the block, with settings of sshd_config beside ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    ours = {
        "Port": str(port),
        "HostKey": str(folder / "host"),
        "AuthorizedKeysFile": str(folder / "user.pub"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "LogLevel": "VERBOSE",
        **(settings or {}),
    }
    lines = [f"ListenAddress {HOST}", f"ListenAddress {JUMP}", *(f"{k} {v}" for k, v in ours.items())]
    (folder / "config").write_text("\n".join(lines) + "\n")
    command = [str(SSHD), "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]
    process = subprocess.Popen(command)
    try:
        server = Server(folder, port, process)
        _wait(server)
        yield server
    finally:
        process.terminate()
        process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection((JUMP, server.port), timeout=1) as channel:
                channel.recv(8)
                return
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"sshd does not serve: {server.log()}") from None
            time.sleep(0.05)
