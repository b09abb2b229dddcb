"""All tests, as CI runs them: the fast ones side by side, those on real Kafka, on a real engine, then on real hosts.

What this machine cannot run is said in one line for each thing that it lacks. Hosts are machines in
namespaces, booted as root; of their tests this runs those that are not marked `long`, on one fleet for each
coordination mode and for so long as `FLEET_MINUTES`. `make fleet` runs all of them.

Invariant: nothing that this machine lacks makes it fail, and no host is left, whatever became of the tests.

python -m tests [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cloud import engine
from tests.e2e.page import chromium
from tests.fleet import fleet, probe

FAST = ("-n", "auto", "-m", "not kafka and not fleet and not cloud")
REAL = ("-m", "kafka", "--durations=10")
"""A cluster under test wants the machine's processors for itself, so these are not run in parallel."""

HOSTS = (
    *("-m", "fleet and not long", "--durations=10"),
    "tests/e2e/fleet/test_hosts_running.py",
    "tests/e2e/fleet/test_hosts_kraft.py",
)

CLOUD = ("-m", "cloud and not fleet", "--durations=10")
"""One engine at a time: each has a process for every region, and an account of its own."""

BUILD_MINUTES = 15
"""The engine is built once, in some 10 minutes on two processors, half of them beside the fast tests."""

FLEET_MINUTES = "8"
"""A test on hosts that has not begun by then is left to `make fleet`, and says so: six hosts share two processors."""


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
        bounded = {**os.environ, "KDEPLOY_SEED": seed, "KDEPLOY_FLEET_MINUTES": FLEET_MINUTES}
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
    command = [sys.executable, "-m", "tests.cloud.engine"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def main() -> None:
    """Run all, also when one fails, so that one run shows all that is wrong."""

    def run(chosen: tuple[str, ...]) -> int:
        return subprocess.call([sys.executable, "-m", "pytest", *chosen, *sys.argv[1:]])

    building = build()
    codes = [run(FAST)]
    no_engine = built(building)  # before the real ones: they want the processors for themselves
    codes.append(run(REAL))
    if no_engine is None:
        codes.append(run(CLOUD))
    hosts = probe.problem()
    if hosts is None:
        seed = os.environ.get("KDEPLOY_SEED") or str(random.randrange(1_000_000))
        print(f"what happens to hosts is drawn by KDEPLOY_SEED={seed}", flush=True)
        codes.append(on_hosts(sys.argv[1:], seed))
    for line in lacking(hosts, no_engine):
        print(f"this machine lacks {line}")
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
