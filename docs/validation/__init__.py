"""The model against the world: every published figure that it can be asked for, predicted beside measured.

Each record of docs/benchmarks.yaml becomes questions by its own fields alone: its hardware, the
number of brokers, copies, fan-out, encryption, record size and partitions; or it says in a line
why there is nothing to ask. Invariant: no record has a rule of its own, so that a figure which
nobody had when this was written is compared the same way.
"""

from __future__ import annotations

from .record import NotComparedError, Record, Row, first_words, records
from .rules import TABLES
from .runs import benchmark, running

__all__ = ["NotComparedError", "Record", "Row", "compared", "page", "records"]


def compared(record: Record) -> list[Row]:
    """What a record measured, beside what the model says.

    Raises:
        NotComparedError: It measured nothing that the model says.
    """
    if record.get("confidence") == "recalled":
        raise NotComparedError("from memory only: it checks nothing")
    measured = record.get("measured") or {}
    rows = [row for has, ask in TABLES if any(key in measured for key in has) for row in ask(record)]
    if rows:
        return rows
    if record["kind"] == "setting":
        raise NotComparedError("a setting, not a rate; the rendered files hold it")
    if record["kind"] == "benchmark":
        return list(benchmark(record))
    if record["kind"] == "fleet":
        return list(running(record))
    if record.get("quote") and not measured:
        raise NotComparedError("a rule in words, without a measured figure")
    raise NotComparedError("nothing that the model says: " + first_words(record))


def page() -> str:
    """docs/validation.md, whole."""
    from .document import page

    return page()
