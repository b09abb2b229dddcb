"""Write the generated documents anew: the command reference and the README's blocks.

    python docs/generate.py           write them
    python docs/generate.py --check   say which are not current; exit code 1 if any

Invariant: between a pair of `<!-- generated: NAME -->` and `<!-- end -->` lines, and in
docs/commands.md as a whole, stands exactly what the commands themselves print.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click
from click.testing import CliRunner

from kdeploy.cli import COMMANDS, kdeploy

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_of(*words: str) -> str:
    """What `kdeploy WORDS --help` prints on a terminal of 80 columns."""
    return run(*words, "--help")


def run(*words: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    result = CliRunner().invoke(kdeploy, list(words), prog_name="kdeploy", terminal_width=80)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout.rstrip() + "\n"


def commands() -> str:
    """The command reference, whole."""
    head = "# Commands\n\nWhat each command says of itself. This page is generated: `make docs`.\n"
    context = click.Context(kdeploy)
    return "\n".join(
        [head, *(_command(context, (name,), kdeploy.get_command(context, name)) for name in COMMANDS)]
    )


def _command(context: click.Context, words: tuple[str, ...], command: click.Command | None) -> str:
    text = f"{'#' * (1 + len(words))} kdeploy {' '.join(words)}\n\n```text\n{help_of(*words)}```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            text += "\n" + _command(context, (*words, name), command.get_command(context, name))
    return text


def _overview() -> str:
    rows = "".join(
        f"| [`{name}`](docs/commands.md#kdeploy-{name}) | {text} |\n" for name, (_, text) in COMMANDS.items()
    )
    return f"\n| command | what it does |\n|---|---|\n{rows}\n"


def _plan() -> str:
    return f"\n```text\n$ kdeploy plan --throughput 200MB/s\n{run('plan', '--throughput', '200MB/s')}```\n\n"


BLOCKS: dict[str, Callable[[], str]] = {"commands": _overview, "plan": _plan}
"""What stands in a generated block of the README, by its name."""


def documents() -> dict[Path, str]:
    """Every generated document as it should be, by its path."""
    readme = ROOT / "README.md"
    text = BLOCK.sub(lambda found: found[1] + BLOCKS[found["name"]]() + found[3], readme.read_text())
    return {ROOT / "docs" / "commands.md": commands(), readme: text}


def main() -> None:
    """Write or check."""
    stale = {
        path: text for path, text in documents().items() if not path.exists() or path.read_text() != text
    }
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run `make docs`")
        sys.exit(1 if stale else 0)
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
