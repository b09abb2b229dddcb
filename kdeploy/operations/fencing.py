"""Who may write mirrored topics in a datacenter: closed by its access lists, opened by them, and by whom it is not closed.

Invariant: nothing but access lists of users that are there is changed: whatever else is declared and not applied yet, as
a topic that is to be moved or deleted, waits for `apply`, and holds up no failover. What `fence` closes only `hold` of a
decision opens, or `unfence` where nothing was decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError, Stopped
from kdeploy.operations import readiness
from kdeploy.operations.apply import carry_out
from kdeploy.operations.site import Site
from kdeploy.spec.identity import DRILL
from kdeploy.spec.mirrored import meets

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.cluster.state import Binding
    from kdeploy.spec.mirroring import Mirroring
    from kdeploy.spec.resources import User

OURS: Final = "__kdeploy-"
"""How users of kdeploy's own begin: the mirror, a drill, a check. What they may write is no application's."""

NEVER: Final = ("__", ".", DRILL)
"""How names begin that are never mirrored (`spec.mirrored.is_mirrored`): an entry for all that begin so meets none."""

REOPEN: Final = 30.0
"""Seconds for a datacenter to answer that is to be opened again; it may be what failed."""

NAMED: Final = 5
"""Entries that are named; the rest is counted."""


def fence(here: Site) -> None:
    """Take from everybody but the mirror what writes to mirrored topics there; say so where rights keep nobody off."""
    if not here.design.loaded.environment.security.authorization:
        datacenter = here.cluster.datacenter
        here.progress.step(
            "failover",
            f"warning: security.authorization is off, so nobody is fenced in {datacenter}: stop what writes there, or what "
            "it writes from now on is not mirrored",
        )
    hold(replace(here, written=""))


def unfence(here: Site) -> None:
    """Let everybody write again who may, where nothing was decided."""
    hold(replace(here, written=here.cluster.datacenter))


def hold(here: Site) -> None:
    """Give a cluster its access lists, as they are declared by who is written to."""
    with readiness.connected(here) as admin:
        carry_out(here, admin, rights(here, admin))


def rights(here: Site, admin: Admin) -> Plan:
    """What is to be done to a cluster's access lists, and to nothing else; only reads.

    Users that are to be made are not there yet, and those that are to be deleted are `apply`'s to shut out.
    """
    from kdeploy.cluster import reconcile
    from kdeploy.cluster.change import CreateAcl, DeleteAcl

    passwords = here.passwords()

    def is_there(user: User) -> bool:
        return not user.delete and (user.credentials != "vault" or user.name in passwords)

    declared = here.declared
    users = tuple(filter(is_there, declared.users))
    names = {user.name for user in users}
    narrow = declared.model_copy(update={"topics": (), "quotas": (), "users": users})
    plan = reconcile.plan(narrow, admin, passwords)
    return replace(
        plan,
        changes=tuple(
            one
            for one in plan.changes
            if isinstance(one, CreateAcl | DeleteAcl) and one.binding.user in names
        ),
        moves=False,
    )


def strangers(here: Site, wanted: Mirroring) -> tuple[Binding, ...]:
    """Entries that let somebody write mirrored topics whom fencing does not reach, as nobody declared them."""
    with readiness.connected(here) as admin:
        found = admin.bindings()
    declared = {user.name for user in here.declared.users if not user.delete}
    return tuple(
        one
        for one in sorted(found)
        if (one.resource, one.permission) == ("topic", "allow")
        and one.operation in ("write", "all")
        and one.user not in declared
        and not one.user.startswith(OURS)
        and not one.name.startswith(NEVER)
        and meets(one, wanted)
    )


def said_of(found: tuple[Binding, ...], here: Site) -> str:
    """Why fencing a datacenter would not do, and what would make it."""
    more = [f"  and {len(found) - NAMED:,} more"] if len(found) > NAMED else []
    listed = "\n".join([*(f"  - {one}" for one in found[:NAMED]), *more])
    return (
        f"access lists of {here.cluster.datacenter} that nobody declared let mirrored topics be written, and fencing does "
        f"not take them away:\n{listed}\n"
        "  declare these users under `users` (`kdeploy import` does), or remove the entries, and run this again"
    )


@contextmanager
def fenced(source: Site, again: str) -> Iterator[None]:
    """Fence a datacenter for the block, in which nothing is decided yet; where it fails, everybody may write there again.

    Args:
        source: The datacenter.
        again: The command that would go on from here.
    """
    here, say = source.cluster.datacenter, source.progress.step
    apply = f"`kdeploy apply {source.design.loaded.environment.name}` opens it"
    try:
        fence(source)
        yield
    except Stopped:
        say("failover", f"{here} may be fenced still: `{again}` goes on from here, and {apply}")
        raise
    except KdeployError:
        try:
            unfence(replace(source, patience=min(REOPEN, source.patience)))
        except KdeployError as error:
            why = str(error).splitlines()[0]
            say(
                "failover",
                f"{here} stays fenced, as it cannot be opened: {why}; `{again}` goes on, and {apply}",
            )
        else:
            say("failover", f"nothing was decided, and {here} is written to as before")
        raise
