"""A plan for ranges against the same plan for their middles: seconds and memory, over samples and candidates.

Each measurement is a fresh process that plans twice, of which the second plan counts: four ranges
over the whole catalogue, and the same four quantities as they are in the middle. Memory is the most
that a process ever held, less what the process without ranges held.

Invariant: the processes of one row run in turn in one run, so that their ratio does not depend on
how busy the machine is; seconds do.

    python -m benchmarks.ranges
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Final, NamedTuple

RANGES: Final = {
    "throughput": "150MB/s..300MB/s",
    "retention": "12h..48h",
    "fan_out": "1..4",
    "message_size": "200B..2KB",
}
MIDDLES: Final = {"throughput": "212MB/s", "retention": "24h", "fan_out": "2", "message_size": "632B"}
"""Their geometric means."""

SAMPLES: Final = 10_000
ROUNDS: Final = 5
AIM: Final = 0.5
"""Seconds that the samples should take at most."""

AIM_MEMORY: Final = 300.0
"""MB that they should take at most."""

GRID: Final = tuple((samples, family) for family in ("m6g", None) for samples in (1_000, SAMPLES, 100_000))
"""Samples, and the one family that is planned over; the whole catalogue where none is named."""

ONCE: Final = """
import json, resource, sys, time
from kdeploy import planner
from kdeploy.cli.workload import environment_of
from kdeploy.planner import catalogue

environment = environment_of(json.loads(sys.argv[1]))
planner.plan(environment)
began = time.perf_counter()
planner.plan(environment)
took = time.perf_counter() - began
try:
    held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
family = environment.datacenters[0].brokers.instance_family
shapes = catalogue.load(environment.datacenters[0].region)
kept = [s.partition(".")[0] == family if family else o for s, o in zip(shapes.names, shapes.offered)]
print(json.dumps([took, held * 1024 / 1e6, int(sum(kept) + (shapes.nvme_count[kept] > 0).sum())]))
"""


class Run(NamedTuple):
    """One process: seconds of its second plan, MB that it held at most, and its candidates."""

    seconds: float
    megabytes: float
    candidates: int


def run(flags: dict[str, object]) -> Run:
    """Plan in a fresh process."""
    command = (sys.executable, "-c", ONCE, json.dumps(flags))
    return Run(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measure(samples: int = SAMPLES, family: str | None = None, rounds: int = ROUNDS) -> dict[str, float]:
    """Medians with ranges and without, what the samples take, and their ratio."""
    place: dict[str, object] = {"instance_family": family} if family else {}
    pairs = [(run({**RANGES, **place, "samples": samples}), run({**MIDDLES, **place})) for _ in range(rounds)]
    unsure, sure = (statistics.median(one.seconds for one in column) for column in zip(*pairs, strict=True))
    held, least = (statistics.median(one.megabytes for one in column) for column in zip(*pairs, strict=True))
    return {
        "plan": unsure,
        "certain": sure,
        "ratio": unsure / sure,
        "more": unsure - sure,
        "megabytes": held - least,
        "pace": samples * pairs[0][0].candidates / (unsure - sure),
    }


def main() -> dict[str, float]:
    """Measure and print a line for 10,000 samples, and one for each cost over inputs."""
    result = measure()
    print(
        f"a plan with {SAMPLES:,} samples: {result['more']:.2f} s (aim: at most {AIM:g}) and "
        f"{result['megabytes']:.0f} MB (aim: at most {AIM_MEMORY:g}) on top of one without, "
        f"{result['ratio']:.0f} times as long"
    )
    for samples, family in GRID:
        one = measure(samples, family, rounds=1)
        print(
            f"  {samples:>7,} samples over {family or 'all families':12}: {one['more']:6.2f} s, "
            f"{one['megabytes']:4.0f} MB, {one['pace'] / 1e6:6.1f} million samples × candidates a second"
        )
    return result


if __name__ == "__main__":
    main()
