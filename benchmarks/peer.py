"""The first plan of a fresh process: `kdeploy plan` against Netflix's service-capacity-modeling.

The peer answers the same question as far as it can be asked: 200 MB/s produced, read twice, kept
seven days in three copies, in us-east-1, all inputs certain. It gets a virtual environment of its
own, kept in kdeploy's cache; where it does not install, one line says so and nothing is compared.

Invariant: both are timed in turn in one run, as fresh processes with a warm disk cache.

    python -m benchmarks.peer
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from benchmarks.plan import PLAN, seconds

PEER: Final = "service-capacity-modeling==0.3.212"
ROUNDS: Final = 5
AIM: Final = 4.0
"""The least that the ratio should be."""

ASK: Final = """
from service_capacity_modeling.capacity_planner import planner
from service_capacity_modeling.interface import (
    AccessPattern, CapacityDesires, DataShape, QueryPattern, certain_float, certain_int
)
rate, kept = 200e6, 200e6 * 7 * 86400 / 2**30
desires = CapacityDesires(
    service_tier=1,
    query_pattern=QueryPattern(
        access_pattern=AccessPattern.throughput,
        estimated_read_per_second=certain_int(2),
        estimated_write_per_second=certain_int(1),
        estimated_mean_write_size_bytes=certain_int(int(rate)),
        estimated_mean_read_size_bytes=certain_int(int(rate)),
    ),
    data_shape=DataShape(estimated_state_size_gib=certain_float(kept * 3)),
)
found = planner.plan_certain(
    model_name="org.netflix.kafka",
    region="us-east-1",
    desires=desires,
    extra_model_arguments={"cluster_type": "strong", "retention": "P7D"},
)
print(len(found))
"""
"""By its own README and models/org/netflix/kafka.py (0.3.212): a write is one second's bytes. It may find nothing."""


def install() -> Path | None:
    """The peer's Python, installed at the first call; None where it does not install."""
    from kdeploy.infra.artefacts import default_cache

    folder = default_cache() / "benchmarks" / PEER.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=False).returncode:
            return None
        (folder / "installed").touch()
    return python


def measure(python: Path, rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of both in seconds, and how many times longer the peer takes."""
    peer = (str(python), "-c", ASK)
    seconds(PLAN), seconds(peer)
    pairs = [(seconds(PLAN), seconds(peer)) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"plan": ours, "peer": theirs, "ratio": theirs / ours}


def main() -> dict[str, float]:
    """Measure and print one line."""
    python = install()
    if python is None:
        print(f"kdeploy plan against the peer: {PEER} does not install here", file=sys.stderr)
        return {}
    result = measure(python)
    print(
        f"kdeploy plan, cold: {result['plan']:.3f} s, {PEER} {result['peer']:.3f} s, "
        f"{result['ratio']:.1f} times faster (aim: at least {AIM:g})"
    )
    return result


if __name__ == "__main__":
    main()
