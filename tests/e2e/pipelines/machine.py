"""What a runner is: a Python of its own, clean checkouts, and a shell for each step."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]


def wheel(folder: Path) -> Path:
    """A folder with the wheel of this tree: what the package index has for everybody else."""
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@dataclass
class Machine:
    """One runner; jobs share its Python (as with a runner of one's own), nothing else.

    Attributes:
        root: All that is its own.
        python: Its Python: an environment that is empty at first, apart from pip.
        wheels: Where pip finds this kdeploy.
        said: All that any step ever printed.
    """

    root: Path
    python: Path
    wheels: Path
    said: list[str] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        """A new and empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))

    def variables(self) -> dict[str, str]:
        """What every process of the runner has; nothing of the person or pipeline that runs the tests."""
        foreign = (
            "GITHUB_",
            "GITLAB_",
            "CI_",
            "RUNNER_",
            "PYTHON",
            "KDEPLOY_VAULT",
            "VIRTUAL_ENV",
            "AWS_",
            "SSH_",
        )
        mine = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        cache = os.environ.get("KDEPLOY_CACHE_DIR") or str(Path.home() / ".cache" / "kdeploy")
        return {
            **mine,
            "PATH": f"{self.python / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "CI": "true",
            "PIP_FIND_LINKS": str(self.wheels),
            "KDEPLOY_STATE_DIR": str(self.root / "state"),
            "KDEPLOY_CACHE_DIR": cache,
        }

    def shell(self, text: str, folder: Path, variables: dict[str, str]) -> tuple[int, str]:
        """Run a script as both runners do (bash that ends at the first failure, of a pipe too).

        Returns:
            Its exit code and all that it printed.
        """
        file = self.folder("script") / "script.sh"
        file.write_text(text)
        bash = ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        # A session of its own, so that with a test that is ended nothing of a job goes on.
        with subprocess.Popen(
            bash, cwd=folder, env=variables, text=True, start_new_session=True, **streams
        ) as run:
            try:
                shown, _ = run.communicate()
            except BaseException:
                os.killpg(run.pid, signal.SIGTERM)
                raise
        self.said.append(shown)
        assert "Traceback" not in shown, shown
        return run.returncode, shown

    def kdeploy(self, folder: Path, *words: str) -> tuple[int, str]:
        """kdeploy itself, beside any pipeline: its exit code and what it printed."""
        command = [str(self.python / "bin" / "kdeploy"), *words]
        run = subprocess.run(
            command, cwd=folder, env=self.variables(), check=False, stdout=subprocess.PIPE, text=True
        )
        return run.returncode, run.stdout


MEDDLING = """
import sys
from kdeploy.operations import readiness, status
from kdeploy.operations.progress import Silent
from kdeploy.spec import load
for here in status.sites_of(load.load(load.find(sys.argv[1])), Silent(), None):
    with readiness.connected(here) as admin:
        admin.set_topic_settings({"orders": {"retention.ms": "1234567"}})
"""
"""Somebody who changes a topic with another tool."""


def machine(root: Path) -> Machine:
    """A new runner."""
    venv.create(root / "python", with_pip=True)
    return Machine(root, root / "python", wheel(root / "wheels"))


def meddle(runner: Machine, folder: Path, environment: str) -> None:
    """Change a topic's retention behind git's back, from the runner."""
    command = [str(runner.python / "bin" / "python"), "-c", MEDDLING, environment]
    subprocess.run(command, cwd=folder, env=runner.variables(), check=True)


@dataclass(frozen=True)
class Repository:
    """A team's repository."""

    folder: Path

    def git(self, *words: str) -> str:
        """Run git in it."""
        name = ("-c", "user.name=ann", "-c", "user.email=ann@acme.test")
        run = subprocess.run(
            ["git", *name, *words], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Commit all that was changed, and files by their names: the new commit."""
        for name, text in (files or {}).items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")
        return self.git("rev-parse", "HEAD")

    def edit(self, file: str, old: str, new: str) -> str:
        """Change a file where it says `old`, once, and commit it."""
        text = (self.folder / file).read_text()
        assert text.count(old) == 1
        (self.folder / file).write_text(text.replace(old, new))
        return self.commit()

    def checkout(self, commit: str, to: Path) -> None:
        """A clean clone, at a commit."""
        subprocess.run(["git", "clone", "--quiet", str(self.folder), str(to)], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=to, check=True)


def repository(folder: Path) -> Repository:
    """A new repository, without a commit."""
    folder.mkdir()
    made = Repository(folder)
    made.git("init", "--quiet", "--initial-branch", "main")
    return made


def environment(origin: str, base_port: int) -> str:
    """A shipped environment on ports of its own."""
    text = (ROOT / "environments" / origin / "environment.yaml").read_text()
    moved, count = re.subn(r"base_port: \d+", f"base_port: {base_port}", text)
    assert count == 1
    return moved


def copied(source: Path, to: Path) -> None:
    """A folder's content, into another."""
    shutil.copytree(source, to, dirs_exist_ok=True)
