"""All tests, as CI runs them: the fast ones side by side, then those on real Kafka, then on real hosts, one after another.

python -m tests [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import subprocess
import sys

FAST = ("-n", "auto", "-m", "not kafka and not fleet")
REAL = ("-m", "kafka", "--durations=10")
FLEET = ("-m", "fleet", "--durations=10")
"""A cluster under test wants the machine's processors for itself, so these are not run in parallel."""


def main() -> None:
    """Run all, also when the first fails, so that one run shows all that is wrong."""
    codes = [
        subprocess.call([sys.executable, "-m", "pytest", *chosen, *sys.argv[1:]])
        for chosen in (FAST, REAL, FLEET)
    ]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
