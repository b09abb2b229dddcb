"""`kdeploy capacity`: from a fleet that is there to the produce rate that it can take.

Invariant: it changes nothing, and the same flags mean here what they mean to `plan`.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from kdeploy.cli import workload
from kdeploy.cli.options import complete_environment, output_option, print_json
from kdeploy.errors import InvalidSetting, UsageError
from kdeploy.units import parse_bytes, parse_rate, parse_share

if TYPE_CHECKING:
    from kdeploy.planner.capacity import Capacity, FleetCapacity, Question
    from kdeploy.planner.given import Given
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.model import Datacenter, Environment

NOT_FEASIBLE: Final = 3
BAR: Final = 16
FAR: Final = 20
"""How many times the answer the rate of a limit is that gets no row."""

FLEET: Final = (
    "instance_type",
    "brokers",
    "volume_type",
    "volume_size",
    "volume_throughput",
    "volume_iops",
    "volumes_per_broker",
)
"""Flags that say what is there; an environment answers them by itself."""

QUESTION: Final = ("utilisation", "imbalance", "lagging_consumers", "tls")
"""Flags that say how the question is meant."""


_OWN: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("--instance-type", {"help": "EC2 type of the brokers."}),
    ("--brokers", {"type": click.IntRange(1, 2000), "help": "How many brokers."}),
    (
        "--volume-type",
        {
            "type": click.Choice(["gp3", "gp2", "io2", "st1", "local-nvme"]),
            "help": "Kind of data volumes. [the type's own disks, else gp3]",
        },
    ),
    ("--volume-size", {**workload.SIZE, "help": "Size of each."}),
    (
        "--volume-throughput",
        {**workload.RATE, "help": "Bought for each. [the most; with --volume-size 125MiB/s]"},
    ),
    ("--volume-iops", {"type": click.FloatRange(1), "help": "Bought for each. [what the throughput needs]"}),
    (
        "--volumes-per-broker",
        {
            "type": click.IntRange(1, 64),
            "help": "Data volumes of each broker. [as plan has it; 1 if described]",
        },
    ),
)
_SHARED: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("--fan-out", {}),
    ("--replication-factor", {}),
    ("--partitions", {}),
    ("--message-size", {}),
    ("--compression", {}),
    ("--topic-compression", {}),
    ("--peak-factor", {"help": "The peak over the rate that is asked for. [1; ENV: its own]"}),
    ("--retention", {"help": "Time the disks have to hold. [left out; ENV: its own]"}),
    ("--retention-bytes", {}),
    ("--survive", {"help": "Failure to hold with. [zone; broker below 3 zones; none with one copy]"}),
    ("--zones", {"help": "Zones they are in. [3; 2 or 1 where that divides them]"}),
    ("--region", {}),
    ("--coordination", {}),
    ("--round-trip", {}),
    ("--socket-buffer", {}),
    ("--utilisation", {"help": "How full they may get. [plan's ceilings]"}),
    (
        "--imbalance",
        {"type": click.FloatRange(1, 10), "help": "Busiest broker over the average. [1.2; 1 at 100%]"},
    ),
    ("--lagging-consumers", {**workload.SHARE, "help": "Reads from disk. [half the rate; 0% at 100%]"}),
    ("--tls", {"help": "Whether connections are encrypted. [on]"}),
)


def _options(command: workload.Command) -> workload.Command:
    known = dict(workload.OPTIONS)
    shared = tuple((flag, {**known[flag], **changed}) for flag, changed in _SHARED)
    for flag, options in reversed((*_OWN, *shared)):
        command = click.option(flag, **options)(command)
    return command


@click.command()
@click.argument("environment", metavar="[ENV]", required=False, shell_complete=complete_environment)
@_options
@output_option
@click.pass_context
def capacity(context: click.Context, /, environment: str | None, output: str, **options: Any) -> None:  # noqa: ANN401
    """Say what produce rate a given fleet can take, and which limit sets it.

    Without ENV the flags describe the fleet; with ENV it is what the lock says, or
    what plan would choose, and flags about the workload take the place of its own.

    With --utilisation 100% --survive none it is the physical ceiling, comparable
    with a benchmark: what planning adds for caution is left out.

    \b
    Example: kdeploy capacity --instance-type i3en.2xlarge --brokers 3 --fan-out 1
    """
    from kdeploy.planner.capacity import capacity as ask

    given = {name: value for name, value in options.items() if value is not None}
    question = _question(given, bool(environment))
    load = {name: value for name, value in given.items() if name not in (*FLEET, *QUESTION)}
    if environment is None:
        wanted, fleet = _of_flags(given, load)
        result = ask(wanted, (fleet,), question)
    else:
        wanted, fleets = _of_environment(environment, given, load)
        result = ask(wanted, fleets, question, wanted.name)
    _show(result, wanted, output)
    context.exit(0 if result.weakest.feasible else NOT_FEASIBLE)


def _question(given: Mapping[str, Any], named: bool) -> Question:
    from kdeploy.planner.capacity import Question

    return Question(
        utilisation=_share(given, "utilisation"),
        imbalance=given.get("imbalance"),
        lagging_consumers=_share(given, "lagging_consumers"),
        encrypted=given.get("tls", "on") == "on",
        space=named or "retention" in given or "retention_bytes" in given,
    )


def _share(given: Mapping[str, Any], name: str) -> float | None:
    """A flag's share, where it is given: what may be used is more than nothing, and nothing is more than all."""
    if name not in given:
        return None
    share = parse_share(given[name])
    if share > 1 or (share == 0 and name == "utilisation"):
        raise UsageError(
            f"{workload.flags({name: None})}: {given[name]} is not a share that it can be\n  write it like 80%"
        )
    return share


def _of_flags(given: Mapping[str, Any], load: dict[str, Any]) -> tuple[Environment, Given]:
    from kdeploy.planner import ensemble
    from kdeploy.planner.given import of_type

    for name in ("instance_type", "brokers"):
        if name not in given:
            raise UsageError(
                f"{workload.flags({name: None})} is missing\n"
                "  say both --instance-type and --brokers, or name an environment"
            )
    brokers, copies = given["brokers"], given.get("replication_factor", 3)
    if copies > brokers:
        raise UsageError(
            f"--replication-factor: {copies} copies need {copies} brokers, and there are {brokers}\n"
            f"  write {brokers} or less, or have more brokers"
        )
    even = next(zones for zones in (3, 2, 1) if brokers % zones == 0)
    zones = 3 if given.get("survive") == "zone" else even
    wanted = workload.environment_of({"peak_factor": 1.0, "zones": zones, **load})
    place = wanted.datacenters[0]
    if len(place.racks) > brokers:
        raise UsageError(
            f"--zones: {brokers} brokers cannot be in {len(place.racks)} zones\n  write fewer zones"
        )
    per_rack = ensemble.spread(brokers, place.racks)
    region = place.region or workload.DEFAULT_REGION
    return wanted, of_type(given["instance_type"], region, per_rack, _volumes(given))


def _volumes(given: Mapping[str, Any]) -> Any:  # noqa: ANN401
    from kdeploy.planner.given import AskedVolumes

    size, throughput = given.get("volume_size"), given.get("volume_throughput")
    return AskedVolumes(
        type=given.get("volume_type"),
        count=given.get("volumes_per_broker"),
        size=None if size is None else parse_bytes(size),
        iops=given.get("volume_iops"),
        throughput=None if throughput is None else parse_rate(throughput),
    )


def _of_environment(
    name: str, given: Mapping[str, Any], load: dict[str, Any]
) -> tuple[Environment, tuple[Given, ...]]:
    from kdeploy.spec.load import find
    from kdeploy.spec.load import load as read

    stray = [flag for flag in FLEET if flag in given]
    if stray:
        raise UsageError(
            f"{workload.flags(dict.fromkeys(stray))}: the environment says what is there\n"
            "  leave ENV out to describe a fleet by flags"
        )
    loaded = read(find(name))
    wanted = workload.overridden(loaded.environment, load)
    try:
        return wanted, _fleets(loaded)
    except InvalidSetting as error:
        raise loaded.source.locate(error) from None


def _fleets(loaded: Loaded) -> tuple[Given, ...]:
    """What the lock says is there, else what a plan would choose, else what is declared."""
    from kdeploy import planner
    from kdeploy.operations import belonging
    from kdeploy.planner import given

    environment = loaded.environment
    lock = belonging.lock(loaded)
    held = {(one.name, one.provider, one.region): one for one in lock.datacenters} if lock else {}
    planned = None

    def fleet(place: Datacenter) -> Given:
        nonlocal planned
        before = held.get((place.name, place.provider, place.region))
        if place.provider != "aws":
            return given.of_datacenter(place, before)
        if before is not None:
            return given.of_lock(before)
        planned = planned or planner.plan(environment, lock)
        found = next((one for one in planned.datacenters if one.name == place.name), None)
        if found is None:
            click.echo(
                f"kdeploy: no plan fits in {place.name}, so there is no fleet to ask about\n"
                f"  see why: kdeploy plan {environment.name}",
                err=True,
            )
            click.get_current_context().exit(NOT_FEASIBLE)
        return given.of_plan(found)

    return tuple(fleet(place) for place in environment.datacenters)


def _show(result: Capacity, wanted: Environment, output: str) -> None:
    if output == "json":
        print_json(result.to_json())
        return
    from kdeploy.cli.report import markdown_table, table
    from kdeploy.planner.layout import PLAIN

    if output == "markdown":
        lines = [f"**{_answer(result)}**", "", _asked(result, wanted)]
        for title, sentence, rows in _sections(result):
            lines += ["", f"### {title}", *(["", sentence] if sentence else []), "", markdown_table(rows)]
        click.echo("\n".join(lines))
        return
    lines = [*_wrapped(_answer(result)), "", *_wrapped(_asked(result, wanted))]
    for title, sentence, rows in _sections(result):
        lines += ["", title, *_wrapped(sentence, "  "), table(rows if rows[0][0] else rows[1:])]
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    text = "\n".join(lines)
    click.echo(text if "utf" in encoding else text.translate(PLAIN))


def _wrapped(line: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        line,
        80,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _answer(result: Capacity) -> str:
    """The answer in one sentence."""
    from kdeploy.planner.limits import in_words
    from kdeploy.units import format_rate

    one = result.weakest
    if not one.feasible:
        return f"No rate fits {_fleet(one)}: {in_words(str(one.bottleneck))} breaks at any rate"
    if one.throughput is None:
        return f"Nothing that is known limits the rate of {_fleet(one)}"
    return f"{format_rate(one.throughput)} is what {_fleet(one)} can take; {in_words(str(one.bottleneck))} sets it"


def _fleet(one: FleetCapacity) -> str:
    if one.instance_type:
        return f"{one.brokers} × {one.instance_type} in {one.region}"
    return f"{one.brokers} broker{'s' if one.brokers > 1 else ''} in {one.name}"


def _asked(result: Capacity, wanted: Environment) -> str:
    """What the answer is for, and what was added for caution."""
    workload, durability, assumed = wanted.workload, wanted.durability, result.assumed
    copies = durability.replication_factor
    failure = {"none": "no failure", "broker": "the loss of a broker", "zone": "the loss of a zone"}
    peak = (
        f"the peak is {workload.peak_factor:g} times that"
        if workload.peak_factor > 1
        else "as a rate that is sustained"
    )
    caution = (
        f"the busiest broker carries {assumed['imbalance']:g} times the average and reads "
        f"{assumed['lagging']:g} times the rate from disk"
    )
    if assumed["hot_window"] is None:
        caution = f"nothing is added for caution: {caution}, and the page cache is no limit"
    encrypted = "encrypted" if assumed["encrypted"] else "not encrypted"
    return (
        f"Asked for {copies} {'copy' if copies == 1 else 'copies'}, a fan-out of {workload.fan_out:g}, "
        f"records of {workload.message_size:g} B, {encrypted}, to hold with {failure[durability.survive]}; "
        f"{peak}; {caution}."
    )


def _sections(result: Capacity) -> Iterator[tuple[str, str, list[tuple[str, ...]]]]:
    """Title, a sentence, and a table; an empty cell first in it means that it has no head."""
    for one in result.datacenters:
        name = f" ({one.name})" if len(result.datacenters) > 1 else ""
        yield f"What each limit alone would allow{name}", _about(one), list(_limits(one))
        yield f"What it is{name}", "", list(_parts(one))


def _is_far(one: FleetCapacity, limit: str) -> bool:
    """Whether a limit is too far from the answer for a row of its own."""
    rate, used = one.limits[limit], one.utilisation.get(limit, 0.0)
    if one.throughput is None or limit == one.bottleneck or used > one.ceilings[limit] / 2:
        return False
    return rate is None or rate > FAR * one.throughput


def _about(one: FleetCapacity) -> str:
    from kdeploy.planner.limits import in_words

    if one.broken:
        return f"At any rate more than what may be used: {', '.join(map(in_words, one.broken))}."
    if not set(one.limits) - {"partitions"}:
        return "All brokers share one machine: only what does not depend on it is looked at."
    far = [in_words(limit) for limit in one.limits if _is_far(one, limit)]
    return f"Far above, and not in the table: {', '.join(far)}." if far else ""


def _limits(one: FleetCapacity) -> Iterator[tuple[str, ...]]:
    """A row for each limit; the bar is what the answer uses of the limit's own rate."""
    from kdeploy.planner.limits import in_words
    from kdeploy.units import format_rate

    yield "limit", "produce rate", "ceiling", "used", ""
    for limit, rate in one.limits.items():
        if _is_far(one, limit):
            continue
        used = one.utilisation.get(limit)
        shown = "none" if limit in one.broken else "any rate" if rate is None else format_rate(rate)
        full = round(one.throughput / rate * BAR) if one.throughput and rate else 0
        mark = "  ◀ bottleneck" if limit == one.bottleneck else ""
        yield (
            in_words(limit),
            f"{shown:>12}",
            f"{one.ceilings[limit]:>7.0%}",
            "" if used is None else f"{used:>4.0%}",
            "█" * full + "░" * (BAR - full) + mark if rate else mark.strip(),
        )


def _parts(one: FleetCapacity) -> Iterator[tuple[str, str]]:
    from kdeploy.planner.report import volumes_in_words
    from kdeploy.units import format_bytes, format_duration, format_rate

    yield "", ""
    yield "brokers", f"{_fleet(one)}, {one.cores} vCPU, {format_bytes(one.memory)}"
    yield "racks", ", ".join(f"{count} in {rack}" for rack, count in one.per_rack.items() if count)
    for volumes in one.volumes:
        yield "data", f"{volumes_in_words(volumes)} per broker"
    yield "partitions", f"{one.partitions:,}, before replication"
    if one.throughput is not None:
        yield "each broker", f"{format_rate(one.throughput / one.brokers)} of it"
    if one.retention is not None:
        yield "retention", f"{format_duration(one.retention)} at most at that rate, by the disks' size"
