"""A folder of rendered files holds exactly them, and no folder of another's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.blueprint import Blueprint, draw
from kdeploy.errors import UsageError
from kdeploy.operations.render import LISTING, write
from tests.tuning.builders import environment, lock, plan


def blueprint(brokers: int) -> Blueprint:
    wanted = environment()
    planned = plan(wanted, brokers=brokers)
    return draw(wanted, planned, lock(wanted, planned))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {LISTING}


def test_every_file_of_every_node_is_written(tmp_path: Path) -> None:
    drawn = blueprint(3)
    written = write(drawn, tmp_path / "new")
    assert files(tmp_path / "new") == set(written) == set(drawn.tree())
    for path, text in drawn.tree().items():
        assert (tmp_path / "new" / path).read_text() == text


def test_what_is_no_longer_rendered_goes_with_its_folders(tmp_path: Path) -> None:
    write(blueprint(4), tmp_path)
    assert (tmp_path / "dc1" / "broker-4").is_dir()
    write(blueprint(3), tmp_path)
    assert not (tmp_path / "dc1" / "broker-4").exists()
    assert files(tmp_path) == set(blueprint(3).tree())


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        write(blueprint(3), tmp_path)
    assert files(tmp_path) == {"thesis.txt"}


def test_a_listing_cannot_name_a_file_outside(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    folder = tmp_path / "rendered"
    folder.mkdir()
    (folder / LISTING).write_text("../thesis.txt\n")
    write(blueprint(3), folder)
    assert (tmp_path / "thesis.txt").exists()
