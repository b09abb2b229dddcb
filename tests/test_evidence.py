"""What the reliability page claims was truly run: every row of the fault table, and it passed."""

from __future__ import annotations

import json

from tests.e2e.fleet.faults import KRAFT, ZOOKEEPER, drawn, together
from tests.e2e.local import evidence
from tests.e2e.local.faults import FAULTS, chosen

ROWS = evidence.read()

LEAST_RATE = 2000
"""Records per second that were acknowledged while the cluster was up and nothing was being done to it."""


def test_every_row_of_the_table_was_run_and_passed_and_no_other_is_claimed() -> None:
    everything = {fault.name for fault in (*FAULTS, *ZOOKEEPER, *KRAFT)}
    assert everything == set(ROWS), "run `make soak`"
    assert {name for name, row in ROWS.items() if row["result"] != "passed"} == set()


def test_every_row_did_what_it_says_and_lost_nothing() -> None:
    for name, row in ROWS.items():
        assert row["tries"] > 0, name
        nothing = None if row["acknowledged"] == 0 else 0
        assert (row["lost"], row["out_of_order"]) == (nothing, nothing), name
        assert row["acknowledged"] == 0 or row["rate"] >= LEAST_RATE, name


def test_the_evidence_has_its_schema_and_sorted_keys() -> None:
    text = evidence.FILE.read_text()
    document = json.loads(text)
    assert document["schema"] == evidence.SCHEMA
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"


def test_every_row_of_the_table_has_a_name_of_its_own() -> None:
    everything = (*FAULTS, *ZOOKEEPER, *KRAFT)
    assert len({fault.name for fault in everything}) == len(everything)


def test_an_ordinary_run_takes_the_first_and_the_last_row_and_another_by_its_seed() -> None:
    runs = [chosen(seed) for seed in range(200)]
    assert {(first, last) for first, _, last in runs} == {(FAULTS[0], FAULTS[-1])}
    assert {drawn for _, drawn, _ in runs} == set(FAULTS[1:-1])
    assert chosen(7) == chosen(7)


def test_an_ordinary_run_takes_all_that_happens_on_hosts_with_zookeeper_and_any_row_of_it_on_kraft() -> None:
    everything = sorted(what for fault in ZOOKEEPER for what in fault.at)
    orders = {together(ZOOKEEPER, seed).at for seed in range(20)}
    assert [sorted(order) for order in orders] == [everything] * len(orders)
    assert len(orders) > 10
    assert {drawn(KRAFT, seed, "kraft") for seed in range(200)} == set(KRAFT)
    assert drawn(KRAFT, 7, "kraft") == drawn(KRAFT, 7, "kraft")
    assert together(ZOOKEEPER, 7) == together(ZOOKEEPER, 7)
