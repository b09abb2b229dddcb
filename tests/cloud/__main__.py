"""An account of the emulated AWS to work with by hand: a shell in which `pulumi`, `aws` and kdeploy reach it.

python -m tests.cloud [--machines] [COMMAND …]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cloud import engine
from tests.cloud.cloud import Cloud


def main() -> None:
    """Run a command, or the user's shell, as a user of a new account; the account ends with it."""
    parser = argparse.ArgumentParser(prog="python -m tests.cloud")
    parser.add_argument("--machines", action="store_true", help="instances are hosts of this machine (root)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run; by default a shell")
    asked = parser.parse_args()
    missing = engine.lacking()
    if missing is not None:
        raise SystemExit(f"this machine lacks {missing}")
    with tempfile.TemporaryDirectory() as folder, Cloud(Path(folder), machines=asked.machines) as cloud:
        sys.stdout.write(f"an AWS account at {cloud.endpoint}; it ends with this shell\n")
        command = asked.command or [os.environ.get("SHELL", "/bin/sh")]
        sys.exit(subprocess.call(command, env={**cloud.environment, "AWS_REGION": "eu-west-1"}))


if __name__ == "__main__":
    main()
