"""Rights that reach what is written in a datacenter and not what is mirrored into it from the other one.

With names that are prefixed, a topic `orders` is `east.orders` on the other side: whoever reads the one and may not
read the other sees half of what there is.

Invariant: pure. Only rights to read are looked at, and only on topics that are mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Acl
from kdeploy.spec.roles import acls_of

Name = tuple[str, bool]
"""A topic's name, and whether it stands for all that begin so; ("", True) is every topic."""


def one_sided(environment: Environment) -> Iterator[Path_]:
    """Places of rights on mirrored topics whose user has none on what they are called on the other side."""
    mirroring = environment.mirroring
    if mirroring is None or mirroring.names != "prefixed":
        return
    sides = [f"{one.name}." for one in environment.datacenters]
    read: dict[str, list[Name]] = {}
    for user, acl in acls_of(environment):
        if _reads(acl):
            read.setdefault(user, []).append(_name(acl))
    for user, path, name in _places(environment):
        if mirroring.sync_topic_acls and not name[1]:
            continue  # MirrorMaker copies the right to one topic, and none to all that begin so
        mirrored = _may_be_mirrored(name, mirroring) and not name[0].startswith(tuple(sides))
        others = ((side + name[0], name[1]) for side in sides)
        if mirrored and not all(any(_covers(one, other) for one in read[user]) for other in others):
            yield path


def _places(environment: Environment) -> Iterator[tuple[str, Path_, Name]]:
    """Every topic that somebody may read, with the user, where that is said."""
    gone = {user.name for user in environment.users if user.delete}
    lists = [(("users", index), user.name, user.acls) for index, user in enumerate(environment.users)]
    lists += [(("acls", index), one.user, one.acls) for index, one in enumerate(environment.acls)]
    for place, user, acls in lists:
        if user not in gone:
            found = (((*place, "acls", at, "name"), acl) for at, acl in enumerate(acls) if _reads(acl))
            yield from ((user, path, _name(acl)) for path, acl in found)
    for index, grant in enumerate(environment.acls):
        if grant.user not in gone and grant.role not in (None, "producer"):
            for at, name in enumerate(grant.topics):
                yield grant.user, ("acls", index, "topics", at), (name.removesuffix("*"), name.endswith("*"))


def _reads(acl: Acl) -> bool:
    is_read = not {"all", "read"}.isdisjoint(acl.operations)
    return acl.resource == "topic" and acl.permission == "allow" and is_read


def _name(acl: Acl) -> Name:
    return ("", True) if acl.name == "*" else (acl.name, acl.pattern == "prefixed")


def _covers(right: Name, wanted: Name) -> bool:
    """Whether a right on one reaches all of the other."""
    return wanted[0].startswith(right[0]) if right[1] else right == wanted


def _may_be_mirrored(name: Name, mirroring: Mirroring) -> bool:
    """Whether the topic is mirrored, or any topic that begins so may be."""
    if not name[1]:
        return mirroring.mirrors(name[0])
    excluded = ((one.removesuffix("*"), one.endswith("*")) for one in mirroring.exclude_topics)
    if any(_covers(one, name) for one in excluded):
        return False
    wanted = [(one.removesuffix("*"), one.endswith("*")) for one in mirroring.topics]
    return any(_covers(one, name) or _covers(name, one) for one in wanted)
