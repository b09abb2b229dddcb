"""The flags that describe a workload, and the Environment they make.

Invariant: what comes out was checked like a file's environment; a flag that was
not given leaves the model's own default, or the environment's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kdeploy.errors import InvalidSetting, UsageError
from kdeploy.units import (
    RANGE_MARK,
    parse_bytes,
    parse_duration,
    parse_number,
    parse_range,
    parse_rate,
    parse_share,
)

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
    "batch_size",
    "compression",
    "topic_compression",
    "partitions",
    "lagging_consumers",
    "mirrored_in",
    "mirrored_out",
    "mirror_consumers",
    "mirror_round_trip",
    "clients",
    "growth",
    "horizon",
)
"""Flags named as the fields of `spec.model.Workload`."""

PLANNER: Final = (
    "imbalance",
    "utilisation",
    "rebuild_time",
    "round_trip",
    "socket_buffer",
    "price_discount",
    "confidence",
    "samples",
    "seed",
    "max_brokers",
)
"""Flags named as the fields of `spec.model.Planner`."""

SWITCHES: Final = ("follower_fetching", "tls")
"""Flags that say on or off, named likewise."""

DURABILITY: Final = ("replication_factor", "min_insync_replicas", "survive")
"""Flags named as the fields of `spec.model.Durability`."""

SHAPE: Final = ("instance_type", "instance_family", "architecture", "storage", "volume_type")
"""Flags named as the fields of `spec.model.Brokers`; in EC2 only."""

PLACE: Final = ("zones", "region", "coordination", "workload")
"""Flags that an environment answers by itself."""

UNCOMPRESSED: Final = ("payload", "compression_ratio")
"""Flags that give a throughput together with the codec."""


def _quantity(parse: Callable[[object], float], ranges: bool = False) -> Callable[[str], str]:
    """Check a quantity with its unit; the text is kept, as environment.yaml would have it."""

    def check(text: str) -> str:
        try:
            if ranges:
                parse_range(text, parse)
            else:
                parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        return text

    return check


RATE: Final = {"type": _quantity(parse_rate), "metavar": "RATE"}
RATES: Final = {"type": _quantity(parse_rate, ranges=True), "metavar": "RATE"}
SIZE: Final[dict[str, Any]] = {"type": _quantity(parse_bytes), "metavar": "SIZE"}
SIZES: Final = {"type": _quantity(parse_bytes, ranges=True), "metavar": "SIZE"}
TIME: Final = {"type": _quantity(parse_duration), "metavar": "TIME"}
TIMES: Final = {"type": _quantity(parse_duration, ranges=True), "metavar": "TIME"}
TIMES_OVER: Final = {"type": _quantity(parse_number, ranges=True), "metavar": "NUMBER"}
SHARE: Final = {"type": _quantity(parse_share), "metavar": "SHARE"}
SHARES: Final = {"type": _quantity(parse_share, ranges=True), "metavar": "SHARE"}
SWITCH: Final = {"type": click.Choice(["on", "off"])}

PERCENTILE: Final = click.FloatRange(0, 100, min_open=True)
CODECS: Final = click.Choice(["none", "gzip", "snappy", "lz4", "zstd"])
FAILURES: Final = click.Choice(["none", "broker", "zone"])
ARCHITECTURES: Final = click.Choice(["x86_64", "arm64"])
STORAGE: Final = click.Choice(["ebs", "local"])
VOLUME_TYPES: Final = click.Choice(["gp3", "gp2", "io2", "st1"])
COORDINATION: Final = click.Choice(["zookeeper", "kraft"])

OPTIONS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("--throughput", {**RATES, "help": "Average produce rate, as BytesInPerSec shows it. [10MB/s]"}),
    ("--payload", {**RATES, "help": "The same before compression, in place of --throughput."}),
    ("--compression-ratio", {"type": float, "help": "Payload over what is sent. [the codec's usual]"}),
    ("--workload", {"metavar": "FILE", "help": "Topics with their rates, a YAML list."}),
    ("--from-metrics", {"metavar": "FILE", "help": "Measured rates, CSV or Prometheus JSON."}),
    ("--percentile", {"type": PERCENTILE, "help": "Which of them is the peak. [100]"}),
    ("--peak-factor", {**TIMES_OVER, "help": "The peak over the average. [2]"}),
    ("--growth", {**SHARES, "help": "How much more each year than the last. [0%]"}),
    ("--horizon", {**TIME, "help": "How far ahead it has to hold. [1y]"}),
    ("--fan-out", {**TIMES_OVER, "help": "How often each byte is read. [2]"}),
    ("--lagging-consumers", {**SHARES, "help": "Reads from disk. [half the produce rate]"}),
    ("--message-size", {**SIZES, "help": "Average record as stored. [1000B]"}),
    ("--batch-size", {**SIZES, "help": "Bytes in a produce request. [64KiB]"}),
    ("--retention", {**TIMES, "help": "How long records are kept. [7d]"}),
    ("--retention-bytes", {**SIZE, "help": "Most bytes kept per partition. [no limit]"}),
    ("--compression", {"type": CODECS, "help": "Codec of the producers. [none]"}),
    ("--topic-compression", {"type": CODECS, "help": "Codec of the topics, made anew. [the producers']"}),
    ("--partitions", {"type": int, "help": "Partitions, before replication. [what the peak needs]"}),
    ("--clients", {"type": int, "help": "Connected producers and consumers. [500]"}),
    ("--mirrored-in", {**RATES, "help": "Produced here by mirroring, beside the throughput. [0B/s]"}),
    ("--mirrored-out", {**RATES, "help": "Read here by mirroring. [0B/s]"}),
    ("--mirror-consumers", {"type": int, "help": "Consumers that read it. [1]"}),
    ("--mirror-round-trip", {**TIME, "help": "Between them and the brokers. [80ms]"}),
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
    ("--max-brokers", {"type": int, "help": "Most brokers. [1000]"}),
    ("--coordination", {"type": COORDINATION, "help": "What coordinates. [zookeeper]"}),
    ("--tls", {**SWITCH, "help": "Whether anything is encrypted, to compare. [on]"}),
    ("--follower-fetching", {**SWITCH, "help": "Consumers read the nearest copy. [off]"}),
    ("--utilisation", {**SHARE, "help": "Ceiling of every limit. [each its own]"}),
    ("--imbalance", {"type": float, "help": "Busiest broker over the average. [1.2]"}),
    ("--rebuild-time", {**TIME, "help": "To fill lost local disks again. [4h]"}),
    ("--round-trip", {**TIME, "help": "Between the racks farthest apart. [1ms]"}),
    ("--socket-buffer", {**SIZE, "help": "Of a connection, on its way at once. [16MiB]"}),
    ("--price-discount", {**SHARE, "help": "Off the list for instances and volumes. [0%]"}),
    ("--confidence", {**SHARE, "help": "Probability to hold, given ranges. [95%]"}),
    ("--samples", {"type": int, "help": "Samples drawn from ranges. [10000]"}),
    ("--seed", {"type": int, "help": "Seed of the samples. [1]"}),
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
    place: dict[str, Any] = {
        "provider": "aws",
        "region": given.get("region", DEFAULT_REGION),
        "racks": [chr(ord("a") + zone) for zone in range(zones)],
        "brokers": _chosen(given, SHAPE),
    }
    return _checked(
        {
            "name": "plan",
            "kafka": {"coordination": coordination, "version": _version(coordination)},
            "workload": _workload(given, _of_file(given)),
            "durability": durability,
            "planner": _planner(given),
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
                f"{flags({name: None})} is for planning without an environment\n"
                "  change environment.yaml, or leave ENV out"
            )
    if not given:
        return environment
    document = environment.to_json()
    document["workload"] |= _workload(given, document["workload"])
    document["durability"] |= _chosen(given, DURABILITY)
    document["planner"] |= _planner(given)
    shape = _chosen(given, SHAPE)
    places = [one for one in document["datacenters"] if one["provider"] == "aws"]
    if shape and not places:
        raise UsageError(f"{flags(shape)}: this environment has no datacenter in AWS\n  leave it out")
    for place in places:
        place["brokers"] |= shape
    return _checked(document)


def _planner(given: Mapping[str, Any]) -> dict[str, Any]:
    return _chosen(given, PLANNER) | {name: given[name] == "on" for name in SWITCHES if name in given}


def _workload(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the workload that flags give; a payload becomes a throughput.

    Raises:
        UsageError: Flags that say the same thing twice, or one that means nothing by itself.
    """
    chosen = {**own, **_chosen(given, WORKLOAD), **_measured(given)}
    if "compression_ratio" in given and "payload" not in given:
        raise UsageError(
            "--compression-ratio is about a --payload\n  give one, or leave it out: --throughput is compressed"
        )
    if "payload" not in given:
        return chosen
    if "throughput" in given:
        raise UsageError("--payload and --throughput say the same thing\n  give one of them")
    if "from_metrics" in given:
        raise UsageError("--payload and --from-metrics say the same thing\n  give one of them")
    from kdeploy.planner.figures import RATIOS

    ratio = given.get("compression_ratio", RATIOS[chosen.get("compression", "none")])
    if not 1 <= ratio <= 1000:
        raise UsageError(f"--compression-ratio: {ratio:g} is no such ratio\n  write 1 or more, at most 1000")
    ends = [parse_rate(end) / ratio for end in given["payload"].split(RANGE_MARK)]
    return chosen | {"throughput": RANGE_MARK.join(f"{end!r}B/s" for end in ends)}


def _of_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The workload that --workload names: a list of topics, or a map as under `workload:`.

    Raises:
        UsageError: There is no such file.
        InvalidEnvironment: What it says is wrong, with line, path and remedy.
    """
    if "workload" not in given:
        return {}
    from kdeploy.spec.load import interpret
    from kdeploy.spec.source import Source, parse

    name = given["workload"]
    text = _read(name, "--workload")
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    shift = 1 if first.startswith("-") else 0
    found = parse("topics:\n" * shift + text, name)
    source = Source(
        name,
        {"workload": found.data},
        {("workload", *path): line - shift for path, line in found.lines.items()},
        {("workload", *path): written for path, written in found.text.items()},
    )
    document: dict[str, Any] = interpret(source, "plan").to_json()["workload"]
    return document


def _measured(given: Mapping[str, Any]) -> dict[str, Any]:
    """Throughput and peak factor from --from-metrics.

    Raises:
        UsageError: There is no such file, or another flag says the same.
        InvalidEnvironment: It holds no rates.
    """
    if "from_metrics" not in given:
        if "percentile" in given:
            raise UsageError(
                "--percentile is about what was measured\n  give --from-metrics, or leave it out"
            )
        return {}
    for name in ("throughput", "peak_factor"):
        if name in given:
            raise UsageError(
                f"{flags({name: None})} and --from-metrics say the same thing\n  give one of them"
            )
    from kdeploy.planner import metrics

    found = metrics.read(_read(given["from_metrics"], "--from-metrics"), given["from_metrics"])
    factor = found.peak_factor(given.get("percentile", 100.0))
    return {"throughput": f"{found.average!r}B/s", "peak_factor": factor}


def _read(name: str, flag: str) -> str:
    from pathlib import Path

    try:
        return Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{flag}: {name!r} cannot be read: {why}\n  name a file") from None


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
    from kdeploy.spec.check import check
    from kdeploy.spec.model import Environment
    from kdeploy.spec.values import plain

    environment = plain(Environment, document) or _validated(document)
    for finding in check(environment):
        raise InvalidSetting(finding.path, finding.wrong, finding.right)
    return environment


def _validated(document: dict[str, Any]) -> Environment:
    from pydantic import ValidationError

    from kdeploy.spec.model import Environment

    try:
        return Environment.model_validate(document)
    except ValidationError as error:
        from kdeploy.spec.explain import explain
        from kdeploy.spec.source import Source

        first = explain(error, Source("", document, {}, {}), "plan")[0]
        flag = flags({first.path.rpartition(".")[2]: None})
        raise UsageError(f"{flag}: {first.wrong}\n  {first.right}") from None
