"""Whether somebody could go on with each consumer group at the target of a mirror, by access lists.

    what the environment declares for its users, and of users that it does not know what the cluster has → cluster.readers

What is declared counts and not what was applied, since a failover gives declared users what is declared. Invariant:
read-only, and holds nothing up: what cannot be read is said in place of what it would have told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.mirror import LinkStatus
    from kdeploy.cluster.readers import Rights
    from kdeploy.cluster.route import Route


def told(
    found: LinkStatus, route: Route, source: tuple[Site, Admin] | None, target: tuple[Site, Admin]
) -> LinkStatus:
    """How a direction is, with a warning for each of its groups that nobody may go on with at the target.

    Args:
        found: How it is.
        route: Which.
        source: The datacenter that is read from, and its cluster; None where it does not answer.
        target: The one that is mirrored to.
    """
    from kdeploy.cluster.failure import ClusterError
    from kdeploy.cluster.readers import barred

    environment = target[0].design.loaded.environment
    if not (found.groups and environment.security.authorization):
        return found
    try:
        here, there = source and _rights(*source), _rights(*target)
    except ClusterError as error:
        why = str(error).splitlines()[0]
        said: tuple[str, ...] = (f"who may go on with groups in {route.target} is not known: {why}",)
    else:
        said = tuple(barred(route, found.groups, here, there, environment.name))
    return replace(found, warnings=(*found.warnings, *said))


def _rights(here: Site, admin: Admin) -> Rights:
    from kdeploy.cluster import acl
    from kdeploy.cluster.readers import Rights

    environment = here.declared
    known = {user.name for user in environment.users}
    others = (one for one in admin.bindings() if one.user not in known)
    return Rights({*acl.declared(environment), *others})
