"""The flags that describe a workload, and the Environment they make.

Invariant: what comes out was checked like a file's environment; a flag that was
not given leaves the model's own default, or the environment's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kdeploy.errors import InvalidSetting, UsageError
from kdeploy.units import parse_bytes, parse_duration, parse_rate

if TYPE_CHECKING:
    from kdeploy.spec.model import Environment

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_REGION: Final = "us-east-1"
"""Region without --region: the one whose prices are the published ones."""

WORKLOAD: Final = (
    "throughput",
    "peak_factor",
    "fan_out",
    "message_size",
    "retention",
    "retention_bytes",
    "compression",
    "partitions",
)
"""Flags named as the fields of `spec.model.Workload`."""

DURABILITY: Final = ("replication_factor", "min_insync_replicas", "survive")
"""Flags named as the fields of `spec.model.Durability`."""

SHAPE: Final = ("instance_type", "instance_family", "architecture", "storage", "volume_type")
"""Flags named as the fields of `spec.model.Brokers`; in EC2 only."""

PLACE: Final = ("zones", "region", "coordination")
"""Flags that an environment answers by itself."""


def _quantity(parse: Callable[[object], float]) -> Callable[[str], str]:
    """Check a quantity with its unit; the text is kept, as environment.yaml would have it."""

    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        return text

    return check


RATE: Final = {"type": _quantity(parse_rate), "metavar": "RATE"}
SIZE: Final[dict[str, Any]] = {"type": _quantity(parse_bytes), "metavar": "SIZE"}
TIME: Final = {"type": _quantity(parse_duration), "metavar": "TIME"}

CODECS: Final = click.Choice(["none", "gzip", "snappy", "lz4", "zstd"])
FAILURES: Final = click.Choice(["none", "broker", "zone"])
ARCHITECTURES: Final = click.Choice(["x86_64", "arm64"])
STORAGE: Final = click.Choice(["ebs", "local"])
VOLUME_TYPES: Final = click.Choice(["gp3", "gp2", "io2", "st1"])
COORDINATION: Final = click.Choice(["zookeeper", "kraft"])

OPTIONS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("--throughput", {**RATE, "help": "Average produce rate, as BytesInPerSec shows it. [10MB/s]"}),
    ("--peak-factor", {"type": float, "help": "The peak over the average. [2]"}),
    ("--fan-out", {"type": float, "help": "How often each byte is read. [2]"}),
    ("--message-size", {**SIZE, "help": "Average record as stored. [1000B]"}),
    ("--retention", {**TIME, "help": "How long records are kept. [7d]"}),
    ("--retention-bytes", {**SIZE, "help": "Most bytes kept per partition. [no limit]"}),
    ("--compression", {"type": CODECS, "help": "Codec of the producers. [none]"}),
    ("--partitions", {"type": int, "help": "Partitions, before replication. [what the peak needs]"}),
    ("--replication-factor", {"type": int, "help": "Copies of each partition. [3]"}),
    ("--min-insync-replicas", {"type": int, "help": "In-sync copies to write. [what the failure leaves]"}),
    ("--survive", {"type": FAILURES, "help": "Failure to hold with. [zone; broker below 3 zones]"}),
    ("--zones", {"type": click.IntRange(1, 26), "help": "Zones to spread over. [3]"}),
    ("--region", {"help": f"AWS region. [{DEFAULT_REGION}]"}),
    ("--instance-type", {"metavar": "TYPE", "help": "EC2 type of brokers. [the cheapest that holds]"}),
    ("--instance-family", {"metavar": "FAMILY", "help": "Family to choose from, as m7g. [all current ones]"}),
    ("--architecture", {"type": ARCHITECTURES, "help": "Processors to choose from. [both]"}),
    ("--storage", {"type": STORAGE, "help": "EBS volumes or the type's own disks. [either]"}),
    ("--volume-type", {"type": VOLUME_TYPES, "help": "Kind of EBS volume. [gp3]"}),
    ("--coordination", {"type": COORDINATION, "help": "What coordinates. [zookeeper]"}),
)
"""Every flag with its click options. Defaults are shown, not given: an environment's values stay."""


def workload_options(command: Command) -> Command:
    """Give a command all flags of a workload."""
    for flag, options in reversed(OPTIONS):
        command = click.option(flag, **options)(command)
    return command


def environment_of(given: Mapping[str, Any]) -> Environment:
    """The environment that flags alone describe: one cluster in AWS.

    Args:
        given: Flags that were given, by name.

    Raises:
        UsageError: A value is out of its range.
        InvalidSetting: Values do not fit each other.
    """
    zones = given.get("zones", 3)
    copies = given.get("replication_factor", 3)
    survive = given.get("survive") or ("none" if copies == 1 else "zone" if zones >= 3 else "broker")
    lost = {"none": 1, "broker": 1, "zone": -(-copies // zones)}[survive]
    durability = {
        "min_insync_replicas": max(1, copies - lost),
        "survive": survive,
        **_chosen(given, DURABILITY),
    }
    coordination = given.get("coordination", "zookeeper")
    place = {
        "provider": "aws",
        "region": given.get("region", DEFAULT_REGION),
        "racks": [chr(ord("a") + zone) for zone in range(zones)],
        "brokers": _chosen(given, SHAPE),
    }
    return _checked(
        {
            "name": "plan",
            "kafka": {"coordination": coordination, "version": _version(coordination)},
            "workload": _chosen(given, WORKLOAD),
            "durability": durability,
            "datacenters": [place],
        }
    )


def overridden(environment: Environment, given: Mapping[str, Any]) -> Environment:
    """An environment with what flags say in place of its own workload and durability.

    Raises:
        UsageError: A flag describes a place, or a value is out of its range.
        InvalidSetting: Values do not fit each other.
    """
    for name in PLACE:
        if name in given:
            raise UsageError(
                f"--{name} is for planning without an environment\n"
                "  change environment.yaml, or leave ENV out"
            )
    if not given:
        return environment
    document = environment.to_json()
    document["workload"] |= _chosen(given, WORKLOAD)
    document["durability"] |= _chosen(given, DURABILITY)
    shape = _chosen(given, SHAPE)
    places = [one for one in document["datacenters"] if one["provider"] == "aws"]
    if shape and not places:
        raise UsageError(f"{flags(shape)}: this environment has no datacenter in AWS\n  leave it out")
    for place in places:
        place["brokers"] |= shape
    return _checked(document)


def flags(names: Mapping[str, Any]) -> str:
    """Names of flags as they are typed."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _chosen(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _version(coordination: str) -> str:
    """The newest Kafka that can be coordinated so."""
    from kdeploy.spec.versions import SUPPORTED

    return [version for version, kinds in SUPPORTED.items() if coordination in kinds][-1]


def _checked(document: dict[str, Any]) -> Environment:
    from pydantic import ValidationError

    from kdeploy.spec.check import check
    from kdeploy.spec.model import Environment

    try:
        environment = Environment.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = flags({str(first["loc"][-1]): None})
        wrong = first["msg"][0].lower() + first["msg"][1:]
        raise UsageError(f"{flag}: {wrong}\n  see kdeploy plan --help") from None
    for finding in check(environment):
        raise InvalidSetting(finding.path, finding.wrong, finding.right)
    return environment
