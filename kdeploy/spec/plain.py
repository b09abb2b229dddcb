"""YAML as environments are usually written, read line by line: some fifteen times as fast.

A company's topics and access lists are tens of thousands of lines of keys, hyphens and short words. `plain`
reads those itself and hands back everything else (text over more than one line, escapes, anchors, tags, keys
in quotes, anything wrong) to the full reader in `kdeploy.spec.source`.

Invariant: it gives exactly what the full reader gives, values, lines and spelling, or None. What is wrong with a
file is therefore always said by the full reader.
"""

from __future__ import annotations

import re
from typing import Any, Final

from kdeploy.spec.scalars import scalar

Path_ = tuple[str | int, ...]
Found = tuple[dict[str, Any], dict[Path_, int], dict[Path_, str]]
"""The document, the line of each place, and how each scalar is written."""

DEEPEST: Final = 16
"""Deepest nesting read here; the full reader judges what is deeper."""

_KEY = r"[A-Za-z_][A-Za-z0-9_.-]*"
_WORD = r"[A-Za-z0-9_/.%+*@()=~-]"
_PLAIN = rf"-?[A-Za-z0-9_/](?:{_WORD}|:(?=[^\s:,\[\]{{}}#]))*(?: (?!-)(?:{_WORD})+)*"
_LINE = re.compile(rf"( *)((?:- +)*)(?:({_KEY}):(?: +|$))?(?:({_PLAIN})?(?: +#.*| *)|#.*|(.+))")
"""Indentation, hyphens, a key, and a plain value; or as the last group whatever else follows."""

_TOKEN = re.compile(
    rf" *(?:([\[\]{{}},])|({_KEY}):(?= )|('[^']*'|\"[^\"\\]*\")|(-?[A-Za-z0-9_/]{_WORD}*(?: {_WORD}+)*(?= *[,\]}}])))"
)
"""What stands in brackets: punctuation, a key, text in quotes, a plain value."""

_BARE = r"[A-Za-z_/][A-Za-z0-9_/.*-]*"
_WORDS = re.compile(rf"\[{_BARE}(?:, {_BARE})*\](?: +#.*| *)")
"""The list that is most often there: words alone, none of which could be a number."""

_QUOTED = re.compile(r"(?:'([^']*)'|\"([^\"\\]*)\")(?: +#.*| *)")
_COMMENT = re.compile(r" +#.*| *")
_BLANK = re.compile(r" *(?:#.*)?")
_UNUSUAL = re.compile("[^\n\x20-\x7e\xa1-\u2027\u2030-\ud7ff]")
"""Characters that are left to the full reader: tabs, other line ends, whatever is not printed."""


class _Unusual(Exception):
    """Something that is left to the full reader."""


def plain(text: str) -> Found | None:
    """Read a document whose top level is a map.

    Args:
        text: YAML.

    Returns:
        What it says; None where that takes a full reader, or where something is wrong.

    Example:
        >>> plain("topics:\\n  - name: orders\\n")[0]
        {'topics': [{'name': 'orders'}]}
    """
    if _UNUSUAL.search(text):
        return None
    reader = _Reader()
    try:
        for number, line in enumerate(text.split("\n"), 1):
            if line and not _BLANK.fullmatch(line):
                reader.take(number, line)
        return reader.end()
    except _Unusual:
        return None


class _Reader:
    """The maps and lists that are open, each with the column of its keys or hyphens."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self.lines: dict[Path_, int] = {}
        self.text: dict[Path_, str] = {}
        self._open: list[tuple[int, Any, Path_]] = [(0, self.root, ())]
        self._waiting: str | None = None
        """The last key, while it has no value yet."""

    def take(self, number: int, line: str) -> None:
        """Take the next line that says something."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise _Unusual
        indent, hyphens, key, value, other = match.groups()
        column = len(indent)
        self._place(column, bool(hyphens))
        if hyphens:
            self._items(number, column, hyphens, key)
        if key is not None:
            self._key(number, key, value, other)
        elif hyphens:
            self._item(number, value, other)
        else:
            raise _Unusual

    def end(self) -> Found:
        """Close everything."""
        if self._waiting is not None:
            self._nothing()
        if not self.root:
            raise _Unusual
        return self.root, self.lines, self.text

    def _place(self, column: int, is_item: bool) -> None:
        """Close what ends before this line, or open what begins with it below the last key."""
        stack = self._open
        at, holder, path = stack[-1]
        if self._waiting is not None:
            if column > at or (is_item and column == at):
                begun: Any = [] if is_item else {}
                holder[self._waiting] = begun
                stack.append((column, begun, (*path, self._waiting)))
                self._waiting = None
                if len(stack) > DEEPEST:
                    raise _Unusual
                return
            self._nothing()
        while at > column or (at == column and not is_item and type(holder) is list):
            stack.pop()
            if not stack:
                raise _Unusual
            at, holder, path = stack[-1]
        if at != column or is_item is not (type(holder) is list):
            raise _Unusual

    def _nothing(self) -> None:
        """The last key has no value."""
        _, holder, path = self._open[-1]
        holder[self._waiting] = None
        self.text[(*path, self._waiting or "")] = ""
        self._waiting = None

    def _items(self, number: int, column: int, hyphens: str, key: str | None) -> None:
        """Open the items that this line's hyphens begin, all but a last one that is a scalar."""
        begins = [at for at, character in enumerate(hyphens) if character == "-"]
        for following in (*begins[1:], len(hyphens)):
            _, holder, path = self._open[-1]
            place = (*path, len(holder))
            self.lines[place] = number
            begun: Any = [] if following < len(hyphens) else {}
            if following == len(hyphens) and key is None:
                return
            holder.append(begun)
            self._open.append((column + following, begun, place))
            if len(self._open) > DEEPEST:
                raise _Unusual

    def _key(self, number: int, key: str, value: str | None, other: str | None) -> None:
        _, holder, path = self._open[-1]
        if key in holder:
            raise _Unusual
        place = (*path, key)
        self.lines[place] = number
        if value is not None:
            self.text[place] = value
            holder[key] = scalar(value)
        elif other is None:
            self._waiting = key
        else:
            holder[key] = self._other(number, other, place)

    def _item(self, number: int, value: str | None, other: str | None) -> None:
        _, holder, path = self._open[-1]
        place = (*path, len(holder))
        if value is not None:
            self.text[place] = value
            holder.append(scalar(value))
        elif other is not None:
            holder.append(self._other(number, other, place))
        else:
            raise _Unusual

    def _other(self, number: int, text: str, place: Path_) -> Any:  # noqa: ANN401
        """Text in quotes, or a list or map in brackets that ends on its line."""
        if _WORDS.fullmatch(text):
            return self._words(number, text[1 : text.index("]")].split(", "), place)
        if text[0] in "[{":
            value, end = self._flow(number, text, 0, place, len(self._open))
            if not _COMMENT.fullmatch(text, end):
                raise _Unusual
            return value
        quoted = _QUOTED.fullmatch(text)
        if quoted is None:
            raise _Unusual
        written = quoted[1] if quoted[1] is not None else quoted[2]
        self.text[place] = written
        return written

    def _words(self, number: int, words: list[str], place: Path_) -> list[Any]:
        for index, word in enumerate(words):
            inner = (*place, index)
            self.lines[inner] = number
            self.text[inner] = word
        return [scalar(word) for word in words]

    def _flow(self, number: int, text: str, at: int, place: Path_, depth: int) -> tuple[Any, int]:
        """The value in brackets that begins at a position, and where it ends."""
        if depth > DEEPEST:
            raise _Unusual
        mark, _, quoted, word, end = _token(text, at)
        if word is not None:
            self.text[place] = word
            return scalar(word), end
        if quoted is not None:
            self.text[place] = quoted[1:-1]
            return quoted[1:-1], end
        if mark == "[":
            return self._list(number, text, end, place, depth)
        if mark == "{":
            return self._map(number, text, end, place, depth)
        raise _Unusual

    def _list(self, number: int, text: str, at: int, place: Path_, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        if _token(text, at)[0] == "]":
            return found, _token(text, at)[4]
        while True:
            inner = (*place, len(found))
            self.lines[inner] = number
            value, at = self._flow(number, text, at, inner, depth + 1)
            found.append(value)
            mark, _, _, _, at = _token(text, at)
            if mark == "]":
                return found, at
            if mark != ",":
                raise _Unusual

    def _map(self, number: int, text: str, at: int, place: Path_, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        if _token(text, at)[0] == "}":
            return found, _token(text, at)[4]
        while True:
            _, key, _, _, at = _token(text, at)
            if key is None or key in found:
                raise _Unusual
            inner = (*place, key)
            self.lines[inner] = number
            found[key], at = self._flow(number, text, at, inner, depth + 1)
            mark, _, _, _, at = _token(text, at)
            if mark == "}":
                return found, at
            if mark != ",":
                raise _Unusual


def _token(text: str, at: int) -> tuple[str | None, str | None, str | None, str | None, int]:
    match = _TOKEN.match(text, at)
    if match is None:
        raise _Unusual
    return match[1], match[2], match[3], match[4], match.end()
