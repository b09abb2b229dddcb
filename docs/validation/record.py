"""The published figures, and what is compared of each.

Invariant: a figure is read as it was published; its kind says what the model should answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DATA = Path(__file__).parents[1] / "benchmarks.yaml"
MB, MIB, GIB = 1e6, 2.0**20, 2.0**30
REGION = "us-east-1"

CLOSE = 0.10
"""How far a predicted ceiling may be from the measured one."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        record: The record's id.
        what: What was measured, in words.
        kind: ceiling (the model should say the same), carried (it should say at least as much), bound
            (at most as much), overload (a load that was not carried: less), figure (an input of the model).
        measured: In `unit`.
        predicted: In `unit`; 0 where the model says that nothing fits.
        unit: Printed after both.
        limit: The limit that sets the prediction, in words.
    """

    record: Record
    what: str
    kind: str
    measured: float
    predicted: float
    unit: str = "MB/s"
    limit: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1

    @property
    def holds(self) -> bool:
        """Whether the model says what it should."""
        if self.kind in ("ceiling", "figure"):
            return abs(self.error) <= CLOSE
        return self.error >= -1e-9 if self.kind == "carried" else self.error <= 1e-9

    @property
    def calibration(self) -> bool:
        """Whether the model may have been fitted to it."""
        return str(self.record.get("check", "")).startswith("calibration")


class NotComparedError(Exception):
    """There is nothing in a record to ask the model for; the message says why."""


def records() -> list[Record]:
    """Every published figure."""
    found: list[Record] = YAML(typ="safe").load(DATA.read_text())
    return found


def first_words(record: Record) -> str:
    """What was measured, by its keys, in short."""
    known = ", ".join((record.get("measured") or {"a rule in words": None}).keys())
    return known if len(known) <= 70 else known[:67] + "..."
