"""`kdeploy up` on real hosts: from bare to verified, and again with nothing to do.

What cannot be avoided is measured beside it on the same hosts: Kafka's jars carried to all of them at
once, and every node started and caught up (`up` after `down`). What is left of the first `up` is the
operating system's packages, disks, files, certificates, topics and the proof at the end.

Invariant: everything is timed in turn on one fleet, which is removed afterwards; of sizes after the first only
the two runs of `up` are timed. Needs root, as every fleet does, and is no part of `make bench`, since it takes
half an hour on two processors.

    python -m benchmarks.fleet [HOSTS ...]      # by default 6
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.fleet import base
from tests.fleet.environment import environment
from tests.fleet.fleet import Fleet

KDEPLOY: Final = (sys.executable, "-m", "kdeploy")
AIM: Final = 2.0
"""The most that the first `up` should take as a multiple of what cannot be avoided."""

RUNS: Final = 2
"""How often `up` is run again; the quicker one counts."""


def seconds(folder: Path, variables: Mapping[str, str], *words: str) -> float:
    """How long a command of kdeploy takes; what it said is shown where it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        [*KDEPLOY, *words],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"kdeploy {' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
    return time.perf_counter() - began


def carrying(fleet: Fleet, archive: Path) -> float:
    """Seconds to carry an archive to every host at once, by SSH alone."""

    def carry(address: str) -> None:
        target = f"root@{address}"
        options = [
            "-F/dev/null",
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oBatchMode=yes",
        ]
        with archive.open("rb") as opened:
            subprocess.run(
                ["ssh", "-q", *options, "-i", str(fleet.key), target, "cat >/var/tmp/carried"],
                stdin=opened,
                check=True,
            )

    addresses = [one.address for one in fleet.hosts()]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(addresses)) as pool:
        list(pool.map(carry, addresses))
    return time.perf_counter() - began


@contextmanager
def hosts(count: int, text: Callable[[Fleet], str]) -> Iterator[tuple[Fleet, Path, Mapping[str, str]]]:
    """A fleet with an environment called fleet, the folder it is in, and kdeploy's variables; removed in the end."""
    with tempfile.TemporaryDirectory(prefix="kdeploy-bench-") as name:
        folder = Path(name)
        fleet = Fleet(folder / "fleet")
        variables = {
            **os.environ,
            "KDEPLOY_STATE_DIR": str(folder / "state"),
            "KDEPLOY_VAULT_PASSWORD": "for as long as this benchmark",
        }
        try:
            fleet.up(count)
            file = folder / "environments" / "fleet" / "environment.yaml"
            file.parent.mkdir(parents=True)
            file.write_text(text(fleet))
            yield fleet, folder, variables
        finally:
            fleet.remove()


def load() -> str:
    """How busy this machine was in the last minute, beside which every figure has to be read."""
    return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors"


def measure(count: int, *, whole: bool) -> None:
    """Time a fleet and print a line for each figure as soon as it is there.

    Args:
        count: How many hosts.
        whole: Whether what cannot be avoided is measured too.
    """
    from kdeploy.infra.artefacts import default_cache

    with hosts(count, environment) as (fleet, folder, variables):
        seconds(folder, variables, "plan", "fleet", "--lock")
        seconds(folder, variables, "vault", "create", "fleet")
        first = seconds(folder, variables, "up", "fleet")
        print(f"{count} hosts: first up {first:.0f} s ({load()})", flush=True)
        again = [seconds(folder, variables, "up", "fleet") for _ in range(RUNS)]
        each = ", ".join(f"{one:.1f}" for one in again)
        print(f"{count} hosts: second up {each} s, {min(again) / count:.2f} s a host ({load()})", flush=True)
        if not whole:
            return
        archive = next((default_cache() / "kafka").glob("kafka-3.9.2-*.tar"))
        carried = carrying(fleet, archive)
        seconds(folder, variables, "down", "fleet")
        started = seconds(folder, variables, "up", "fleet")
    print(
        f"{count} hosts: {first / (carried + started):.1f} times what cannot be avoided (carrying {carried:.0f} s, "
        f"starting and catching up {started:.0f} s; {load()}; aim: at most {AIM:g})",
        flush=True,
    )


def main(counts: tuple[int, ...] = (6,)) -> None:
    """Measure each size."""
    problem = base.lacking()
    if problem:
        raise SystemExit(problem)
    for count in counts:
        measure(count, whole=count == counts[0])


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or (6,))
