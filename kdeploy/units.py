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
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, WrapValidator

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
    "y": 365 * 86400,
}
"""Seconds in each unit that is accepted; a year has 365 days, as the month of prices has a twelfth of them."""

HOURS_PER_MONTH: Final = 730
"""Hours in the month that prices are given for: 365 d × 24 h ÷ 12 (AWS's own convention)."""

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([A-Za-z]*)(/s)?\s*", re.ASCII)
_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*", re.ASCII)
_NUMBER_ALONE = re.compile(r"\s*\d+(?:\.\d+)?(?:e[+-]?\d+)?\s*", re.ASCII)
_SPELLINGS = {"KB": "kB", "kiB": "KiB", "m": "min", "hours": "h", "days": "d", "sec": "s"}


RANGE_MARK: Final = ".."
"""What stands between the two ends of a range."""


class Range(float):
    """A quantity that is known only to lie between two ends.

    As a number it is its middle, so that whatever needs one number takes that: the geometric mean, which
    is the median of the log-uniform distribution the planner draws from; the arithmetic mean where the
    lower end is 0 and the distribution is uniform.

    Attributes:
        low: The lower end.
        high: The upper end.
    """

    low: float
    high: float

    def __new__(cls, low: float, high: float) -> Self:
        """The middle of two ends.

        Raises:
            ValueError: The first end is the greater.
        """
        if low > high:
            raise ValueError("a range runs from more to less; write the lesser end first")
        middle = high if low == high else math.sqrt(low) * math.sqrt(high) if low > 0 else high / 2
        self = super().__new__(cls, middle)
        self.low, self.high = float(low), float(high)
        return self

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return self.low, self.high

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Range):
            return (self.low, self.high) == (other.low, other.high)
        return self.low == self.high and float(self) == other

    def __hash__(self) -> int:
        return hash(float(self)) if self.low == self.high else hash((self.low, self.high))


def parse_range(text: object, parse: Callable[[object], float]) -> float:
    """Read a quantity, or two with `..` between them as a `Range`.

    Args:
        text: What a person wrote.
        parse: Reads one of them.

    Raises:
        ValueError: An end is no such quantity, or the first is the greater.
    """
    if isinstance(text, str) and RANGE_MARK in text:
        low, _, high = text.partition(RANGE_MARK)
        return Range(parse(low), parse(high))
    return parse(text)


def parse_number(text: object) -> float:
    """Read a number without a unit, as a number or as text.

    Raises:
        ValueError: It is none, or not finite.
    """
    if isinstance(text, str) and _NUMBER_ALONE.fullmatch(text):
        text = float(text)
    if isinstance(text, bool) or not isinstance(text, int | float) or not math.isfinite(text):
        raise ValueError(f"{text!r} is not a number such as 2.5")
    return float(text)


def parse_share(text: object) -> float:
    """Read a share, `"30%"`, as 0.3.

    Raises:
        ValueError: It is no number with a percent sign.
    """
    match = _SHARE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a share; write it like 30%")
    return float(match[1]) / 100


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


def format_share(value: float) -> str:
    """Print a share, `30%`."""
    return f"{_digits(value * 100)}%"


def format_range(value: float, show: Callable[[float], str]) -> str:
    """Print a quantity, or both ends of a `Range`: `150 MB/s to 300 MB/s`."""
    if isinstance(value, Range):
        return f"{show(value.low)} to {show(value.high)}"
    return show(value)


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


def _text(unit: str, scale: float = 1.0) -> Callable[[float], str]:
    def one(value: float) -> str:
        return f"{float(value) * scale!r}".removesuffix(".0") + unit

    def write(value: float) -> str:
        if isinstance(value, Range):
            return f"{one(value.low)}{RANGE_MARK}{one(value.high)}"
        return one(value)

    return write


def _quantity(
    parse: Callable[[object], float], unit: str, pattern: str, example: str, scale: float = 1.0
) -> tuple[object, ...]:
    """Make text with a unit the only way in and out of a pydantic field that holds a float."""
    schema = {"type": "string", "pattern": f"^{pattern}$", "examples": [example]}
    return (
        BeforeValidator(parse),
        PlainSerializer(_text(unit, scale), when_used="json"),
        WithJsonSchema(schema),
    )


def _either(value: object, check: Callable[[object], float]) -> float:
    return parse_range(value, check)


def _or_range(pattern: str, example: str) -> tuple[object, ...]:
    """Let a field of text with a unit be a range too; each end is checked like a single value."""
    schema = {
        "type": "string",
        "pattern": rf"^{pattern}(\.\.{pattern})?$",
        "examples": [example],
    }
    return WrapValidator(_either), WithJsonSchema(schema)


def number_or_range(least: float, most: float) -> tuple[object, ...]:
    """What makes a float field a number between bounds, or a range of such numbers.

    Args:
        least: The lower bound, included.
        most: The upper bound, included.
    """

    def check(value: object, one: Callable[[object], float]) -> float:
        if isinstance(value, str) and RANGE_MARK in value:
            return parse_range(value, lambda end: one(parse_number(end)))
        return one(value)

    def write(value: float) -> float | str:
        return f"{value.low!r}{RANGE_MARK}{value.high!r}" if isinstance(value, Range) else value

    schema: dict[str, Any] = {
        "type": ["number", "string"],
        "minimum": least,
        "maximum": most,
        "pattern": rf"^{_NUMBER_PATTERN}\.\.{_NUMBER_PATTERN}$",
    }
    return (
        Field(ge=least, le=most),
        WrapValidator(check),
        PlainSerializer(write, when_used="json"),
        WithJsonSchema(schema),
    )


_NUMBER_PATTERN = r"\s*\d+(\.\d+)?(e[+-]?\d+)?\s*"
_SIZE = _NUMBER_PATTERN + r"([kKMGTP]i?)?B\s*"
_RATE = _NUMBER_PATTERN + r"([kKMGTP]i?)?B/s\s*"
_TIME = _NUMBER_PATTERN + r"(ms|s|min|h|d|w|y)\s*"
_PERCENT = r"\s*\d+(\.\d+)?\s*%\s*"
Bytes = Annotated[float, *_quantity(parse_bytes, "B", _SIZE, "10GiB")]
"""A pydantic field: a size written with its unit, kept as bytes."""

ByteRate = Annotated[float, *_quantity(parse_rate, "B/s", _RATE, "200MB/s")]
"""A pydantic field: a rate written with its unit, kept as bytes per second."""

Seconds = Annotated[float, *_quantity(parse_duration, "s", _TIME, "7d")]
"""A pydantic field: a duration written with its unit, kept as seconds."""

Share = Annotated[float, *_quantity(parse_share, "%", _PERCENT, "30%", 100.0)]
"""A pydantic field: a share written in percent, kept as a fraction of one."""

BYTES_OR_RANGE: Final = _or_range(_SIZE, "10GiB")
"""What lets a `Bytes` field be a range."""

RATE_OR_RANGE: Final = _or_range(_RATE, "200MB/s")
"""What lets a `ByteRate` field be a range."""

SECONDS_OR_RANGE: Final = _or_range(_TIME, "7d")
"""What lets a `Seconds` field be a range."""

SHARE_OR_RANGE: Final = _or_range(_PERCENT, "30%")
"""What lets a `Share` field be a range."""
