"""Nodes on this machine belong to one folder: another one of the same name is refused, a moved one is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kdeploy.cli import kdeploy
from kdeploy.errors import UsageError
from kdeploy.operations import belonging, places, prepare
from kdeploy.operations.progress import Silent
from kdeploy.operations.up import up
from kdeploy.spec import load
from tests.operations.world import SHIPPED, World

RECORD = Path("state", "local", belonging.FILE)


@pytest.fixture(autouse=True)
def at_a_terminal_and_in_no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(belonging.PIPELINE, raising=False)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A cluster that was brought up from its folder."""
    world = World(tmp_path, "local", monkeypatch)
    world.begin()
    return world


@pytest.fixture
def other(made: World) -> Path:
    """A second folder of the same name, as a second checkout has it."""
    folder = made.root / "second" / "local"
    shutil.copytree(made.folder, folder)
    return folder


def run(command: str, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(kdeploy, [*command.split(), str(folder), *words])


def as_it_is(world: World) -> dict[Path, bytes]:
    state = world.root / "state"
    kept = (file for file in state.rglob("*") if file.is_file() and file.name != "lease")
    return {file: file.read_bytes() for file in kept}


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "preview",
        "apply",
        "status",
        "verify",
        "restart",
        "drift",
        "drift --accept",
        "import",
        "clients",
        "vault create",
        "vault edit",
        "vault show",
        "plan --lock",
        "down",
        "down --delete-data --yes",
    ],
)
def test_a_second_folder_of_the_name_is_refused_and_told_whose_the_nodes_are(
    command: str, made: World, other: Path
) -> None:
    before = as_it_is(made)
    ended = run(command, other)
    assert isinstance(ended.exception, UsageError), ended.output
    said = str(ended.exception)
    assert f"local on this machine belongs to {made.folder}, and not to {other}" in said
    assert f"kdeploy status {made.folder}" in said
    assert "kdeploy up local --take-over" in said
    assert as_it_is(made) == before
    assert len(made.processes) > 3


def test_planning_in_the_second_folder_knows_nothing_of_what_was_decided_in_the_first(
    made: World, other: Path
) -> None:
    assert belonging.lock(load.load(made.folder)) is not None
    assert belonging.lock(load.load(other)) is None
    assert prepare.design(load.load(other), freeze=False).previous is None


def test_the_second_folder_takes_over_when_it_is_told_to(made: World, other: Path) -> None:
    shown = run("preview", other, "--take-over")
    assert (shown.exit_code, shown.stdout) == (
        0,
        "local: nothing to do, everything is as the environment says\n",
    )
    assert (made.root / RECORD).read_text() == f"{made.folder}\n", "a preview writes nothing"
    before = made.seen()
    assert run("up", other, "--take-over").exit_code == 0
    assert made.happened(before) == frozenset()
    assert (made.root / RECORD).read_text() == f"{other}\n"
    with pytest.raises(UsageError, match=f"belongs to {other}, and not to {made.folder}"):
        up(load.load(made.folder), Silent())


def test_a_folder_that_was_moved_goes_on_and_says_so(made: World) -> None:
    moved = made.root / "moved" / "local"
    moved.parent.mkdir()
    made.folder.rename(moved)
    assert run("status", moved).exit_code == 0
    before = made.seen()
    ended = run("up", moved)
    assert ended.exit_code == 0
    assert made.happened(before) == frozenset()
    assert f"belonged to {made.folder} belong to {moved} from now on" in " ".join(ended.stderr.split())
    assert (made.root / RECORD).read_text() == f"{moved}\n"


def test_a_folder_whose_environment_is_another_one_now_has_nothing_to_lose(made: World, other: Path) -> None:
    (made.folder / "environment.yaml").write_text(f"name: renamed\n{made.base}")
    up(load.load(other), Silent())
    assert (made.root / RECORD).read_text() == f"{other}\n"


def test_a_folder_whose_file_is_broken_keeps_its_nodes(made: World, other: Path) -> None:
    (made.folder / "environment.yaml").write_text("kafka: [")
    with pytest.raises(UsageError, match="belongs to"):
        up(load.load(other), Silent())


def test_what_was_brought_up_before_folders_were_kept_belongs_to_the_next_that_brings_it_up(
    made: World, other: Path
) -> None:
    (made.root / RECORD).unlink()
    assert run("status", other).exit_code == 0
    up(load.load(made.folder), Silent())
    assert (made.root / RECORD).read_text() == f"{made.folder}\n"
    with pytest.raises(UsageError, match="belongs to"):
        up(load.load(other), Silent())


def test_when_its_data_is_deleted_the_name_is_free(made: World, other: Path) -> None:
    assert run("down", made.folder, "--delete-data", "--yes").exit_code == 0
    up(load.load(other), Silent())
    assert (made.root / RECORD).read_text() == f"{other}\n"


def test_a_plan_that_never_came_to_anything_keeps_no_name(made: World, other: Path) -> None:
    shutil.rmtree(made.root / "state" / "local" / "nodes")
    (made.root / "state" / "local" / "lock.yaml").unlink()
    belonging.refuse_other(load.load(other))


def test_a_pipeline_checks_out_anew_and_goes_on(
    made: World, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(belonging.PIPELINE, "true")
    before = made.seen()
    up(load.load(other), Silent())
    assert made.happened(before) == frozenset()
    assert (made.root / RECORD).read_text() == f"{made.folder}\n", "a checkout that goes owns nothing"


def test_the_environment_that_came_with_kdeploy_is_one_wherever_it_is_installed(
    made: World, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made.root / RECORD).unlink()
    for installed in (made.folder, other):
        monkeypatch.setattr("kdeploy.spec.load._packaged", lambda folder=installed: folder.parent)
        up(load.load(installed), Silent())
        assert (made.root / RECORD).read_text() == f"{belonging.SHIPPED}\n"
    monkeypatch.setattr("kdeploy.spec.load._packaged", lambda: made.root)
    with pytest.raises(UsageError, match="belongs to the environment of that name that came with kdeploy"):
        up(load.load(other), Silent())


@pytest.mark.parametrize("name", ["datacenter-zk", "prod-eu"])
def test_machines_elsewhere_belong_to_no_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.STATE_VARIABLE, str(tmp_path))
    loaded = load.load(SHIPPED / name)
    assert belonging.remember(loaded) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).mkdir()
    (tmp_path / name / belonging.FILE).write_text(f"{SHIPPED / 'local'}\n")
    belonging.refuse_other(loaded)
