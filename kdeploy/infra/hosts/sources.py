"""What the provider of hosts is given by the rest of kdeploy.

Invariant: this room knows neither Ansible nor the playbook; it gets a function that runs a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kdeploy.infra.hosts.ssh import Shell


class Failure(Protocol):
    """A task that failed on a host; `kdeploy.playbooks.runner.Failure` is one."""

    @property
    def host(self) -> str:
        """Its name in the inventory."""
        ...

    @property
    def task(self) -> str:
        """The task's name; empty where the host could not be reached."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...


class Played(Protocol):
    """What a run of the playbook did; `kdeploy.playbooks.runner.Played` is one."""

    changed: dict[str, list[str]]
    output: dict[str, dict[str, str]]

    @property
    def failures(self) -> Sequence[Failure]:
        """What failed."""
        ...


Play = Callable[[str, Mapping[str, Mapping[str, Any]]], Played]
"""Runs a part of the playbook (preflight, provision, apply) on hosts with their variables."""


@dataclass(frozen=True)
class Sources:
    """What the provider gets from the rest of kdeploy.

    Attributes:
        shells: How to reach each datacenter's hosts.
        play: Runs the playbook.
        jars: Gives Kafka's jars of a version.
        cache: Folder where the archive of jars is kept.
        private: Folder for archives with secrets while they are carried (mode 0700).
        tell: Told what a person should know, as `operations.progress.Progress.step`.
        disk_sizes: Declared bytes of each data disk, by datacenter and host, where they are declared.
    """

    shells: Mapping[str, Shell]
    play: Play
    jars: Callable[[str], Sequence[Path]]
    cache: Path
    private: Path
    tell: Callable[[str, str], None]
    disk_sizes: Mapping[tuple[str, str], float | None]
