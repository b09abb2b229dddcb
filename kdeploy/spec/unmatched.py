"""Topics that rights or mirroring name and that are nowhere, and patterns that no topic matches: most are misspelt.

Invariant: pure. What exists in a cluster is told by whoever knows it; without that, only what is declared counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Acl
from kdeploy.spec.source import Source
from kdeploy.spec.wording import nearest

GUESSED: Final = 20
"""Names for which the nearest topic is looked for, which takes milliseconds each where there are thousands."""


@dataclass(frozen=True)
class Named:
    """A topic that a right or mirroring names. `is_prefix` says that it stands for all whose names begin so."""

    path: Path_
    name: str
    is_prefix: bool

    def said(self, kind: str, meant: Collection[str] = ()) -> str:
        """That there is none of a kind, and which one of some was probably meant."""
        if self.is_prefix:
            return f"no topic {kind} has a name that begins with {self.name}"
        near = nearest(self.name, meant)
        return f"no topic {kind} is called {self.name}{f'; did you mean {near}?' if near else ''}"


def nowhere(environment: Environment, existing: Collection[str] = ()) -> tuple[Named, ...]:
    """Topics that rights and mirroring name, and that are neither declared nor among those that exist, in their order.

    Left out are rights on all topics, and those of clients that may make the topics themselves.
    """
    topics = _there(environment, existing)
    ordered = sorted(topics)

    def is_there(one: Named) -> bool:
        if not one.is_prefix:
            return one.name in topics
        at = bisect_left(ordered, one.name)
        return at < len(ordered) and ordered[at].startswith(one.name)

    return tuple(one for one in _named(environment) if not is_there(one))


def told(environment: Environment, kind: str, existing: Collection[str] = ()) -> Iterator[tuple[Path_, str]]:
    """The same in words, each with its place; of the first `GUESSED`, which topic was probably meant."""
    known = _there(environment, existing)
    for at, one in enumerate(nowhere(environment, existing)):
        yield one.path, one.said(kind, known if at < GUESSED else ())


def _there(environment: Environment, existing: Collection[str]) -> set[str]:
    """Names of topics that are declared or exist, and of what is mirrored under another name."""
    own = {topic.name for topic in environment.topics if not topic.delete}
    mirroring = environment.mirroring
    if mirroring is not None and mirroring.names == "prefixed":
        carried = [name for name in own if mirroring.mirrors(name)]
        own |= {f"{one.name}.{name}" for one in environment.datacenters for name in carried}
    return own.union(existing)


def idle_patterns(topics_file: Source) -> Iterator[Path_]:
    """Places of patterns in a topics.yaml that none of its topics matches."""
    data = topics_file.data if isinstance(topics_file.data, dict) else {}
    names = [one["name"] for one in data.get("topics") or ()]
    for index, pattern in enumerate(data.get("patterns") or ()):
        if not any(fnmatchcase(name, pattern["match"]) for name in names):
            yield ("patterns", index, "match")


def _named(environment: Environment) -> Iterator[Named]:
    for index, user in enumerate(environment.users):
        if not user.delete:
            yield from _of_acls(("users", index), user.acls)
    for index, grant in enumerate(environment.acls):
        if grant.role is None:
            yield from _of_acls(("acls", index), grant.acls)
        for field in ("topics", "output_topics"):
            yield from _of_names(("acls", index, field), getattr(grant, field))
    if environment.mirroring is not None:
        for field in ("topics", "exclude_topics"):
            yield from _of_names(("mirroring", field), getattr(environment.mirroring, field))


def _of_names(place: Path_, names: Collection[str]) -> Iterator[Named]:
    for at, name in enumerate(names):
        if name != "*":
            yield Named((*place, at), name.removesuffix("*"), name.endswith("*"))


def _of_acls(place: Path_, acls: Collection[Acl]) -> Iterator[Named]:
    for number, acl in enumerate(acls):
        makes_it = not {"all", "create"}.isdisjoint(acl.operations) and acl.permission == "allow"
        if acl.resource == "topic" and acl.name != "*" and not makes_it:
            yield Named((*place, "acls", number, "name"), acl.name, acl.pattern == "prefixed")
