"""`kdeploy plan`: from a workload, or an environment, to brokers, coordination and their price.

Invariant: it changes nothing unless `--lock` asks for it, and loads neither
YAML nor any part of kdeploy that acts, unless an environment is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kdeploy.cli.options import output_option, print_json
from kdeploy.errors import InvalidSetting, UsageError
from kdeploy.units import parse_bytes, parse_duration, parse_rate

if TYPE_CHECKING:
    from kdeploy.planner.result import Plan
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.lock import Lock
    from kdeploy.spec.model import Environment

DEFAULT_REGION: Final = "us-east-1"
"""Region without --region: the one whose prices are the published ones."""

NOT_FEASIBLE: Final = 3
CHANGES_PENDING: Final = 4


class Quantity(click.ParamType):
    """A quantity with its unit; the text is kept, as environment.yaml would have it."""

    def __init__(self, name: str, parse: Callable[[object], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Check the text."""
        try:
            self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


RATE, SIZE, DURATION = (
    Quantity("rate", parse_rate),
    Quantity("size", parse_bytes),
    Quantity("time", parse_duration),
)

WORKLOAD: Final = (
    "throughput", "peak_factor", "fan_out", "message_size", "retention", "retention_bytes", "compression", "partitions"
)  # fmt: skip
DURABILITY: Final = ("replication_factor", "min_insync_replicas", "survive")
PLACE: Final = ("zones", "region", "coordination")


def _flags(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--throughput", type=RATE, help="Average produce rate (BytesInPerSec). [10MB/s]"),
            click.option("--peak-factor", type=float, help="The peak over the average. [2]"),
            click.option("--fan-out", type=float, help="How often each byte is read. [2]"),
            click.option("--message-size", type=SIZE, help="Average record as stored. [1000B]"),
            click.option("--retention", type=DURATION, help="How long records are kept. [7d]"),
            click.option("--retention-bytes", type=SIZE, help="Most bytes kept per partition. [no limit]"),
            click.option(
                "--compression",
                type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
                help="Codec of the producers. [none]",
            ),
            click.option(
                "--partitions", type=int, help="Partitions, before replication. [as the peak needs]"
            ),
            click.option("--replication-factor", type=int, help="Copies of each partition. [3]"),
            click.option("--min-insync-replicas", type=int, help="In-sync copies to write. [copies - 1]"),
            click.option(
                "--survive",
                type=click.Choice(["none", "broker", "zone"]),
                help="The failure every limit holds with. [zone; below 3 zones broker]",
            ),
            click.option("--zones", type=click.IntRange(1, 26), help="Zones to spread over. [3]"),
            click.option("--region", help=f"AWS region. [{DEFAULT_REGION}]"),
            click.option(
                "--coordination",
                type=click.Choice(["zookeeper", "kraft"]),
                help="What coordinates. [zookeeper]",
            ),
            click.option("--lock", "write", is_flag=True, help="Write what is decided to ENV's lock.yaml."),
            click.option("--check", is_flag=True, help="Exit with 4 if the lock would change."),
            click.option("--reshape", is_flag=True, help="Let locked brokers get another instance type."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("environment", metavar="[ENV]", required=False)
@_flags
@output_option
@click.pass_context
def plan(
    context: click.Context,
    environment: str | None,
    write: bool,
    check: bool,
    reshape: bool,
    output: str,
    **flags: Any,  # noqa: ANN401
) -> None:
    r"""Size brokers and coordination for a workload, and price them.

    Without ENV the flags describe a cluster in AWS; with ENV they take the place
    of what its environment.yaml says about workload and durability.

    \b
    Example: kdeploy plan --throughput 200MB/s --retention 3d --region eu-west-1
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if environment is None:
        if write or check or reshape:
            raise UsageError(
                "--lock, --check and --reshape need an environment\n  name it: kdeploy plan ENV --lock"
            )
        wanted = _from_flags(given)
        result = _planned(wanted, None, False, None)
        _show(result, wanted, output)
        context.exit(0 if result.feasible else NOT_FEASIBLE)
    context.exit(_of_environment(environment, given, write, check, reshape, output))


def _of_environment(
    name: str, given: dict[str, Any], write: bool, check: bool, reshape: bool, output: str
) -> int:
    from kdeploy.operations import places
    from kdeploy.spec.load import find, load
    from kdeploy.spec.lockfile import read_lock

    loaded = load(find(name))
    if given and (write or check):
        raise UsageError(
            "--lock and --check are about what environment.yaml says, so no workload can be given\n"
            "  change environment.yaml, or leave out "
            + ", ".join(f"--{one.replace('_', '-')}" for one in given)
        )
    wanted = _overridden(loaded.environment, given)
    lock_file = places.lock_file(loaded)
    previous = read_lock(lock_file)
    result = _planned(wanted, previous, reshape, None if given else loaded)
    _show(result, wanted, output)
    if not result.feasible:
        return NOT_FEASIBLE
    if not (write or check):
        return 0
    lock = _decided(loaded, result, previous)
    changes = _changes(previous, lock)
    if check:
        click.echo(f"{lock_file}: " + ("; ".join(changes) or "nothing would change"), err=True)
        return CHANGES_PENDING if changes else 0
    _write(lock_file, lock, changes)
    return 0


def _from_flags(given: dict[str, Any]) -> Environment:
    zones = given.get("zones", 3)
    copies = given.get("replication_factor", 3)
    durability = {
        "min_insync_replicas": max(1, copies - 1),
        "survive": "zone" if zones >= 3 else "broker",
        **{name: given[name] for name in DURABILITY if name in given},
    }
    coordination = given.get("coordination", "zookeeper")
    kafka = {"coordination": coordination, "version": _version(coordination)}
    region = given.get("region", DEFAULT_REGION)
    racks = [chr(ord("a") + zone) for zone in range(zones)]
    return _validated(
        {
            "name": "plan",
            "kafka": kafka,
            "workload": {name: given[name] for name in WORKLOAD if name in given},
            "durability": durability,
            "datacenters": [{"name": "dc1", "provider": "aws", "region": region, "racks": racks}],
        }
    )


def _version(coordination: str) -> str:
    from kdeploy.spec.versions import SUPPORTED

    return [version for version, kinds in SUPPORTED.items() if coordination in kinds][-1]


def _overridden(environment: Environment, given: dict[str, Any]) -> Environment:
    fixed = [name for name in PLACE if name in given]
    if fixed:
        raise UsageError(
            f"--{fixed[0]} describes a cluster without an environment\n"
            "  change environment.yaml, or plan without ENV"
        )
    if not given:
        return environment
    document = environment.to_json()
    document["workload"] |= {name: given[name] for name in WORKLOAD if name in given}
    document["durability"] |= {name: given[name] for name in DURABILITY if name in given}
    return _validated(document)


def _validated(document: dict[str, Any]) -> Environment:
    from pydantic import ValidationError

    from kdeploy.spec.model import Environment

    try:
        environment = Environment.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "--" + str(first["loc"][-1]).replace("_", "-")
        raise UsageError(
            f"{flag}: {first['msg'][0].lower()}{first['msg'][1:]}\n  see kdeploy plan --help"
        ) from None
    from kdeploy.spec.check import check

    for finding in check(environment):
        raise InvalidSetting(finding.path, finding.wrong, finding.right)
    return environment


def _planned(wanted: Environment, previous: Lock | None, reshape: bool, loaded: Loaded | None) -> Plan:
    from kdeploy import planner

    try:
        return planner.plan(wanted, previous, reshape=reshape)
    except InvalidSetting as error:
        if loaded is None:
            raise
        raise loaded.source.locate(error) from None


def _decided(loaded: Loaded, result: Plan, previous: Lock | None) -> Lock:
    from kdeploy import blueprint
    from kdeploy.operations.prepare import new_id
    from kdeploy.planner import decide

    environment = loaded.environment
    try:
        if previous is not None:
            decide.refuse_unsupported(environment, result, previous)
        lock = decide.decide(environment, result, previous, new_id)
        drawn = blueprint.draw(environment, result, lock)
    except InvalidSetting as error:
        raise loaded.source.locate(error) from None
    files = {f"{node.key}/{file.path}": file.sha256 for node in drawn.nodes for file in node.files}
    return lock.model_copy(update={"files": files})


def _changes(previous: Lock | None, lock: Lock) -> list[str]:
    """What of the lock would change, in words; ids that were just invented do not count without a lock."""
    if previous is None:
        return ["there is no lock yet"]
    if previous == lock:
        return []
    before, after = previous.to_json(), lock.to_json()
    words = [f"{name.replace('_', ' ')} changes" for name in sorted(after) if before.get(name) != after[name]]
    return words or ["the lock changes"]


def _write(file: Path, lock: Lock, changes: list[str]) -> None:
    from kdeploy.spec.lockfile import write_lock

    if not changes:
        click.echo(f"{file} says this already", err=True)
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_lock(file, lock)
    click.echo(f"wrote {file}", err=True)


def _show(result: Plan, environment: Environment, output: str) -> None:
    if output == "json":
        print_json(result.to_json())
        return
    from kdeploy.planner import report

    if output == "markdown":
        click.echo(report.markdown(result, environment))
    else:
        encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
        click.echo(report.text(result, environment, unicode="utf" in encoding))
