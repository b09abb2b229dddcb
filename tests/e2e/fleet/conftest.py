"""Fleets of real hosts, with kdeploy beside them; skipped in one line where this machine cannot have them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import UNTIL
from tests.e2e.local.kdeploy_command import Finished, Kdeploy
from tests.fleet import base, datacenters
from tests.fleet.environment import environment
from tests.fleet.fleet import Fleet
from tests.fleet.host import Host

PASSWORD = "correct horse battery staple"
PATIENCE = 1500.0
"""Seconds a command may take: six hosts share two processors here."""


@dataclass(frozen=True)
class World:
    """A fleet, and kdeploy with an environment that points to it."""

    fleet: Fleet
    kdeploy: Kdeploy

    @property
    def hosts(self) -> dict[str, Host]:
        return {one.name: one for one in self.fleet.hosts()}

    def run(self, host: str, command: str, *, check: bool = True) -> str:
        """What a command says on a host."""
        return self.fleet.run(self.hosts[host], command, check=check).stdout.strip()

    def everywhere(self, command: str) -> dict[str, str]:
        return {name: self.run(name, command, check=False) for name in self.hosts}

    def reboot(self, name: str) -> None:
        """Boot a host again, and wait until it has."""
        before = self.run(name, "cat /proc/sys/kernel/random/boot_id")
        self.run(name, "systemctl reboot", check=False)
        deadline = time.monotonic() + PATIENCE
        while self.run(name, "cat /proc/sys/kernel/random/boot_id", check=False) in ("", before):
            assert time.monotonic() < deadline, f"{name} does not come back"
            time.sleep(0.5)
        self.fleet.wait(self.hosts[name])

    def pids(self) -> dict[str, str]:
        """The main process of each node."""
        shown = "systemctl show --property=MainPID --value kafka.service zookeeper.service | grep -v '^0*$'"
        return self.everywhere(shown)

    def change(self, old: str, new: str) -> Finished:
        """Change the environment and let the lock follow."""
        self.kdeploy.edit(old, new)
        return self.kdeploy("plan", "--lock")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what became of the records, also where everything passed."""
    from tests.e2e.fleet.life import TOLD

    for line in TOLD:
        terminalreporter.write_line(line)


def booted(fleet: Fleet, count: int, coordinator: str, disks: int = 1) -> None:
    """Boot hosts; an ordinary run, which one was booted for before, does without where so many find no room."""
    try:
        fleet.up(count, coordinator, disks=disks)
    except SystemExit as problem:
        if UNTIL is None:
            raise
        pytest.skip(f"this machine cannot boot {count} hosts: {problem}")


def world(root: Path, coordinator: str, *, count: int = 6, disks: int = 1) -> Iterator[World]:
    """Hosts and an environment with all of them; nothing of it is left behind."""
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    fleet = Fleet(root / "fleet")
    kdeploy = Kdeploy(root, "fleet", PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDEPLOY_VAULT_PASSWORD", PASSWORD)
        patch.setenv("KDEPLOY_STATE_DIR", str(root / "state"))
        try:
            booted(fleet, count, coordinator, disks)
            kdeploy.file.parent.mkdir(parents=True)
            kdeploy.file.write_text(environment(fleet))
            yield World(fleet, kdeploy)
        finally:
            if os.environ.get("KDEPLOY_KEEP_FLEET") is None:
                fleet.remove()


@contextmanager
def two_fleets(root: Path, roles: tuple[str, ...]) -> Iterator[tuple[Fleet, Kdeploy]]:
    """Hosts of two datacenters and an environment that is yet to be written; nothing of it is left behind."""
    fleet, kdeploy = Fleet(root / "fleet"), Kdeploy(root, "two", PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDEPLOY_VAULT_PASSWORD", PASSWORD)
        patch.setenv("KDEPLOY_STATE_DIR", str(root / "state"))
        try:
            datacenters.up(fleet, roles)
            kdeploy.file.parent.mkdir(parents=True)
            yield fleet, kdeploy
        finally:
            datacenters.remove(fleet)
