"""Topics, users, access lists, quotas and settings of running brokers: from how they are to how they are declared.

What is owned: declared topics with their partitions, copies and all their own settings; declared users'
passwords and whole access lists; declared entities' limits. Everything else is left alone, also what is
no longer declared. Deleted is only what is marked for deletion and what kdeploy made here (`record`).

Invariant: `difference` is pure and `plan` only reads, so what `preview` shows is what is carried out. What
cannot be carried out is refused before anything changes. Every change is read back before it counts.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

from kdeploy.cluster import decided, live, moving
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import AlterReplication, Change, Kind
from kdeploy.cluster.decided import difference
from kdeploy.cluster.failure import ClusterError, NotStored
from kdeploy.cluster.keeper import Forgetful, Keeper
from kdeploy.cluster.live import same
from kdeploy.cluster.observed import Observed, TopicState, observe
from kdeploy.cluster.reading import Reading
from kdeploy.cluster.state import Metadata
from kdeploy.cluster.three_way import Difference, drift
from kdeploy.spec.model import Environment

READ_BACK_FOR: Final = 60.0
"""Seconds a change has to become visible: metadata reaches every broker in well under one on a calm cluster,
and in many on a starved machine."""

REACHED: Final[Mapping[Kind, str]] = {
    "create-topic": "topics-created",
    "add-partitions": "partitions-added",
    "alter-topic-config": "topics-configured",
    "create-user": "users-created",
    "set-password": "passwords-set",
    "create-acl": "acls-created",
    "delete-acl": "acls-deleted",
    "set-quota": "quotas-set",
    "delete-quota": "quotas-deleted",
    "shut-out-user": "users-shut-out",
    "delete-topic": "topics-deleted",
}
"""Moments after which a run may be killed, by what was just sent."""


@dataclass(frozen=True)
class Plan:
    """What is to be done to a cluster, and all that it was decided from.

    Attributes:
        environment: What is declared.
        observed: What was found.
        changes: What is to be done, in its order.
        moves: Whether a movement of copies that was begun before is finished with it.
    """

    environment: Environment
    observed: Observed
    changes: tuple[Change, ...]
    moves: bool = True


@dataclass(frozen=True)
class Manner(moving.Manner):
    """How a plan is carried out: as copies are moved, and `begins` hears of each change before it is sent."""

    begins: Callable[[Change], None] = lambda _: None


def plan(
    environment: Environment,
    admin: Admin,
    passwords: Mapping[str, str],
    brokers: Mapping[int, live.Wanted] = MappingProxyType({}),
    planned: int = 0,
) -> Plan:
    """What `carry_out` would have to do; only reads.

    Args:
        environment: With what is declared.
        admin: The cluster.
        passwords: Each declared user's password.
        brokers: What running brokers are to have, by id.
        planned: How many brokers there are when it is carried out, where more of them are started first.

    Raises:
        InvalidSetting: The environment asks for something that cannot be carried out.
        ClusterError: The cluster does not answer, or a user has no password in the vault.
    """
    observed = observe(environment, admin, passwords)
    observed = replace(observed, brokers=max(observed.brokers, planned))
    declared = difference(environment, observed)
    given = live.changes(brokers, admin)
    return Plan(environment, observed, decided.in_order(environment, (*given, *declared)))


def changes(
    environment: Environment,
    admin: Admin,
    passwords: Mapping[str, str],
    brokers: Mapping[int, live.Wanted] = MappingProxyType({}),
) -> tuple[Change, ...]:
    """The changes of `plan`; arguments and errors as there."""
    return plan(environment, admin, passwords, brokers).changes


def carry_out(
    admin: Admin,
    plan: Plan,
    passwords: Mapping[str, str],
    manner: Manner = Manner(),
) -> None:
    """Do what was planned, and keep in the cluster what was made and given. Killed, it is taken up by the next run.

    Args:
        admin: The cluster.
        plan: What to do.
        passwords: Each declared user's password.
        manner: How.

    Raises:
        ClusterError: The cluster refused a change; those before it are done, and running again goes on.
        NotStored: The cluster accepted one, and it cannot be read back.
        GateClosed: Copies could not be moved for now; everything still serves.
    """
    keeper = Keeper(admin, plan.environment, plan.observed, plan.changes)
    keeper.begin()
    manner.reached("record-begun")
    copies = [change for change in plan.changes if isinstance(change, AlterReplication)]
    earlier, later = decided.around_moving(plan.changes)
    try:
        seen = _apply_each(admin, earlier, passwords, manner, keeper)
    except ClusterError:
        keeper.take_back()
        raise
    for change in copies:
        manner.begins(change)
    if copies or (plan.moves and plan.observed.record.moving is not None):
        moving.carry_out(admin, copies, plan.observed.record.moving, keeper.keep_moving, manner)
        _read_back(admin, copies, passwords)
    seen = _apply_each(admin, later, passwords, manner, keeper) or seen
    if _has_declared(plan.environment):
        keeper.finish(seen)
    manner.reached("record-completed")


def apply(admin: Admin, changes: Sequence[Change], passwords: Mapping[str, str]) -> Metadata | None:
    """Send changes that move no copies, in their order, and read each back; what was given is not kept.

    Args:
        admin: The cluster.
        changes: As `difference` gave them.
        passwords: Each declared user's password.

    Returns:
        The metadata that shows all of them; None where nothing had to be sent.

    Raises:
        ClusterError: As `carry_out`.
    """
    return _apply_each(admin, changes, passwords, Manner(), Forgetful())


def _apply_each(
    admin: Admin,
    changes: Sequence[Change],
    passwords: Mapping[str, str],
    manner: Manner,
    keeper: Forgetful,
) -> Metadata | None:
    for kind, group in groupby(changes, key=lambda change: change.kind):
        alike = list(group)
        for change in alike:
            manner.begins(change)
        keeper.about_to(alike)
        _send(admin, kind, alike, passwords, keeper)
        manner.reached("first-change-applied")
        if kind in REACHED:
            manner.reached(REACHED[kind])
    if not changes:
        return None
    seen = _read_back(admin, changes, passwords)
    keeper.seen(changes)
    return seen


def _read_back(admin: Admin, changes: Sequence[Change], passwords: Mapping[str, str]) -> Metadata:
    pending = list(changes)
    deadline = time.monotonic() + READ_BACK_FOR
    while True:
        reading = Reading(admin, pending, passwords)
        pending = [change for change in pending if not reading.shows(change)]
        if not pending:
            return reading.metadata
        if time.monotonic() > deadline:
            named = "\n".join(f"  {change}" for change in pending)
            raise NotStored(
                f"the cluster accepted these changes, but within {READ_BACK_FOR:.0f} s they cannot be read back:\n"
                f"{named}\n  look at the brokers with `kdeploy status`; running this again goes on from here"
            )
        time.sleep(0.05)


def _send(
    admin: Admin, kind: Kind, group: list[Any], passwords: Mapping[str, str], keeper: Forgetful
) -> None:
    """Changes of one kind, in as few requests as Kafka has for them."""
    match kind:
        case "create-topic":
            admin.create_topics([change.topic for change in group], made=keeper.made_topics)
        case "add-partitions":
            admin.add_partitions({change.topic: change.after for change in group})
        case "alter-topic-config":
            admin.set_topic_settings({change.topic: change.after for change in group})
        case "delete-topic":
            admin.delete_exactly({change.topic: change.id for change in group})
        case "alter-broker-config":
            for change in group:
                live.apply(admin, change)
        case _:
            _send_of_clients(admin, kind, group, passwords)


def _send_of_clients(admin: Admin, kind: Kind, group: list[Any], passwords: Mapping[str, str]) -> None:
    match kind:
        case "create-user" | "set-password":
            admin.set_passwords({change.user: passwords[change.user] for change in group})
        case "shut-out-user":
            # With KRaft the user stays, with a password that nobody knows: `temporary` says why.
            admin.set_passwords({change.user: secrets.token_urlsafe(32) for change in group if change.stays})
            admin.delete_users([change.user for change in group if not change.stays])
        case "create-acl":
            admin.create_bindings([change.binding for change in group])
        case "delete-acl":
            admin.delete_bindings([change.binding for change in group])
        case "set-quota":
            admin.set_quotas({change.entity: change.after for change in group})
        case "delete-quota":
            admin.set_quotas({change.entity: dict.fromkeys(change.before) for change in group})


def _has_declared(environment: Environment) -> bool:
    return bool(environment.topics or environment.users or environment.quotas)


__all__ = [
    "Change",
    "Difference",
    "Manner",
    "Observed",
    "Plan",
    "TopicState",
    "apply",
    "carry_out",
    "changes",
    "difference",
    "drift",
    "observe",
    "plan",
    "same",
]
