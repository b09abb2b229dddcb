"""`preview` and `apply`: what would change, and topics, users, ACLs and quotas alone.

Invariant: preview changes nothing; apply touches no node.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdeploy.cli.options import (
    environment_argument,
    expect_option,
    move_rate_option,
    output_option,
    print_json,
    print_text,
    refresh_option,
    take_over_option,
    vault_password_option,
    without_option,
)
from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.operations.apply import Applied
    from kdeploy.operations.site import Manner


@click.command()
@environment_argument
@click.option(
    "--save",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it as JSON into this file too, for up --expect.",
)
@without_option
@take_over_option
@refresh_option
@move_rate_option
@vault_password_option
@output_option
def preview(
    environment: str,
    save: Path | None,
    without: tuple[str, ...],
    take_over: bool,
    refresh: bool,
    move_rate: float | None,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Show what up would change, and why; changes nothing.

    Files with their differences, nodes with what they are restarted for, settings,
    topics, users, ACLs and quotas. Markdown is made for a pull request's comment;
    JSON can be given to up --expect. With --without, --take-over, --refresh and
    --move-rate it is what up would do with the same.

    Exit code 0: nothing to do. 4: changes are pending.

    \b
    Example: kdeploy preview local
    """
    from kdeploy.cli import changes
    from kdeploy.operations.preview import preview as look
    from kdeploy.operations.site import Manner
    from kdeploy.spec import load

    manner = Manner(without=without, move_rate=move_rate, take_over=take_over, refresh=refresh)
    found = look(load.load(load.find(environment)), vault_password_file, manner)
    if save is not None:
        _save(save, found.to_json())
    if output == "json":
        print_json(found.to_json())
    else:
        text = (
            changes.preview_text(found, _flags(manner))
            if output == "text"
            else changes.preview_markdown(found)
        )
        click.echo(text.rstrip("\n"))
    sys.exit(4 if found.pending else 0)


def _flags(manner: Manner) -> str:
    """What `up` has to be given to do what was shown, as it is typed."""
    from kdeploy.units import format_rate, parse_rate

    words = [f" --without {name}" for name in manner.without]
    if manner.take_over:
        words.append(" --take-over")
    if manner.refresh:
        words.append(" --refresh")
    if (rate := manner.move_rate) is not None:
        said = format_rate(rate).replace(" ", "")
        words.append(f" --move-rate {said if parse_rate(said) == rate else f'{rate:.15g}B/s'}")
    return "".join(words)


def _save(file: Path, document: dict[str, Any]) -> None:
    try:
        file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}\n  name another file with --save"
        ) from None


@click.command()
@environment_argument
@expect_option
@move_rate_option
@vault_password_option
@output_option
def apply(
    environment: str,
    expect: Path | None,
    move_rate: float | None,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Make topics, users, ACLs and quotas what the files say; touches no node.

    The cluster has to be up; `kdeploy up` does the same and everything else too.
    Run it again after any failure: it goes on from what it finds.

    Exit code 6: the lock is older than the environment, another operator is at work, or --expect names
    something else. 7: copies could not be moved in time; everything still serves.

    \b
    Example: kdeploy apply local
    """
    from kdeploy.operations import expected
    from kdeploy.operations.apply import apply as carry_out
    from kdeploy.operations.progress import shown
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    name = loaded.environment.name
    expectation = expected.read(expect, name) if expect else None
    done = carry_out(loaded, shown(), vault_password_file, expectation, move_rate)
    if output == "json":
        print_json(
            {
                "schema": "kdeploy.apply/v1",
                "environment": name,
                "changed": any(one.items for one in done),
                "clusters": [
                    {"datacenter": one.datacenter, "changes": [item.to_json() for item in one.items]}
                    for one in done
                ],
            }
        )
    else:
        print_text("\n\n".join(_applied_text(one) for one in done), output)


def _applied_text(one: Applied) -> str:
    from kdeploy.cli import changes

    if not one.items:
        return f"{one.datacenter}: nothing to do, topics, users, ACLs and quotas are as the files say"
    count = len(one.items)
    head = f"{one.datacenter}: {count} {'changes' if count > 1 else 'change'} made and read back"
    return f"{head}\n{changes.items_text(one.items)}"
