"""What every command shares: how ENV is given, how output is chosen and printed.

Invariant: a result goes to stdout, progress and warnings to stderr; JSON has
sorted keys and a `schema` field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from kdeploy.operations.examine import RiskSeen

Command = TypeVar("Command", bound=Callable[..., Any])


def complete_environment(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Names for the shell's completion."""
    from kdeploy.spec.load import available

    return [name for name in available() if name.startswith(begun)]


environment_argument = click.argument("environment", metavar="ENV", shell_complete=complete_environment)
"""ENV: a name under ./environments, or a path to a folder."""

OUTPUTS: Final = ("text", "json", "markdown")
"""How every result can be printed."""


def output_option_with(*more: str) -> Callable[[Command], Command]:
    """`--output` of a command whose result can be printed in more ways than all others."""
    return click.option(
        "--output",
        type=click.Choice([*OUTPUTS, *more]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )


output_option = output_option_with()
"""`--output`, wherever a result is printed."""

yes_option = click.option("--yes", is_flag=True, help="Go ahead without asking (for pipelines).")
"""`--yes`, wherever a command would ask."""

vault_password_option = click.option(
    "--vault-password-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the vault's password (not needed for provider local).",
)
"""`--vault-password-file`, wherever the vault is opened."""

accept_unavailable_option = click.option(
    "--accept-unavailable",
    "accepted",
    multiple=True,
    metavar="TOPIC",
    help="Restart although acks=all producers cannot write to this topic meanwhile; can be repeated.",
)
"""`--accept-unavailable`, wherever nodes are restarted."""

by_rack_option = click.option(
    "--by-rack", is_flag=True, help="Restart all brokers of a rack together, one rack at a time."
)
"""`--by-rack`, wherever nodes are restarted."""


expect_option = click.option(
    "--expect",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A saved preview (JSON): exit with 6, and change nothing, if it is not what would be done.",
)
"""`--expect`, wherever what preview shows is carried out."""


class _Rate(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A rate with its unit, as files have it."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        from kdeploy.units import parse_rate

        try:
            rate = float(value) if isinstance(value, float) else parse_rate(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 1 <= rate <= 1e12:
            self.fail(f"{value!r} is no rate to move copies at; write it like 100MB/s", param, ctx)
        return rate


move_rate_option = click.option(
    "--move-rate",
    type=_Rate(),
    metavar="RATE",
    help="Move copies at this rate for each broker, like 100MB/s, in place of the environment's moving.rate.",
)
"""`--move-rate`, wherever copies of partitions are moved."""


without_option = click.option(
    "--without",
    multiple=True,
    metavar="NODE",
    help="Leave this node (or datacenter), which is down, as it is, and change the others; can be repeated.",
)
"""`--without`, wherever a whole environment is brought up, or shown what that would do."""


take_over_option = click.option(
    "--take-over",
    is_flag=True,
    help="Let this folder have the nodes on this machine that belong to another folder (provider local).",
)
"""`--take-over`, wherever a whole environment is brought up, or shown what that would do."""


refresh_option = click.option(
    "--refresh",
    is_flag=True,
    help="Ask AWS first what became of all that was made there; what is not as it was made is put back.",
)
"""`--refresh`, wherever a whole environment is brought up, or shown what that would do."""


def print_text(text: str, output: str) -> None:
    """Print a text for people; as markdown, in a block of its own that keeps its columns."""
    click.echo(f"```text\n{text}\n```" if output == "markdown" else text)


def print_json(document: dict[str, Any]) -> None:
    """Print a document for machines: sorted keys, so that a difference means something."""
    click.echo(json.dumps(document, sort_keys=True, indent=2))


def warn_of(risks: Sequence[RiskSeen]) -> None:
    """Print each risk an environment takes, with its place and how to silence it, to stderr."""
    for seen in risks:
        place = f"{seen.file}:{seen.line}" if seen.line else seen.file
        click.echo(f"warning: {place}: {seen.path}: {seen.risk.why} ({seen.risk.name})", err=True)
        click.echo(f"  {seen.risk.silence}", err=True)
