"""A chart with its words and its numbers, as the template shows it.

Invariant: whoever does not see the drawing reads the same in its title, finding, note and table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kdeploy.planner.page import charts
from kdeploy.planner.page.drawing import draw

WIDE: Final = 526
NARROW: Final = 334
"""Pixels that a chart has beside another one on a desktop, and alone on a phone 390 pixels wide."""


@dataclass(frozen=True)
class Number:
    """A number of the plan's JSON: as it is shown, what it is, and its keys from the top, joined by dots."""

    text: str
    value: float
    path: str


Cell = str | Number
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table: its head, its rows, and which columns are numbers, aligned to the right."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]
    right: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart with the sentence that says what is to be seen, and its numbers.

    Attributes:
        title: The question it answers.
        finding: The answer.
        note: How to read it.
        wide, narrow: The drawing for a desktop and for a phone, SVG.
        table: The numbers.
        opened: Whether the numbers are shown from the start.
        broad: Whether it takes the whole width, chart and numbers side by side.
    """

    title: str
    finding: str
    note: str
    wide: str
    narrow: str
    table: Table
    opened: bool = False
    broad: bool = False


def figure(
    key: str,
    title: str,
    finding: str,
    note: str,
    specification: charts.Specification,
    table: Table,
    opened: bool = False,
    broad: bool = False,
) -> Figure:
    """Draw a chart for both widths, and put its words and numbers beside it; see `Figure`, and `draw` for the key."""
    wide, narrow = (
        draw(specification, f"{key}-{name}", title, f"{finding} {note}", width)
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    return Figure(title, finding, note, wide, narrow, table, opened, broad)
