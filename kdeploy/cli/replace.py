"""`replace`: a new machine in the place of a dead one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdeploy.cli import report
from kdeploy.cli.options import (
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
)
from kdeploy.errors import Unhealthy

if TYPE_CHECKING:
    from kdeploy.operations.replace import Replaced


@click.command()
@environment_argument
@click.argument("node", metavar="NODE")
@click.option(
    "--with", "address", metavar="ADDRESS", required=True, help="Name or address of the new machine."
)
@click.option(
    "--accept-dead",
    "dead",
    metavar="OLD",
    default="",
    help="Address of the old machine, which you know to be off for good although it cannot be reached.",
)
@click.option(
    "--accept-loss",
    "lost",
    multiple=True,
    metavar="TOPIC",
    help="Give up this topic's records of which the last copy was on the old machine; can be repeated.",
)
@vault_password_option
@output_option
def replace(
    environment: str,
    node: str,
    address: str,
    dead: str,
    lost: tuple[str, ...],
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Put a new machine in a dead broker's place: same id, name, rack and hardware.

    The old machine has to be off, or reached and stopped: two brokers of one id must never run.
    environment.yaml gets the new address, lock and vault follow, the new machine is set up as by
    `up`, and its data comes back by replication from the other brokers. Run it again after any failure.

    Exit code 7: a partition's last in-sync copy is on the old machine; nothing was changed.

    \b
    Example: kdeploy replace datacenter-zk broker-2 --with 10.20.2.22
    """
    from kdeploy.operations.progress import shown
    from kdeploy.operations.replace import replace as put
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    done = put(
        loaded, shown(), vault_password_file, node=node, address=address, dead=dead, lost=lost
    )  # fmt: skip
    if output == "json":
        print_json(_json(loaded.environment.name, done))
    else:
        print_text(_text(loaded.environment.name, done), output)
    if not all(outcome.report.ok for outcome in done.outcomes):
        sys.exit(Unhealthy.exit_code)


def _json(name: str, done: Replaced) -> dict[str, object]:
    return {
        "schema": "kdeploy.replace/v1",
        "environment": name,
        "node": done.node,
        "old": done.old,
        "new": done.new,
        "fence": done.fence,
        "clusters": report.outcomes_json(name, done.outcomes)["clusters"],
    }


def _text(name: str, done: Replaced) -> str:
    parts = [report.outcome_text(outcome) for outcome in done.outcomes]
    told = f"{done.node} runs on {done.new}; commit environment.yaml, lock.yaml and vault.yaml"
    # Where an earlier run has written the new address already, the old one is known no more.
    old = done.old if done.old != done.new else "the old machine"
    clients = f"clients that name {old} among their first addresses need others: `kdeploy clients {name}`"
    return "\n".join([*parts, "", told, clients])
