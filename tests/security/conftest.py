from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kdeploy.security import issue
from kdeploy.security.content import Vault
from kdeploy.spec.identity import node_subject

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def node(name: str, environment: str = "prod") -> issue.NodeRequirement:
    return issue.NodeRequirement(
        f"dc1/{name}", node_subject(environment, "dc1", name), ("localhost", name), ("127.0.0.1",)
    )


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def needed() -> issue.Requirements:
    return issue.Requirements(
        "prod", (node("broker-1"), node("zookeeper-1")), ("dc1",), ("alice", "bob"), 365
    )


@pytest.fixture(scope="session")
def vault(needed: issue.Requirements) -> Vault:
    return issue.complete(None, needed, NOW)


def secrets_of(vault: Vault) -> set[str]:
    """Every secret of a vault, each line of a key on its own: what must never be seen outside."""
    lines = {
        line
        for identity in vault.identities().values()
        for line in identity.key.splitlines()
        if line and not line.startswith("-----")
    }
    # The first line of a P-256 key in PKCS #8 begins with the same header in every key.
    return {line[40:] for line in lines if len(line) > 50} | set(vault.passwords.values())


@pytest.fixture(scope="session")
def planted(vault: Vault) -> set[str]:
    return secrets_of(vault)
