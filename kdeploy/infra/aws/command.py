"""The Pulumi CLI: found where a person named it, on PATH or in kdeploy's cache; fetched only after asking.

Invariant: what is returned runs and is new enough; nothing is fetched that nobody agreed to.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError, MissingExtra

if TYPE_CHECKING:
    from pulumi.automation import PulumiCommand

VARIABLE: Final = "KDEPLOY_PULUMI"
"""Environment variable that names the CLI's file."""

FETCH: Final = "KDEPLOY_FETCH_PULUMI"
"""Environment variable that agrees with 1 that the CLI is fetched, where nobody can be asked, as in a pipeline."""

MINIMUM: Final = (3, 206, 0)
"""Lowest version: from here on the engine tells its events over gRPC (pulumi.automation `_setup_event_log`, SDK
3.272, read 2026-11-27), and knows `--exclude`. 3.259.0 is what the tests run."""

ANSWERS: Final = 60.0
"""Seconds for the CLI to say its version."""

Ask = Callable[[str], bool]
"""Asks a person a question; True is yes."""


class NoEngine(KdeployError):
    """The Pulumi CLI is missing, too old, or does not run; the message says how to get it."""


def command(ask: Ask | None = None) -> PulumiCommand:
    """The CLI, ready for the Automation API.

    Args:
        ask: Asked before it is fetched; without it nothing is.

    Raises:
        NoEngine: There is none, or one that cannot be used.
        MissingExtra: Pulumi's SDK is not installed.
    """
    file = find()
    if file is None:
        file = _fetched(ask)
    return _usable(file)


def find() -> Path | None:
    """Where the CLI is; None where there is none.

    Raises:
        NoEngine: The one that was named is not there.
    """
    named = os.environ.get(VARIABLE)
    if named:
        file = Path(named).expanduser().absolute()
        if not os.access(file, os.X_OK) or not file.is_file():
            raise NoEngine(f"{VARIABLE} names {file}, which is no program\n  name the pulumi program itself")
        return file
    return next(_places(), None)


def _places() -> Iterator[Path]:
    on_path = shutil.which("pulumi")
    candidates = [Path(on_path)] if on_path else []
    candidates += [root() / "bin" / "pulumi", Path.home() / ".pulumi" / "bin" / "pulumi"]
    yield from (file.absolute() for file in candidates if file.is_file())


def root() -> Path:
    """The folder that kdeploy fetches the CLI into."""
    from platformdirs import user_cache_path

    return user_cache_path("kdeploy") / "pulumi"


def _fetched(ask: Ask | None) -> Path:
    how = (
        "install it (https://www.pulumi.com/docs/install), or name the program in "
        f"{VARIABLE}; at a terminal `kdeploy up` offers to fetch it, and {FETCH}=1 agrees to that elsewhere"
    )
    question = f"AWS needs the Pulumi CLI, which is not here. Fetch it into {root()}?"
    if os.environ.get(FETCH) != "1" and (ask is None or not ask(question)):
        raise NoEngine(f"the Pulumi CLI is missing: there is no pulumi on PATH\n  {how}")
    automation = _automation()
    try:
        automation.PulumiCommand.install(root=str(root()))
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error).splitlines()[0]
        raise NoEngine(f"the Pulumi CLI could not be fetched: {reason}\n  {how}") from None
    return root() / "bin" / "pulumi"


def _usable(file: Path) -> PulumiCommand:
    automation = _automation()
    found = version(file)
    needed = ".".join(map(str, MINIMUM))
    if found is None:
        raise NoEngine(
            f"{file} does not say its version, so it is no Pulumi CLI\n"
            f"  install {needed} or newer, or name it in {VARIABLE}"
        )
    text = ".".join(map(str, found))
    if found < MINIMUM or found[0] > MINIMUM[0]:
        what = "too old" if found < MINIMUM else "of a later major version"
        raise NoEngine(
            f"the Pulumi CLI {file} is {what}: it is {text}\n"
            f"  install {needed} or newer below {MINIMUM[0] + 1}.0.0, or name it in {VARIABLE}"
        )

    class Named(automation.PulumiCommand):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:  # the SDK's own looks for `bin/pulumi` below a folder
            from semver import VersionInfo

            self.command, self.version = str(file), VersionInfo.parse(text)

    return Named()


@lru_cache
def version(file: Path) -> tuple[int, int, int] | None:
    """What a CLI says it is; None where it does not."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        said = subprocess.run(
            [file, "version"], capture_output=True, text=True, timeout=ANSWERS, check=False, env=environment
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^v?(\d+)\.(\d+)\.(\d+)", said.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _automation() -> ModuleType:
    try:
        from pulumi import automation
    except ImportError:
        raise MissingExtra("aws", "pulumi") from None
    return automation
