"""Sections of a report on 80 columns: wrapped sentences, and tables with aligned columns.

Invariant: no line is longer than 80 columns, but where a row without a hanging column is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 80
"""Columns of a terminal."""

PLAIN: Final = str.maketrans(
    {"×": "x", "█": "#", "░": ".", "│": "|", "◀": "<", "µ": "u", "÷": "/", "–": "-", "²": "2"}
)
"""What stands for each character where the terminal has only ASCII."""


@dataclass(frozen=True)
class Section:
    """A heading with sentences and a table below it.

    Attributes:
        title: The heading.
        lines: Sentences before the table.
        rows: The table; the first row is its head, empty cells in it mean that it has none.
        right: Columns that are aligned to the right.
        hanging: Whether the last column is wrapped; else a row has to fit.
    """

    title: str
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    right: tuple[int, ...] = ()
    hanging: bool = False


def wrapped(line: str, indent: str = "") -> list[str]:
    """A sentence as lines; no word is broken."""
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(section: Section) -> Iterator[str]:
    """Rows as aligned columns; the last column hangs under itself where it is longer than the line."""
    if not section.rows:
        return
    last = len(section.rows[0]) - 1
    widths = [max(len(row[column]) for row in section.rows) for column in range(last + 1)]
    head = section.rows[0]
    for row in section.rows[1:] if head[0] in ("part", "choice", "what") else section.rows:
        cells = [
            cell.rjust(width) if column in section.right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        start = "  " + "".join(f"{cell}  " for cell in cells[:last])
        if section.hanging and len(start) > WIDTH * 0.6:
            yield "  " + row[0]
            start = " " * 6
        if not section.hanging:
            yield start + cells[last].rstrip() if last not in section.right else start + cells[last]
            continue
        room = textwrap.wrap(row[last], WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
        yield start + (room[0] if room else "")
        yield from (" " * len(start) + more for more in room[1:])
