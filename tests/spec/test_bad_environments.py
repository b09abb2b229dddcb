"""Every way of getting an environment wrong that we know of, with the one message that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kdeploy.errors import Problem
from kdeploy.operations.examine import examine

ROWS: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(
    Path(__file__).with_name("bad_environments.yaml").read_text()
)


@pytest.mark.parametrize("row", ROWS, ids=[row["title"].replace(" ", "-") for row in ROWS])
def test_what_is_wrong_is_said_with_its_line_and_what_would_be_right(
    row: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    file = folder / "environment.yaml"
    file.write_text(row["text"])
    expected = Problem(str(file), *(row[name] for name in ("line", "path", "wrong", "right")))
    assert examine(folder).problems == (expected,)


def test_the_table_is_as_long_as_it_should_be_and_has_no_row_twice() -> None:
    assert len(ROWS) >= 80
    assert len({row["text"] for row in ROWS}) == len(ROWS)
    assert len({row["title"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row["title"].replace(" ", "-") for row in ROWS])
def test_a_message_is_two_short_sentences_without_a_full_stop(row: dict[str, Any]) -> None:
    for sentence in (row["wrong"], row["right"]):
        assert sentence
        assert not sentence.endswith(".") or sentence.endswith(("...", " ."))
        assert len(sentence) <= 220
