"""docs/evidence.json: what was tried, how often, and what became of the records.

Invariant: written whole and sorted after each row, so that an interrupted soak keeps what it
has; a row holds what its last run showed, with the commit and the seed of that run.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.local.faults import Fault
    from tests.e2e.local.life import Outcome

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docs" / "evidence.json"
SCHEMA = "kdeploy.evidence/v1"


def commit() -> str:
    """The commit that is being tested; `-dirty` when the checkout has changes besides the evidence itself."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", ":!docs/evidence.json", ":!docs/reliability.md")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def read(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """The rows, by name."""
    if not file.exists():
        return {}
    return {row["name"]: row for row in json.loads(file.read_text())["rows"]}


def record(row: dict[str, Any], file: Path = FILE) -> None:
    """Put a row in the place of the one of its name; two soaks may do this at once."""
    with (file.parent / ".evidence.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        rows = {**read(file), row["name"]: row}
        document = {"schema": SCHEMA, "rows": [rows[name] for name in sorted(rows)]}
        new = file.with_suffix(".new")
        new.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
        os.replace(new, file)
        Path(guard.name).unlink()


def row(fault: Fault, outcome: Outcome, result: str, seconds: float, seed: int) -> dict[str, Any]:
    """What a row of a fault table came to; `pause` is the longest between two acknowledgements of a partition."""
    checked = outcome.checked
    return {
        "name": fault.name,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "seed": seed,
        "tries": outcome.tries,
        "acknowledged": outcome.acknowledged,
        "checked": checked.acknowledged if checked else 0,
        "lost": checked.lost if checked else None,
        "out_of_order": checked.out_of_order if checked else None,
        "duplicates": checked.duplicates if checked else None,
        "rate": round(outcome.rate),
        "pause": round(outcome.pause, 1),
        "seconds": seconds,
        "result": result,
    }
