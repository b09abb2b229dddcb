"""Write the generated documents anew: the command reference, the schemas, and the blocks in pages.

    python docs/generate.py           write them
    python docs/generate.py --check   say which are not current; exit code 1 if any

Invariant: between a pair of `<!-- generated: NAME -->` and `<!-- end -->` lines, and in
docs/commands.md, docs/reliability.md, docs/validation.md, docs/*.schema.json, docs/schemas and each role's README.md
as a whole, stands exactly what the commands, docs/evidence.json, docs/benchmarks.yaml, the schemas and the roles
themselves say.
"""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from kdeploy.cli import COMMANDS, kdeploy
from kdeploy.planner.catalogue import excluded
from kdeploy.planner.figures import assumptions
from kdeploy.spec import schema
from kdeploy.spec.files import BESIDE, Kind
from kdeploy.spec.risks import RISKS
from kdeploy.spec.roles import ROLES, Rule

ROOT = Path(__file__).resolve().parents[1]
VALIDATION = ROOT / "docs" / "validation"
BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_of(*words: str) -> str:
    """What `kdeploy WORDS --help` prints on a terminal of 80 columns."""
    return run(*words, "--help")


def run(*words: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    # A document shows what is shipped, whatever catalogue its author has refreshed.
    shipped = {"KDEPLOY_CATALOGUE": str(ROOT / "docs" / "no-catalogue.json")}
    result = CliRunner().invoke(kdeploy, list(words), prog_name="kdeploy", terminal_width=80, env=shipped)
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
    """A real plan, without the assumptions at its end: docs/planner.md has them."""
    title = "What it rests on\n"
    shown, _, _ = run("plan", "--throughput", "200MB/s").partition(title)
    rest = "  every number of the model with its source, as in docs/planner.md\n"
    return f"\n```text\n$ kdeploy plan --throughput 200MB/s\n{shown}{title}{rest}```\n\n"


def _settings(kind: Kind = "environment") -> str:
    """Every setting of a file, from its published schema."""
    rows = "".join(
        f"| `{path}` | {_takes(part)} | {_default(part)} | {_cell(part.get('description', ''))} |\n"
        for path, part in schema.fields(kind)
    )
    return f"\n| setting | takes | default | what it is |\n|---|---|---|---|\n{rows}\n"


def _takes(part: dict[str, Any]) -> str:
    kind = schema.kind_of_quantity(part)
    if kind:
        return f"{kind}, like {part['examples'][0]}"
    known = part.get("enum", ())
    if 0 < len(known) <= MOST_NAMED:
        return ", ".join(f"`{one}`" for one in known)
    if part.get("type") == "array":
        return f"list of {_takes(part['items'])}" if "type" in part["items"] else "list"
    if part["type"] == ["number", "string"]:
        return f"number, {part['minimum']:,} to {part['maximum']:,}, or a range like 1.5..3"
    name = {"object": "map", "string": "text", "boolean": "true or false"}.get(part["type"], part["type"])
    low, high = part.get("minimum"), part.get("maximum")
    return f"{name}, {low:,} to {high:,}" if low is not None and high is not None else str(name)


def _default(part: dict[str, Any]) -> str:
    default = part.get("default")
    return "" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def _risks() -> str:
    """Every named risk and why it is one."""
    rows = "".join(f"| `{name}` | {why} |\n" for name, (_, why) in sorted(RISKS.items()))
    return f"\n| name | why |\n|---|---|\n{rows}\n"


def _acl_roles() -> str:
    """What each role may do, with the names that a grant has."""
    rows = "".join(
        f"| `{name}` | `{rule.field}`{'' if rule.field in role.needs else ', if any'} "
        f"| {rule.resource}{_ending(rule)} | {', '.join(rule.operations)} |\n"
        for name, role in ROLES.items()
        for rule in role.rules
    )
    return f"\n| role | named by | resource | operations |\n|---|---|---|---|\n{rows}\n"


def _ending(rule: Rule) -> str:
    return f"s that begin with it and `{rule.ending}`" if rule.ending else ""


def _assumptions() -> str:
    """Every number the planner rests on, as a plan lists them."""
    rows = "".join(f"| {one.name} | {one.value} | {one.source} |\n" for one in assumptions(mirrored=True))
    return f"\n| what | value | source |\n|---|---|---|\n{rows}\n"


def validation() -> str:
    """The published figures beside the model's; the package beside this module asks for them."""
    name = "kdeploy_validation"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, VALIDATION / "__init__.py", submodule_search_locations=[str(VALIDATION)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{VALIDATION} cannot be loaded")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    page: str = sys.modules[name].page()
    return page


def reliability() -> str:
    """What was killed and what became of the records, from docs/evidence.json."""
    rows = json.loads((ROOT / "docs" / "evidence.json").read_text())["rows"]
    read = [row for row in rows if row["checked"]]
    total = {key: sum(row[key] for row in read) for key in ("acknowledged", *BAD)}
    head = RELIABILITY.format(
        rows=len(rows),
        passed=sum(row["result"] == "passed" for row in rows),
        tries=sum(row["tries"] for row in rows),
        **total,
    )
    lines = "".join(
        f"| {row['name']} | {row['tries']} | {row['acknowledged']:,} | "
        + " | ".join("not read" if row[key] is None else str(row[key]) for key in BAD)
        + f" | {_pause(row)} | {row['seconds']:.0f} | {row['result']} | `{row['commit']}`, {row['seed']} |\n"
        for row in rows
    )
    columns = ("what", "kills", "acknowledged", "lost", "out of order", "again", "pause", "seconds", "result")
    title = " | ".join((*columns, "commit, seed"))
    return f"{head}\n| {title} |\n|{'---|' * (len(columns) + 1)}\n{lines}"


def _pause(row: dict[str, Any]) -> str:
    """The longest that a producer waited, where the row was run since that is measured."""
    return f"{row['pause']} s" if "pause" in row and row["checked"] else "-"


BAD = ("lost", "out_of_order", "duplicates")

RELIABILITY = """# Reliability

Real clusters on one machine, killed with SIGKILL while a producer writes (acks=all, idempotent, SCRAM over
TLS, topic.metadata.refresh.interval.ms 2000, numbered records into six partitions of a topic with three copies).
A row passed when the same command, run again, finished, `kdeploy verify` passed, and everything that this
cluster ever acknowledged was read back and compared; `down --delete-data` leaves nothing to read. `ctrl-c` rows
are stopped by SIGINT instead. `hosts-` rows are of six systemd hosts in namespaces of one machine, changed over SSH:
something happens to one of them, or to kdeploy, while brokers are restarted one by one, and a consumer reads along
and gets everything in order. A row holds its last run only; the suite fails when a row of the fault table is
missing here or did not pass. This page is generated from [evidence.json](evidence.json), which `make soak`
writes; `KDEPLOY_SEED` repeats a run's random moments. A pause is the longest time between two acknowledgements of
one partition.

{rows} rows, {passed} passed; {tries} kills and other faults; {acknowledged:,} records acknowledged and read back, \
{lost} lost, {out_of_order} out of order, {duplicates} there again.

None of this says what becomes of a machine that loses its power or of disks that fail, nor of a network that splits
in ways other than one broker cut off. Nor is the speed: two processors held six nodes, the producer, kdeploy
and other work. On a machine so busy that nothing of a disk write finishes for a minute, brokers leave the
in-sync replicas, producers wait, and `up` ends with exit code 5 and says which check failed; run again when the
machine has time, it finishes.
"""


def _excluded() -> str:
    """Why types of AWS's list are not in the shipped catalogue."""
    rows = "".join(f"| {reason} | {count} |\n" for reason, count in excluded().items())
    return f"\n| why | types |\n|---|---:|\n{rows}\n"


MOST_NAMED = 11
"""Values that are all named in the table of settings; of longer lists the schema has the names."""


PLAYBOOKS = ROOT / "kdeploy" / "playbooks" / "roles"


def _specs() -> dict[Path, dict[str, Any]]:
    """What each role takes, from its argument_specs.yml, by its folder."""
    from ruamel.yaml import YAML

    return {
        folder: YAML(typ="safe").load(folder / "meta/argument_specs.yml")["argument_specs"]["main"]
        for folder in sorted(PLAYBOOKS.iterdir())
    }


def _roles() -> str:
    """Each role with what it takes."""
    parts = [
        f"### {folder.name}\n\n{main['short_description']}.\n\n{_variables(main)}"
        for folder, main in _specs().items()
    ]
    return "\n" + "\n".join(parts) + "\n"


def _variables(main: dict[str, Any]) -> str:
    """A table of a role's variables."""
    rows = "".join(
        f"| `{name}` | {option['type']} | {_optional(option)} | {_cell(option['description'])} |\n"
        for name, option in main["options"].items()
    )
    return f"| variable | type | default | what it is |\n|---|---|---|---|\n{rows}"


def readme_of(folder: Path, main: dict[str, Any]) -> str:
    """A role's README: what it does, what it takes, and in what order its tasks are."""
    from ruamel.yaml import YAML

    said = "".join(f"\n{text}\n" for text in main.get("description", ()))
    tasks = YAML(typ="safe").load(folder / "tasks/main.yml")
    steps = "".join(f"{number}. {task['name']}\n" for number, task in enumerate(tasks, 1))
    inner = "".join(
        f"\nEach of `{name}` has:\n\n{_variables(option)}"
        for name, option in main["options"].items()
        if option.get("options")
    )
    return README.format(
        name=folder.name,
        short=main["short_description"],
        said=said,
        variables=_variables(main) + inner,
        steps=steps,
    )


README = """# {name}

{short}.
{said}
## What it takes

{variables}
## What it does

{steps}
Everything is decided before: kdeploy gives the variables, and the role computes nothing. Its tag is `{name}`. This page is
generated from `meta/argument_specs.yml` and `tasks/main.yml` by `docs/generate.py`.
"""


def _optional(option: dict[str, Any]) -> str:
    return "required" if option.get("required") else f"`{json.dumps(option['default'])}`"


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": _overview,
    "plan": _plan,
    "settings": _settings,
    **{f"fields-{kind}": partial(_settings, kind) for kind in BESIDE},
    "acl-roles": _acl_roles,
    "risks": _risks,
    "assumptions": _assumptions,
    "excluded": _excluded,
    "roles": _roles,
}
"""What stands in a generated block of a document, by its name."""


def documents() -> dict[Path, str]:
    """Every generated document as it should be, by its path."""
    mixed = (
        ROOT / "README.md",
        ROOT / "docs" / "environments.md",
        ROOT / "docs" / "resources.md",
        ROOT / "docs" / "planner.md",
        ROOT / "docs" / "hosts.md",
    )
    return {
        ROOT / "docs" / "commands.md": commands(),
        ROOT / "docs" / "reliability.md": reliability(),
        ROOT / "docs" / "validation.md": validation(),
        **{folder / "README.md": readme_of(folder, main) for folder, main in _specs().items()},
        **{ROOT / "docs" / f"{kind}.schema.json": schema.render(kind) for kind in ("environment", *BESIDE)},
        **runpy.run_path(str(ROOT / "docs" / "contracts.py"))["texts"](),
        **{path: BLOCK.sub(_block, path.read_text()) for path in mixed},
    }


def _block(found: re.Match[str]) -> str:
    return found[1] + BLOCKS[found["name"]]() + found[3]


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
