"""`restart` and `unlock`: nodes one at a time, on request; and leases that a killed run left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kdeploy.cli import report
from kdeploy.cli.options import (
    accept_unavailable_option,
    by_rack_option,
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
    yes_option,
)
from kdeploy.errors import UsageError


@click.command()
@environment_argument
@click.option("--node", "nodes", multiple=True, metavar="NODE", help="Restart this node; can be repeated.")
@click.option(
    "--rack", "racks", multiple=True, metavar="RACK", help="Restart this rack's nodes; can be repeated."
)
@by_rack_option
@click.option("--reboot", is_flag=True, help="Boot each node's host anew while the node is stopped.")
@accept_unavailable_option
@vault_password_option
@output_option
def restart(
    environment: str,
    nodes: tuple[str, ...],
    racks: tuple[str, ...],
    by_rack: bool,
    reboot: bool,
    accepted: tuple[str, ...],
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Restart every node, or some, by the rolling order; nothing else is changed.

    Exit code 7: it was not safe to go on in time; everything still serves.

    With --reboot each host is booted anew, for a new kernel for example: its node is stopped as
    always, the host comes back, the node is in sync again, and only then comes the next.

    With --by-rack all brokers of a rack are down together; it is done only while every topic
    keeps its min.insync.replicas without that rack.

    \b
    Example: kdeploy restart local --node broker-1
             kdeploy restart datacenter-zk --rack a --reboot
    """
    from kdeploy.operations.progress import shown
    from kdeploy.operations.restart import restart as roll
    from kdeploy.operations.site import Manner
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    done = roll(
        loaded,
        shown(),
        vault_password_file,
        nodes=nodes,
        racks=racks,
        manner=Manner(accepted=accepted, by_rack=by_rack, reboot=reboot),
    )
    if output == "json":
        name = loaded.environment.name
        print_json({"schema": "kdeploy.restart/v1", "environment": name, "restarted": list(done)})
    else:
        print_text(f"restarted: {', '.join(done)}", output)


@click.command()
@environment_argument
@yes_option
@vault_password_option
@output_option
def unlock(environment: str, yes: bool, vault_password_file: Path | None, output: str) -> None:
    """End the leases on hosts that a killed run from another machine left behind.

    A run from the same machine takes its own over by itself. Only unlock what does not run any more. In AWS
    the lock of Pulumi's state is ended too.

    \b
    Example: kdeploy unlock datacenter-zk
    """
    from kdeploy.operations import hosts
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    name = loaded.environment.name
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("unlocking needs a terminal to ask on\n  in a pipeline, add --yes")
        click.confirm(f"Is it certain that no kdeploy works on {name} any more?", abort=True, err=True)
    done = hosts.unlock(loaded, vault_password_file)
    if output == "json":
        said = {"environment": name, "ended": list(done.ended), "unasked": list(done.unasked)}
        print_json({"schema": "kdeploy.unlock/v1", **said})
    else:
        lines = [f"ended: {'; '.join(done.ended)}" if done.ended else "no lease was held"]
        if done.unasked:
            silent = f"not asked, since they cannot be reached: {', '.join(done.unasked)}"
            lines.append(report.filled(f"{silent}; a lease there ends when its host boots", "  "))
        print_text("\n".join(lines), output)
