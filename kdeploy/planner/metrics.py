"""What was measured: produce rates over time, from a CSV or from Prometheus, as average and peak.

Invariant: pure; a rate is the whole cluster's at one moment, so the series of several brokers are
added where all of them have a value; every mistake is named with its line.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from kdeploy.errors import InvalidEnvironment, Problem


@dataclass(frozen=True)
class Measured:
    """Produce rates of a cluster, bytes per second, in no order; at least one, none negative."""

    rates: tuple[float, ...]

    @property
    def average(self) -> float:
        """Their mean, each sample counting alike."""
        return math.fsum(self.rates) / len(self.rates)

    def percentile(self, percent: float) -> float:
        """The least rate that is not exceeded by that part of the samples, 0 to 100."""
        ordered = sorted(self.rates)
        return ordered[max(0, math.ceil(round(percent / 100 * len(ordered), 9)) - 1)]

    def peak_factor(self, percent: float = 100.0) -> float:
        """The peak over the average, at least 1.

        Args:
            percent: Which percentile the peak is; 100 is the greatest rate.
        """
        return max(1.0, self.percentile(percent) / self.average)


def read(text: str, name: str) -> Measured:
    """Read produce rates from a CSV (a time and one or more rates a line) or a Prometheus range query.

    Args:
        text: The file.
        name: Its name, for messages.

    Raises:
        InvalidEnvironment: It is neither, or holds no rates.

    Example:
        >>> read("time,rate\\n1,100\\n2,300\\n", "rates.csv").peak_factor()
        1.5
    """
    rates = _prometheus(text, name) if text.lstrip().startswith("{") else _csv(text, name)
    if not any(rates):
        raise _wrong(name, 0, "there is no produce rate above 0 in it", "ask for a span in which it was used")
    return Measured(tuple(rates))


def _csv(text: str, name: str) -> list[float]:
    rates: list[float] = []
    columns = 0
    reader = csv.reader(text.splitlines())
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        values = [_number(cell) for cell in row[1:]]
        if not rates and not columns and None in values:
            columns = len(row)  # the head
            continue
        columns = columns or len(row)
        if len(row) != columns or columns < 2 or None in values:
            right = "write a time and bytes per second on each line, for example 2026-10-01T00:00:00Z,1500000"
            raise _wrong(name, reader.line_num, "this line has no time with rates", right)
        rates.append(math.fsum(value for value in values if value is not None))
    return rates


def _prometheus(text: str, name: str) -> list[float]:
    right = "save what /api/v1/query_range answers"
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        raise _wrong(name, line, "it begins like JSON and is none", right) from None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix":
        raise _wrong(name, 0, "it is no answer of a Prometheus range query", right)
    series: Any = data.get("result")
    at: defaultdict[float, list[float]] = defaultdict(list)
    try:
        for one in series:
            for time, value in one["values"]:
                number = _number(str(value))
                if number is not None:
                    at[float(time)].append(number)
    except (KeyError, TypeError, ValueError):
        raise _wrong(name, 0, "a series in it has no list of times and values", right) from None
    most = max(map(len, at.values()), default=0)
    return [math.fsum(values) for values in at.values() if len(values) == most]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _wrong(name: str, line: int, wrong: str, right: str) -> InvalidEnvironment:
    return InvalidEnvironment([Problem(name, line, "", wrong, right)])
