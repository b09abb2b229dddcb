"""What the reliability page claims was truly run: every row of the fault table, and it passed."""

from __future__ import annotations

import json

from tests.e2e.local import evidence
from tests.e2e.local.faults import FAULTS, PROVEN, chosen

ROWS = evidence.read()


def test_every_row_that_is_called_proven_was_run_and_passed() -> None:
    for name in PROVEN:
        assert name in ROWS, f"{name} was never run: run `make soak`"
        row = ROWS[name]
        assert row["result"] == "passed", name
        assert row["tries"] > 0, name
        nothing = None if row["acknowledged"] == 0 else 0
        assert (row["lost"], row["out_of_order"]) == (nothing, nothing), name


def test_no_row_that_passed_is_left_out_and_none_that_failed_is_hidden() -> None:
    assert {name for name, row in ROWS.items() if row["result"] == "passed"} == PROVEN


def test_the_evidence_and_the_proven_rows_are_in_the_table() -> None:
    assert set(ROWS) | PROVEN <= {fault.name for fault in FAULTS}


def test_the_evidence_has_its_schema_and_sorted_keys() -> None:
    text = evidence.FILE.read_text()
    document = json.loads(text)
    assert document["schema"] == evidence.SCHEMA
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"


def test_every_row_of_the_table_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_an_ordinary_run_takes_the_first_and_the_last_of_the_proven_rows() -> None:
    proven = [fault for fault in FAULTS if fault.name in PROVEN]
    assert chosen() == (proven[0], proven[-1])
