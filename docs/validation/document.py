"""docs/validation.md, whole: a summary, a table of each kind of figure, and what could not be compared.

Invariant: pure; the same figures give the same page.
"""

from __future__ import annotations

from . import compared
from .record import NotComparedError, Row, records

HEAD = """# The model against the world

Every published figure of [benchmarks.yaml](benchmarks.yaml) that the model can be asked for, as
`kdeploy capacity --utilisation 100% --survive none` answers it, beside what was measured. A record becomes a
question by its own fields (hardware, brokers, copies, fan-out, encryption, record size, partitions), and
no record has a rule of its own. The model was fitted to the records marked *calibration* only, where it was
fitted at all. This page is generated (`make docs`), and a test compares it.

- A **ceiling** is the most that something carried: the model should say the same, within 10 %.
- A load that was **carried** says nothing of the most: the model must say at least as much. Many runs are
  bound by their clients, and what a managed service recommends has headroom in it.
- An **overload** was tried and not carried (consumers or followers fell behind): the model must say less.
- A **bound** is a rule's most: the model must not go beyond it.
- A **figure** is an input of the model: it should be the same, within 10 %.
"""

TITLES = {
    "ceiling": "Ceilings",
    "carried": "Loads that were carried",
    "overload": "Overloads",
    "bound": "Bounds",
    "figure": "Figures the model takes in",
}

PHYSICS = """## What the figures mean

- *Baselines, not bursts.* A type's network and EBS rates are what it sustains. A short test of a small type can
  run at its burst (an m5.large at 10 Gbit/s of network, 4,750 Mbit/s of EBS), several times what it sustains;
  the model calls that more than it can take, on purpose.
- *MB and MiB.* AWS counts volumes in MiB/s and instances in Mbit/s; several of its own tables print an
  instance's MB/s as MiB/s. That is the 4.5 to 7 % by which the model is below them.
- *Disks.* What a benchmark reaches is 92 % of what its disks wrote when nothing else ran (605 and 655 MB/s):
  file system, indexes and the unevenness of partitions. The model's ceiling leaves that out; its
  planning ceiling of 80 % does not.
- *Records.* Rates are bytes in the log: 22 B for each record are added to a benchmark's payload.
- *What is not told.* Disks and networks that a record does not describe are no limit in its question, so such
  a row can only show that the other limits do not refuse what ran.
"""


def page() -> str:
    """docs/validation.md, whole."""
    rows: list[Row] = []
    skipped: dict[str, list[str]] = {}
    for record in records():
        try:
            rows += compared(record)
        except NotComparedError as why:
            skipped.setdefault(str(why), []).append(record["id"])
    parts = [
        HEAD,
        _summary(rows, skipped),
        *(_group(kind, rows) for kind in TITLES),
        PHYSICS,
        _skipped(skipped),
    ]
    return "\n".join(parts)


def _summary(rows: list[Row], skipped: dict[str, list[str]]) -> str:
    def held(kind: str, calibration: bool) -> str:
        of = [row for row in rows if row.kind == kind and row.calibration == calibration]
        return f"{sum(row.holds for row in of)} of {len(of)}" if of else "none"

    names = {
        "ceiling": "ceilings within 10 %",
        "carried": "carried loads called feasible",
        "overload": "overloads not called feasible",
        "bound": "bounds respected",
        "figure": "figures within 10 %",
    }
    lines = ["| | not fitted to | calibration |", "|---|---|---|"]
    lines += [f"| {name} | {held(kind, False)} | {held(kind, True)} |" for kind, name in names.items()]
    known = len({row.record["id"] for row in rows})
    left = sum(map(len, skipped.values()))
    return "\n".join(
        [
            "## Summary",
            "",
            f"{known} records gave {len(rows)} comparisons; {left} records could not be compared.",
            "",
            *lines,
            "",
        ]
    )


def _group(kind: str, rows: list[Row]) -> str:
    lines = [f"## {TITLES[kind]}", "", "| record | what | measured | predicted | set by | error | |"]
    lines.append("|---|---|---:|---:|---|---:|---|")
    for row in rows:
        if row.kind != kind:
            continue
        name = f"[{row.record['id']}]" + (" *calibration*" if row.calibration else "")
        predicted = _number(row.predicted, row.unit) if row.predicted else "nothing fits"
        mark = "" if row.holds else " ✗"
        lines.append(
            f"| {name} | {row.what} | {_number(row.measured, row.unit)} | {predicted} | {row.limit} "
            f"| {round(row.error, 3) + 0.0:+.1%}{mark} | `{chart(row.error)}` |"
        )
    return "\n".join([*lines, ""])


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value >= 1000 or value == round(value) else f"{value:.3g}"
    return f"{shown} {unit}".rstrip()


HALF = 10
"""Cells of the chart on each side; each is two per cent."""


def chart(error: float) -> str:
    """The error as a bar left or right of the middle, with an arrow where it goes on."""
    cells = min(HALF, round(abs(error) * 100 / 2))
    beyond = abs(error) * 100 / 2 > HALF
    bar = "█" * (cells - beyond)
    left = ("◀" if beyond else "") + bar if error < 0 else ""
    right = bar + ("▶" if beyond else "") if error > 0 else ""
    return f"{left:·>{HALF}}│{right:·<{HALF}}"


def _skipped(skipped: dict[str, list[str]]) -> str:
    lines = ["## What could not be compared", "", "| why | records |", "|---|---|"]
    lines += [f"| {why} | {', '.join(names)} |" for why, names in skipped.items()]
    return "\n".join([*lines, ""])


def _sources(rows: list[Row]) -> str:
    """Where each record's name leads: its source, or the record itself where that has no address."""
    found = {}
    for row in rows:
        address = str((row.record.get("source") or {}).get("address", ""))
        is_link = address.startswith("http") and " " not in address
        found[row.record["id"]] = address if is_link else "benchmarks.yaml"
    return "\n".join(f"[{name}]: {address}" for name, address in found.items()) + "\n"
