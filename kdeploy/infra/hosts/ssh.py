"""SSH to the hosts of a datacenter: one configuration for kdeploy and for Ansible, and one kept connection each.

Invariant: a host whose key is not the one it had is never talked to, unless a person wrote
`host_keys: unchecked`; nothing that is sent stands in any process's arguments.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError
from kdeploy.spec.model import Ssh

CONNECT: Final = 10
"""Seconds to wait for a connection, as Ansible's default."""

KEPT: Final = 60
"""Seconds a connection is kept open for the next question."""

PATIENCE: Final = 60.0
"""Seconds for one question; a stop of a node has its own."""

UNREACHED: Final = 255
"""Exit code of ssh when it did not come as far as the command (ssh(1))."""

CHECKING: Final = {"first-use": "accept-new", "known": "yes", "unchecked": "no"}
"""StrictHostKeyChecking for each way to believe hosts (ssh_config(5), OpenSSH 7.6 and later)."""

WORDS: Final = (
    ("Permission denied", "it does not let {user} in: no key that is offered is accepted there"),
    ("Host key verification failed", "its host key is not the known one, in {known}"),
    ("REMOTE HOST IDENTIFICATION", "its host key is not the known one, in {known}"),
    ("No route to host", "there is no way to its address"),
    ("Connection refused", "nothing answers at its SSH port"),
    ("Could not resolve hostname", "its name is not known here"),
    ("timed out", "it does not answer"),
)
"""What ssh says, and what that means."""


class Unreachable(KdeployError):
    """A host cannot be reached; the message is one line."""


class NoPrivilege(KdeployError):
    """A host is reached, but there is no way to root on it; the message is one line."""


@dataclass(frozen=True)
class Reached:
    """Where a host is that is called otherwise.

    Attributes:
        host: What it is called: `Node.host`.
        address: Where it is.
        instance: AWS's name of its machine. Its key is known by that: another machine has another key.
    """

    host: str
    address: str
    instance: str


@dataclass(frozen=True)
class Shell:
    """A way to run programs on hosts.

    Attributes:
        settings: How to log in.
        known: File with the hosts' keys.
        folder: Folder for the SSH configuration (mode 0700).
        sudo_password: File with sudo's password; None where none is asked for.
        machines: Hosts that are called otherwise than where they are (provider aws).
    """

    settings: Ssh
    known: Path
    folder: Path
    sudo_password: Path | None = None
    machines: tuple[Reached, ...] = ()

    @property
    def configuration(self) -> Path:
        """The SSH configuration, written where it is not as it should be."""
        file = self.folder / "ssh_config"
        text = self._text()
        if not file.exists() or file.read_text() != text:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False)  # noqa: SIM115
            with handle as opened:
                opened.write(text)
            os.replace(handle.name, file)
        return file

    def run(self, host: str, program: str, *, patience: float = PATIENCE) -> str:
        """Run a Python program as root on a host.

        Args:
            host: Its address.
            program: Its text; it goes through standard input, so nobody sees it in a list of processes.
            patience: Seconds to wait for its end.

        Returns:
            What it printed.

        Raises:
            Unreachable: There is no connection.
            NoPrivilege: There is no way to root.
            KdeployError: The program failed.
        """
        try:
            done = subprocess.run(
                ["ssh", "-F", str(self.configuration), "--", host, self._as_root()],  # noqa: S607 - from PATH
                input=self._password() + program,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=patience,
                check=False,
            )
        except FileNotFoundError:
            raise KdeployError("there is no ssh on this machine\n  install OpenSSH's client") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{host} did not answer within {patience:.0f} s") from None
        if done.returncode == UNREACHED:
            raise Unreachable(f"{host} cannot be reached: {self._meaning(done.stderr)}")
        if done.returncode == NO_ROOT:
            raise NoPrivilege(f"{host}: {self._no_root()}")
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it does not say why"]
            raise KdeployError(f"{host}: {said[-1]}")
        return done.stdout

    def _as_root(self) -> str:
        """A command for the host's shell that runs Python from standard input, as root."""
        python = "exec python3 -"
        if self.sudo_password is None:
            script = f'[ "$(id -u)" = 0 ] && {python}; sudo -n true 2>/dev/null || exit {NO_ROOT}; exec sudo -n {python[5:]}'
        else:
            # `read` takes the first line alone; sudo keeps the permission for the shell that asked.
            script = (
                f'read -r word; [ "$(id -u)" = 0 ] && {python}; '
                f"printf '%s\\n' \"$word\" | sudo -S -p '' -v 2>/dev/null || exit {NO_ROOT}; "
                f"word=; sudo -n {python[5:]}"
            )
        return f"sh -c {shlex.quote(script)}"

    def _password(self) -> str:
        if self.sudo_password is None:
            return ""
        try:
            return self.sudo_password.read_text().splitlines()[0] + "\n"
        except (OSError, IndexError):
            raise KdeployError(
                f"{self.sudo_password} does not hold sudo's password\n  it is its first line"
            ) from None

    def _no_root(self) -> str:
        who = self.settings.user or "the user who logs in"
        if self.sudo_password is not None:
            return f"sudo does not accept the password in {self.sudo_password} for {who}"
        return f"{who} is not root, and sudo asks for a password; name a file with it in KDEPLOY_SUDO_PASSWORD_FILE"

    def _meaning(self, stderr: str) -> str:
        for sign, words in WORDS:
            if sign in stderr:
                return words.format(user=self.settings.user or "this user", known=self.known)
        said = [line for line in stderr.splitlines() if line.strip()]
        return said[-1].strip() if said else "ssh does not say why"

    def _text(self) -> str:
        settings = self.settings
        lines = [
            "# Written by kdeploy at every run.",
            "Host *",
            f"  StrictHostKeyChecking {CHECKING[settings.host_keys]}",
            f'  UserKnownHostsFile "{"/dev/null" if settings.host_keys == "unchecked" else self.known}"',
            "  GlobalKnownHostsFile /dev/null",
            "  HashKnownHosts no",
            "  UpdateHostKeys no",
            "  BatchMode yes",
            "  LogLevel ERROR",
            f"  ConnectTimeout {CONNECT}",
            "  ServerAliveInterval 5",
            "  ServerAliveCountMax 3",
            "  ControlMaster auto",
            f"  ControlPath {_sockets()}/%C",
            f"  ControlPersist {KEPT}",
        ]
        chosen = (("User", settings.user), ("Port", settings.port), ("ProxyJump", settings.jump))
        lines += [f"  {name} {value}" for name, value in chosen if value is not None]
        if settings.key is not None:
            lines += [f'  IdentityFile "{Path(settings.key).expanduser()}"', "  IdentitiesOnly yes"]
        return "\n".join([*self._machines(), *lines, "  Include ~/.ssh/config", ""])

    def _machines(self) -> list[str]:
        lines = []
        for one in self.machines:
            lines += [f"Host {one.host}", f"  HostName {one.address}", f"  HostKeyAlias {one.instance}"]
        return lines


NO_ROOT: Final = 77
"""Exit code of our command where there is no way to root (EX_NOPERM, sysexits(3))."""


def _sockets() -> Path:
    """Folder of the kept connections' sockets: their paths must be short (108 bytes, unix(7)), and only ours."""
    folder = Path(tempfile.gettempdir()) / f"kdeploy-ssh-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise KdeployError(
            f"{folder} belongs to somebody else\n  delete it, or set TMPDIR to a folder of yours"
        )
    return folder
