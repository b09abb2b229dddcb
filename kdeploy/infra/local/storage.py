"""Formatting KRaft storage before a node's first start.

Invariant: storage is formatted once. An interrupted formatting is done again (Kafka skips
the directories that are done); storage that was formatted and is empty now is never formatted
again: a controller with an empty log could let its quorum forget what was acknowledged.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kdeploy.blueprint import Node
from kdeploy.errors import KdeployError
from kdeploy.infra.artefacts import Distribution
from kdeploy.infra.local.folder import put
from kdeploy.infra.local.process import holding

STORAGE_TOOL: Final = "kafka.tools.StorageTool"

JAVA_OPTIONS: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""For a program that runs a second: no optimising compiler, one collector thread."""

PATIENCE: Final = 120.0
"""Seconds for a formatting; it takes one or two."""


def format_new(node: Node, folder: Path, distribution: Distribution, environment: Mapping[str, str]) -> None:
    """Format a node's storage where the node needs that and it was not done yet.

    Args:
        node: The node; its files are in place.
        folder: Its folder.
        distribution: Kafka and Java.
        environment: Environment of the Java process.

    Raises:
        KdeployError: Kafka refuses, or storage that was formatted is empty now.
    """
    if not node.format_arguments:
        return
    done = folder / "formatted"
    formatted = [(folder / path / "meta.properties").exists() for path in node.data_directories]
    if done.exists() and all(formatted):
        return
    if done.exists() and not any(formatted):
        raise KdeployError(
            f"{node.key}: its storage was formatted, but {', '.join(node.data_directories)} "
            f"in {folder} is empty now\n"
            f"  put the data back; or, to give it up for this node, delete {folder} and run up again"
        )
    # The formatting process inherits the lock: when kdeploy is killed, the next one waits for it.
    with holding(folder / "format.lock", PATIENCE) as lock:
        if lock is None:
            raise KdeployError(
                f"{node.key}: its storage is still being formatted by another process\n"
                "  wait until that has ended, then run this again"
            )
        _run(node, folder, distribution, environment, lock)
        put(done, b"")


def _run(
    node: Node, folder: Path, distribution: Distribution, environment: Mapping[str, str], lock: int
) -> None:
    arguments = list(node.format_arguments)
    if "--ignore-formatted" not in arguments and "-g" not in arguments:
        arguments.append("--ignore-formatted")
    try:
        run = subprocess.run(
            [distribution.java, *JAVA_OPTIONS, STORAGE_TOOL, *arguments],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            pass_fds=(lock,),
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KdeployError(
            f"{node.key}: formatting its storage did not end within {PATIENCE:g} s\n"
            "  the machine may be overloaded or its disk stuck; run this again, it goes on from here"
        ) from None
    if run.returncode != 0:
        said = [
            line
            for line in (run.stdout + run.stderr).splitlines()
            if line.strip() and not line.startswith("\t")
        ]
        raise KdeployError(f"{node.key}: Kafka could not format its storage:\n  " + "\n  ".join(said[-5:]))
