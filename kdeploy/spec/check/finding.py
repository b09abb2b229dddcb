"""One finding of a check, before its line is looked up, and the checks of many parts.

Invariant: a finding names the setting to change; settings it is also about serve to
find a line when that one stands at its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kdeploy.errors import Problem, dotted
from kdeploy.spec.identity import RESERVED
from kdeploy.spec.source import Path_, Source


@dataclass(frozen=True)
class Finding:
    """Two or more settings that do not fit each other.

    Attributes:
        path: The setting to change.
        wrong: As `Problem.wrong`.
        right: As `Problem.right`.
        related: Other settings it is about, the most telling first.
    """

    path: Path_
    wrong: str
    right: str
    related: tuple[Path_, ...] = ()

    def problem(self, source: Source) -> Problem:
        """The finding at its line: the setting's own, else that of one it is about."""
        written = [path for path in (self.path, *self.related) if path in source.lines]
        line = source.line(written[0] if written else self.path)
        return Problem(source.file, line, dotted(self.path), self.wrong, self.right)


RENAME = "keep one of the two, or give this one another name"
KEEP_ONE = "keep one of the two"


def reserved(path: Path_, name: str) -> Iterator[Finding]:
    """A name of a topic or user that `kdeploy verify` would take for one of its own, and remove."""
    if name.startswith(RESERVED):
        wrong = f"names that begin with {RESERVED} are those of `kdeploy verify`, which removes them"
        yield Finding(path, wrong, "give it a name that begins otherwise")


def duplicates(what: str, names: Iterable[tuple[Path_, str]], right: str = RENAME) -> Iterator[Finding]:
    """Names that are there more than once, each at its second place.

    Args:
        what: What is named, in one word.
        names: Each name with its place, in the order of the file.
        right: What to do about it.
    """
    first: dict[str, Path_] = {}
    for path, name in names:
        if name in first:
            wrong = f"the {what} {name} is there twice, first as {dotted(first[name])}"
            yield Finding(path, wrong, right)
        first.setdefault(name, path)
