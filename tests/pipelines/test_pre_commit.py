"""The hooks, run by pre-commit itself: it clones this repository, installs it, and runs them in a team's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("kdeploy", "environments", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
Run = Callable[..., tuple[int, str]]


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=ann", "-c", "user.email=ann@acme.test")
    run = subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True)
    return run.stdout.strip()


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """This tree as a repository, and its commit."""
    folder = tmp_path_factory.mktemp("kdeploy")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "kdeploy")
    return folder, git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def team(hooks: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("team")
    shutil.copytree(ROOT / "environments" / "prod-eu", folder / "environments" / "prod-eu")
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks[0]}\n    rev: {hooks[1]}\n"
        "    hooks:\n      - id: kdeploy-validate\n      - id: kdeploy-lock\n"
    )
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    return folder


@pytest.fixture(scope="module")
def run(team: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = str(tmp_path_factory.mktemp("pre-commit"))
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTHON"))}

    def pre_commit(*files: str) -> tuple[int, str]:
        git(team, "add", "--all")
        which = ("--files", *files) if files else ("--all-files",)
        command = [sys.executable, "-m", "pre_commit", "run", *which, "--color", "never"]
        done = subprocess.run(
            command,
            cwd=team,
            env={**mine, "PRE_COMMIT_HOME": home},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    return pre_commit


def test_a_mistake_and_a_lock_that_is_not_written_anew_stop_a_commit(team: Path, run: Run) -> None:
    file = team / "environments" / "prod-eu" / "environment.yaml"
    code, said = run()
    assert code == 1
    assert "kdeploy validate" in said
    assert "Passed" in said
    assert "environments/prod-eu/lock.yaml: there was no lock yet" in said

    write = [sys.executable, "-m", "kdeploy", "plan", "prod-eu", "--lock"]
    source = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(write, cwd=team, env=source, check=True, capture_output=True)
    code, said = run()
    assert code == 0, said
    assert said.count("Passed") == 2

    sound = file.read_text()
    file.write_text(sound.replace("min_insync_replicas: 2", "min_insync_replicas: 4"))
    code, said = run()
    assert code == 1
    assert "environments/prod-eu/environment.yaml:" in said

    (team / "README.md").write_text("Our Kafka\n")
    file.write_text(sound)
    assert run()[0] == 0

    unread = "environments/prod-eu/quotas.yml"
    (team / unread).write_text("quotas: []\n")
    code, said = run(unread)
    assert code == 1, "also where nothing else is committed"
    assert "nothing is read from a file of this name" in said
