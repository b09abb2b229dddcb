"""`drill`: a failover and a failback with canary topics alone.

Invariant: as every command: parse, call one function, print.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdeploy.cli.failover import dry_run_option
from kdeploy.cli.options import (
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
    yes_option,
)
from kdeploy.cli.report import table
from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.operations.drill_report import DirectionDrilled, Drilled
    from kdeploy.spec.load import Loaded


@click.command()
@environment_argument
@dry_run_option
@yes_option
@vault_password_option
@output_option
def drill(environment: str, dry_run: bool, yes: bool, vault_password_file: Path | None, output: str) -> None:
    """Do a failover and a failback with canary topics, and hold them against rpo and rto.

    Safe in production: topics, groups, rights and connectors of applications stay as they are, and nobody is sent
    elsewhere. A canary topic is made on each side, written, followed to the other side and removed; so is what a
    drill left that was killed. Takes two to four minutes: MirrorMaker looks for new topics each half minute.

    Exit code 5: an objective is missed, or something did not come as it should.

    \b
    Example: kdeploy drill dr-active-passive --yes --output json
    """
    from kdeploy.operations.drill import drill as do
    from kdeploy.operations.progress import shown
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    if dry_run:
        _foresee(loaded, vault_password_file, output)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("this needs a terminal to ask on\n  in a pipeline, add --yes")
        where = "every datacenter" if len(loaded.environment.datacenters) > 2 else "both sides"
        click.confirm(f"Write canary topics to {where} of {loaded.environment.name}?", abort=True, err=True)
    found = do(loaded, shown(), vault_password_file)
    if output == "json":
        print_json(found.to_json())
    else:
        print_text(text(found), output)
    if not found.ok:
        raise SystemExit(5)


def _foresee(loaded: Loaded, vault_password_file: Path | None, output: str) -> None:
    from kdeploy.operations.drill_preview import of_drill

    found = of_drill(loaded, vault_password_file)
    if output == "json":
        print_json(found.to_json())
        return
    where = f"{found.active} is written to" if found.active else "every datacenter is written to"
    lines = [f"{found.environment}: {found.mode}; {where}; nothing was changed"]
    if found.removes:
        lines.append(f"would first remove what a drill left that was killed: {', '.join(found.removes)}")
    lines.append(table([(f"{number:2}.", step) for number, step in enumerate(found.steps, start=1)]))
    lines += [f"It would be refused: {said}" for said in found.refused]
    print_text("\n".join(line for line in lines if line), output)


def text(found: Drilled) -> str:
    """A drill as a person reads it."""
    where = f"{found.active} is written to" if found.active else "every datacenter is written to"
    lines = [f"{found.environment}: {found.mode}; {where}"]
    for one in found.directions:
        lines += ["", *_direction(one)]
    lines += ["", "steps of a failover"]
    lines.append(table([(_seconds(one.seconds), one.what) for one in found.steps]))
    lines += ["", *_objectives(found)]
    lines += [f"FAIL  {one}" for one in found.problems]
    if found.removed:
        lines.append(f"removed of a drill that was killed: {', '.join(found.removed)}")
    return "\n".join(lines)


def _direction(one: DirectionDrilled) -> Iterator[str]:
    how = "" if one.mirrored_now else " (not mirrored this way now; by a connector for the drill alone)"
    yield f"{one.source} to {one.target}{how}"
    rows = [
        ("canary records", f"{one.written:,} written, {one.arrived:,} came, {one.doubled:,} twice"),
        (
            "on the other side",
            f"after {_seconds(one.delay(0.5))} (half), {_seconds(one.delay(0.99))} (99 of 100), "
            f"{_seconds(one.delay(1.0))} (all)",
        ),
        ("lost if it died", f"{one.unmirrored:,} canary records at the worst moment"),
    ]
    if one.behind is not None and one.behind.records is not None:
        rows.append(
            ("applications", f"{one.behind.records:,} records, {_seconds(one.behind.seconds)} behind")
        )
    if one.group is not None:
        again = "not translated"
        if one.group.goes_on is not None:
            again = f"goes on at {one.group.goes_on:,}"
        rows.append(("group", f"at {one.group.committed:,}; {again}; after {_seconds(one.group.seconds)}"))
    yield table(rows)


def _objectives(found: Drilled) -> Iterator[str]:
    for name, objective, seconds, met in (
        ("rpo", found.rpo, found.recovery_point, found.keeps_rpo),
        ("rto", found.rto, found.recovery_time, found.keeps_rto),
    ):
        mark = "ok  " if met else "FAIL"
        yield f"{mark}  {name}: {_seconds(seconds)} measured, {objective:g} s is the objective"


def _seconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:.2f} s"
