"""Where nodes come from: processes on this machine, hosts you have, EC2.

Each provider answers the same few verbs, so that one rolling order in
`kdeploy.operations` serves them all. Invariant: a provider carries out what the
Blueprint says about one node at a time and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from kdeploy.blueprint import DERIVED, Blueprint, ClusterBlueprint, Node


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
        emptied: Whether it was here, and its machine's own disks came back empty from a stop: it is not `present`.
        unseen: Whether it could not be asked: then nothing is known of it but why not, which is in `detail`.
    """

    present: bool
    running: bool
    applied: str | None
    started: str | None
    detail: str
    live: tuple[str, ...] = ()
    may_return: bool = False
    prepared: bool = False
    unseen: bool = False
    emptied: bool = False


@dataclass(frozen=True, order=True)
class Strayed:
    """Something on a node that is not as it was put there: somebody else changed it since.

    Attributes:
        layer: files, or host for what its machine's kernel or firewall has.
        name: The file's path, or the setting's name.
        last: What was put there; None where that is not known any more, or is secret.
        found: What is there; None where it is missing, or is secret.
        why: What is wrong where neither text may be told or shows it.
    """

    layer: Literal["files", "host"]
    name: str
    last: str | None
    found: str | None
    why: str = ""


def stray(path: str, last: str | None, found: bytes | None, secret: bool) -> Strayed:
    """A file that is not as it was put there.

    Args:
        path: Its path.
        last: The text that was put there, where it is known.
        found: What is in it; None where it is missing.
        secret: Whether its content must not be told.
    """
    if found is None:
        return Strayed("files", path, None if secret else last, None, "it is missing")
    if secret:
        return Strayed("files", path, None, None, "its content or its mode was changed; it is secret")
    text = found.decode(errors="replace")
    return Strayed("files", path, last, text, "others may read it" if text == last else "it was edited")


@dataclass(frozen=True)
class Standing:
    """What stands of a node where it is. No content of a secret file is in it.

    Attributes:
        files: Text of each rendered file that is there, by its path; empty where it is gone.
        secrets: SHA-256 of each secret file as it was put there, by its path; never printed.
        by_hand: Paths, of secret files too, that are not as they were put there: changed, gone, or open to others.
        command: What its process is started with, where no file says so: options of the JVM, main class, arguments.
    """

    files: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict)
    by_hand: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


Secrets = Mapping[str, bytes]
"""Content of a node's secret files by `SecretFile.path`; never printed, never logged."""


def telling(node: Node, secrets: Secrets) -> dict[str, bytes]:
    """Those of a node's secret files whose bytes are the same as long as nothing in them changed, by path."""
    made_anew = {secret.path for secret in node.secrets if secret.kind in DERIVED}
    return {path: secrets[path] for path in sorted(secrets) if path not in made_anew}


class Provider(Protocol):
    """The verbs every provider answers."""

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Look at nodes, by `Node.key`; read-only."""
        ...

    def strayed(self, nodes: Sequence[Node]) -> dict[str, tuple[Strayed, ...]]:
        """What is not as it was put there, by `Node.key`; read-only. No content of a secret file is in it.

        Nodes that cannot be asked are left out.
        """
        ...

    def wanted(self, node: Node, secrets: Secrets) -> str:
        """The value `NodeState.applied` and `.started` have once this node is applied and restarted."""
        ...

    def standing(self, nodes: Sequence[Node]) -> dict[str, Standing]:
        """What stands of each node, by `Node.key`; read-only. Nodes that are absent or cannot be asked are left out."""
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
class Forwards(Protocol):
    """A provider whose nodes may be where only SSH gets to."""

    def proxy(self, cluster: ClusterBlueprint) -> Callable[[], tuple[str, int]] | None:
        """What every connection to a cluster has to go through; None where this machine reaches it by itself.

        It gives host and port of a SOCKS5 server, which is opened where there is none: nothing is opened before it is
        called, so machines need not be there yet.
        """
        ...


@runtime_checkable
class KnowsTypes(Protocol):
    """A provider whose machines are of types that have a price."""

    def types(self, nodes: Sequence[Node]) -> dict[str, str]:
        """The EC2 type of each node's machine as it is now, by `Node.key`; nodes without a machine are left out."""
        ...


@runtime_checkable
class Reboots(Protocol):
    """A provider whose nodes have machines of their own, that can be booted anew."""

    def reboot(self, node: Node) -> None:
        """Boot the machine of a stopped node anew; returns when it answers again, whatever runs on it by then."""
        ...


@runtime_checkable
class Remakes(Protocol):
    """A provider that can change the machine below a node, or give it another one, and keep what the node stored."""

    def outdated(self) -> Mapping[str, str]:
        """Machines below running nodes that are not what they should be, by `Node.key`, each with why."""
        ...

    def remake(self, node: Node) -> None:
        """Make the machine of a stopped node what it should be; no-op where it is.

        Returns when it answers and has all that the node stands on; files of the node may be missing then.
        """
        ...
