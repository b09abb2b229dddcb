"""The first plan of a fresh process: `kdeploy plan` against Netflix's service-capacity-modeling.

Both are asked for 200 MB/s produced, read twice, kept eight hours in three copies, in us-east-1, all
inputs certain. Eight hours are what the peer supposes by itself; for seven days it has no plan. It
gets a virtual environment of its own, kept in kdeploy's cache; where it does not install, or finds
nothing, one line says so and nothing is compared.

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
from service_capacity_modeling.interface import CapacityDesires, QueryPattern, certain_int

found = planner.plan_certain(
    model_name="org.netflix.kafka",
    region="us-east-1",
    desires=CapacityDesires(
        service_tier=1,
        query_pattern=QueryPattern(
            estimated_read_per_second=certain_int(2),
            estimated_write_per_second=certain_int(1),
            estimated_mean_write_size_bytes=certain_int(200_000_000),
        ),
    ),
    extra_model_arguments={"cluster_type": "strong", "retention": "PT8H"},
)
raise SystemExit(not found)
"""
"""By its models/org/netflix/kafka.py (0.3.212): a write is one second's bytes, reads per second are
consumers, and what is kept follows from retention and the three copies of a strong cluster."""

OURS: Final = (*PLAN, "--fan-out", "2", "--retention", "8h")


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
    """Medians of both in seconds, and how many times longer the peer takes.

    Raises:
        CalledProcessError: One of them found no plan.
    """
    peer = (str(python), "-c", ASK)
    seconds(OURS), seconds(peer)
    pairs = [(seconds(OURS), seconds(peer)) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"plan": ours, "peer": theirs, "ratio": theirs / ours}


def main() -> dict[str, float]:
    """Measure and print one line."""
    python = install()
    if python is None:
        print(f"kdeploy plan against the peer: {PEER} does not install here", file=sys.stderr)
        return {}
    try:
        result = measure(python)
    except subprocess.CalledProcessError:
        print(f"kdeploy plan against the peer: {PEER} finds no plan any more", file=sys.stderr)
        return {}
    print(
        f"kdeploy plan, cold: {result['plan']:.3f} s, {PEER} {result['peer']:.3f} s, "
        f"{result['ratio']:.1f} times faster (aim: at least {AIM:g})"
    )
    return result


if __name__ == "__main__":
    main()
