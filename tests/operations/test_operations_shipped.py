"""What comes with kdeploy is an example: nothing is written beside it, inside the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdeploy.errors import UsageError
from kdeploy.operations import prepare
from kdeploy.spec import load


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the installed package's environments."""
    shutil.copytree(load.shipped_folder(), tmp_path / "package")
    monkeypatch.setattr(load, "_packaged", lambda: tmp_path / "package")
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "package"


def test_a_shipped_environment_of_the_cloud_gets_no_lock(packaged: Path) -> None:
    design = prepare.design(load.load(packaged / "prod-eu"), freeze=False)
    with pytest.raises(UsageError, match="make your own with `kdeploy init NAME --from prod-eu`"):
        prepare.save_lock(design)
    assert "lock.yaml" not in {path.name for path in (packaged / "prod-eu").iterdir()}
    assert {path.name for path in (packaged / "prod-eu").iterdir()} == {
        path.name for path in load.files(packaged / "prod-eu")
    }


def test_a_shipped_local_environment_is_ready_to_run_and_keeps_its_lock_in_the_state_folder(
    packaged: Path, tmp_path: Path
) -> None:
    prepare.save_lock(prepare.design(load.load(packaged / "local"), freeze=False))
    assert (tmp_path / "state" / "local" / "lock.yaml").is_file()
    assert [path.name for path in (packaged / "local").iterdir()] == ["environment.yaml"]
