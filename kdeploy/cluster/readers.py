"""Consumer groups that nobody could go on with at the target, because no access list there lets anybody.

    groups and what they read at the source × access lists of the target → a sentence for each that nobody may go on with

Which user a group belongs to is written nowhere: Kafka keeps a group's members by their client ids and addresses, and
none at all of a group that rests. So nothing is said of one user. A group is told where every user lacks the right: no
one may take part in it, or nobody who may take part in it may read one of its topics. Where the source's access lists
let nobody either, it is read by a super user, or by nobody any more: neither is the target's lack.

A right is judged as Kafka's authorizer does (StandardAuthorizer and AclAuthorizer, Kafka 3.9 to 4.3, read 2026-11-27):
literal names, prefixes and `*`; a denial outranks; read, write, delete and alter allow describe. An entry for one
address may be the client's own, so it allows, and denies nobody for certain.

Invariant: pure. A group that is told cannot be read at the target by any user of the given entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from kdeploy.cluster.route import Route
from kdeploy.cluster.state import Binding
from kdeploy.cluster.translation import GroupState
from kdeploy.spec.identity import OWN

NEEDED: Final = ("read", "describe")
"""What a consumer has to be allowed on its group and on its topics (`spec.roles`)."""

ALLOWS_DESCRIBE: Final = ("read", "write", "delete", "alter")
"""Operations that let describe, too."""

EVERY_USER: Final = "*"

NAMED: Final = 3
"""Users and topics that are named in a sentence; the rest are counted."""


class Rights:
    """Access lists of one cluster, without those of kdeploy's own users.

    Args:
        bindings: Its entries.
    """

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._literal: dict[tuple[str, str], list[Binding]] = {}
        self._broad: dict[str, list[Binding]] = {}
        self.users: set[str] = set()
        for one in bindings:
            if one.user.startswith(OWN):
                continue
            self.users.add(one.user)
            if one.pattern == "prefixed" or one.name == "*":
                self._broad.setdefault(one.resource, []).append(one)
            else:
                self._literal.setdefault((one.resource, one.name), []).append(one)

    def readers(self, resource: str, name: str) -> frozenset[str]:
        """Users who may read a group or a topic; `*` among them where every user may."""
        met = [
            *self._literal.get((resource, name), ()),
            *(
                one
                for one in self._broad.get(resource, ())
                if (name.startswith(one.name) if one.pattern == "prefixed" else one.name == "*")
            ),
        ]
        asked = {one.user for one in met if one.permission == "allow"}
        if EVERY_USER in asked:
            asked |= self.users
        return frozenset(user for user in asked if all(_may(user, what, met) for what in NEEDED))


def _may(user: str, operation: str, met: Iterable[Binding]) -> bool:
    allowed = False
    for one in met:
        if one.user not in (user, EVERY_USER):
            continue
        exactly = one.operation in (operation, "all")
        if one.permission == "deny":
            if exactly and one.host == "*":
                return False
        elif exactly or (operation == "describe" and one.operation in ALLOWS_DESCRIBE):
            allowed = True
    return allowed


def barred(
    route: Route,
    groups: Iterable[GroupState],
    source: Rights | None,
    target: Rights,
    environment: str,
) -> Iterator[str]:
    """A sentence, with its remedy, for each group that nobody could go on with at the target.

    Args:
        route: Which direction.
        groups: Groups that it translates, with the topics they read.
        source: Access lists of the source; None where it does not answer.
        target: Those of the target, as they are when it is written to.
        environment: The environment's name, for the remedy.
    """
    applied = f"and run `kdeploy apply {environment}`"
    for group in groups:
        topics = sorted({one.topic for one in group.offsets})
        before: frozenset[str] = frozenset()
        if source is not None:
            before = source.readers("group", group.group)
            topics = [topic for topic in topics if before & source.readers("topic", topic)]
        if topics and (said := _lacking(route, group.group, topics, target, before)):
            yield f"{said}, {applied}"


def _lacking(
    route: Route, group: str, topics: list[str], target: Rights, before: frozenset[str]
) -> str | None:
    """What nobody may do of what a group needs, and which right is missing; None where somebody may do all of it."""
    there, names = route.target, [route.on_target(topic) for topic in topics]
    members = target.readers("group", group)
    if not members:
        else_where = f", as {_users(before)} may in {route.source}" if before else ""
        return (
            f"no user may take part in group {group} in {there}{else_where}: "
            f"declare whoever does, with the right to read the group and {_listed(names)}"
        )
    if lacking := [name for name in names if not members & target.readers("topic", name)]:
        return (
            f"nobody who may take part in group {group} ({_users(members)}) may read {_listed(lacking)} in {there}: "
            "declare that right for whoever does"
        )
    return None


def _users(names: Iterable[str]) -> str:
    return _listed(sorted("every user" if one == EVERY_USER else one for one in names))


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    shown = [*names[:NAMED], *more]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
