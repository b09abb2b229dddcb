"""All tests, as CI runs them: the fast ones side by side; those on real Kafka in two rows, beside them those on a real
engine; then those on real hosts.

What this machine cannot run is said in one line for each thing that it lacks. Hosts are machines in
namespaces, booted as root; of their tests this runs those that are not marked `long`, on one fleet for each
coordination mode. All of it ends in time also on a slow machine: a test that has not begun by a minute of its part
(`KAFKA_UNTIL`, `HOSTS_UNTIL`) is left out, and how many were is said. `make kafka`, `make cloud` and `make fleet` run all.

Invariant: nothing that this machine lacks makes it fail, and no host is left, whatever became of the tests.

At the end stands how long each part took, and what failed with what it said: the last lines are read first.

python -m tests [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from tests.cloud import engine
from tests.conftest import OVER
from tests.e2e.page import chromium
from tests.fleet import fleet, probe

HERE = Path(__file__).parent

FAST = ("-n", "auto", "-m", "not kafka and not fleet and not cloud")
TWO_SIDES = (
    *("tests/e2e/local/test_two_datacenters.py", "tests/e2e/local/test_two_datacenters_active.py"),
    "tests/e2e/pipelines",
    "tests/e2e/local/test_changes_one_by_one.py",
)
"""Tests that wait the most, for MirrorMaker to look and for pipelines to end; and what makes the rows equally long."""

BY_THEMSELVES = (
    "tests/e2e/local/test_faults.py",
    "tests/e2e/local/test_preview_equals_what_happens.py",
    "tests/e2e/local/test_thread.py",
    "tests/e2e/local/test_local_provider.py",
    "tests/e2e/local/test_three_datacenters_passive.py",
)
"""Tests with clusters of their own: first, since those that the rest shares stay up to the end once they are."""

REST = tuple(
    name
    for name in sorted(f"tests/e2e/local/{file.name}" for file in (HERE / "e2e/local").glob("test_*.py"))
    if name not in TWO_SIDES and name not in BY_THEMSELVES
)

REAL = ("-m", "kafka and not long", "--durations=10")
"""Two rows of these are run at once and no more: a cluster under test wants processors, and often waits."""

MIRRORED = (*REAL, *TWO_SIDES)
OTHERS = (*REAL, *BY_THEMSELVES, *REST)

HOSTS = (
    *("-m", "fleet and not long", "--durations=10"),
    "tests/e2e/fleet/test_hosts_running.py",
    "tests/e2e/fleet/test_hosts_kraft.py",
)

CLOUD = ("-m", "cloud and not fleet and not long", "--durations=10", "tests/e2e/aws")
"""One engine at a time: each has a process for every region, and an account of its own. Beside Kafka, whose tests wait
most of the time; these yield the processors to them. Those marked `long` are left to `make cloud`."""

MODEST = 10
"""Niceness of what runs beside tests that want the processors for themselves."""

BUILD_MINUTES = 30
"""The engine is built once, in some 10 minutes on two processors that do nothing else."""

KAFKA_UNTIL = 48
"""Minutes since it all began after which no test on real Kafka or on the engine begins; the longest takes some five."""

HOSTS_UNTIL = 66
"""The same of tests on hosts, of which the longest takes some fifteen."""

BEGAN = time.time()

SAID = 1500
"""Characters of what a failed test said that the end repeats."""


class Parts:
    """The parts of a run: how long each took, and what failed in it.

    Args:
        folder: Takes what pytest reports of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.codes: list[int] = []
        self.lines: list[str] = []

    def run(self, name: str, test: Callable[[list[str]], int]) -> None:
        """Run a part.

        Args:
            name: What it is called at the end.
            test: Runs it, given more arguments for pytest; returns the exit code.
        """
        report, began = self.folder / f"{name}.xml".replace(" ", "-"), time.monotonic()
        code = test([f"--junitxml={report}"])
        failed = failures(report)
        passed = "passed" if not code else f"failed (exit code {code})"
        self.codes.append(code)
        self.lines += [f"{name}: {passed} in {(time.monotonic() - began) / 60:.1f} min", *failed]


def failures(report: Path) -> list[str]:
    """The tests that failed, each with the beginning of what it said, and how many were left out for want of time.

    None where there is no report.
    """
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return []
    skipped = [one.get("message", "") for case in cases for one in case.findall("skipped")]
    late = sum(OVER in message for message in skipped)
    found = [f"  {late} of {len(cases)} tests were left out: {OVER}"] if late else []
    for case in cases:
        for one in (*case.findall("failure"), *case.findall("error")):
            said = one.get("message", "").strip()[:SAID].replace("\n", "\n    ")
            found.append(f"  {case.get('classname')}::{case.get('name')}\n    {said}")
    return found


def lacking(hosts: str | None, no_engine: str | None = None) -> list[str]:
    """What this machine lacks, and what is not tested for it; a line each."""
    lines = []
    if chromium.find() is None:
        lines.append("Chromium: the page of a plan is not looked at in a browser (apt-get install chromium)")
    if no_engine:
        lines.append(no_engine)
    if hosts:
        lines.append(f"real hosts: nothing is tested on them ({hosts})")
    return lines


def on_hosts(arguments: list[str], seed: str) -> int:
    """Run the tests on hosts, and remove every host that they may have left."""
    with tempfile.TemporaryDirectory(prefix="kdeploy-hosts-") as made:
        place = Path(made) / "tests"
        bounded = {**until(HOSTS_UNTIL), "KDEPLOY_SEED": seed}
        command = [sys.executable, "-m", "pytest", *HOSTS, f"--basetemp={place}", *arguments]
        try:
            return subprocess.call(command, env=bounded)
        finally:
            fleet.sweep(place)


def built(building: subprocess.Popen[str] | None) -> str | None:
    """Wait for a build of the engine; why there is none, in one line, or None when there is one."""
    if building is None:
        return engine.lacking()
    try:
        _, said = building.communicate(timeout=BUILD_MINUTES * 60)
    except subprocess.TimeoutExpired:
        os.killpg(building.pid, signal.SIGKILL)
        building.communicate()
        return f"Pulumi {engine.VERSION}: it was not built within {BUILD_MINUTES} minutes"
    last = said.strip().rpartition("\n")[2]
    return f"Pulumi {engine.VERSION}: {last}" if building.returncode else None


def build() -> subprocess.Popen[str] | None:
    """Begin to build the engine beside the fast tests, where there is none yet and one can be built."""
    if engine.lacking() is not None or engine.find() is not None:
        return None
    command = [*modestly(), sys.executable, "-m", "tests.cloud.engine"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def modestly() -> list[str]:
    """What a command begins with that lets others go first, where this system has it."""
    return ["nice", "-n", str(MODEST)] if shutil.which("nice") else []


def quietly(chosen: tuple[str, ...], said: IO[bytes], arguments: list[str], *before: str) -> int:
    """Run tests beside others; their exit code.

    Args:
        chosen: What pytest is told.
        said: Takes all that they say, which would be mixed with what the others say.
        arguments: What else pytest is told.
        before: What the command begins with.
    """
    command = [*before, sys.executable, "-m", "pytest", *chosen, *arguments, *sys.argv[1:]]
    return subprocess.call(command, stdout=said, stderr=subprocess.STDOUT, env=until(KAFKA_UNTIL))


def until(minute: int) -> dict[str, str]:
    """The variables of a part that begins no test after a minute."""
    return {**os.environ, "KDEPLOY_TESTS_UNTIL": str(BEGAN + 60 * minute)}


def on_engine(building: subprocess.Popen[str] | None, said: IO[bytes], parts: Parts) -> str | None:
    """Run the tests on an engine once that is built; why there is no engine, in one line.

    Args:
        building: The build, where there is one.
        said: Takes all that they say.
        parts: Is told what became of them.
    """
    lacking = built(building)
    if lacking is None:
        parts.run("engine", lambda more: quietly(CLOUD, said, more, *modestly()))
    return lacking


def main() -> None:
    """Run all, also when one fails, so that one run shows all that is wrong."""
    with tempfile.TemporaryDirectory(prefix="kdeploy-tests-") as made:
        parts = Parts(Path(made))
        lines = everything(parts)
        print("\n".join(parts.lines), flush=True)
    for line in lines:
        print(f"this machine lacks {line}")
    sys.exit(max(parts.codes))


def everything(parts: Parts) -> list[str]:
    """Run each part; what this machine lacks."""

    def run(chosen: tuple[str, ...], more: list[str], env: dict[str, str] | None = None) -> int:
        return subprocess.call([sys.executable, "-m", "pytest", *chosen, *more, *sys.argv[1:]], env=env)

    building = build()
    parts.run("fast", lambda more: run(FAST, more))
    with (
        tempfile.TemporaryFile() as mirrored,
        tempfile.TemporaryFile() as cloud,
        ThreadPoolExecutor(2) as beside,
    ):
        mirrors = beside.submit(
            parts.run, "two datacenters and pipelines", lambda more: quietly(MIRRORED, mirrored, more)
        )
        engines = beside.submit(on_engine, building, cloud, parts)
        parts.run("one cluster", lambda more: run(OTHERS, more, until(KAFKA_UNTIL)))
        no_engine = engines.result()
        mirrors.result()
        for said in (mirrored, cloud):
            said.seek(0)
            print(said.read().decode(errors="replace"), flush=True)
    hosts = probe.problem()
    if hosts is None:
        seed = os.environ.get("KDEPLOY_SEED") or str(random.randrange(1_000_000))
        print(f"what happens to hosts is drawn by KDEPLOY_SEED={seed}", flush=True)
        parts.run("hosts", lambda more: on_hosts([*more, *sys.argv[1:]], seed))
    return lacking(hosts, no_engine)


if __name__ == "__main__":
    main()
