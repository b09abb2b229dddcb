"""`kdeploy plan`: from a workload, or an environment, to brokers, coordination and their price.

Invariant: it changes nothing unless `--lock` asks for it, and loads neither
YAML nor any part of kdeploy that acts, unless an environment is named.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from kdeploy.cli import workload
from kdeploy.cli.options import complete_environment, output_option_with, print_json, warn_of
from kdeploy.errors import InvalidSetting, UsageError

if TYPE_CHECKING:
    from kdeploy.operations.prepare import Design
    from kdeploy.planner.result import Limit, Plan
    from kdeploy.spec.lock import Lock, LockedDatacenter
    from kdeploy.spec.model import Environment

NOT_FEASIBLE: Final = 3
CHANGES_PENDING: Final = 4


@click.command()
@click.argument("environment", metavar="[ENV]", required=False, shell_complete=complete_environment)
@workload.workload_options
@click.option("--lock", "write", is_flag=True, help="Write what is decided to ENV's lock.yaml.")
@click.option(
    "--check", is_flag=True, help="Exit with 4 if the lock would change; without ENV, if any would."
)
@click.option("--reshape", is_flag=True, help="Let locked brokers get another instance type.")
@click.option("--compare", is_flag=True, help="Few large, many small, local disks, ... side by side.")
@click.option("--explain", metavar="LIMIT", help="The arithmetic of one limit, to check by hand.")
@output_option_with("html")
@click.pass_context
def plan(
    context: click.Context,
    /,
    environment: str | None,
    write: bool,
    check: bool,
    reshape: bool,
    compare: bool,
    explain: str | None,
    output: str,
    **options: Any,  # noqa: ANN401
) -> None:
    """Size brokers and coordination for a workload, and price them.

    Without ENV the flags describe a cluster in AWS; with ENV they take the place
    of what its environment.yaml says about workload and durability.

    \b
    Example: kdeploy plan --throughput 200MB/s --retention 3d --region eu-west-1
    """
    given = {name: value for name, value in options.items() if value is not None}
    view = _View(output, compare, _limit(explain))
    _refuse_for_a_page(view)
    if environment is None:
        if check and not (given or write or reshape):
            context.exit(_of_every_lock())
        if write or check or reshape:
            raise UsageError(
                "--lock, --check and --reshape need an environment\n  name it: kdeploy plan ENV --lock"
            )
        context.exit(_of_flags(given, view))
    if given and (write or check):
        raise UsageError(
            f"{workload.flags(given)}: --lock and --check are about what environment.yaml says\n"
            "  change environment.yaml, or plan without --lock and --check"
        )
    context.exit(_of_environment(environment, given, write, check, reshape, view))


class _View(NamedTuple):
    """What is shown of a plan."""

    output: str
    compare: bool
    explain: Limit | None


def _limit(name: str | None) -> Limit | None:
    """A limit by the name that a person typed.

    Raises:
        UsageError: There is no such limit.
    """
    from kdeploy.planner.result import LIMITS

    for limit in LIMITS:
        if name is not None and name.lower().replace("-", "_").replace(" ", "_") == limit:
            return limit
    if name is not None:
        raise UsageError(f"--explain: there is no limit called {name!r}\n  name one of {', '.join(LIMITS)}")
    return None


def _of_flags(given: dict[str, Any], view: _View) -> int:
    from kdeploy import planner

    atexit.register(gc.freeze)  # the process ends with its memory: nothing has to be searched for rubbish
    wanted = workload.environment_of(given)
    result = planner.plan(wanted, compare=view.compare)
    _show(result, wanted, view, partial(planner.plan, remedies=False))
    return 0 if result.feasible else NOT_FEASIBLE


def _of_environment(
    name: str, given: dict[str, Any], write: bool, check: bool, reshape: bool, view: _View
) -> int:
    from kdeploy import planner
    from kdeploy.operations import belonging, places, prepare
    from kdeploy.operations.examine import risks_of
    from kdeploy.spec.load import find, load

    loaded = load(find(name))
    warn_of(risks_of(loaded))
    wanted = workload.overridden(loaded.environment, given)
    planned = partial(planner.plan, previous=belonging.lock(loaded), reshape=reshape)
    try:
        result = planned(wanted, compare=view.compare)
    except InvalidSetting as error:
        if given:
            raise
        raise loaded.source.locate(error) from None
    _show(result, wanted, view, partial(planned, remedies=False))
    if not result.feasible:
        return NOT_FEASIBLE
    if not (write or check):
        return 0
    design = prepare.design(loaded, freeze=False, reshape=reshape)
    changes = differences(design)
    for change in changes or ["nothing would change"]:
        click.echo(f"{places.lock_file(loaded)}: {change}", err=True)
    if check:
        return CHANGES_PENDING if changes else 0
    prepare.save_lock(design)
    return 0


def _of_every_lock() -> int:
    """Compare the lock of each environment under ./environments with what would be decided now.

    Environments of provider local are passed over: their locks are this machine's and decide themselves.
    """
    from kdeploy.operations import places, prepare
    from kdeploy.spec import load

    if not load.own():
        raise UsageError("there is no environment here\n  make one with `kdeploy init NAME --from local`")
    code = 0
    for loaded in map(load.load, map(load.find, load.own())):
        if places.is_local(loaded):
            continue
        name, file = loaded.environment.name, places.lock_file(loaded)
        changes = differences(prepare.design(loaded, freeze=False))
        if not changes:
            click.echo(f"OK {name} ({file})")
            continue
        code = CHANGES_PENDING
        for change in changes:
            click.echo(f"{file}: {change}", err=True)
        click.echo(
            f"  review it with `kdeploy plan {name}`, then write it: `kdeploy plan {name} --lock`", err=True
        )
    return code


def differences(design: Design) -> list[str]:
    """What of the lock would change, a sentence each; the version that wrote it does not count."""
    from kdeploy.planner.decide import stale

    old, new = design.previous, design.lock
    if old is None:
        return ["there was no lock yet"]
    if old.model_copy(update={"kdeploy": new.kdeploy, "catalogue_date": new.catalogue_date}) == new:
        return []
    before = {one.name: one for one in old.datacenters}
    found = list(stale(design.loaded.environment, old))
    for one in new.datacenters:
        known = before.get(one.name)
        found += _of_datacenter(known, one) if known else [f"datacenter {one.name} is new"]
    files = _changed_files(old, new)
    return found + ([f"{files} rendered files differ"] if files else []) or ["it would be written anew"]


def _of_datacenter(old: LockedDatacenter, new: LockedDatacenter) -> list[str]:
    def shape(one: LockedDatacenter) -> str:
        brokers = sum(node.role == "broker" for node in one.nodes)
        disks = ", ".join(f"{part.count} × {part.type} of {part.size:,.0f} B" for part in one.brokers.volumes)
        return f"{brokers} × {one.brokers.instance_type or 'broker'}" + (f" with {disks}" if disks else "")

    found = [] if shape(old) == shape(new) else [f"{new.name}: {shape(old)} becomes {shape(new)}"]
    before, after = (
        f"{len(one.mirrors)} × {one.mirror.instance_type or 'worker'}" if one.mirror else "no workers"
        for one in (old, new)
    )
    if before != after:
        found.append(f"{new.name}: {before} becomes {after}")
    if old.partitions != new.partitions:
        found.append(f"{new.name}: {old.partitions:,} partitions become {new.partitions:,}")
    return found


def _changed_files(old: Lock, new: Lock) -> int:
    names = old.files.keys() | new.files.keys()
    return sum(old.files.get(name) != new.files.get(name) for name in names)


def _refuse_for_a_page(view: _View) -> None:
    """As curl does with what only a file is good for; checked first, since a page takes seconds."""
    if view.output != "html":
        return
    if view.explain:
        raise UsageError(
            "--explain prints text, and a page has the arithmetic of every limit\n  leave it out"
        )
    if sys.stdout.isatty():
        raise UsageError(
            "--output html prints a whole page, which is not for a terminal\n"
            "  write it to a file: kdeploy plan ... --output html > plan.html"
        )


def _show(
    result: Plan, environment: Environment, view: _View, planned: Callable[[Environment], Plan]
) -> None:
    if view.explain and result.feasible:
        _show_arithmetic(result, environment, view.explain, view.output)
    elif view.output == "json":
        print_json(result.to_json())
    elif view.output == "html":
        from kdeploy.planner import page

        click.echo(page.html(result, environment, planned).encode(), nl=False)
    else:
        from kdeploy.planner import report

        if view.output == "markdown":
            click.echo(report.markdown(result, environment))
        else:
            click.echo(report.text(result, environment, unicode=_has_unicode()))


def _show_arithmetic(result: Plan, environment: Environment, limit: Limit, output: str) -> None:
    from dataclasses import asdict

    from kdeploy.planner import arithmetic, layout, report

    found = []
    for datacenter, planned in zip(environment.datacenters, result.datacenters, strict=True):
        one = arithmetic.explain(environment, datacenter, planned, limit)
        if one is None:
            known = ", ".join(planned.brokers.utilisation)
            raise UsageError(f"--explain: {limit} does not apply in {planned.name}\n  name one of {known}")
        found.append(one)
    if output == "json":
        print_json({"schema": "kdeploy.explain/v1", "explanations": [asdict(one) for one in found]})
        return
    text = "\n\n".join(map(report.arithmetic, found))
    click.echo(text if _has_unicode() or output != "text" else text.translate(layout.PLAIN))


def _has_unicode() -> bool:
    return "utf" in (getattr(sys.stdout, "encoding", None) or "ascii").lower()
