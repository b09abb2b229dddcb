"""The fleet's command line: `python -m tests.fleet up 6 [--kraft] | list | down`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from platformdirs import user_state_path

from tests.fleet import base
from tests.fleet.environment import environment
from tests.fleet.fleet import Fleet


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet", description="Systemd hosts on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="boot hosts and write an environment that points to them")
    up.add_argument("count", type=int, nargs="?", default=6)
    up.add_argument("--kraft", action="store_true", help="controllers instead of ZooKeeper nodes")
    up.add_argument("--disks", type=int, default=1, help="data disks of each host")
    commands.add_parser("list", help="say what is there")
    commands.add_parser("down", help="end every host and leave nothing")
    chosen = parser.parse_args()
    problem = base.lacking()
    if problem:
        sys.exit(problem)
    fleet = Fleet(Path(os.environ.get("KDEPLOY_FLEET") or user_state_path("kdeploy-fleet")))
    if chosen.command == "down":
        fleet.remove()
        return
    if chosen.command == "up":
        fleet.up(chosen.count, "controller" if chosen.kraft else "zookeeper", disks=chosen.disks)
        file = fleet.folder / "environments/fleet/environment.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(environment(fleet))
        print(f"in {fleet.folder}: kdeploy plan fleet --lock; kdeploy vault create fleet; kdeploy up fleet")
    for one in fleet.hosts():
        state = "running" if one.systemd() else "down"
        print(f"{one.name:<14} {one.address:<12} rack {one.rack}  {state:<8} {' '.join(one.devices)}")


if __name__ == "__main__":
    main()
