"""One finding of a check, before its line is looked up, and the checks of many parts.

Invariant: a finding names the setting to change; settings it is also about serve to
find a line when that one stands at its default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kdeploy.errors import Problem, dotted
from kdeploy.spec.identity import DRILL, OWN, RESERVED
from kdeploy.spec.plain import Path_
from kdeploy.spec.source import Source


@dataclass(frozen=True)
class Finding:
    """Two or more settings that do not fit each other.

    Attributes:
        path: The setting to change.
        wrong: As `Problem.wrong`.
        right: As `Problem.right`.
        related: Other settings it is about, the most telling first.
        mention: Words and a place to end `wrong` with, once it is known where that is written.
        likewise: What else is wrong in the same way: each by its name, with the finding about it.
    """

    path: Path_
    wrong: str
    right: str
    related: tuple[Path_, ...] = ()
    mention: tuple[str, Path_] | None = None
    likewise: tuple[tuple[str, Finding], ...] = ()

    def problem(self, source: Source) -> Problem:
        """The finding at its line: the setting's own, else that of one it is about."""
        found = source.problem(self._written(source), self.wrong, self.right)
        holder, inside = source.place(self.path)
        if holder.file == found.file:
            found = replace(found, path=dotted(inside))
        wrong = self.wrong
        if self.mention is not None:
            words, place = self.mention
            wrong += f", {words} {source.said(place, found.file)}"
        return replace(found, wrong=wrong + self._likewise(source, found))

    def _written(self, source: Source) -> Path_:
        written = (path for path in (self.path, *self.related) if source.is_written(path))
        return next(written, self.path)

    def _likewise(self, source: Source, first: Problem) -> str:
        """The others, each with its line where that is another."""
        said = []
        for name, one in self.likewise[:MOST_LISTED]:
            found = source.problem(one._written(source), "", "")
            line = f"line {found.line}" if found.file == first.file else f"{found.file}:{found.line}"
            is_same = (found.file, found.line) == (first.file, first.line)
            said.append(name if is_same else f"{name} ({line})")
        if len(self.likewise) > MOST_LISTED:
            said.append(f"{len(self.likewise) - MOST_LISTED:,} more")
        return f"; likewise {' and '.join(filter(None, (', '.join(said[:-1]), said[-1])))}" if said else ""


MOST_LISTED = 20
"""Things that are wrong in the same way and are named; of more, the number."""


RENAME = "keep one of the two, or give this one another name"
KEEP_ONE = "keep one of the two"


def reserved(path: Path_, name: str) -> Iterator[Finding]:
    """A name of a topic or user that kdeploy would take for one of its own, and write to or remove."""
    if name.startswith(RESERVED):
        wrong = f"names that begin with {RESERVED} are those of `kdeploy verify`, which removes them"
        yield Finding(path, wrong, "give it a name that begins otherwise")
    elif name.startswith(DRILL):
        wrong = f"names that begin with {DRILL} are those of `kdeploy drill`, which removes them"
        yield Finding(path, wrong, "give it a name that begins otherwise")
    elif name.startswith(OWN):
        wrong = f"names that begin with {OWN} are kdeploy's own"
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
            yield Finding(path, f"the {what} {name} is there twice", right, mention=("first as", first[name]))
        first.setdefault(name, path)


def gathered(problems: Iterable[Problem]) -> list[Problem]:
    """Problems of one place that ask for the same as one, since a default can be wrong for every topic."""
    first: dict[tuple[str, int, str, str], Problem] = {}
    more: dict[tuple[str, int, str, str], int] = {}
    for one in dict.fromkeys(problems):
        key = (one.file, one.line, one.path, one.right)
        more[key] = more[key] + 1 if key in first else 0
        first.setdefault(key, one)
    return [
        replace(one, wrong=f"{one.wrong}; {more[key]:,} more likewise") if more[key] else one
        for key, one in first.items()
    ]
