"""The charts of a page, each as a Vega-Lite specification of plain values.

Invariant: a chart shows what it is given and computes nothing but its axes. Room for
labels follows from their length, never from the fonts of the machine that draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kdeploy.planner.page.drawing import ACCENT, INK, MUTED, STRONG, SURFACE

Specification = dict[str, Any]

AROUND: Final = {"left": 76, "right": 14, "top": 8, "bottom": 42}
"""Pixels around the plane of a chart with two axes: for ticks, their labels, and titles."""

ROW: Final = 30
"""Pixels of height for a bar."""

HEIGHT: Final = 250
"""Pixels of height for a chart with two axes."""

NEAR: Final = 0.09
"""Share of an axis within which the letters of two points would run into each other."""

LETTER: Final = 7.2
"""Pixels that a letter of a 12 px label takes on average."""


@dataclass(frozen=True)
class Bar:
    """A bar: its name, its length, what stands beside it, where its ceiling is, whether it stands out."""

    name: str
    value: float
    label: str
    ceiling: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Point:
    """A point: where it is, what it says of itself, whether it stands out, a letter in it, its line's name."""

    x: float
    y: float
    label: str
    strong: bool = False
    letter: str = ""
    line: str = ""


def bars(rows: Sequence[Bar], form: str, most: float | None = None) -> Specification:
    """Horizontal bars with a label each, and a stroke at the ceiling of those that have one.

    Args:
        rows: From top to bottom.
        form: d3-format of the axis.
        most: End of the axis, at least; None leaves it to the longest bar.
    """
    longest = max([most or 0.0, *(max(row.value, row.ceiling or 0.0) for row in rows)]) or 1.0
    room = max(len(row.label) for row in rows) * LETTER + 8
    values = [
        {
            "name": row.name,
            "value": row.value,
            "label": row.label,
            "ceiling": row.ceiling,
            "end": max(row.value, row.ceiling or 0.0),
            "strong": row.strong,
            "says": f"{row.name}: {row.label}",
        }
        for row in rows
    ]
    extent = max(len(row.name) for row in rows) * LETTER
    name = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {
            "minExtent": extent,
            "maxExtent": extent,
            "domain": False,
            "ticks": False,
            "labelColor": INK,
            "labelPadding": 8,
        },
    }
    along = {
        "type": "quantitative",
        "title": None,
        "stack": None,  # stacked bars would be clipped, by ids that differ from drawing to drawing
        "scale": {"domain": [0, longest], "nice": False},
        "axis": {
            "format": form,
            "values": [0, longest / 2, longest],
            "grid": False,
            "ticks": False,
            "domain": False,
        },
    }
    length = {"field": "value", **along}
    if most is None:
        length["axis"] = None
    layers: list[Specification] = [
        {
            "mark": {"type": "bar", "height": 14, "cornerRadiusEnd": 3},
            "encoding": {"x": length, "color": _colour(), "description": {"field": "says"}},
        }
    ]
    if any(row.ceiling is not None for row in rows):
        layers.append(
            {
                "mark": {"type": "tick", "thickness": 2, "height": 22, "color": INK, "aria": False},
                "encoding": {"x": {**length, "field": "ceiling"}},
            }
        )
    layers.append(
        {
            "mark": {"type": "text", "align": "left", "dx": 7, "aria": False},
            "encoding": {"x": {**length, "field": "end"}, "text": {"field": "label"}},
        }
    )
    return {
        "data": {"values": values},
        "height": ROW * len(rows),
        "padding": {"left": extent + 12, "right": room, "top": 2, "bottom": 4 if most is None else 22},
        "encoding": {"y": name},
        "layer": layers,
    }


def curve(points: Sequence[Point], x: str, y: str, mark: Point | None, note: str) -> Specification:
    """A line through points, one of which may be marked.

    Args:
        points: From left to right.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        mark: The point that is marked.
        note: What is written at it.
    """
    right = mark is not None and bool(points) and mark.x > (points[0].x + points[-1].x) / 2
    layers: list[Specification] = [
        {
            "mark": {"type": "line", "color": ACCENT, "strokeWidth": 2, "aria": False},
            "encoding": _plane(x, y),
        },
        {
            "mark": {"type": "point", "filled": True, "size": 28, "opacity": 1, "color": ACCENT},
            "encoding": {**_plane(x, y), "description": {"field": "says"}},
        },
    ]
    if mark is not None:
        at = {"data": {"values": [{**_value(mark), "note": note}]}}
        layers += [
            {
                **at,
                "mark": {"type": "point", "filled": True, "size": 130, "opacity": 1, "color": STRONG},
                "encoding": {**_plane(x, y), "description": {"field": "says"}},
            },
            {
                **at,
                "mark": {
                    "type": "text",
                    "align": "right" if right else "left",
                    "baseline": "middle",
                    "dx": -12 if right else 12,
                    "dy": -8 if right else 14,
                    "fontWeight": "bold",
                    "aria": False,
                },
                "encoding": {**_plane(x, y), "text": {"field": "note"}},
            },
        ]
    return {
        "data": {"values": [_value(one) for one in points]},
        "height": HEIGHT,
        "padding": AROUND,
        "layer": layers,
    }


def lines(points: Sequence[Point], x: str, y: str, months: int, end: int | None, note: str) -> Specification:
    """A line for each name, against a rule at 1; those that stand out over the others.

    Args:
        points: Of all lines; `line` names a point's.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        months: Where the horizontal axis ends.
        end: Where a vertical rule stands, if anywhere.
        note: What is written at it.
    """
    across = {
        "field": "x",
        "type": "quantitative",
        "title": x,
        "scale": {"domain": [0, months]},
        "axis": {"values": list(range(0, months + 1, 6 if months > 12 else 1)), "grid": False},
    }
    top = max([1.1, *(one.y for one in points)])
    up = {
        "field": "y",
        "type": "quantitative",
        "title": y,
        "scale": {"domain": [0, top]},
        "axis": {"format": "%", "tickCount": 5},
    }
    layers: list[Specification] = [
        {
            "data": {"values": [{"y": 1}]},
            "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3], "aria": False},
            "encoding": {"y": up},
        }
    ]
    layers += [
        {
            "transform": [{"filter": f"datum.strong == {str(strong).lower()}"}],
            "mark": {
                "type": "line",
                "color": STRONG if strong else MUTED,
                "strokeWidth": 3 if strong else 1.25,
                "opacity": 1 if strong else 0.75,
            },
            "encoding": {"x": across, "y": up, "detail": {"field": "line"}, "description": {"field": "line"}},
        }
        for strong in (False, True)
    ]
    if end is not None:
        left = end < months / 2
        at = {"data": {"values": [{"x": end, "y": 0.06 * top, "note": note}]}}
        layers += [
            {**at, "mark": {"type": "rule", "color": STRONG, "aria": False}, "encoding": {"x": across}},
            {
                **at,
                "mark": {
                    "type": "text",
                    "align": "left" if left else "right",
                    "dx": 8 if left else -8,
                    "fontWeight": "bold",
                    "aria": False,
                },
                "encoding": {"x": across, "y": up, "text": {"field": "note"}},
            },
        ]
    return {
        "data": {"values": [_value(one) for one in points]},
        "height": HEIGHT,
        "padding": AROUND,
        "layer": layers,
    }


def scatter(points: Sequence[Point], x: str, y: str) -> Specification:
    """Lettered points, against a rule at 100 % of the horizontal axis; where several meet, one mark has all letters."""
    lowest, highest = min(one.x for one in points), max(one.x for one in points)
    margin = max(highest - lowest, 0.1) * 0.12
    across = {
        "field": "x",
        "type": "quantitative",
        "title": x,
        "scale": {"domain": [min(lowest, 1) - margin, max(highest, 1) + 2 * margin], "nice": False},
        "axis": {"format": "%", "tickCount": 5},
    }
    up = {
        "field": "y",
        "type": "quantitative",
        "title": y,
        "scale": {"zero": False, "padding": 18},
        "axis": {"format": "$.4~s", "tickCount": 5},
    }
    plane = {"x": across, "y": up}
    layers: list[Specification] = [
        {
            "data": {"values": [{"x": 1}]},
            "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3], "aria": False},
            "encoding": {"x": across},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1, "stroke": SURFACE},
            "encoding": {**plane, "color": _colour(), "description": {"field": "says"}},
        },
        {
            "data": {"values": _letters(points)},
            "mark": {"type": "text", "fontWeight": "bold", "dy": -13, "aria": False},
            "encoding": {**plane, "text": {"field": "letter"}},
        },
    ]
    drawn = sorted(points, key=lambda one: one.strong)
    return {
        "data": {"values": [_value(one) for one in drawn]},
        "height": HEIGHT,
        "padding": AROUND,
        "layer": layers,
    }


def _letters(points: Sequence[Point]) -> list[Specification]:
    """A label for each place: points nearer than a mark's width share one."""
    across = max(one.x for one in points) - min(one.x for one in points) or 1.0
    up = max(one.y for one in points) - min(one.y for one in points) or 1.0
    groups: list[list[Point]] = []
    for one in points:
        for group in groups:
            if abs(one.x - group[0].x) < NEAR * across and abs(one.y - group[0].y) < NEAR * up:
                group.append(one)
                break
        else:
            groups.append([one])
    return [
        {"x": group[0].x, "y": max(one.y for one in group), "letter": " ".join(one.letter for one in group)}
        for group in groups
    ]


def _plane(x: str, y: str) -> Specification:
    return {
        "x": {
            "field": "x",
            "type": "quantitative",
            "title": x,
            "scale": {"zero": True},
            "axis": {"tickCount": 5, "grid": False},
        },
        "y": {
            "field": "y",
            "type": "quantitative",
            "title": y,
            "scale": {"zero": True},
            "axis": {"format": "$.3~s", "tickCount": 5},
        },
    }


def _colour() -> Specification:
    return {"condition": {"test": "datum.strong", "value": STRONG}, "value": ACCENT}


def _value(point: Point) -> Specification:
    return {
        "x": point.x,
        "y": point.y,
        "says": point.label,
        "strong": point.strong,
        "letter": point.letter,
        "line": point.line,
    }


__all__ = ["Bar", "Point", "bars", "curve", "lines", "scatter"]
