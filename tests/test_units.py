"""Quantities are read with their units alone, and what is printed reads back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from kdeploy.units import (
    ByteRate,
    Bytes,
    Seconds,
    format_bytes,
    format_duration,
    format_rate,
    format_usd,
    parse_bytes,
    parse_duration,
    parse_rate,
)

Parse = Callable[[object], float]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_bytes, "1B", 1),
        (parse_bytes, "1kB", 1000),
        (parse_bytes, "1KB", 1000),
        (parse_bytes, "1KiB", 1024),
        (parse_bytes, "1.5 GiB", 1.5 * 2**30),
        (parse_bytes, " 2e3MB ", 2e9),
        (parse_rate, "200MB/s", 200e6),
        (parse_rate, "200MiB/s", 200 * 2**20),
        (parse_duration, "250ms", 0.25),
        (parse_duration, "90 min", 5400),
        (parse_duration, "90m", 5400),
        (parse_duration, "7 days", 7 * 86400),
        (parse_duration, "2w", 14 * 86400),
    ],
)
def test_a_quantity_is_read_in_its_base_unit(parse: Parse, text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_bytes, "10", "has no unit"),
        (parse_bytes, 10, "is not a quantity"),
        (parse_bytes, True, "is not a quantity"),
        (parse_bytes, "", "is not a quantity"),
        (parse_bytes, "-1GB", "is not a quantity"),
        (parse_bytes, "1,5GB", "is not a quantity"),
        (parse_bytes, "1 GB 2", "is not a quantity"),
        (parse_bytes, "\u0661GB", "is not a quantity"),
        (parse_bytes, "infGB", "is not a quantity"),
        (parse_bytes, "1Gb", "has the unit Gb"),
        (parse_bytes, "1GB/s", "has the unit GB/s"),
        (parse_bytes, "1e400GB", "too large to be meant"),
        (parse_rate, "1GB", "write it like 200MB/s"),
        (parse_duration, "7", "write it like 24h"),
        (parse_duration, "7q", "units: ms, s, min, h, d, w, y"),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_would_be_one(
    parse: Parse, text: object, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (format_bytes(0), "0 B"),
        (format_bytes(1000 * 2**30), "1,000 GiB"),
        (format_bytes(1.5 * 2**30), "1.5 GiB"),
        (format_rate(200e6), "200 MB/s"),
        (format_duration(0.25), "250 ms"),
        (format_duration(0), "0 s"),
        (format_duration(90), "90 s"),
        (format_duration(5400), "90 min"),
        (format_duration(7 * 86400), "7 d"),
        (format_duration(28 * 86400), "28 d"),
        (format_usd(9.5), "$9.50"),
        (format_usd(1234.5), "$1,234"),
    ],
)
def test_a_quantity_is_printed_as_people_write_it(printed: str, expected: str) -> None:
    assert printed == expected


@given(st.floats(0, 1e18))
def test_what_is_printed_reads_back_to_the_digits_that_were_printed(value: float) -> None:
    pairs = ((format_bytes, parse_bytes), (format_rate, parse_rate), (format_duration, parse_duration))
    for print_, parse in pairs:
        read = parse(print_(value).replace(",", ""))
        assert read == pytest.approx(value, rel=1e-3, abs=1e-6)


class Fields(BaseModel):
    """One field of each kind."""

    size: Bytes
    rate: ByteRate
    time: Seconds


@given(st.floats(0, 1e18), st.floats(0, 1e18), st.floats(0, 1e18))
def test_a_field_goes_through_json_unchanged(size: float, rate: float, time: float) -> None:
    fields = Fields.model_construct(size=size, rate=rate, time=time)
    assert Fields.model_validate_json(fields.model_dump_json()) == fields
