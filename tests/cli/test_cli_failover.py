"""What `failover`, `failback` and `drill` say to a person, and how they end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from kdeploy.cli import drill, failover, kdeploy
from kdeploy.errors import UsageError
from kdeploy.operations import drill as drilling
from kdeploy.operations import failover_preview
from kdeploy.operations.drill_report import DirectionDrilled, Drilled, GroupDrilled
from kdeploy.operations.failover_report import Behind, Doubt, GroupGoesOn, Report, Step
from tests.contracts import hold

SHIPPED = Path(__file__).parents[2] / "environments"
ENVIRONMENT = str(SHIPPED / "local-two-dc-passive")

PLANNED = Report(
    "e",
    "east",
    "west",
    True,
    1,
    4.25,
    0.0,
    0,
    (Step("east is fenced: nobody may write mirrored topics there, not even who wrote them before", 1.5),),
)
DOUBT = Doubt(4321, 12_345_678, "2026-11-27T12:00:01+00:00")
LOST = Report(
    "e",
    "east",
    "west",
    False,
    1,
    4.0,
    2.5,
    1234,
    (Step("the mirror into west is stopped", 1.0),),
    doubt=DOUBT,
)
FORESEEN = Report(
    "e",
    "east",
    "west",
    False,
    1,
    None,
    2.5,
    1234,
    (Step("give up about 1,234 records that east acknowledged and that were not mirrored"), Step("stop")),
    dry_run=True,
    behind=Behind(None, 2.5),
    groups=(GroupGoesOn("orders-app", 120, 0, 1),),
    refused=("east does not answer\n  to go on without it: kdeploy failover e --to west --accept-loss",),
    doubt=DOUBT,
)


def test_a_planned_failover_is_told_in_lines_that_fit() -> None:
    lines = failover.text(PLANNED).splitlines()
    assert lines[0] == "e: west is written to (decision 1)"
    assert lines[1] == "  records lost: 0; everything was mirrored before"
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "  clients: kdeploy clients e"


def test_what_was_lost_is_called_an_estimate() -> None:
    told = failover.text(LOST)
    assert "records lost: about 1,234, as far as can be known without east" in told
    assert "recovery point: 2.5 s since the last record that was mirrored" in told


def test_beside_what_is_probably_lost_stands_what_it_is_at_most_and_under_which_condition() -> None:
    told = failover.text(LOST).splitlines()
    assert "    4,321 at most, if it died when it was last seen: 2026-11-27 12:00:01 UTC" in told
    assert "    12,345,678 if it lives and was written to till now: a cut line looks so too" in told
    assert max(map(len, told)) <= 80
    found = LOST.to_json()
    hold(found)
    assert (found["records_lost_at_most"], found["records_lost_if_still_written"]) == (4321, 12_345_678)
    planned = PLANNED.to_json()
    assert (planned["records_lost_at_most"], planned["records_lost_if_still_written"]) == (0, None)


def test_what_nobody_knows_is_not_called_nothing() -> None:
    told = failover.text(replace(LOST, lost=None, doubt=None, rpo=None))
    assert "records lost: not known; `kdeploy failback` counts them" in told


def test_a_dry_run_says_that_nothing_was_changed_what_would_be_and_why_not() -> None:
    told = failover.text(FORESEEN)
    assert told.startswith("e: west would be written to (decision 1); nothing was changed\n")
    assert "   1.  give up about 1,234 records" in told
    assert "orders-app" in told
    assert told.endswith("It would be refused: east does not answer\n" + FORESEEN.refused[0].splitlines()[1])
    assert max(map(len, told.splitlines())) <= 80


def test_a_dry_run_asks_nobody_and_prints_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover_preview, "of_failover", lambda *_, **__: FORESEEN)
    ended = CliRunner().invoke(
        kdeploy, ["failover", ENVIRONMENT, "--to", "west", "--dry-run", "--output", "json"]
    )
    assert ended.exit_code == 0
    hold(json.loads(ended.stdout))


@pytest.mark.parametrize("words", [("failover", "--to", "west"), ("failback",), ("drill",)])
def test_without_a_terminal_each_has_to_be_told_to_go_ahead(words: tuple[str, ...]) -> None:
    command, *others = words
    ended = CliRunner().invoke(kdeploy, [command, ENVIRONMENT, *others])
    assert isinstance(ended.exception, UsageError)
    assert "in a pipeline, add --yes" in str(ended.exception)


def drilled(delays: tuple[float, ...], problems: tuple[str, ...] = ()) -> Drilled:
    forth = DirectionDrilled(
        "east", "west", True, 3, len(delays), 0, delays, 2, Behind(5, 0.4), GroupDrilled(3, 2, 4.5)
    )
    back = DirectionDrilled("west", "east", False, 3, 3, 0, (0.5, 0.5, 0.6), 1)
    steps = (Step("fence east", 0.5), Step("wait until all is mirrored", 0.7))
    return Drilled(
        "e", "active-passive", "east", 10.0, 60.0, (forth, back), steps, problems, ("kdeploy-drill-x",)
    )


def test_a_drill_is_told_in_figures_against_both_objectives() -> None:
    told = drill.text(drilled((0.4, 0.5, 0.9)))
    assert "after 0.50 s (half), 0.90 s (99 of 100), 0.90 s (all)" in told
    assert "ok    rpo: 0.90 s measured, 10 s is the objective" in told
    assert "ok    rto: 1.20 s measured, 60 s is the objective" in told
    assert "at 3; goes on at 2; after 4.50 s" in told
    assert "removed of a drill that was killed: kdeploy-drill-x" in told
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (drilled((0.4, 0.5, 0.9)), 0),
        (drilled((0.4, 0.5, 11.0)), 5),
        (drilled((0.4,), ("some did not come",)), 5),
    ],
)
def test_an_objective_that_is_missed_ends_with_5(
    found: Drilled, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drilling, "drill", lambda *_, **__: found)
    ended = CliRunner().invoke(kdeploy, ["drill", ENVIRONMENT, "--yes", "--output", "json"])
    assert ended.exit_code == code
    hold(json.loads(ended.stdout))
