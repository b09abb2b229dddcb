"""`init`, `validate` and `schema`: an environment's files, before anything is planned.

Invariant: nothing is contacted; `validate` finds everything at once, and only `init` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kdeploy.cli.options import output_option, print_json, warn_of
from kdeploy.errors import InvalidEnvironment, UsageError

if TYPE_CHECKING:
    from kdeploy.operations.examine import Examined
    from kdeploy.spec.files import Kind

KINDS = ("environment", "topics", "users", "acls", "quotas", "policies")
"""As `kdeploy.spec.files.Kind`, which would bring the whole model along."""

VALIDATE_SCHEMA = "kdeploy.validate/v1"


@click.command()
@click.argument("name")
@click.option(
    "--from", "origin", metavar="ENV", default="local", show_default=True, help="The one to start from."
)
def init(name: str, origin: str) -> None:
    """Make a new environment, environments/NAME, from an existing or a shipped one.

    Comments are kept; on this machine it gets ports that no other environment uses.

    \b
    Example: kdeploy init mine --from local
    """
    from kdeploy.spec import copy, load

    file = copy.copy(name, load.load(load.find(origin)))
    click.echo(f"{file} is a copy of {origin}")
    click.echo(f"\nNext:\n  edit it, then check it with: kdeploy validate {name}")


@click.command()
@click.argument("environments", metavar="[ENV]...", nargs=-1)
@output_option
def validate(environments: tuple[str, ...], output: str) -> None:
    """Check environments: their files, and every setting they override. All of them without ENV.

    Exit code 0: valid; risky settings are warned of. 2: something is wrong.

    \b
    Example: kdeploy validate prod-eu
    """
    from kdeploy.operations.examine import examine
    from kdeploy.spec import load

    names = environments or load.own()
    if not names:
        raise UsageError("there is no environment here\n  make one with `kdeploy init NAME --from local`")
    found = [examine(folder) for folder in map(load.find, names)]
    if output == "json":
        print_json(_json(found))
    else:
        for one in found:
            _print(one)
    problems = [problem for one in found for problem in one.problems]
    if problems:
        raise InvalidEnvironment(problems)


@click.command()
@click.argument("kind", metavar="[FILE]", type=click.Choice(KINDS), default="environment")
def schema(kind: Kind) -> None:
    """Print the JSON Schema of an environment's file, for editors and other tools.

    FILE is environment (without FILE), topics, users, acls, quotas or policies.

    \b
    Example: kdeploy schema topics > topics.schema.json
    """
    from kdeploy.spec import schema as published

    click.echo(published.render(kind), nl=False)


def _print(examined: Examined) -> None:
    """One line per valid environment on stdout; warnings on stderr."""
    if examined.problems:
        return
    warn_of(examined.risks)
    if not examined.fits:
        click.echo(
            f"warning: {examined.file}: no plan fits it\n  `kdeploy plan {examined.name}` says why", err=True
        )
    click.echo(f"OK {examined.name} ({examined.file})")


def _json(found: list[Examined]) -> dict[str, Any]:
    return {
        "schema": VALIDATE_SCHEMA,
        "valid": not any(one.problems for one in found),
        "environments": [_one_json(one) for one in found],
    }


def _one_json(examined: Examined) -> dict[str, Any]:
    names = ("file", "line", "path", "wrong", "right")
    return {
        "name": examined.name,
        "file": examined.file,
        "valid": not examined.problems,
        "fits": examined.fits,
        "problems": [{name: getattr(problem, name) for name in names} for problem in examined.problems],
        "risks": [
            {
                "name": seen.risk.name,
                "file": seen.file,
                "line": seen.line,
                "path": seen.path,
                "why": seen.risk.why,
            }
            for seen in examined.risks
        ],
    }
