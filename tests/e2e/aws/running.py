"""An environment whose machines are hosts of this machine and whose nodes run on them.

Invariant: what a person does is done by the command; nothing of the environment is left when its fixture has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import HERE
from tests.e2e.aws.world import World, left, written
from tests.e2e.local.records import Ledger
from tests.fleet import base

SMALL = """\
overrides:
  jvm:
    broker: [-Xmx400m]
    controller: [-Xmx128m]
"""
"""Heaps that many nodes have room for on one machine."""

LIVES = (
    "cat /proc/sys/kernel/random/boot_id && "
    "systemctl show --property=UserspaceTimestampMonotonic --value && "
    "{ systemctl show --property=MainPID --value kafka.service; true; }"
)
"""What tells a machine's life since it booted from any other, and that of the node on it."""


class Running(World):
    """An environment whose nodes run.

    Attributes:
        ledger: What its cluster acknowledged.
    """

    def __init__(self, folder: Path, cloud: Cloud, own: dict[str, str], regions: tuple[str, ...]) -> None:
        super().__init__(folder, cloud, own, regions)
        self.ledger = Ledger()

    def run(self, node: str, command: str, *, check: bool = True) -> str:
        """What a command says on the machine of a node."""
        address = self.machines()[node]["PrivateIpAddress"]
        return str(self.cloud.run(self.cloud.host(address), command, check=check))

    def lives(self) -> dict[str, str]:
        """Each machine's life, and that of the node on it."""
        return {key: self.run(key, LIVES) for key in self.machines()}

    def give_up(self) -> None:
        """Delete all of it, data too; nothing is left."""
        done = self.kdeploy("down", self.name, "--delete-data", "--yes", "--confirm", self.name)
        assert done.returncode == 0, done.stderr
        found = left(self.cloud, self.regions)
        assert not found, found


@contextmanager
def running(
    folder: Path, text: str, patch: pytest.MonkeyPatch, regions: tuple[str, ...] = HERE
) -> Iterator[Running]:
    """An environment that was decided, of which nothing is made yet; skipped where this machine boots no hosts.

    Args:
        folder: Where all of it is.
        text: The environment's file; KEY in it is the file of the key that logs in.
        patch: Lets this process, too, work on it as commands do.
        regions: Where it is.
    """
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    with Cloud(folder / "cloud", machines=True) as cloud:
        own = written(folder, cloud, text.replace("KEY", str(cloud.key)))
        for name, value in own.items():
            patch.setenv(name, value)
        made = Running(folder, cloud, own, regions)
        made.have_lock_and_vault()
        yield made
