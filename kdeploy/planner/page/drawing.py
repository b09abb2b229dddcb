"""From a Vega-Lite specification to an SVG that stands in a page by itself.

Invariant: the same specification gives the same bytes; nothing is fetched and nothing
runs in the reader's browser. Colours are the page's custom properties, so one drawing
serves light and dark; each mark keeps what it says of itself for readers and on hover.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, Final

import vl_convert

VEGA_LITE: Final = "5.20"
"""The Vega-Lite that specifications are written for; vl-convert carries several."""

INK: Final = "var(--ink)"
MUTED: Final = "var(--muted)"
LINE: Final = "var(--line)"
ACCENT: Final = "var(--accent)"
STRONG: Final = "var(--strong)"
SURFACE: Final = "var(--surface)"

CONFIG: Final[dict[str, Any]] = {
    "font": "Liberation Sans, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "text": {"fontSize": 12, "color": INK},
}

_OPENING: Final = re.compile(r"<svg [^>]*?width=\"(?P<width>[\d.]+)\" height=\"(?P<height>[\d.]+)\"[^>]*>")
_MARK: Final = re.compile(r"<(?P<tag>path|text) (?P<rest>aria-label=\"(?P<label>[^\"]*)\"[^>]*)/>")


def draw(specification: dict[str, Any], key: str, title: str, description: str, width: int) -> str:
    """Draw a chart.

    Room for labels is the specification's padding, so that no font of this machine is measured.

    Args:
        specification: Vega-Lite: data, marks and encodings, padding, with everything in it.
        key: Names the chart within the page; the ids in the drawing begin with it.
        title: What it shows, in a few words.
        description: What is to be seen in it, for those who cannot see it.
        width: Pixels; the height is the specification's.

    Returns:
        The SVG element.
    """
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None,
        "width": width - specification["padding"]["left"] - specification["padding"]["right"],
        "autosize": "none",
        "config": CONFIG,
        **specification,
    }
    svg = vl_convert.vegalite_to_svg(whole, vl_version=VEGA_LITE)
    found = _OPENING.match(svg)
    assert found is not None  # noqa: S101 - it is how vl-convert opens every drawing
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {found["width"]} {found["height"]}" '
        f'width="{found["width"]}" height="{found["height"]}" role="graphics-document" '
        f'aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
    )
    return opening + _MARK.sub(_with_title, svg[found.end() :])


def _with_title(mark: re.Match[str]) -> str:
    """A mark with what it says of itself as its title too: browsers show that on hover."""
    return f"<{mark['tag']} {mark['rest']}><title>{mark['label']}</title></{mark['tag']}>"
