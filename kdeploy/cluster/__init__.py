"""A running cluster, seen and changed over the Kafka protocol alone.

Invariant: the same functions serve every provider; nothing here knows processes,
hosts or clouds, and every administrative change is read back before it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Proxy: TypeAlias = Callable[[], tuple[str, int]]
"""Gives host and port of a SOCKS5 server that serves now, and makes one first where there is none (any more);
raises KdeployError where none can be made. Every connection to a cluster asks it anew."""


@dataclass(frozen=True)
class Access:
    """How to reach a cluster as its administrator: mutual TLS on the admin listener.

    Attributes:
        bootstrap: `host:port,...` of the admin listeners.
        authority: PEM file of the nodes' authority, to trust.
        certificate: PEM file with the administrator's certificate and key (mode 0600).
        client_bootstrap: `host:port,...` of the client listeners.
        node_identity: PEM file with a certificate and key of the nodes' authority, for asking
            ZooKeeper nodes how they are; None with KRaft.
        proxy: What every connection goes through, names of brokers being resolved on its far side; None where
            this machine reaches the cluster by itself.
    """

    bootstrap: str
    authority: Path
    certificate: Path
    client_bootstrap: str
    node_identity: Path | None = None
    proxy: Proxy | None = None


@dataclass(frozen=True)
class Check:
    """One named check of a cluster: what was looked at, whether it holds, and the finding."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class HealthReport:
    """All checks of one cluster."""

    datacenter: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)
