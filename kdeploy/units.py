"""Quantities: parsed from what a person writes, printed as a person reads.

Inside kdeploy a quantity is a plain number in its base unit: bytes, bytes per
second, seconds, US dollars. Text with a unit exists only at the edge, here.
Invariant: what is printed reads back as the same quantity, to the digits that were
printed and without the commas between thousands, and nothing but a finite,
non-negative number ever leaves a parser.

`200MB` is decimal (200,000,000 bytes), `200MiB` is binary; a number without
its unit is refused, because the two readings differ by 5 % at a mebibyte.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

BYTE_UNITS: Final = {
    "B": 1,
    **{f"{prefix}B": 1000**n for n, prefix in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{f"{prefix}iB": 1024**n for n, prefix in enumerate(("K", "M", "G", "T", "P"), 1)},
}
"""Bytes in each unit that is accepted, by its name in SI and IEC 80000-13."""

DURATION_UNITS: Final = {
    "ms": 0.001,
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}
"""Seconds in each unit that is accepted."""

HOURS_PER_MONTH: Final = 730
"""Hours in the month that prices are given for: 365 d × 24 h ÷ 12 (AWS's own convention)."""

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([A-Za-z]*)(/s)?\s*", re.ASCII)
_SPELLINGS = {"KB": "kB", "kiB": "KiB", "m": "min", "hours": "h", "days": "d", "sec": "s"}


def parse_bytes(text: object) -> float:
    """Read a size, `"1.5GiB"`, as bytes.

    Raises:
        ValueError: It has no unit, another kind of unit, or is no number.
    """
    return _parse(text, BYTE_UNITS, per_second=False, example="10GiB")


def parse_rate(text: object) -> float:
    """Read a rate, `"200MB/s"`, as bytes per second.

    Raises:
        ValueError: It has no unit, another kind of unit, or is no number.
    """
    return _parse(text, BYTE_UNITS, per_second=True, example="200MB/s")


def parse_duration(text: object) -> float:
    """Read a duration, `"7d"` or `"250ms"`, as seconds.

    Raises:
        ValueError: It has no unit, another kind of unit, or is no number.
    """
    return _parse(text, DURATION_UNITS, per_second=False, example="24h")


def _parse(text: object, units: Mapping[str, float], per_second: bool, example: str) -> float:
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as {example}")
    number, unit, rate = match.groups()
    unit = unit if unit in units else _SPELLINGS.get(unit, unit)
    if unit not in units or bool(rate) != per_second:
        kind = "has no unit" if not unit else f"has the unit {unit}{rate or ''}"
        known = ", ".join(f"{name}/s" if per_second else name for name in units)
        raise ValueError(f"{text!r} {kind}; write it like {example} (units: {known})")
    value = float(number) * units[unit]
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is too large to be meant")
    return value


def format_bytes(value: float) -> str:
    """Print bytes in binary units, `1.5 GiB`: the units disks and memory are sold in."""
    return _scaled(value, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 1024)


def format_rate(value: float) -> str:
    """Print bytes per second in decimal units, `200 MB/s`: the units networks are sold in."""
    return _scaled(value, ("B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"), 1000)


def format_duration(value: float) -> str:
    """Print seconds in the largest unit that keeps them readable, `7 d` or `250 ms`."""
    if 0 < value < 1:
        return f"{_digits(value * 1000)} ms"
    for unit in ("d", "h", "min"):  # weeks are read, not printed: a retention is thought of in days
        seconds = DURATION_UNITS[unit]
        if value >= seconds and (value % seconds == 0 or value >= 10 * seconds):
            return f"{_digits(value / seconds)} {unit}"
    return f"{_digits(value)} s"


def format_usd(value: float) -> str:
    """Print US dollars without cents, `$1,234`; below ten dollars with them."""
    return f"${value:,.2f}" if value < 10 else f"${value:,.0f}"


def _scaled(value: float, units: tuple[str, ...], step: int) -> str:
    index = 0
    while value >= step and index < len(units) - 1:
        value, index = value / step, index + 1
    return f"{_digits(value)} {units[index]}"


def _digits(value: float) -> str:
    """At most four significant digits, without trailing zeros."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{float(f'{value:.4g}'):g}"


def _quantity(parse: Callable[[object], float], unit: str, pattern: str, example: str) -> tuple[object, ...]:
    """Make text with a unit the only way in and out of a pydantic field that holds a float."""

    def write(value: float) -> str:
        return f"{value!r}".removesuffix(".0") + unit

    schema = {"type": "string", "pattern": pattern, "examples": [example]}
    return (
        BeforeValidator(parse),
        PlainSerializer(write, when_used="json"),
        WithJsonSchema(schema),
    )


_NUMBER_PATTERN = r"^\s*\d+(\.\d+)?(e[+-]?\d+)?\s*"
_SIZE = _NUMBER_PATTERN + r"([kKMGTP]i?)?B"
Bytes = Annotated[float, *_quantity(parse_bytes, "B", _SIZE + r"\s*$", "10GiB")]
"""A pydantic field: a size written with its unit, kept as bytes."""

ByteRate = Annotated[float, *_quantity(parse_rate, "B/s", _SIZE + r"/s\s*$", "200MB/s")]
"""A pydantic field: a rate written with its unit, kept as bytes per second."""

Seconds = Annotated[float, *_quantity(parse_duration, "s", _NUMBER_PATTERN + r"(ms|s|min|h|d|w)\s*$", "7d")]
"""A pydantic field: a duration written with its unit, kept as seconds."""
