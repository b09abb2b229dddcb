"""One value of a person's file put in another's place, and nothing else touched.

Invariant: pure. Comments, order and spelling stay as they are; text that comes out says exactly what
the text before said but for that one value, or there is none.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from kdeploy.errors import InvalidEnvironment
from kdeploy.spec.plain import Path_
from kdeploy.spec.source import parse


def with_value(text: str, path: Path_, old: str, new: str) -> str | None:
    """The text with another value at a place.

    Args:
        text: YAML.
        path: Keys and list positions of the value.
        old: The value that stands there.
        new: The one to stand there.

    Returns:
        The new text; None where the value is not written in one piece on the line of its key.

    Example:
        >>> with_value("hosts:\\n  - address: a  # ours\\n", ("hosts", 0, "address"), "a", "b")
        'hosts:\\n  - address: b  # ours\\n'
    """
    source = parse(text, "")
    line, lines = source.lines.get(path), text.splitlines(keepends=True)
    expected = deepcopy(source.data)
    if line is None or _replaced(expected, path, new) != old:
        return None
    whole = re.compile(rf"(?<![\w.:-]){re.escape(old)}(?![\w.:-])")
    for match in whole.finditer(lines[line - 1]):
        for written in (new, f'"{new}"'):
            changed = lines[line - 1][: match.start()] + written + lines[line - 1][match.end() :]
            candidate = "".join([*lines[: line - 1], changed, *lines[line:]])
            if _says(candidate, expected):
                return candidate
    return None


def _replaced(data: Any, path: Path_, new: str) -> Any:  # noqa: ANN401
    """Put a value in its place; gives the one that was there."""
    for key in path[:-1]:
        data = data[key]
    before = data[path[-1]]
    data[path[-1]] = new
    return before


def _says(text: str, expected: Any) -> bool:  # noqa: ANN401
    try:
        return bool(parse(text, "").data == expected)
    except InvalidEnvironment:
        return False
