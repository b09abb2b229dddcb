"""An inline program on a real engine, run as a user of an emulated account would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cloud.cloud import Cloud


@dataclass
class Stack:
    """A stack of the Automation API whose program can be changed between runs."""

    cloud: Cloud
    folder: Path
    program: Callable[[], None]
    name: str = "test"

    def __post_init__(self) -> None:
        from pulumi import automation

        self.folder.mkdir(parents=True, exist_ok=True)
        settings = automation.ProjectSettings(name="clouded", runtime="python")
        workspace = automation.LocalWorkspace(
            work_dir=str(self.folder),
            project_settings=settings,
            program=self.program,
            env_vars=self.cloud.environment,
            pulumi_command=automation.PulumiCommand(root=str(self._root())),
        )
        self.stack = automation.Stack.create_or_select(self.name, workspace)

    def _root(self) -> Path:
        """The Automation API takes the command line from `bin` below a root."""
        return self.cloud.folder

    def run(self, program: Callable[[], None] | None = None) -> dict[str, int]:
        """`up`; how many resources were changed in which way."""
        self.stack.workspace.program = program or self.program
        return dict(self.stack.up().summary.resource_changes or {})

    def preview(self, program: Callable[[], None] | None = None, **options: Any) -> dict[str, int]:
        self.stack.workspace.program = program or self.program
        return {str(key): n for key, n in self.stack.preview(**options).change_summary.items()}

    def state(self) -> list[dict[str, Any]]:
        """The resources of the exported state."""
        return list(self.stack.export_stack().deployment.get("resources", []))

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line itself."""
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env={**os.environ, **self.cloud.environment},
            capture_output=True,
            text=True,
            check=False,
        )
