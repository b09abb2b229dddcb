"""kdeploy as a program: the installed command, and `python -m kdeploy`.

Invariant: nothing is imported before a Ctrl-C is heard, so that not even one during the
start shows a traceback.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from kdeploy.cli import main as run
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    run()


if __name__ == "__main__":
    main()
