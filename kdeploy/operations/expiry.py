"""Certificates that have ended, said before a cluster is touched and not by a failing handshake.

Invariant: only looks; only what the nodes of the lock and the administrator use counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import places

if TYPE_CHECKING:
    from kdeploy.operations.prepare import Design
    from kdeploy.security.issue import Expiry
    from kdeploy.security.vault import Vault


def ended(design: Design, vault: Vault, now: datetime | None = None) -> tuple[Expiry, ...]:
    """Certificates in use that have ended, the first to end first.

    Args:
        design: Whose nodes count.
        vault: Where the certificates are.
        now: The present, with a time zone; the clock's when left out.
    """
    from kdeploy.security import issue

    needed = issue.requirements(design.loaded.environment, design.lock)
    used = {"authority/nodes", "authority/clients", "administrator"}
    used |= {f"node/{node.key}" for node in needed.nodes} | {f"brokers/{name}" for name in needed.brokers}
    over = issue.expiring(vault, now or datetime.now(UTC), timedelta(0))
    return tuple(one for one in over if one.name in used)


def refuse_ended(design: Design, vault: Vault) -> None:
    """Refuse to work with certificates that no peer accepts any more.

    Raises:
        KdeployError: Names each, when it ended, and how the environment gets new ones.
    """
    over = ended(design, vault)
    if over:
        listed = "\n".join(f"  {one.name} ended on {one.not_after:%Y-%m-%d}" for one in over)
        raise KdeployError(
            f"certificates of {design.loaded.environment.name} have ended:\n{listed}\n{remedy(design)}"
        )


def remedy(design: Design) -> str:
    """How an environment gets new certificates, as indented lines."""
    name, file = design.loaded.environment.name, places.vault_file(design.loaded)
    lines = ["  this version renews no certificate by itself; to have new ones, and keep the data:"]
    if places.is_local(design.loaded):
        again: tuple[str, ...] = (f"kdeploy up {name}", f"kdeploy clients {name}  (passwords are new too)")
    else:
        again = (f"kdeploy vault create {name}",)
    steps = (f"kdeploy down {name}", f"rm '{file}'", *again)
    return "\n".join([*lines, *(f"    {step}" for step in steps)])
