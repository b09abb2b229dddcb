"""`drift` and `import`: what a cluster has that git does not say, and how git comes to say it.

Invariant: only files that belong to git are ever written, by `import` and by --accept; the three forms of
output say the same.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kdeploy.cli import changes, report
from kdeploy.cli.options import (
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
)
from kdeploy.errors import Unhealthy

if TYPE_CHECKING:
    from kdeploy.operations.adopt import Accepted, Imported
    from kdeploy.operations.drift import Drift, Drifted

PENDING: Final = 4
"""Exit code where something differs."""

LONGEST: Final = 60
"""Characters of a value that are shown in a table; a longer one is counted."""


@click.command()
@environment_argument
@click.option(
    "--accept", is_flag=True, help="Write it into the environment's files, as far as they can say it."
)
@vault_password_option
@output_option
def drift(environment: str, accept: bool, vault_password_file: Path | None, output: str) -> None:
    """Show what was changed behind git's back: in AWS, nodes, files, hosts, settings, topics, users, ACLs, quotas.

    Exit code 0: nothing, or all of it is accepted. 4: something; up puts it back (what is in AWS with --refresh), but for
    what is marked. 5: nothing was found where it could be looked, which was not everywhere.

    \b
    Example: kdeploy drift local
    """
    from kdeploy.operations import adopt
    from kdeploy.operations.drift import drift as look
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    accepted = None
    if accept:
        found, accepted = adopt.look_and_accept(loaded, vault_password_file)
    else:
        found = look(loaded, vault_password_file)
    if output == "json":
        print_json(as_json(found, accepted))
    else:
        text = as_text(found, accepted) if output == "text" else as_markdown(found, accepted)
        click.echo(text)
    if found.items if accepted is None else accepted.left:
        sys.exit(PENDING)
    if found.unseen:
        sys.exit(Unhealthy.exit_code)


@click.command(name="import")
@environment_argument
@click.option(
    "--datacenter",
    metavar="NAME",
    help="Whose cluster is declared; without it all of them have to hold the same.",
)
@vault_password_option
@output_option
def import_(environment: str, datacenter: str | None, vault_password_file: Path | None, output: str) -> None:
    """Declare what a running cluster holds: topics, users, ACLs and quotas that no file declares yet.

    Writes topics.yaml, users.yaml, acls.yaml and quotas.yaml beside environment.yaml, or adds to them.
    Passwords cannot be read: users keep theirs, with `credentials: unmanaged`. It has to be a cluster that
    `kdeploy up` brought up, and is not changed.

    \b
    Example: kdeploy import mine
    """
    from kdeploy.operations import adopt
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    done = adopt.import_(loaded, vault_password_file, datacenter)
    if output == "json":
        print_json(imported_json(loaded.environment.name, done))
    else:
        print_text(imported_text(loaded.environment.name, done), output)


def imported_json(environment: str, done: Imported) -> dict[str, Any]:
    """The contract `kdeploy.import/v1`."""
    return {
        "schema": "kdeploy.import/v1",
        "environment": environment,
        "files": [str(file) for file in done.files],
        "topics": list(done.topics),
        "users": list(done.users),
        "quotas": list(done.quotas),
        "left_out": list(done.left_out),
    }


def imported_text(environment: str, done: Imported) -> str:
    """How much was written where."""
    if not done.files:
        lines = [f"{environment}: everything that the cluster holds is declared already"]
    else:
        counts = (("topics", done.topics), ("users", done.users), ("quotas", done.quotas))
        said = ", ".join(f"{len(names)} {kind}" for kind, names in counts)
        lines = [f"{environment}: declared {said}", *(f"  wrote {file}" for file in done.files)]
        lines.append(f"See that nothing would change with: kdeploy preview {environment}")
    return "\n".join([*lines, *(f"left out: {one}" for one in done.left_out)])


def as_json(found: Drift, accepted: Accepted | None = None) -> dict[str, Any]:
    """The contract `kdeploy.drift/v1`."""
    names = ("layer", "datacenter", "name", "key", "git", "found", "winner", "why")
    return {
        "accepted": None
        if accepted is None
        else {
            "files": [str(file) for file in accepted.files],
            "left": [{**_names(one), "why": why} for one, why in accepted.left],
        },
        "schema": "kdeploy.drift/v1",
        "environment": found.environment,
        "drifted": bool(found.items),
        "items": [{name: getattr(one, name) for name in names} for one in found.items],
        "unseen": list(found.unseen),
    }


def as_text(found: Drift, accepted: Accepted | None = None) -> str:
    """A line for each, by layer, and what to do about them."""
    lines = [_head(found)]
    for layer in dict.fromkeys(one.layer for one in found.items):
        rows = [(one.name, f"{one.key}: {_change(one)}") for one in found.items if one.layer == layer]
        lines += ["", layer, report.table(rows)]
    lines += [report.filled(f"not seen: {one}", "  ") for one in found.unseen]
    return "\n".join([*lines, *_remedy(found, accepted)])


def as_markdown(found: Drift, accepted: Accepted | None = None) -> str:
    """The same as a table, made for an issue or a job's summary: what a forge would not take is left out, and said to be."""
    head = f"<!-- kdeploy drift {found.environment} -->\n### kdeploy drift: {changes.escaped(_head(found))}\n"
    rest = [f"- not seen: {changes.escaped(one)}" for one in found.unseen] + _remedy(found, accepted)
    text = changes.within(head.splitlines(), _rows(found), changes.TABLES)
    return "\n".join(changes.within([*text, ""], rest, changes.LIMIT))


def _rows(found: Drift) -> list[str]:
    """The lines of the table, as cells that hold whatever is in them; none where nothing is to be told."""
    titles = ("Layer", "Name", "What", "Git", "Found", "Wins")
    cells = [
        tuple(
            map(
                changes.escaped,
                (one.layer, one.name, one.key, _shown(one.git), _shown(one.found), one.winner),
            )
        )
        for one in found.items
    ]
    return ["", *report.markdown_table([titles, *cells]).splitlines()] if cells else []


def _names(one: Drifted) -> dict[str, str]:
    return {"layer": one.layer, "name": one.name, "key": one.key}


def _head(found: Drift) -> str:
    count = len(found.items)
    if not count and found.unseen:
        return f"{found.environment}: nothing was found, and not everything could be looked at"
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


def _remedy(found: Drift, accepted: Accepted | None) -> list[str]:
    if not found.items:
        return []
    name = found.environment
    if accepted is None:
        if any(one.winner == "cluster" for one in found.items):
            first = "What cannot be put back has to be in the files first, by hand or, with all"
            rest = f"else that was found, with: kdeploy drift {name} --accept"
            return ["", first, rest, f"Then put git's back with: {_up(name, found.items)}"]
        back = [f"Put git's back with: {_up(name, found.items)}"]
        return ["", *back, f"or have git say what was found with: kdeploy drift {name} --accept"]
    lines = ["", f"accepted {len(accepted.items)} of {len(found.items)}"]
    lines += [f"  wrote {file}" for file in accepted.files]
    lines += [f"  not accepted: {one.name}, {one.key}: {why}" for one, why in accepted.left]
    if not accepted.left:
        return lines
    return [*lines, f"Put the rest back with: {_up(name, [one for one, _ in accepted.left])}"]


def _up(name: str, items: Sequence[Drifted]) -> str:
    """The command that puts things back: what AWS is not asked for is not known to be otherwise there."""
    return f"kdeploy up {name}" + (" --refresh" if any(one.layer == "resources" for one in items) else "")
