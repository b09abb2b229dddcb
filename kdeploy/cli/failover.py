"""`failover` and `failback`: which datacenter is written to.

Invariant: as every command: parse, call one function, print.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdeploy.cli.options import (
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
    yes_option,
)
from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdeploy.operations.failover_report import Report


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Say step by step what would be done, with what is known now; change nothing.",
)


@click.command()
@environment_argument
@click.option("--to", required=True, metavar="DATACENTER", help="The datacenter that is to be written to.")
@click.option(
    "--from",
    "lost",
    metavar="DATACENTER",
    help="The one whose place it takes; left out, the other one of two, or of more the only one that does not answer.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on without records that were acknowledged and not mirrored, where the primary does not answer.",
)
@dry_run_option
@yes_option
@vault_password_option
@output_option
def failover(
    environment: str,
    to: str,
    lost: str | None,
    accept_loss: bool,
    dry_run: bool,
    yes: bool,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Have another datacenter written to, and say what that took and cost.

    Where the primary answers, it is fenced by its access lists, everything is mirrored, and nothing is lost. Where
    it does not, what it acknowledged last is given up, which has to be said: --accept-loss. It is fenced as soon as
    it is brought up again. Killed at any moment, the same command finishes.

    With active-active nobody is fenced and nothing is lost: clients are sent elsewhere. Of three datacenters and more
    these are the clients of one, the one that is lost; the others' stay where they are.

    \b
    Example: kdeploy failover dr-active-passive --to standby
    """
    from kdeploy.operations.failover import failover as fail_over
    from kdeploy.operations.progress import shown
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    if dry_run:
        from kdeploy.operations import failover_preview

        return _print(
            failover_preview.of_failover(loaded, to, vault_password_file, lost=lost, accept_loss=accept_loss),
            output,
        )
    question = f"Have {to} written to in {loaded.environment.name}, and nothing else any more?"
    wanted = loaded.environment.mirroring
    if len(loaded.environment.datacenters) > 2 and wanted and wanted.mode == "active-active":
        whose = lost or "the datacenter that does not answer"
        question = f"Hand out {to} to the clients of {whose} in {loaded.environment.name}?"
    _ask(question, yes)
    report = fail_over(loaded, to, shown(), vault_password_file, lost=lost, accept_loss=accept_loss)
    return _print(report, output)


@click.command()
@environment_argument
@click.option(
    "--export",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for records that the old primary alone has; by default in the state folder.",
)
@dry_run_option
@yes_option
@vault_password_option
@output_option
def failback(
    environment: str,
    export: Path | None,
    dry_run: bool,
    yes: bool,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Give the datacenter that was written to before its place back.

    It is fenced, what it alone has is written to files, what was written since is mirrored to it, and then it
    takes over as by a planned failover, which loses nothing. Where the other one was lost, and where it was
    declared is written to, that one takes part again and nothing moves.

    \b
    Example: kdeploy failback dr-active-passive --export unmirrored
    """
    from kdeploy.operations.failback import failback as fail_back
    from kdeploy.operations.progress import shown
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    if dry_run:
        from kdeploy.operations import failover_preview

        return _print(failover_preview.of_failback(loaded, vault_password_file, export), output)
    _ask(f"Have {loaded.environment.name} written to where it was before the failover?", yes)
    report = fail_back(loaded, shown(), vault_password_file, export=export)
    return _print(report, output)


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this needs a terminal to ask on\n  in a pipeline, add --yes")
    click.confirm(question, abort=True, err=True)


def _print(report: Report, output: str) -> None:
    if output == "json":
        print_json(report.to_json())
    else:
        print_text(text(report), output)


def text(report: Report) -> str:
    """A report as a person reads it."""
    if report.dry_run and report.handed is None:
        return "\n".join(_foreseen(report))
    from kdeploy.cli.report import table
    from kdeploy.units import format_duration

    if report.handed is not None:
        return "\n".join(_handed(report, report.handed))
    where = f"{report.environment}: {_who(report)} is written to"
    head = (
        f"{where} already (decision {report.epoch})"
        if report.already
        else f"{where} (decision {report.epoch})"
    )
    lines = [head]
    if report.returned:
        lines.append(f"  {report.returned} takes part again: what was written since is mirrored to it")
    elif report.planned:
        lines.append("  records lost: 0; everything was mirrored before")
    else:
        lines += _lost(report)
    if report.rto is not None:
        lines.append(f"  recovery time: {format_duration(max(report.rto, 0.1))} until it could be written to")
    if report.exported:
        folder, count = report.exported
        lines.append(f"  records that {report.alone} alone had: {count:,}, in {folder}")
    if report.steps:
        lines.append(table([(f"{one.seconds or 0.0:6.1f} s", one.what) for one in report.steps], "  "))
    lines.append(f"  clients: kdeploy clients {report.environment}")
    lines += _groups(report)
    return "\n".join(lines)


def _handed(report: Report, handed: Mapping[str, str]) -> Iterator[str]:
    """A report on three datacenters and more, of which all are written to, as a person reads it."""
    from kdeploy.cli.report import table

    sent = [f"clients of {one} {{are}} handed out {to}" for one, to in sorted(handed.items())]
    said = ", ".join(sent) or "every datacenter's clients {are} handed out their own"
    said = said.format(are="would be" if report.dry_run and not report.already else "are")
    if report.already:
        said += " already"
    changed = "; nothing was changed" if report.dry_run else ""
    yield f"{report.environment}: {said} (decision {report.epoch}){changed}"
    if report.target and not report.planned:
        yield f"  nothing is lost: what {report.source} acknowledged is mirrored when it is back"
        yield from _not_there_yet(report)
    if report.steps and report.dry_run:
        yield table([(f"{number:2}.", one.what) for number, one in enumerate(report.steps, start=1)])
    elif report.steps:
        yield table([(f"{one.seconds or 0.0:6.1f} s", one.what) for one in report.steps], "  ")
    if not report.dry_run:
        yield f"  clients: kdeploy clients {report.environment}"
    yield from _groups(report)
    for refused in report.refused:
        yield ""
        yield f"It would be refused: {refused}"


def _not_there_yet(report: Report) -> Iterator[str]:
    """What clients of a datacenter that does not answer do not find where they are sent, as far as can be known without it."""
    from kdeploy.units import format_duration

    if report.lost is None:
        yield f"  not in {report.target} until then: not known"
        return
    yield f"  not in {report.target} until then: about {report.lost:,} records, as far as can be known without it"
    if report.doubt:
        yield f"    {report.doubt.at_most:,} at most, if it died when it was last seen"
    if report.rpo is not None:
        yield f"  recovery point: {format_duration(report.rpo)} since the last record that was mirrored"


def _who(report: Report) -> str:
    return report.target or "every datacenter"


def _lost(report: Report) -> Iterator[str]:
    """What is lost with a datacenter that does not answer, as far as can be known without it."""
    from kdeploy.units import format_duration

    if report.lost is None:
        yield "  records lost: not known; `kdeploy failback` counts them"
    elif report.counted:
        yield f"  records that {report.source} alone has: {report.lost:,}; `kdeploy failback` exports them"
    else:
        yield f"  records lost: about {report.lost:,}, as far as can be known without {report.source}"
    if report.doubt:
        seen = report.doubt.seen.replace("T", " ").replace("+00:00", " UTC")
        yield f"    {report.doubt.at_most:,} at most, if it died when it was last seen: {seen}"
        yield f"    {report.doubt.if_written:,} if it lives and was written to till now: a cut line looks so too"
    if report.rpo is not None:
        yield f"  recovery point: {format_duration(report.rpo)} since the last record that was mirrored"


def _groups(report: Report) -> Iterator[str]:
    """What each group reads again at most and who could not go on with it, where it was looked at."""
    from kdeploy.cli.report import table

    if report.groups:
        rows = [("group", "read again, at most", "skipped", "without an offset")]
        rows += [
            (one.group, f"{one.re_read:,}", f"{one.skipped:,}", f"{one.untranslated:,}")
            for one in report.groups
        ]
        yield ""
        yield table(rows)
    if report.notes:
        yield ""
        yield from report.notes
    for warning in report.warnings:
        yield ""
        yield f"warning: {warning}"


def _foreseen(report: Report) -> Iterator[str]:
    """A report of what would be done as a person reads it."""
    from kdeploy.cli.report import table

    where = f"{report.environment}: {_who(report)}"
    if report.already:
        yield f"{where} is written to already (decision {report.epoch}); nothing was changed, and this would be done"
    else:
        yield f"{where} would be written to (decision {report.epoch}); nothing was changed"
    if report.returned:
        yield f"  {report.returned} would take part again"
    elif report.planned:
        yield "  records lost: 0; everything is mirrored first"
    elif report.lost is None:
        yield f"  records lost: unknown; nothing was ever mirrored from {report.source}"
    else:
        yield from _lost(report)
    yield table([(f"{number:2}.", one.what) for number, one in enumerate(report.steps, start=1)])
    yield from _groups(report)
    for said in report.refused:
        yield ""
        yield f"It would be refused: {said}"
