"""The way to a cluster, and the proof that it is the one that is meant.

Invariant: every command that asks or changes a cluster comes through `reached`, so none of them ever
works on another environment's cluster: not after a slip in an address, nor by a copied lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import places

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.operations.site import Site


class WrongCluster(KdeployError):
    """What answers at the environment's addresses is another cluster than the one of its lock."""


@contextmanager
def reached(site: Site, within: float | None = None) -> Iterator[Admin]:
    """The administrator's connection to the cluster that the lock means.

    Args:
        site: The cluster; where its lock has no id yet, whatever answers is taken for it.
        within: Seconds to try for; as `connect` does when left out.

    Raises:
        WrongCluster: Another cluster answers.
        KdeployError: None does.
    """
    from kdeploy.cluster.admin import connect

    with connect(site.access) if within is None else connect(site.access, within) as admin:
        if site.cluster.cluster_id is not None:
            refuse_other(site, admin.metadata().cluster_id)
        yield admin


def refuse_other(site: Site, found: str | None) -> None:
    """Refuse a cluster that is not the one that is meant.

    Args:
        site: The one that is meant.
        found: The id of the one that answers; None where it does not say.

    Raises:
        WrongCluster: It is another one; names both.
    """
    wanted = site.cluster.cluster_id
    if None not in (wanted, found) and found != wanted:
        name, lock = site.design.blueprint.environment, places.lock_file(site.design.loaded)
        raise WrongCluster(
            f"{site.access.bootstrap} is another cluster than {name}: "
            f"its id is {found}, and the lock says {wanted}\n"
            f"  nothing was changed; check the addresses, or cluster_id in {lock}"
        )
