"""`up`, `status`, `verify`, `down`: a cluster's life, from files to stopped.

Invariant: nothing is deleted that nobody named: at a terminal the environment's name is typed, elsewhere
`--yes` is given. What was done is printed also where a check then fails (exit code 5).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdeploy.cli import report
from kdeploy.cli.options import (
    accept_unavailable_option,
    by_rack_option,
    environment_argument,
    expect_option,
    move_rate_option,
    output_option,
    print_json,
    print_text,
    refresh_option,
    take_over_option,
    vault_password_option,
    warn_of,
    without_option,
    yes_option,
)
from kdeploy.errors import Unhealthy, UsageError

if TYPE_CHECKING:
    from kdeploy.operations.progress import Progress
    from kdeploy.operations.up import Outcome
    from kdeploy.spec.load import Loaded


def _load(environment: str) -> Loaded:
    from kdeploy.spec import load

    return load.load(load.find(environment))


def _progress() -> Progress:
    from kdeploy.operations.progress import shown

    return shown()


def _exit_unless(ok: Iterable[bool]) -> None:
    if not all(ok):
        sys.exit(Unhealthy.exit_code)


@click.command()
@environment_argument
@click.option("--dry-run", is_flag=True, help="Change nothing, and show what would change, as preview does.")
@click.option(
    "--canary", is_flag=True, help="Restart only the first node (or rack) that needs it; up again goes on."
)
@by_rack_option
@accept_unavailable_option
@without_option
@take_over_option
@refresh_option
@expect_option
@move_rate_option
@vault_password_option
@output_option
def up(
    environment: str,
    dry_run: bool,
    canary: bool,
    by_rack: bool,
    accepted: tuple[str, ...],
    without: tuple[str, ...],
    take_over: bool,
    refresh: bool,
    expect: Path | None,
    move_rate: float | None,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Make the cluster what the environment says: plan, render, start, secure, verify.

    Run it again after any failure or crash: it goes on from what it finds.

    Exit code 3: no plan fits. 4: a dry run finds changes. 5: deployed, but a check fails. 6: the lock is older than the environment,
    another operator is at work, or --expect names something else. 7: it was not safe to go on in time;
    everything still serves.

    \b
    Example: kdeploy up local
    """
    from kdeploy.operations import expected
    from kdeploy.operations.examine import risks_of
    from kdeploy.operations.site import Manner
    from kdeploy.operations.up import up as bring_up

    if dry_run:
        partly = next(
            (f"--{name}" for name, given in (("expect", expect), ("canary", canary)) if given), None
        )
        if partly is not None:
            raise UsageError(f"--dry-run shows all that would change now, without {partly}: leave one out")
        _preview(
            environment=environment,
            without=without,
            take_over=take_over,
            refresh=refresh,
            move_rate=move_rate,
            vault_password_file=vault_password_file,
            output=output,
        )
        return
    loaded = _load(environment)
    warn_of(risks_of(loaded))
    _engine_ready(loaded)
    outcomes = bring_up(
        loaded,
        _progress(),
        vault_password_file,
        Manner(
            canary=canary,
            accepted=accepted,
            by_rack=by_rack,
            without=without,
            move_rate=move_rate,
            take_over=take_over,
            refresh=refresh,
        ),
        expected.read(expect, loaded.environment.name) if expect else None,
    )
    if output == "json":
        print_json(report.outcomes_json(loaded.environment.name, outcomes))
    else:
        parts = [report.outcome_text(outcome) for outcome in outcomes]
        print_text("\n".join([*parts, _next_steps(environment, outcomes)]), output)
    _exit_unless(outcome.report.ok for outcome in outcomes)


def _preview(**options: Any) -> None:  # noqa: ANN401 - those of `preview`, which holds their types
    """What `up` would do, as `preview` shows it."""
    from kdeploy.cli.preview import preview

    click.get_current_context().invoke(preview, **options)


def _engine_ready(loaded: Loaded) -> None:
    """See before anything begins that what drives AWS is here; at a terminal it can be fetched."""
    from kdeploy.operations.hosts import is_in_aws

    if is_in_aws(loaded):
        from kdeploy.operations import aws

        aws.ready(lambda text: sys.stdin.isatty() and click.confirm(text, err=True))


def _next_steps(environment: str, outcomes: Sequence[Outcome]) -> str:
    steps = [
        (f"kdeploy status {environment}", "see every node and the cluster's health"),
        (f"kdeploy verify {environment}", "prove again that it works and is closed"),
        (f"kdeploy down {environment}", "stop it; its data stays"),
    ]
    folders = list(dict.fromkeys(outcome.clients for outcome in outcomes if outcome.clients))
    lines = [f"client properties: {folder}" for folder in folders]
    if not folders:
        steps.insert(0, (f"kdeploy clients {environment}", "write client properties and certificates"))
    return "\n".join([*lines, "", "Next:", report.table(steps[:3])])


@click.command()
@environment_argument
@vault_password_option
@output_option
def status(environment: str, vault_password_file: Path | None, output: str) -> None:
    """Show each node, and whether the cluster is healthy; changes nothing.

    Exit code 0: everything runs and serves. 5: something does not.

    \b
    Example: kdeploy status local
    """
    from kdeploy.operations.status import status as look

    found = look(_load(environment), vault_password_file)
    if output == "json":
        print_json(report.status_json(found))
    else:
        print_text(report.status_text(found), output)
    _exit_unless([found.ok])


@click.command()
@environment_argument
@vault_password_option
@output_option
def verify(environment: str, vault_password_file: Path | None, output: str) -> None:
    """Prove by named checks that the cluster works, records and refusals included.

    Exit code 0: every check holds. 5: one does not.

    \b
    Example: kdeploy verify local
    """
    from kdeploy.operations.status import verify as prove

    loaded = _load(environment)
    reports = prove(loaded, _progress(), vault_password_file)
    if output == "json":
        print_json(report.verify_json(loaded.environment.name, reports))
    else:
        print_text("\n\n".join(map(report.verify_text, reports)), output)
    _exit_unless(one.ok for one in reports)


@click.command()
@environment_argument
@click.option("--delete-data", is_flag=True, help="Delete every record, certificate and password too.")
@yes_option
@click.option(
    "--confirm", metavar="NAME", help="The environment's name once more, beside --yes, for data in AWS."
)
@vault_password_option
@output_option
def down(
    environment: str,
    delete_data: bool,
    yes: bool,
    confirm: str | None,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Stop the cluster, brokers first; its data stays unless --delete-data says otherwise.

    In AWS machines run on, and cost what they cost, until --delete-data: that deletes them, their volumes
    and all else that was made there.

    \b
    Example: kdeploy down local
    """
    from kdeploy.operations.down import down as bring_down

    loaded = _load(environment)
    _confirm(loaded, delete_data=delete_data, yes=yes, confirm=confirm)
    stopped = bring_down(loaded, _progress(), vault_password_file, delete_data=delete_data)
    if output == "json":
        print_json(report.down_json(loaded.environment.name, stopped, delete_data))
    else:
        from kdeploy.operations.hosts import is_in_aws

        cloud = loaded.environment.name if is_in_aws(loaded) else ""
        print_text(report.down_text(stopped, delete_data, cloud), output)


def _confirm(loaded: Loaded, *, delete_data: bool, yes: bool, confirm: str | None) -> None:
    """See that deleting is meant: by the name typed, or by --yes, to which volumes in AWS want the name too."""
    from kdeploy.operations.hosts import is_in_aws

    name, cloud = loaded.environment.name, is_in_aws(loaded)
    if confirm is not None and confirm != name:
        raise UsageError(f"--confirm says {confirm}, and this is {name}\n  nothing was done")
    if not delete_data:
        return
    if not yes:
        _confirm_deletion(name, cloud=cloud)
    elif cloud and confirm is None:
        raise UsageError(
            f"this deletes every volume of {name} in AWS, which nothing brings back\n"
            f"  if that is meant, add --confirm {name}; nothing was done"
        )


def _confirm_deletion(name: str, *, cloud: bool) -> None:
    if not sys.stdin.isatty():
        more = f" --confirm {name}" if cloud else ""
        raise UsageError(f"deleting data needs a terminal to ask on\n  in a pipeline, add --yes{more}")
    from kdeploy.operations.places import state_folder

    click.echo(f"This deletes every record, certificate and password of {name},", err=True)
    if cloud:
        click.echo("its machines and volumes in AWS, and all else that was made there for it, and", err=True)
    click.echo(f"all that is in {state_folder(name)}.", err=True)
    if click.prompt("Type its name to go on", err=True) != name:
        raise click.Abort
