"""What a cluster holds, put into an environment's files: one value changed, or whole resources added.

    environment.yaml, topics.yaml, users.yaml, acls.yaml, quotas.yaml      comments and order kept

Invariant: a file that comes out says exactly what it said before but for the changes that were asked for,
or nothing is written; each file is replaced whole or not at all.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from kdeploy.errors import InvalidEnvironment, KdeployError
from kdeploy.spec.load import FILE_NAME
from kdeploy.spec.source import parse

if TYPE_CHECKING:
    from ruamel.yaml import YAML

Kind = Literal["topics", "users", "acls", "quotas"]
"""A list of resources: a key of environment.yaml, and the name of a file beside it."""

IDENTITY: Final[Mapping[Kind, tuple[str, ...]]] = {
    "topics": ("name",),
    "users": ("name",),
    "acls": ("user",),
    "quotas": ("user", "client_id", "ip"),
}
"""Keys that tell one entry of a list from another."""

WIDTH: Final = 4096
"""Columns after which a long text is folded: none that a person wrote is."""


@dataclass(frozen=True)
class Set:
    """One value of a resource, or of the environment itself, is another from now on.

    Attributes:
        kind: The resource's list; None for the environment.
        name: Keys that tell which entry, with their values.
        path: Keys below the entry.
        value: What it is; None takes the key away.
    """

    kind: Kind | None
    name: Mapping[str, str]
    path: tuple[str, ...]
    value: str | int | float | bool | None


@dataclass(frozen=True)
class Add:
    """A resource that no file declares.

    Attributes:
        kind: Its list.
        entry: All of it.
        file: The file it goes into; None for that of its kind.
    """

    kind: Kind
    entry: Mapping[str, Any]
    file: str | None = None


@dataclass(frozen=True)
class Remove:
    """A resource that no file is to declare any more.

    Attributes:
        kind: Its list.
        name: Keys that tell which entry, with their values.
    """

    kind: Kind
    name: Mapping[str, str]


Change = Set | Add | Remove
"""Any of them."""


class CannotWrite(KdeployError):
    """A file would not say what it should; it was left as it is."""


def written(folder: Path, changes: Sequence[Change]) -> dict[Path, str]:
    """The text of each file that changes are to be made in. Nothing is written.

    Args:
        folder: The environment's folder.
        changes: What is to change; an entry that is to be changed stands in one of its files.

    Raises:
        CannotWrite: An entry is in none of the files, or a file cannot be read or written so.
    """
    pages = _Pages(folder)
    for change in changes:
        match change:
            case Add():
                pages.add(change)
            case Remove():
                pages.remove(change)
            case Set():
                pages.set(change)
    return pages.texts()


def save(texts: Mapping[Path, str]) -> None:
    """Replace files, each whole or not at all; who may read them stays as it is.

    Raises:
        KdeployError: One cannot be written; those before it are.
    """
    for file, text in texts.items():
        try:
            _replace(file, text)
        except OSError as error:
            raise KdeployError(
                f"{file} cannot be written: {error.strerror}\n  check the folder's permissions"
            ) from None


def _replace(file: Path, text: str) -> None:
    """By a file of its own beside it, which nobody else writes at the same time and which never stays."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), file.stat().st_mode & 0o7777 if file.exists() else 0o666 & ~_umask())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    found = os.umask(0o022)
    os.umask(found)
    return found


class _Page:
    """One file: as it is edited with its comments, and what it has to say in the end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.before = file.read_text(encoding="utf-8") if file.is_file() else ""
        self.edited: Any = _yaml().load(self.before) if self.before.strip() else _empty()
        self.said: Any = deepcopy(parse(self.before, str(file)).data) if self.before.strip() else {}
        self._places: dict[Kind, dict[tuple[Any, ...], int]] = {}
        self._gone: dict[Kind, set[int]] = {}
        self.lost: list[Mapping[str, str]] = []

    def find(self, change: Set | Remove) -> tuple[Any, Any] | None:
        """The map that a change is made in, in both forms; None where this file does not have it."""
        if change.kind is None:
            return self.edited, self.said
        place = self._index(change.kind).get(tuple(change.name.get(key) for key in IDENTITY[change.kind]))
        return None if place is None else (self.edited[change.kind][place], self.said[change.kind][place])

    def _index(self, kind: Kind) -> dict[tuple[Any, ...], int]:
        """Where in its list each entry stands: looked up once, for thousands of changes; the first of several."""
        if kind not in self._places:
            found = self._places[kind] = {}
            for place, entry in enumerate((self.said or {}).get(kind) or ()):
                found.setdefault(tuple(entry.get(key) for key in IDENTITY[kind]), place)
        return self._places[kind]

    def add(self, kind: Kind, entry: Mapping[str, Any]) -> None:
        """Add an entry to a list."""
        for document in (self.edited, self.said):
            if document.get(kind) is None:
                document[kind] = []
            document[kind].append(deepcopy(dict(entry)))
        self._places.pop(kind, None)

    def remove(self, kind: Kind, name: Mapping[str, str]) -> None:
        """Take an entry out of its list, once all other changes are made: until then places stay."""
        place = self._index(kind).pop(tuple(name.get(key) for key in IDENTITY[kind]))
        self._gone.setdefault(kind, set()).add(place)

    def finish(self) -> None:
        """Take out what was removed, and quotas that lost their last limit; a list that is empty then goes too."""
        for name in self.lost:
            there = self.find(Remove("quotas", name))
            if there is not None and not there[1].keys() - set(IDENTITY["quotas"]):
                self.remove("quotas", name)
        for kind, places in self._gone.items():
            for document in (self.edited, self.said):
                for place in sorted(places, reverse=True):
                    del document[kind][place]
                if not document[kind]:
                    del document[kind]
        self._gone, self._places, self.lost = {}, {}, []

    def text(self) -> str:
        """The new text: the old one with the lines that had to change, else all of it written anew.

        Raises:
            CannotWrite: Neither says what it should.
        """
        self.finish()
        new = _dumped(self.edited)
        base = _dumped(_yaml().load(self.before)) if self.before.strip() else ""
        for text in (_patched(self.before, base, new), new):
            if text is not None and _says(text, self.said):
                return text
        raise CannotWrite(
            f"{self.file} cannot be rewritten without changing what else it says\n  change it by hand"
        )


class _Pages:
    """The files of one environment's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages: dict[str, _Page] = {}
        self._touched: set[str] = set()

    def page(self, name: str) -> _Page:
        if name not in self._pages:
            try:
                self._pages[name] = _Page(self._folder / name)
            except OSError as error:
                raise CannotWrite(f"{self._folder / name} cannot be read: {error.strerror}") from None
        return self._pages[name]

    def add(self, change: Add) -> None:
        """Into the file of its kind, also where environment.yaml has such a list too."""
        name = change.file or f"{change.kind}.yaml"
        self.page(name).add(change.kind, change.entry)
        self._touched.add(name)

    def set(self, change: Set) -> None:
        """Where the entry stands; a quota without any limit left is none, and goes."""
        page, places = self._found(change)
        for place in places:
            _put(place, change.path, change.value)
        if change.kind == "quotas" and change.value is None:
            page.lost.append(change.name)

    def remove(self, change: Remove) -> None:
        """From the list it stands in."""
        self._found(change)[0].remove(change.kind, change.name)

    def _found(self, change: Set | Remove) -> tuple[_Page, tuple[Any, Any]]:
        """The file that an entry stands in, and both its forms."""
        names = [FILE_NAME] if change.kind is None else [f"{change.kind}.yaml", FILE_NAME]
        for name in names:
            page = self.page(name)
            places = page.find(change)
            if places is not None:
                self._touched.add(name)
                return page, places
        what = " ".join(f"{key} {value}" for key, value in change.name.items())
        raise CannotWrite(f"no file in {self._folder} has {change.kind} {what}\n  change it by hand")

    def texts(self) -> dict[Path, str]:
        """New texts of the files that are to change, by file."""
        pages = [self._pages[name] for name in sorted(self._touched)]
        texts = {page.file: page.text() for page in pages}
        return {page.file: texts[page.file] for page in pages if texts[page.file] != page.before}


def _put(place: Any, path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
    for key in path[:-1]:
        if place.get(key) is None:
            if value is None:
                return
            place[key] = {}
        place = place[key]
    if value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value


def _says(text: str, expected: Any) -> bool:  # noqa: ANN401
    try:
        return bool(parse(text, "").data == expected)
    except InvalidEnvironment:
        return False


def _dumped(document: Any) -> str:  # noqa: ANN401
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _patched(before: str, base: str, new: str) -> str | None:
    """A person's text with the lines changed that differ between its rewritten form and the new one.

    What the rewriting alone does to lines (folding, space) stays out of it.

    Args:
        before: As the person wrote it.
        base: The same, rewritten.
        new: With the changes, rewritten.

    Returns:
        None where a change falls among lines that rewriting alone alters.
    """
    theirs, plain, changed = (text.splitlines(keepends=True) for text in (before, base, new))
    place = {
        first + step: second + step
        for first, second, size in SequenceMatcher(None, plain, theirs).get_matching_blocks()
        for step in range(size + 1)
    }
    result, done = list[str](), 0
    for verb, i1, i2, j1, j2 in SequenceMatcher(None, plain, changed).get_opcodes():
        if verb == "equal":
            continue
        if i1 not in place or i2 not in place or place[i2] - place[i1] != i2 - i1:
            return None
        start, end = place[i1], place[i2]
        if verb == "insert":
            # What is added to a list belongs before the blank lines that part it from what follows.
            while start > done and not theirs[start - 1].strip():
                start = end = start - 1
        result += theirs[done:start] + changed[j1:j2]
        done = end
    return "".join(result + theirs[done:])


def _empty() -> Any:  # noqa: ANN401
    from ruamel.yaml.comments import CommentedMap

    return CommentedMap()


def _yaml() -> YAML:
    """Reads and writes with comments, quotes and order kept."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
