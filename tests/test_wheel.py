"""What people install is the wheel: built here, installed into an empty environment, and used from there."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.shipped import SHIPPED

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it needs, nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "bin"


def test_the_wheel_holds_what_the_code_reads_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "tuning/templates/",
        "tuning/definitions/3.9.2.json",
        "planner/data/",
        "infra/pins/",
        "environments/local/",
        "pipelines/github/kdeploy.yml",
        "pipelines/gitlab/kdeploy.yml",
    ):
        assert any(f"kdeploy/{part}" in name for name in names), part
    assert "kdeploy/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_installed_wheel_plans(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "kdeploy"), "plan", "--throughput", "200MB/s", "--output", "json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    plan = json.loads(run.stdout)
    assert plan["schema"] == "kdeploy.plan/v1"
    assert plan["feasible"] is True


@pytest.mark.parametrize("name", SHIPPED)
def test_the_installed_wheel_renders_the_environments_it_came_with(
    installed: Path, tmp_path: Path, name: str
) -> None:
    command = [str(installed / "kdeploy"), "render", name, "--to", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert list((tmp_path / "out").rglob("server.properties"))


def test_a_command_whose_extra_is_missing_says_which_one_to_install(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "kdeploy"), "up", "local"]
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)}
    )
    assert run.returncode == 1
    assert "pip install 'kdeploy[local]'" in run.stderr
    assert "Traceback" not in run.stderr
