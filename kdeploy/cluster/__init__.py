"""A running cluster, seen and changed over the Kafka protocol alone.

Invariant: the same functions serve every provider; nothing here knows processes,
hosts or clouds, and every administrative change is read back before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    """

    bootstrap: str
    authority: Path
    certificate: Path
    client_bootstrap: str
    node_identity: Path | None = None


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
