"""Running kdeploy as a person would: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contracts import hold

KDEPLOY = Path(sys.executable).with_name("kdeploy")


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON, which is as published."""
        assert self.stdout, f"exit {self.code}, and nothing but:\n{self.stderr}"
        document: dict[str, Any] = json.loads(self.stdout)
        hold(document)
        return document


@dataclass(frozen=True)
class Kdeploy:
    """The command, with a state folder and an environments folder of its own.

    Attributes:
        root: Holds `environments/` and `state/`.
        name: The environment.
        patience: Seconds a command may take.
        names: A file to stand in the place of /etc/hosts for every command, in a namespace of its own; needs root.
    """

    root: Path
    name: str
    patience: float = 600
    names: Path | None = None

    @property
    def state(self) -> Path:
        return self.root / "state" / self.name

    @property
    def file(self) -> Path:
        return self.root / "environments" / self.name / "environment.yaml"

    def command_environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "KDEPLOY_STATE_DIR": str(self.root / "state"), **more}

    def start(self, command: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        bound = f'mount --bind "{self.names}" /etc/hosts && exec "$@"'
        around = ["unshare", "--mount", "sh", "-c", bound, "kdeploy"] if self.names else []
        return subprocess.Popen(
            [*around, str(KDEPLOY), *command.split(), self.name, *arguments],
            cwd=self.root,
            env=self.command_environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, command: str, *arguments: str, code: int | None = 0, **more: str) -> Finished:
        """Run a command to its end; its exit code must be `code`, unless None."""
        process = self.start(command, *arguments, **more)
        stdout, stderr = process.communicate(timeout=self.patience)
        finished = Finished(process.returncode, stdout, stderr)
        assert "Traceback" not in stderr, stderr
        assert "a defect of its own" not in stderr, f"{command}\n{stdout}\n{stderr}\n{_defects(stderr)}"
        assert code is None or finished.code == code, f"{command}: exit {finished.code}\n{stdout}\n{stderr}"
        return finished

    def edit(self, old: str, new: str) -> None:
        """Change the environment's file as a person would."""
        text = self.file.read_text()
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        self.file.write_text(text.replace(old, new))


def _defects(stderr: str) -> str:
    """The traceback that kdeploy keeps from a person's terminal, for whoever reads a failed test."""
    files = map(Path, re.findall(r"\S+kdeploy-defect-\S+\.txt", stderr))
    return "\n".join(file.read_text() for file in files if file.is_file())
