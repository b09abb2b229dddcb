"""SSH to the hosts of a datacenter: one configuration for kdeploy and for Ansible, and one kept connection each.

Invariant: a host whose key is not the one it had is never talked to, unless a person wrote
`host_keys: unchecked`; nothing that is sent stands in any process's arguments.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

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

SSM_PROGRAMS: Final = {
    "aws": "install the AWS CLI, version 2",
    "session-manager-plugin": "install the Session Manager plugin for the AWS CLI",
}
"""What SSH through Systems Manager needs on this machine, and the remedy (AWS Systems Manager User Guide, Allow and
control permissions for SSH connections through Session Manager, 2026-11)."""

SESSION: Final = "AWS-StartSSHSession"
"""The document of Systems Manager that carries SSH (same place)."""

WORDS: Final = (
    ("TargetNotConnected", "Systems Manager does not reach it: its agent does not run, or has no way out"),
    (
        "Unable to locate credentials",
        "AWS is not told who asks; set AWS_PROFILE, or log in with `aws sso login`",
    ),
    ("ExpiredToken", "the AWS credentials have expired; log in again"),
    ("AccessDenied", "these AWS credentials may not start a session with it (ssm:StartSession)"),
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


class Jump(NamedTuple):
    """One host to go through, as `[USER@]HOST[:PORT]`."""

    user: str | None
    host: str
    port: int | None

    @classmethod
    def read(cls, text: str) -> Jump:
        """Take it apart; an IPv6 address with a port stands in brackets."""
        user, _, place = text.rpartition("@")
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or (":" in host and not host.startswith("[")):
            host, port = place, ""
        return cls(user or None, host.strip("[]"), int(port) if port else None)

    def settings(self) -> list[str]:
        """What it says beside the host, as lines of an SSH configuration."""
        said = (("User", self.user), ("Port", self.port))
        return [f"  {name} {value}" for name, value in said if value is not None]


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
        instances: With `settings.through: ssm`, the EC2 instance behind each host that is to be reached.
        region: Their AWS region; None for the one that the person's own configuration names.
        machines: Hosts that are called otherwise than where they are (provider aws).
    """

    settings: Ssh
    known: Path
    folder: Path
    sudo_password: Path | None = None
    instances: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    machines: tuple[Reached, ...] = ()

    @property
    def by_ssm(self) -> bool:
        """Whether hosts are reached through Systems Manager."""
        return self.settings.through == "ssm"

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """The hosts to go through, in order."""
        chain = "" if self.by_ssm else self.settings.jump or ""
        return tuple(Jump.read(one) for one in chain.split(",") if one)

    @property
    def configuration(self) -> Path:
        """The SSH configuration, written where it is not as it should be.

        Raises:
            KdeployError: A program that the way needs is not on this machine.
        """
        if self.by_ssm:
            refuse_missing_programs()
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
            raise Unreachable(f"{host} cannot be reached: {self.meaning(host, done.stderr)}")
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

    def meaning(self, host: str, stderr: str) -> str:
        """What ssh said on its way to a host, in plain words."""
        session = self._session_words(host)
        if self.by_ssm and host not in self.instances:
            return "no instance of it is known"
        if self.by_ssm and session.exists():
            stderr = session.read_text(errors="replace") + stderr
        for sign, words in WORDS:
            if sign in stderr:
                return words.format(user=self.settings.user or "this user", known=self.known)
        said = [line for line in stderr.splitlines() if line.strip()]
        return said[-1].strip() if said else "ssh does not say why"

    def _text(self) -> str:
        settings = self.settings
        lines = [
            "# Written by kdeploy at every run.",
            *self._hosts_alone(),
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
        if settings.user is not None:
            lines.append(f"  User {settings.user}")
        if settings.key is not None:
            lines += [f'  IdentityFile "{Path(settings.key).expanduser()}"', "  IdentitiesOnly yes"]
        return "\n".join([*self._machines(), *lines, "  Include ~/.ssh/config", ""])

    def _machines(self) -> list[str]:
        lines = []
        for one in self.machines:
            lines += [f"Host {one.host}", f"  HostName {one.address}", f"  HostKeyAlias {one.instance}"]
        return lines

    def _hosts_alone(self) -> list[str]:
        """What holds for hosts alone, and what for those on the way to them alone.

        ssh gives the same file to the ssh that it starts for a jump host (ssh(1), -J): where that had a
        ProxyJump too, it would start itself without end.
        """
        if self.by_ssm:
            return self._by_instance()
        settings = self.settings
        chosen = (("Port", settings.port), ("ProxyJump", settings.jump))
        lines = [f"  {name} {value}" for name, value in chosen if value is not None]
        others = "".join(f" !{one.host}" for one in self.jumps)
        # A jump host may run a node too: then it is logged in to as a host in the same way.
        own = [line for one in self.jumps for line in (f"Host {one.host}", *one.settings()) if one.settings()]
        return [*own, f"Host *{others}", *lines] if lines else own

    def _by_instance(self) -> list[str]:
        """Each host through a session with its instance; one without an instance through nothing."""
        port = [f"  Port {self.settings.port}"] if self.settings.port is not None else []
        region = [] if self.region is None else ["--region", self.region]
        lines = []
        for host, instance in sorted(self.instances.items()):
            session = ["aws", "ssm", "start-session", "--target", instance, "--document-name", SESSION]
            command = shlex.join([*session, "--parameters", "portNumber=%p", *region])
            # ssh throws away what the command says where it is to keep the connection (OpenSSH 9.2, sshconnect.c).
            words = shlex.quote(str(self._session_words(host)).replace("%", "%%"))
            lines += [f"Host {host}", f"  ProxyCommand {command} 2>{words}", *port]
        return [*lines, "Host *", "  ProxyCommand exit 1"]

    def _session_words(self, host: str) -> Path:
        """File with what the AWS CLI last said when it was to begin a session with a host."""
        return self.folder / f"session-{host}"


def refuse_missing_programs() -> None:
    """Refuse to go through Systems Manager without what that takes on this machine.

    Raises:
        KdeployError: Names the program, and how to get it.
    """
    for program, remedy in SSM_PROGRAMS.items():
        if shutil.which(program) is None:
            raise KdeployError(
                f"SSH through Systems Manager needs `{program}`, which is not on this machine\n"
                f"  {remedy}, or set ssh.through: direct (with ssh.jump for a bastion)"
            )


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
