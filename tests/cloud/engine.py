"""The Pulumi command line for tests: the one on PATH, or built once from its Go module and kept in the cache.

Invariant: what is used says exactly `VERSION`, since the engine's behaviour is what tests look at;
a build appears in the cache whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

VERSION: Final = "3.259.0"
"""As in engine/go.mod; go.mod and go.sum pin what it is built from."""

MODULE: Final = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
STAMP: Final = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
"""Set at build time: without a version the Automation API refuses the command line."""


def cache() -> Path:
    """Where builds are kept: `KDEPLOY_PULUMI_CACHE`, else this user's cache."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KDEPLOY_PULUMI_CACHE") or user_cache_path("kdeploy") / "pulumi")


def built() -> Path:
    """Where the build of `VERSION` is or would be."""
    return cache() / VERSION / "pulumi"


def find() -> Path | None:
    """A Pulumi of `VERSION` that is there already; None when it would have to be built."""
    if built().exists():
        return built()
    on_path = shutil.which("pulumi")
    return Path(on_path) if on_path and _version(on_path) == VERSION else None


def lacking() -> str | None:
    """What this machine lacks to run the engine, in one line; None when nothing."""
    if find() is None and shutil.which("go") is None:
        return (
            f"Pulumi {VERSION}: the engine is not run (or Go 1.25, to build it: python -m tests.cloud.engine)"
        )
    try:
        import moto.server  # noqa: F401
        import pulumi_aws  # noqa: F401
    except ImportError as missing:
        return f"the Python package {missing.name}: the engine is not run (pip install 'kdeploy[dev]')"
    return None


def pulumi() -> Path:
    """The command line; built when it is not there, which takes some minutes."""
    found = find()
    if found is not None:
        return found
    target = built()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(target)
    return target


def _build(target: Path) -> None:
    making = target.with_suffix(".making")
    flags = f"-s -w -X {STAMP}={VERSION}"
    done = subprocess.run(
        ["nice", "go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(making), MODULE],
        cwd=Path(__file__).parent / "engine",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"Pulumi {VERSION} could not be built:\n{done.stderr[-2000:]}")
    making.rename(target)


def _version(command: str) -> str:
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("v")


if __name__ == "__main__":
    sys.stdout.write(f"{pulumi()}\n")
