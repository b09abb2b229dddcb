"""Whether a policy pack in Python can run: its interpreter, and the packages that every pack in Python needs.

Invariant: read-only, and said before the engine starts. An engine whose pack has no interpreter waits for it for ever (Pulumi
3.259.0, seen 2026-11-28), and of one that lacks a package it says that a pipe was closed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from kdeploy.errors import InvalidEnvironment
from kdeploy.infra.aws.failure import NotLetThrough
from kdeploy.spec import source

PROJECT: Final = "PulumiPolicy.yaml"

PACKAGES: Final = ("pulumi", "pulumi_policy")
"""What a pack in Python is written with; the first brings the program that runs it (`pulumi.policy`)."""

ASK: Final = f"import importlib.util as u; print(*(n for n in {PACKAGES!r} if u.find_spec(n) is None))"
"""Says which of those an interpreter has not."""

ANSWERS: Final = 60.0
"""Seconds for an interpreter to say it."""

INSTALLERS: Final = ("uv.lock", "poetry.lock")
"""Files, in a pack's folder or above, by which Pulumi runs it through uv or poetry, which see to packages by themselves
(pulumi sdk/python/toolchain/toolchain.go, 3.259.0)."""


class PackLacks(NotLetThrough):
    """What a policy pack needs to run is not there; the message says how to get it."""


def refuse_lacking(packs: Iterable[Path]) -> None:
    """Refuse packs in Python that cannot run.

    Args:
        packs: Folders of policy packs; those in other languages are left to the engine.

    Raises:
        PackLacks: The first one that lacks an interpreter or a package.
    """
    for pack in packs:
        folder = Path(os.path.normpath(pack.absolute()))
        name, options = _runtime(folder)
        if name == "python" and _is_by_pip(folder, options):
            _refuse(folder, options.get("virtualenv"))


def _runtime(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """What a pack says of its language: its name and options. What cannot be read is the engine's to refuse."""
    try:
        runtime = source.read(folder / PROJECT, PROJECT).data.get("runtime")
    except InvalidEnvironment:
        return "", {}
    if isinstance(runtime, dict):
        options = runtime.get("options")
        return str(runtime.get("name")), options if isinstance(options, dict) else {}
    return str(runtime), {}


def _is_by_pip(folder: Path, options: Mapping[str, Any]) -> bool:
    if options.get("toolchain") is not None:
        return bool(options["toolchain"] == "pip")
    return not any((above / name).is_file() for above in (folder, *folder.parents) for name in INSTALLERS)


def _refuse(folder: Path, virtualenv: object) -> None:
    if virtualenv is None:
        named = os.environ.get("PULUMI_PYTHON_CMD") or "python3"
        python, what = shutil.which(named), f"no {named} on PATH"
        make = f"write `options: {{virtualenv: venv}}` into its {PROJECT}, and make that: "
    else:
        python, what = (
            str(folder / str(virtualenv) / "bin" / "python"),
            f"no Python in {folder / str(virtualenv)}",
        )
        make = "make it: "
    place = folder / str(virtualenv or "venv")
    install = f"{shlex.quote(str(place / 'bin' / 'pip'))} install {_wanted(folder)}"
    if python is None or not os.access(python, os.X_OK) or not Path(python).is_file():
        raise PackLacks(
            f"the policy pack {folder.name} cannot run: there is {what}\n"
            f"  {make}`python3 -m venv {shlex.quote(str(place))} && {install}`"
        )
    lacking = _lacking(python)
    if lacking:
        how = f"{make}`python3 -m venv {shlex.quote(str(place))} && {install}`"
        raise PackLacks(
            f"the policy pack {folder.name} cannot run: {python} lacks {lacking}\n"
            f"  {how if virtualenv is None else f'install them: `{install}`'}"
        )


def _wanted(folder: Path) -> str:
    """What pip is to install for a pack."""
    listed = folder / "requirements.txt"
    return f"-r {shlex.quote(str(listed))}" if listed.is_file() else "pulumi-policy"


def _lacking(python: str) -> str:
    """Packages that an interpreter has not, in words; empty where it has all."""
    try:
        asked = subprocess.run(
            [python, "-c", ASK], capture_output=True, text=True, timeout=ANSWERS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "whatever makes it run"
    if asked.returncode != 0:
        return "whatever makes it run"
    return " and ".join(f"the package {name}" for name in asked.stdout.split())
