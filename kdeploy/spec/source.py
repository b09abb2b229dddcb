"""A YAML file read into plain values, with the line of every one of them kept.

Invariant: what comes out is what a reader of the file sees: YAML 1.2's core schema
(`no` is text, `012` is twelve), no key twice, no anchors, aliases, merge keys or
tags, because with those a value stands in another place than where it is used.
Everything else is a `Problem` with its line; all of them are found in one reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import InvalidEnvironment, InvalidSetting, Problem, dotted
from kdeploy.spec.plain import Path_, plain
from kdeploy.spec.scalars import NOT_A_NUMBER, scalar

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.events import Event

LARGEST_FILE: Final = 16 * 2**20
"""Bytes of the largest file read: some 100,000 topics with their ACLs."""

DEEPEST: Final = 32
"""Deepest nesting read; an environment needs 6."""


@dataclass(frozen=True)
class Source:
    """A document as it stands in its file.

    Attributes:
        file: The file as the person named it.
        data: What it says, as plain values.
        lines: The line of each value's key (or list item), counted from 1.
        text: How each scalar is written, before it was read as a number or a truth value.
    """

    file: str
    data: Any
    lines: dict[Path_, int] = field(repr=False, default_factory=dict)
    text: dict[Path_, str] = field(repr=False, default_factory=dict)

    def place(self, path: Path_) -> tuple[Source, Path_]:
        """The document that a value is written in, and where it stands there; `kdeploy.spec.merge` has several."""
        return self, path

    def is_written(self, path: Path_) -> bool:
        """Whether a value stands in a file, and is not a default."""
        source, inside = self.place(path)
        return inside in source.lines

    def line(self, path: Path_) -> int:
        """The line of a place, or of the closest place around it that is written; 0 for none."""
        source, path = self.place(path)
        while path and path not in source.lines:
            path = path[:-1]
        return source.lines.get(path, 0)

    def said(self, path: Path_, file: str) -> str:
        """A place as a message names it that is about a file: with file and line where that is another one."""
        source, inside = self.place(path)
        return (
            dotted(inside) if source.file == file else f"{dotted(inside)} in {source.file}:{self.line(path)}"
        )

    def problem(self, path: Path_, wrong: str, right: str) -> Problem:
        """A problem at a place of this document."""
        source, inside = self.place(path)
        return Problem(source.file, self.line(path), dotted(inside), wrong, right)

    def locate(self, error: InvalidSetting) -> InvalidEnvironment:
        """Find the lines of an error that knows only paths; what a default or a pattern says wrong is one problem."""
        found = (self.problem(one.path, one.wrong, one.right) for one in (error, *error.others))
        return InvalidEnvironment(list(dict.fromkeys(found)))


def read(file: Path, name: str, key: str | None = None) -> Source:
    """Read a YAML file whose top level is a map.

    Args:
        file: Where it is.
        name: How the person named it, for messages.
        key: What it begins with; None for environment.yaml and locks, which can begin with many things.

    Raises:
        InvalidEnvironment: It cannot be read, is not YAML, or holds what is refused here.
    """
    return parse(_text(file, name), name, key)


def parse(text: str, name: str, key: str | None = None) -> Source:
    """Read YAML text whose top level is a map; see `read`."""
    found = plain(text)
    return Source(name, *found) if found else parse_fully(text, name, key)


def parse_fully(text: str, name: str, key: str | None = None) -> Source:
    """What `parse` does with what `kdeploy.spec.plain` hands back."""
    builder = _Builder(name)
    for event in _events(text, name):
        builder.take(event)
    if builder.problems:
        raise InvalidEnvironment(builder.problems)
    source = builder.source
    if source.data is None:
        many = "begin with `kafka:` or copy one with `kdeploy init`"
        raise _whole(
            name, "the file says nothing", f"begin with `{key}:`, or remove the file" if key else many
        )
    if not isinstance(source.data, dict):
        kind = "a list" if isinstance(source.data, list) else "a single value"
        raise InvalidEnvironment(
            [
                Problem(
                    name,
                    1,
                    "",
                    f"the file holds {kind}",
                    f"write keys with values, such as `{key or 'workload'}:`",
                )
            ]
        )
    return source


def _whole(name: str, wrong: str, right: str) -> InvalidEnvironment:
    return InvalidEnvironment([Problem(name, 0, "", wrong, right)])


def _text(file: Path, name: str) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise _whole(
            name, f"the file cannot be read: {why}", "check that it exists and is readable"
        ) from None
    if len(content) > LARGEST_FILE:
        raise _whole(name, "the file is larger than 16 MiB", "check that it is the file you mean")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _whole(name, "the file is in UTF-16", "save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"byte {error.start + 1} is not UTF-8 text"
        raise InvalidEnvironment([Problem(name, line, "", wrong, "save the file as UTF-8 text")]) from None
    if "\0" in text:
        raise _whole(name, "the file is binary", "check that it is the file you mean")
    return text


def _events(text: str, name: str) -> Iterator[Event]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
    from ruamel.yaml.reader import ReaderError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        raise InvalidEnvironment([_syntax(error, text, name)]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        wrong = f"the character U+{code:04X} is not allowed in YAML"
        raise InvalidEnvironment([Problem(name, line, "", wrong, "remove it")]) from None
    except (YAMLError, YAMLStreamError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise _whole(
            name, f"the file is not YAML: {reason}", "compare it with a shipped environment"
        ) from None


_SYNTAX: Final = (
    (r"found character '\\t'", "there is a tab", "indent with spaces; YAML does not allow tabs"),
    (
        r"found character '([^']+)' that",
        "a value may not begin with {0}",
        "put the value in quotes",
    ),
    (
        r"mapping values are not allowed",
        "there is a colon where a value stands, or the indentation is off",
        "line keys up under each other, or put a value that holds `: ` in quotes",
    ),
    (r"but got '<stream end>'", "a bracket is opened here and never closed", "close it with ] or }}"),
    (r"unexpected end of stream", "a quotation mark is opened here and never closed", "close it"),
    (
        r"expected <block end>",
        "the indentation does not fit the lines above",
        "line keys up under each other, and list items under their hyphen",
    ),
    (
        r"unknown escape character '(.+)'",
        "\\{0} means nothing between double quotes",
        "use single quotes, or write a backslash as \\\\",
    ),
    (r"could not find expected ':'", "a key without its colon", "write `key: value`"),
)
"""What YAML's own words mean for a person: pattern, what is wrong, what would be right."""


def _syntax(error: MarkedYAMLError, text: str, name: str) -> Problem:
    unclosed = "end of stream" in (error.problem or "") or "stream end" in (error.problem or "")
    mark = error.context_mark if unclosed and error.context_mark else error.problem_mark or error.context_mark
    line = min(mark.line, text.count("\n")) + 1 if mark else 0
    reason = error.problem or error.context or "it cannot be understood"
    for pattern, wrong, right in _SYNTAX:
        match = re.search(pattern, reason)
        if match:
            return Problem(name, line, "", wrong.format(*match.groups()), right.format())
    return Problem(name, line, "", f"not valid YAML: {reason}", "compare it with a shipped environment")


@dataclass
class _Open:
    """A map or list that is being read, and where the next value in it goes."""

    value: dict[str, Any] | list[Any]
    path: Path_
    key: str | None = None


class _Builder:
    """Plain values from YAML's events, without recursion: depth is checked, not suffered."""

    def __init__(self, name: str) -> None:
        self.source = Source(name, None)
        self.problems: list[Problem] = []
        self._root: Any = None
        self._open: list[_Open] = []
        self._documents = 0
        self._skipped = 0
        self._skips_key = False

    def take(self, event: Event) -> None:
        """Take the next event in order."""
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._document(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._start(event, {} if kind == "MappingStartEvent" else [])
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._end()
        elif kind in ("ScalarEvent", "AliasEvent") and not self._skipped:
            self._scalar(event)

    def _document(self, event: Event) -> None:
        self._documents += 1
        if self._documents > 1:
            self._wrong(event, "a second document begins here", "keep one document in a file; remove the ---")

    def _start(self, event: Event, value: dict[str, Any] | list[Any]) -> None:
        if self._skipped:
            self._skipped += 1
            return
        self._refuse_indirection(event)
        if self._expects_key():
            self._wrong(event, "a key that is itself a map or a list", "write keys as plain text")
            self._skipped, self._skips_key = 1, True
        elif len(self._open) == DEEPEST:
            self._wrong(event, f"nested more than {DEEPEST} deep", "compare it with a shipped environment")
            self._skipped, self._skips_key = 1, False
        else:
            self._open.append(_Open(value, self._place(event)))

    def _end(self) -> None:
        if self._skipped:
            self._skipped -= 1
            if self._skipped:
                return
            if self._skips_key:
                self._open[-1].key = "a key that is no text"
            else:
                self._put(None)
            return
        closed = self._open.pop()
        self._put(closed.value)

    def _scalar(self, event: Event) -> None:
        self._refuse_indirection(event)
        text = self._whole_characters(event, str(getattr(event, "value", "")))
        if self._expects_key():
            self._key(event, text)
            return
        path = self._place(event)
        self.source.text[path] = text
        plain = getattr(event, "style", None) is None
        if plain and NOT_A_NUMBER.fullmatch(text):
            self._wrong(event, f"{text} is not a finite number", "write the number that is meant")
        self._put(scalar(text) if plain else text)

    def _whole_characters(self, event: Event, text: str) -> str:
        """The text with each pair of UTF-16 escapes as the one character that JSON means by it."""
        if text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._wrong(event, "an escape stands for half a character", "write the character itself")
            return ""

    def _key(self, event: Event, text: str) -> None:
        top = self._open[-1]
        assert isinstance(top.value, dict)  # noqa: S101
        if text == "<<":
            self._wrong(event, "merge keys are not supported", "write the settings out where they hold")
        elif text in top.value:
            first = self.source.lines[(*top.path, text)]
            wrong = f"{text} is there twice, first in line {first}"
            self._wrong(event, wrong, "keep one of the two", (*top.path, text))
        else:
            self.source.lines[(*top.path, text)] = event.start_mark.line + 1
        top.key = text

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _place(self, event: Event) -> Path_:
        """Where the value that begins here belongs."""
        if not self._open:
            return ()
        top = self._open[-1]
        if isinstance(top.value, dict):
            assert top.key is not None  # noqa: S101
            return (*top.path, top.key)
        path = (*top.path, len(top.value))
        self.source.lines[path] = event.start_mark.line + 1
        return path

    def _put(self, value: Any) -> None:  # noqa: ANN401
        if not self._open:
            if self._documents == 1:
                self.source = Source(self.source.file, value, self.source.lines, self.source.text)
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            assert top.key is not None  # noqa: S101
            top.value.setdefault(top.key, value)
            top.key = None

    def _refuse_indirection(self, event: Event) -> None:
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if type(event).__name__ == "AliasEvent":
            self._wrong(event, f"the alias *{anchor} is not supported", "write the value out here")
        elif anchor:
            self._wrong(event, f"the anchor &{anchor} is not supported", "write values out where they hold")
        if tag:
            self._wrong(
                event, f"the tag {tag} is not supported", "write a plain value, in quotes if it is text"
            )

    def _wrong(self, event: Event, wrong: str, right: str, path: Path_ = ()) -> None:
        line = event.start_mark.line + 1
        self.problems.append(Problem(self.source.file, line, dotted(path), wrong, right))
