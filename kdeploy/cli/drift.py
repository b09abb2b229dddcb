"""`drift`: what differs from git and was not changed by git.

Invariant: nothing is changed unless --accept is given, and then only files in git; the three forms of
output say the same.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kdeploy.cli import report
from kdeploy.cli.options import environment_argument, output_option, print_json, vault_password_option
from kdeploy.errors import Unhealthy

if TYPE_CHECKING:
    from kdeploy.operations.drift import Drift, Drifted

PENDING: Final = 4
"""Exit code where something differs."""

LONGEST: Final = 60
"""Characters of a value that are shown in a table; a longer one is counted."""


@click.command()
@environment_argument
@vault_password_option
@output_option
def drift(environment: str, vault_password_file: Path | None, output: str) -> None:
    """Show what was changed behind git's back: nodes, files, hosts, settings, topics, ACLs.

    Exit code 0: nothing. 4: something; the next up puts it back.

    \b
    Example: kdeploy drift local
    """
    from kdeploy.operations.drift import drift as look
    from kdeploy.spec import load

    found = look(load.load(load.find(environment)), vault_password_file)
    if output == "json":
        print_json(as_json(found))
    else:
        click.echo(as_text(found) if output == "text" else as_markdown(found))
    if found.items:
        sys.exit(PENDING)
    if found.unseen:
        sys.exit(Unhealthy.exit_code)


def as_json(found: Drift) -> dict[str, Any]:
    """The contract `kdeploy.drift/v1`."""
    names = ("layer", "datacenter", "name", "key", "git", "found", "winner", "why")
    return {
        "schema": "kdeploy.drift/v1",
        "environment": found.environment,
        "drifted": bool(found.items),
        "items": [{name: getattr(one, name) for name in names} for one in found.items],
        "unseen": list(found.unseen),
    }


def as_text(found: Drift) -> str:
    """A line for each, by layer, and what to do about them."""
    lines = [_head(found)]
    for layer in dict.fromkeys(one.layer for one in found.items):
        rows = [(one.name, f"{one.key}: {_change(one)}") for one in found.items if one.layer == layer]
        lines += ["", layer, report.table(rows)]
    lines += [f"not seen: {one}" for one in found.unseen]
    return "\n".join([*lines, *_remedy(found)])


def as_markdown(found: Drift) -> str:
    """The same as a table, made for an issue or a job's summary."""
    lines = [f"<!-- kdeploy drift {found.environment} -->", f"### kdeploy drift: {_head(found)}", ""]
    if found.items:
        rows = [
            (one.layer, one.name, one.key, _shown(one.git), _shown(one.found), one.winner)
            for one in found.items
        ]
        head = ("Layer", "Name", "What", "Git", "Found", "Wins")
        lines.append(report.markdown_table([head, *(tuple(map(_inline, row)) for row in rows)]))
    lines += [f"- not seen: {one}" for one in found.unseen]
    return "\n".join([*lines, *_remedy(found)])


def _inline(text: str) -> str:
    """A text that stays in its cell and is not read as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def _head(found: Drift) -> str:
    count = len(found.items)
    if not count:
        return f"{found.environment}: nothing was changed behind git's back"
    return f"{found.environment}: {count} {'thing' if count == 1 else 'things'} changed behind git's back"


def _change(one: Drifted) -> str:
    if one.git is None and one.found is None:
        return one.why
    said = f"git {_shown(one.git)}, found {_shown(one.found)}"
    if _long(one.git) or _long(one.found):
        said = f"{one.why}, {_lines(one)}" if one.found is not None else one.why
    return f"{said} (cannot be put back)" if one.winner == "cluster" else said


def _long(value: str | None) -> bool:
    return value is not None and (len(value) > LONGEST or "\n" in value.strip())


def _lines(one: Drifted) -> str:
    different = difflib.ndiff((one.git or "").splitlines(), (one.found or "").splitlines())
    count = sum(line.startswith(("+ ", "- ")) for line in different)
    return f"{count} lines differ" if one.git is not None else "what git gave is not known any more"


def _shown(value: str | None) -> str:
    if value is None:
        return "nothing"
    return f"{len(value.splitlines())} lines" if _long(value) else value.strip() or "empty"


def _remedy(found: Drift) -> list[str]:
    if not found.items:
        return []
    return ["", f"Put git's back with: kdeploy up {found.environment}"]
