"""A way for other protocols than SSH to hosts' network, over SSH alone: a SOCKS5 server that `ssh -D` is.

It ends at the jump host, or in AWS, whose names only its own machines know, at the first of them that can
be reached. Invariant: one for each datacenter and process, opened when it is first asked for and again
when it has ended; it listens on 127.0.0.1 alone, and it ends with kdeploy, however that ends.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kdeploy.infra.hosts.ssh import CONNECT, Jump, Shell, Unreachable

LOOPBACK: Final = "127.0.0.1"

OPENED_WITHIN: Final = 3.0 * CONNECT
"""Seconds to wait for a forward to listen: a connection to each of two hosts, and keys to be agreed on."""

PORTS: Final = 3
"""Ports that are tried: one that is free may be taken before ssh takes it."""

MOST_ENDS: Final = 5
"""Hosts that are tried, each for up to `OPENED_WITHIN`: where none of them can be reached, the way is what is broken."""

PAUSE: Final = 0.02
"""Seconds between two looks whether it listens."""

NOT_LISTENING: Final = (
    "Address already in use",
    "cannot listen to port",
    "Could not request local forwarding",
)
"""What ssh says when the port was taken (OpenSSH 9.2, channel_setup_fwd_listener_tcpip)."""

PROHIBITED: Final = "administratively prohibited"
"""What ssh says of each connection when the far side carries none (RFC 4254, 5.1; AllowTcpForwarding)."""

OPTIONS: Final = ("LogLevel=INFO", "ExitOnForwardFailure=yes", "ControlMaster=no", "ControlPath=none")
"""It says which connections failed, ends where it cannot listen, and is a connection of its own: a kept one would
outlive it."""

MOST_WORDS: Final = 2**20
"""Bytes of what ssh has said that are looked at: a line for each connection that was refused."""

KEEPER: Final = (
    'exec 3<&0; ssh "$@" </dev/null 3<&- & kept=$!; '
    '{ read -r word <&3; kill "$kept"; } >/dev/null 2>&1 & watch=$!; wait "$kept"; ended=$?; '
    'kill "$watch" 2>/dev/null; exit "$ended"'
)
"""Runs ssh and ends it when standard input ends, as it does when kdeploy ends, by SIGKILL too. Who watches that ends
with ssh, so that it never ends another process that has got its number."""


@dataclass
class _Running:
    """An ssh that forwards, or is about to."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    port: int
    where: str
    heard: int = 0

    def words(self) -> str:
        """What it has said since it was last asked; it shares its place in the file with us, so ours is kept here."""
        new = os.pread(self.said.fileno(), MOST_WORDS, self.heard)
        self.heard += len(new)
        return new.decode(errors="replace")

    def close(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        self.said.close()


class Forward:
    """A SOCKS5 server on this machine that connects from elsewhere. Safe to use from several threads.

    Args:
        shell: How hosts are reached.
        hosts: Where it may end, where there is no jump host, in order.
    """

    def __init__(self, shell: Shell, hosts: Sequence[str]) -> None:
        self.shell, self.hosts = shell, tuple(hosts)
        self._running: _Running | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(self) -> tuple[str, int]:
        """Host and port of the server, which is opened first where it does not serve.

        Raises:
            Unreachable: None can be opened, or the far side carries no connection; says why.
        """
        with self._one_at_a_time:
            running = self._running
            if running is not None and running.process.poll() is None:
                self._refuse_prohibited(running)
                return LOOPBACK, running.port
            self._close()
            self._running = self._open()
            return LOOPBACK, self._running.port

    def close(self) -> None:
        """End it; the next call opens it again."""
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running = None

    def _refuse_prohibited(self, running: _Running) -> None:
        if PROHIBITED in running.words():
            self._close()
            raise Unreachable(
                f"{running.where} lets SSH in and carries no connection further\n"
                "  allow it there (AllowTcpForwarding and PermitOpen of sshd_config), or go through another host"
            )

    def _open(self) -> _Running:
        jumps = self.shell.jumps
        ends = [jumps[-1]] if jumps else [Jump(None, host, None) for host in self._candidates()]
        failures = []
        for end in ends:
            try:
                return self._open_at(end, jumps[:-1])
            except Unreachable as error:
                failures.append(str(error))
        said = "\n".join(f"  {one}" for one in failures) or "  there is no host to go through"
        raise Unreachable(f"no connection to the brokers, which go over SSH:\n{said}")

    def _candidates(self) -> Sequence[str]:
        """Hosts that are tried: those with an instance, where that is known, and of hundreds only a few."""
        known = [host for host in self.hosts if host in self.shell.instances]
        return (known or self.hosts[:1])[:MOST_ENDS]

    def _open_at(self, end: Jump, before: Sequence[Jump]) -> _Running:
        for _ in range(PORTS):
            running = self._start(end, before)
            try:
                if _listens(running):
                    return running
                said = running.words()
            except BaseException:
                running.close()
                raise
            running.close()
            if not any(sign in said for sign in NOT_LISTENING):
                raise Unreachable(f"{end.host} cannot be reached: {self.shell.meaning(end.host, said)}")
        raise Unreachable(f"no port of {LOOPBACK} is free for long enough to listen on")

    def _start(self, end: Jump, before: Sequence[Jump]) -> _Running:
        port, chain = _free_port(), ",".join(_text(one) for one in before)
        arguments = [
            *("-F", str(self.shell.configuration), "-N", "-D", f"{LOOPBACK}:{port}"),
            *(word for option in OPTIONS for word in ("-o", option)),
            *(("-J", chain) if chain else ()),
            *(("-l", end.user) if end.user else ()),
            *(("-p", str(end.port)) if end.port else ()),
            *("--", end.host),
        ]
        said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        process = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "ssh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for kdeploy, which may still have something to put right
        )
        return _Running(process, said, port, end.host)


def _listens(running: _Running) -> bool:
    """Wait until it listens; False when it ended in place of that."""
    deadline = time.monotonic() + OPENED_WITHIN
    while running.process.poll() is None:
        if _answers(running.port):
            return True
        if time.monotonic() > deadline:
            raise Unreachable(f"{running.where} did not answer within {OPENED_WITHIN:.0f} s")
        time.sleep(PAUSE)
    return False


def _text(jump: Jump) -> str:
    host = f"[{jump.host}]" if ":" in jump.host else jump.host
    return (f"{jump.user}@" if jump.user else "") + host + (f":{jump.port}" if jump.port else "")


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    """Whether a SOCKS5 server greets there (RFC 1928, section 3)."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as channel:
            channel.sendall(b"\x05\x01\x00")
            return channel.recv(2) == b"\x05\x00"
    except OSError:
        return False


_opened: Final[dict[Path, Forward]] = {}
"""The forwards of this process, by the folder of their SSH configuration."""


def through(shell: Shell, hosts: Sequence[str]) -> Forward | None:
    """The one forward of a datacenter's; None where its hosts are reached straight from here.

    Args:
        shell: How hosts are reached, as known now: with more instances than before, those count from now on.
        hosts: Its hosts, in the order in which they are tried.
    """
    if not shell.by_ssm and not shell.jumps and not shell.machines:
        return None
    if not _opened:
        atexit.register(close_all)
    forward = _opened.setdefault(shell.folder, Forward(shell, hosts))
    forward.shell, forward.hosts = shell, tuple(hosts)
    return forward


def close_all() -> None:
    """End every forward of this process."""
    while _opened:
        _opened.popitem()[1].close()
