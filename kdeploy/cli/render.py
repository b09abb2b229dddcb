"""`render`: every file of every node, without a connection.

Invariant: no secret is read, so none can be written; the result names what was written, and where.
"""

from __future__ import annotations

from pathlib import Path

import click

from kdeploy.cli.options import environment_argument


@click.command()
@environment_argument
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write to: new, empty, or written by render before.",
)
def render(environment: str, folder: Path) -> None:
    """Write every file of every node to DIR/DATACENTER/NODE; there is no secret in any.

    Beside each node's files is node.json: its ports, Java options and how it is started.

    \b
    Example: kdeploy render prod-eu --to rendered
    """
    from kdeploy.operations import prepare
    from kdeploy.operations.render import write
    from kdeploy.spec import load

    design = prepare.design(load.load(load.find(environment)), freeze=False)
    written = write(design.blueprint, folder)
    nodes = design.blueprint.nodes
    click.echo(f"{folder}: {len(written)} files of {len(nodes)} nodes of {environment}")
    if design.previous is None:
        click.echo("nothing is decided yet: ids that are made at random will differ next time", err=True)
