"""`apply`: topics, users, access lists and quotas as the files declare them, and nothing else.

Invariant: no node is started, stopped or given a file, and no broker a setting. It runs under the
environment's lease, every change is read back, and a second run changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import (
    belonging,
    expected,
    expiry,
    hosts,
    mirroring,
    pending,
    places,
    prepare,
    readiness,
    site,
    vaults,
)
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.pending import Item
from kdeploy.operations.progress import Progress
from kdeploy.operations.standing import told
from kdeploy.spec.identity import MIRROR

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.change import Change
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.operations.expected import Expectation
    from kdeploy.operations.site import Site
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class Applied:
    """What `apply` did to one cluster.

    Attributes:
        datacenter: Its name.
        items: What was changed, in the order of `pending.ordered`.
    """

    datacenter: str
    items: tuple[Item, ...]


def apply(
    loaded: Loaded,
    progress: Progress,
    password_file: Path | None = None,
    expectation: Expectation | None = None,
    move_rate: float | None = None,
) -> tuple[Applied, ...]:
    """Make topics, users, access lists and quotas of every cluster what the environment says.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        expectation: A saved preview: anything else than its resources is refused.
        move_rate: Bytes per second for each broker at which copies are moved, in place of the environment's.

    Raises:
        Moved: What would be done is not what the saved preview says; nothing was changed.
        WrongCluster: What runs is another cluster.
        KdeployError: A cluster is not up, or refuses a change; running again goes on.
    """
    site.refuse_undeployable(loaded)
    belonging.refuse_other(loaded)
    name = loaded.environment.name
    if places.is_local(loaded) and places.is_untouched(name):
        raise KdeployError(vaults.undecided(loaded))
    with lease(places.state_folder(name), "apply"), told(name, progress):
        design = prepare.design(loaded, freeze=True)
        if design.previous is None:
            raise KdeployError(vaults.undecided(loaded))
        completed = prepare.completed_vault(design, password_file)
        with hosts.held(design, "apply", completed.vault):
            expiry.refuse_ended(design, completed.vault)
            sites = site.sites(design, completed.vault, progress, site.Manner(move_rate=move_rate))
            for one in sites:
                _refuse_down(one)
            sites, _ = mirroring.as_decided(sites)
            _refuse_moved(sites, expectation)
            prepare.save_vault(design, completed)
            return tuple(_apply(one, expectation) for one in sites)


def _refuse_down(here: Site) -> None:
    states = here.provider.observe(here.cluster.brokers)
    if not any(
        state.running or state.unseen for state in states.values()
    ):  # who cannot be asked may well run
        name = here.design.blueprint.environment
        raise KdeployError(
            f"no broker of {here.cluster.datacenter} runs, so there is nothing to apply topics and users to\n"
            f"  bring it up with `kdeploy up {name}`, which applies them too"
        )


def _refuse_moved(sites: Sequence[Site], expectation: Expectation | None) -> None:
    if expectation is None:
        return
    found: list[Item] = []
    for here in sites:
        with readiness.connected(here) as admin:
            found += items_of(here, readiness.pending_changes(here, admin, resources_only=True))
    expected.refuse_other_resources(expectation, sites[0].design.blueprint.environment, found)


def _apply(here: Site, expectation: Expectation | None) -> Applied:
    with readiness.connected(here) as admin:
        plan = readiness.pending(here, admin, resources_only=True)
        items = items_of(here, plan.changes)
        if expectation is not None:
            name = here.design.blueprint.environment
            expected.refuse_beyond(expectation, name, here.cluster.datacenter, items)
        kill_point("reconcile-begun")
        carry_out(here, admin, plan)
    kill_point("reconciled")
    return Applied(here.cluster.datacenter, items)


def items_of(here: Site, changes: Sequence[Change]) -> tuple[Item, ...]:
    """Changes of a cluster as preview tells them."""
    found = (item for change in changes for item in pending.of_change(here.cluster.datacenter, change))
    return pending.ordered(found)


def carry_out(here: Site, admin: Admin, plan: Plan) -> None:
    """Do to a cluster what was planned, telling each change as it begins; each is read back.

    Args:
        here: The cluster.
        admin: Its administrator.
        plan: As `readiness.pending` gave it.
    """
    from kdeploy.cluster import reconcile

    manner = reconcile.Manner(
        rate=round(here.manner.move_rate or here.design.loaded.environment.moving.rate),
        patience=here.patience,
        begins=_telling(here, plan.changes),
        told=lambda said: here.progress.step("move", said),
        reached=kill_point,
    )
    reconcile.carry_out(admin, plan, here.passwords(), manner)


def _telling(here: Site, changes: Sequence[Change]) -> Callable[[Change], None]:
    """What tells each change as it begins; the rights of MirrorMaker's own user, some forty of them, as one line.

    Nobody declared those, so a person has nothing to look for in them; preview and JSON name each.
    """
    from kdeploy.cluster.change import CreateAcl, DeleteAcl

    def is_mirrors(change: Change) -> bool:
        return isinstance(change, CreateAcl | DeleteAcl) and change.binding.user == MIRROR

    counts = Counter(change.kind for change in changes if is_mirrors(change))

    def begins(change: Change) -> None:
        if not is_mirrors(change):
            here.progress.step("reconcile", str(change))
        elif count := counts.pop(change.kind, 0):
            verb = "add" if change.kind == "create-acl" else "remove"
            acls = "1 ACL" if count == 1 else f"{count} ACLs"
            here.progress.step("reconcile", f"{verb} {acls} of {MIRROR}, MirrorMaker's own user")

    return begins
