"""All tests, as CI runs them: the fast ones side by side, then those on real Kafka and those on a real
engine one after another.

What this machine cannot run is said in one line for each thing that it lacks. Tests on a fleet of
hosts, which boot machines of their own as root, are run by `make fleet`.

python -m tests [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import subprocess
import sys

from tests.cloud import engine
from tests.e2e.page import chromium

FAST = ("-n", "auto", "-m", "not kafka and not fleet and not cloud")
REAL = ("-m", "kafka", "--durations=10")
"""A cluster under test wants the machine's processors for itself, so these are not run in parallel."""

CLOUD = ("-m", "cloud and not fleet", "--durations=10")
"""One engine at a time: each has a process for every region, and an account of its own."""


def lacking() -> list[str]:
    """What this machine lacks, and what is not tested for it; a line each."""
    lines = []
    if chromium.find() is None:
        lines.append("Chromium: the page of a plan is not looked at in a browser (apt-get install chromium)")
    if (missing := engine.lacking()) is not None:
        lines.append(missing)
    return lines


def main() -> None:
    """Run all, also when one fails, so that one run shows all that is wrong."""
    codes = [
        subprocess.call([sys.executable, "-m", "pytest", *chosen, *sys.argv[1:]])
        for chosen in (FAST, REAL, CLOUD)
    ]
    for line in lacking():
        print(f"this machine lacks {line}")
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
