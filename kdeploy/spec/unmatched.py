"""Topics that rights name and that are nowhere, and patterns that no topic matches: most are misspelt.

Invariant: pure. What exists in a cluster is told by whoever knows it; without that, only what is declared counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Acl
from kdeploy.spec.source import Source


@dataclass(frozen=True)
class Named:
    """A topic that a right names. `is_prefix` says that it stands for all whose names begin so."""

    path: Path_
    name: str
    is_prefix: bool

    def __str__(self) -> str:
        return (
            f"no topic has a name that begins with {self.name}" if self.is_prefix else f"no topic {self.name}"
        )

    def is_one_of(self, topics: Collection[str]) -> bool:
        """Whether it is among some topics."""
        return any(one.startswith(self.name) for one in topics) if self.is_prefix else self.name in topics


def nowhere(environment: Environment, existing: Collection[str] = ()) -> tuple[Named, ...]:
    """Topics that rights name, and that are neither declared nor among those that exist, in their order.

    Left out are rights on all topics, and those of clients that may make the topics themselves.
    """
    topics = {topic.name for topic in environment.topics if not topic.delete}.union(existing)
    return tuple(one for one in _named(environment) if not one.is_one_of(topics))


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
            for at, name in enumerate(getattr(grant, field)):
                if name != "*":
                    yield Named(("acls", index, field, at), name.removesuffix("*"), name.endswith("*"))


def _of_acls(place: Path_, acls: Collection[Acl]) -> Iterator[Named]:
    for number, acl in enumerate(acls):
        makes_it = not {"all", "create"}.isdisjoint(acl.operations) and acl.permission == "allow"
        if acl.resource == "topic" and acl.name != "*" and not makes_it:
            yield Named((*place, "acls", number, "name"), acl.name, acl.pattern == "prefixed")
