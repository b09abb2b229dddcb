"""Whether `acls` give rights to users that there are, and name what their roles need.

Invariant: pure, as all of `kdeploy.spec.check`. What a role would ignore is refused, as is what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kdeploy.spec.check.access import check_acl
from kdeploy.spec.check.finding import Finding
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Acl, Grant
from kdeploy.spec.roles import ROLES
from kdeploy.spec.wording import did_you_mean, either

NAMING: Final = ("topics", "output_topics", "groups", "transactional_ids", "application", "internal_topics")
"""Fields of a grant that name resources."""

_TOPICS: Final = ("topics", "output_topics", "internal_topics")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{0,249}\*?")

_NEEDED: Final[Mapping[str, str]] = {
    "topics": "name the topics it produces to or reads from, for example topics: [orders]",
    "groups": "name its consumer groups, for example groups: [orders-*]",
    "application": "write its application.id, for example application: order-totals",
    "internal_topics": "name its topics for configuration, offsets and status, for example [connect-*]",
}
"""What to do about a field that a role needs."""

_A: Final[Mapping[str, str]] = {
    "producer": "a producer",
    "consumer": "a consumer",
    "streams": "a streams application",
    "connect": "a Connect worker",
}
"""Who has a role, in words."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about grants, and about rights on topics that are to be deleted."""
    users = {user.name: index for index, user in enumerate(environment.users)}
    deleted = {topic.name: index for index, topic in enumerate(environment.topics) if topic.delete}
    for index, grant in enumerate(environment.acls):
        place: Path_ = ("acls", index)
        yield from _user((*place, "user"), grant.user, environment, users)
        yield from _role(place, grant)
        if deleted:
            yield from _on_deleted(place, grant, deleted)
    if deleted:
        for index, user in enumerate(environment.users):
            if not user.delete:
                yield from _entries_on_deleted(("users", index, "acls"), user.acls, deleted)


def _user(path: Path_, name: str, environment: Environment, users: Mapping[str, int]) -> Iterator[Finding]:
    if name not in users:
        yield Finding(path, f"there is no user called {name!r}", did_you_mean(name, users))
    elif environment.users[users[name]].delete:
        wrong = f"the user {name} is to be deleted, and is given rights here"
        yield Finding(
            path,
            wrong,
            "remove this entry, or keep the user",
            mention=("see", ("users", users[name], "delete")),
        )


def _role(place: Path_, grant: Grant) -> Iterator[Finding]:
    given = [name for name in NAMING if getattr(grant, name)]
    if grant.role is None:
        yield from _without_role(place, grant, given)
        return
    role = ROLES[grant.role]
    for name in role.needs:
        if name not in given:
            wrong = f"{_A[grant.role]} without {_words(name)} can do nothing"
            yield Finding((*place, name), wrong, _NEEDED[name], ((*place, "role"), place))
    for name in given:
        if name not in role.takes:
            wrong = f"{_words(name)} {_mean(name)} nothing for {_A[grant.role]}"
            taken = [one for one in NAMING if one in role.takes]
            yield Finding((*place, name), wrong, f"remove it; {_A[grant.role]} has {_and(taken)}")
    if grant.acls:
        wrong = "a role and entries of its own do not go together"
        yield Finding(
            (*place, "acls"), wrong, "write the entries as one more item for this user, without role"
        )
    for name in given:
        if name != "application":
            yield from _names((*place, name), getattr(grant, name), name in _TOPICS)


def _without_role(place: Path_, grant: Grant, given: Sequence[str]) -> Iterator[Finding]:
    for name in given:
        wrong = f"{_words(name)} {_mean(name)} nothing without a role"
        yield Finding((*place, name), wrong, f"write role: {either(ROLES)}, or remove it")
    if not given and not grant.acls:
        yield Finding(place, f"{grant.user} is given nothing", "write a role with its topics, or acls")
    for number, acl in enumerate(grant.acls):
        yield from check_acl((*place, "acls", number), acl)


def _names(place: Path_, names: tuple[str, ...], are_topics: bool) -> Iterator[Finding]:
    for index, name in enumerate(names):
        if "*" in name[:-1]:
            wrong = f"{name!r} has an asterisk before its end, and Kafka knows prefixes only"
            yield Finding((*place, index), wrong, "write a name, a prefix with * at its end, or * for all")
        elif are_topics and not _TOPIC.fullmatch(name):
            wrong = f"no topic can be called {name!r}"
            yield Finding((*place, index), wrong, "write letters, digits, dots, hyphens and underscores")


def _on_deleted(place: Path_, grant: Grant, deleted: Mapping[str, int]) -> Iterator[Finding]:
    if grant.role is None:
        yield from _entries_on_deleted((*place, "acls"), grant.acls, deleted)
        return
    for field in _TOPICS:
        for index, name in enumerate(getattr(grant, field)):
            if name in deleted:
                yield _refers((*place, field, index), name, deleted)


def _entries_on_deleted(place: Path_, acls: tuple[Acl, ...], deleted: Mapping[str, int]) -> Iterator[Finding]:
    for index, acl in enumerate(acls):
        if acl.resource == "topic" and acl.pattern == "literal" and acl.name in deleted:
            yield _refers((*place, index, "name"), acl.name, deleted)


def _refers(path: Path_, topic: str, deleted: Mapping[str, int]) -> Finding:
    wrong = f"the topic {topic} is to be deleted, and rights on it are given here"
    mention = ("see", ("topics", deleted[topic], "delete"))
    return Finding(path, wrong, "remove this, or keep the topic", mention=mention)


def _words(field: str) -> str:
    return "application.id" if field == "application" else field.replace("_", " ")


def _mean(field: str) -> str:
    return "mean" if field.endswith("s") else "means"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
