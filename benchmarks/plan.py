"""Cold start of `kdeploy plan` against importing the three libraries it stands on.

Invariant: both are timed in turn in one run, as fresh processes with a warm disk
cache, so the ratio of the medians does not depend on how busy the machine is.

    python -m benchmarks.plan
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Final

ROUNDS: Final = 15
LIBRARIES: Final = (sys.executable, "-c", "import numpy, click; from pydantic import BaseModel")
PLAN: Final = (
    sys.executable,
    "-c",
    "from kdeploy.cli import main; main()",
    "plan",
    "--throughput",
    "200MB/s",
)
AIM: Final = 2.0
"""The most that the ratio should be."""


def seconds(command: tuple[str, ...]) -> float:
    """Wall-clock seconds of one fresh process, which finds its bytecode as an installed program does."""
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=usual)
    return time.perf_counter() - began


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of both in seconds, and their ratio."""
    seconds(PLAN), seconds(LIBRARIES)
    pairs = [(seconds(PLAN), seconds(LIBRARIES)) for _ in range(rounds)]
    plan, libraries = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"plan": plan, "libraries": libraries, "ratio": plan / libraries}


def main() -> dict[str, float]:
    """Measure and print one line."""
    result = measure()
    print(
        f"kdeploy plan, cold: {result['plan']:.3f} s, its libraries alone {result['libraries']:.3f} s, "
        f"ratio {result['ratio']:.2f} (aim: at most {AIM:g})"
    )
    return result


if __name__ == "__main__":
    main()
