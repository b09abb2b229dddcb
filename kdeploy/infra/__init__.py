"""Where nodes come from: processes on this machine, hosts you have, EC2.

Each provider answers the same few verbs, so that one rolling order in
`kdeploy.operations` serves them all. Invariant: a provider carries out what the
Blueprint says about one node at a time and decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from kdeploy.blueprint import Blueprint, Node


@dataclass(frozen=True)
class NodeState:
    """What a provider sees of a node, without changing anything.

    Attributes:
        present: Whether it was ever applied here.
        running: Whether its process is up (ours, not merely the same pid).
        applied: `Node.fingerprint` plus secrets' hash of what is on disk; None when absent or damaged.
        started: The same of what the running process was started with; None when not running.
        detail: One line for people: pid and since when, or how it ended.
        live: Names in `Node.live` now or at any time before: what a running broker may have been given by us.
        may_return: Whether it may be back without being started from here: systemd starts it again, or
            its host cannot be asked.
        prepared: Whether what the node stands on is as it should be, as far as it was looked at, so that
            `Provider.provision` would find nothing to do there.
    """

    present: bool
    running: bool
    applied: str | None
    started: str | None
    detail: str
    live: tuple[str, ...] = ()
    may_return: bool = False
    prepared: bool = False


Secrets = Mapping[str, bytes]
"""Content of a node's secret files by `SecretFile.path`; never printed, never logged."""


class Provider(Protocol):
    """The verbs every provider answers."""

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Look at nodes, by `Node.key`; read-only."""
        ...

    def wanted(self, node: Node, secrets: Secrets) -> str:
        """The value `NodeState.applied` and `.started` have once this node is applied and restarted."""
        ...

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        """Make machines, folders and distributions exist; starts nothing, deletes nothing.

        Args:
            blueprint: Every node, also those that are left alone: the others know them by name.
            without: Names of nodes that are left alone.
        """
        ...

    def apply(self, node: Node, secrets: Secrets) -> None:
        """Put a node's files in place, whole or not at all; format its storage when new."""
        ...

    def start(self, node: Node) -> None:
        """Start a node's process; returns when started, not when ready. No-op when running."""
        ...

    def stop(self, node: Node, how: Literal["controlled", "now"] = "controlled") -> None:
        """Stop a node: SIGTERM and wait for its controlled shutdown, or at once. No-op when stopped."""
        ...


@runtime_checkable
class AppliesTogether(Protocol):
    """A provider that puts many nodes' files in place in one go, because each go costs it seconds."""

    def apply_together(self, work: Sequence[tuple[Node, Secrets]]) -> None:
        """As `Provider.apply`, for every node at once."""
        ...


@runtime_checkable
class Reboots(Protocol):
    """A provider whose nodes have machines of their own, that can be booted anew."""

    def reboot(self, node: Node) -> None:
        """Boot the machine of a stopped node anew; returns when it answers again, whatever runs on it by then."""
        ...
