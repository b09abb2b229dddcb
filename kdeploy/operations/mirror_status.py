"""`mirror status`: each direction that something is mirrored in, and how far behind it is.

Invariant: read-only. Datacenters are asked at once, and one that does not answer is waited for once; it is said so,
and what the other one knows is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, Unhealthy, UsageError
from kdeploy.operations import asking, group_rights, mirroring, standbys
from kdeploy.operations.progress import Silent
from kdeploy.operations.status import sites_of

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.mirror import LinkStatus, MirrorStatus
    from kdeploy.operations.site import Site
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.mirroring import Mirroring


def status(loaded: Loaded, password_file: Path | None = None) -> MirrorStatus:
    """Look at every direction of an environment's mirror.

    Raises:
        UsageError: Nothing is mirrored in it.
        Unhealthy: No datacenter answers.
    """
    from kdeploy.cluster.mirror import MirrorStatus, Silence

    environment = loaded.environment
    wanted = refuse_unmirrored(loaded)
    sites = sites_of(loaded, Silent(), password_file)
    with asking.asked(sites, mirroring.ASK_WITHIN) as answers:
        admins = {
            name: one.admin if isinstance(one, asking.Answer) else None for name, one in answers.items()
        }
        silent = [(name, one) for name, one in answers.items() if isinstance(one, KdeployError)]
        if not any(admins.values()):
            raise Unhealthy(
                f"no datacenter of {environment.name} answers\n"
                f"  look at `kdeploy status {environment.name}`, or bring it up with `kdeploy up {environment.name}`"
            )
        active, epoch, problems, handed = _decided(sites, answers)
        links: list[LinkStatus] = []
        for found in _links(sites, wanted, active, admins):
            if isinstance(found, tuple):
                silent.append(found)
            else:
                links.append(found)
    return MirrorStatus(
        environment=environment.name,
        mode=wanted.mode,
        active=active or None,
        epoch=epoch,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        links=tuple(links),
        problems=problems,
        silent=tuple(Silence(name, str(error).splitlines()[0]) for name, error in silent),
        handed=handed if wanted.mode == "active-active" else {},
    )


def _decided(
    sites: Sequence[Site], answers: asking.Answers
) -> tuple[str | None, int, tuple[str, ...], dict[str, str]]:
    """Who is written to and the number of that decision; None where both were taken over, and that in words, as whom nothing
    is mirrored to; and, by datacenter whose clients are sent elsewhere, where to.
    """
    from kdeploy.cluster.direction import Disagreement

    try:
        found = mirroring.heard_of(sites, answers)
    except Disagreement as error:
        name = sites[0].design.loaded.environment.name
        settles = f"`kdeploy failover {name} --to DATACENTER` has one go on"
        if len(sites) > 2 and not any(one.active for one in error.kept):
            settles = f"`kdeploy failover {name} --from LOST --to DATACENTER` decides on it anew"
        return None, error.epoch, (f"{str(error).splitlines()[0]}: {settles}",), {}
    where = mirroring.clients_of(found, sites[0].datacenters)
    left = standbys.left_out(found, sites[0].design.loaded.environment.name)
    return found.active, found.epoch, left, {one: other for one, other in where.items() if one != other}


def refuse_unmirrored(loaded: Loaded) -> Mirroring:
    """What is mirrored in an environment.

    Raises:
        UsageError: Nothing is.
    """
    if loaded.environment.mirroring is None:
        raise UsageError(
            f"nothing is mirrored in {loaded.environment.name}\n"
            "  say what is to be under `mirroring`, with two datacenters, and run `kdeploy up`"
        )
    return loaded.environment.mirroring


def _links(
    sites: Sequence[Site], wanted: Mirroring, active: str | None, admins: dict[str, Admin | None]
) -> Iterator[LinkStatus | tuple[str, KdeployError]]:
    """Each direction as it is, as far as its target answers; or the datacenter that did not any more, and why."""
    from kdeploy.cluster import mirror
    from kdeploy.cluster.failure import ClusterError
    from kdeploy.cluster.route import Route

    for target in sites:
        there = admins[target.cluster.datacenter]
        for source in sites:
            here = source.cluster.datacenter
            runs = active is None or wanted.mode == "active-active" or here == active
            if there is None or source is target or not runs:
                continue
            route = Route.of(wanted, here, target.cluster.datacenter, target.datacenters)
            workers = mirroring.connect(target, patience=mirroring.ASK_WITHIN)
            admin = admins[here]
            asked = None if admin is None else (source, admin)
            try:
                found = mirror.look(route, admin, there, workers, time.time())
                yield group_rights.told(found, route, asked, (target, there))
            except ClusterError as error:
                yield target.cluster.datacenter, error
