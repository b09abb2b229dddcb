"""What preview says is what happens: for every row of the table, no more and no less, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.operations.changes_table import CHANGES, Row
from tests.operations.world import World, predicted

ROWS = tuple(sorted(CHANGES, key=lambda row: row.environment))
"""By environment, each of which is brought up once and put back between rows."""


@pytest.fixture(scope="module", params=sorted({row.environment for row in ROWS}))
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An environment after its first `up`."""
    with pytest.MonkeyPatch.context() as patch:
        made = World(tmp_path_factory.mktemp("world"), request.param, patch)
        made.begin()
        yield made


def test_the_table_has_a_row_for_fifty_changes_at_least_and_each_only_once() -> None:
    assert len(ROWS) > 50
    assert len({(row.name, row.environment) for row in ROWS}) == len(ROWS)
    assert {row.environment for row in ROWS} == {"local", "local-kraft"}


@pytest.mark.parametrize(
    ("standing", "row"),
    [(row.environment, row) for row in ROWS],
    ids=[row.name for row in ROWS],
    indirect=["standing"],
)
def test_what_preview_says_is_what_happens(row: Row, world: World) -> None:
    world.edit(row.edits)
    said = world.preview()
    before = world.seen()
    world.up()
    happened = world.happened(before)
    document: dict[str, Any] = json.loads(json.dumps(said.to_json()))
    assert happened == row.tokens
    assert predicted(document) == row.tokens
    assert said.pending == bool(row.happens)
    assert {one["name"] for one in document["changes"] if one["restart"]} == {
        token.split()[1] for token in row.tokens if token.startswith("restart")
    }
    assert not world.preview().pending, "and then nothing is left to do"
