"""What a policy pack in Python needs beside the CLI: the program that starts it, and a virtual environment.

Invariant: the environment is made by pip once, whole or not at all, and is no part of the one that tests run in: pulumi_policy
1.21.0 wants protobuf 5, and whoever installs kdeploy gets protobuf 6.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cloud import engine

PACKAGE: Final = "pulumi_policy==1.21.0"
"""What packs in Python are written with (PyPI, 2026-05-20)."""

LANGUAGE: Final = "pulumi-language-python"


def environment() -> Path:
    """A virtual environment for packs; made when it is not there, which takes ten seconds and more."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = engine.cache() / f"policies-{PACKAGE.rpartition('==')[2]}-python{python}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "whole").exists():
            shutil.rmtree(target, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(target))
            _run(str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", PACKAGE)
            (target / "whole").touch()
    return target


def lay(programs: Path) -> None:
    """Put what starts packs in Python into a folder that is first on PATH: the whole CLI's own where that is installed."""
    file = programs / LANGUAGE
    if shutil.which(LANGUAGE) is not None:
        return
    repository = Path(__file__).parents[2]
    file.write_text(
        f'#!/bin/sh\nPYTHONPATH="{repository}" exec "{sys.executable}" -m tests.cloud.language "$@"\n'
    )
    file.chmod(0o755)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
