"""The mirror over a line of 80 ms, with and without 1 % loss: kdeploy's settings against MirrorMaker's own defaults.

Two datacenters of real hosts, Kafka on each, and between them a line that carries whole IP packets (`tests.fleet.wan`),
so that windows, losses and what is sent again are the kernel's own. A backlog is written in the one while the connector
that carries records rests; then it goes on, from the same offsets with each set of settings in turn, and what it has
mirrored is what Connect says that it has committed. Every set runs on the same workers with exactly-once, which is the
workers' and not a connector's: MirrorMaker's defaults commit a transaction each poll then, where outside of it they would
commit none. TCP answers losses by cubic, Linux's default, whatever this machine does; that setting is put back.

The line alone is measured before, over two namespaces, without Kafka. Invariant: everything is timed in turn in one run;
hosts and line are gone afterwards. Needs root, and about half an hour on two processors, so it is no part of `make bench`.

    python -m benchmarks.mirror           # the line, then the mirror
    python -m benchmarks.mirror line      # the line alone: a minute
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fleet import base, datacenters, over_line, wan
from tests.fleet.environment import two_datacenters
from tests.fleet.fleet import Fleet
from tests.fleet.wan import Shape

if TYPE_CHECKING:
    from kdeploy.cluster.connectors import Positions
    from kdeploy.operations.site import Site
    from tests.e2e.local.kdeploy_command import Kdeploy

ROUND_TRIP: Final = 0.08
LOSSES: Final = (0.0, 0.01)
RATE: Final = 12.5e6
"""Bytes per second of the line: 100 Mbit/s, which this program and two processors carry beside Kafka."""

TOPIC: Final = "orders"
SIZE: Final = 1000
"""Bytes of a record's value."""

BACKLOG: Final = 200_000
"""Records that are to be mirrored: 200 MB, of which six runs find room on a host's disk."""

FOR: Final = 60.0
"""Seconds for which a run is measured at most, from when its first records are there."""

STARTS: Final = 300.0
"""Seconds for a connector's first records to be there."""

CONGESTION: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")

OURS: Final = (
    "offset.lag.max",
    "producer.override.",
    "source.consumer.fetch.max.",
    "source.consumer.max.",
    "source.consumer.receive.",
    "source.consumer.request.timeout.",
    "transaction.boundary",
)
"""What begins so is kdeploy's: without it a connector has MirrorMaker's and Kafka's own defaults."""

DEFAULT_TASKS: Final = "1"
"""tasks.max of MirrorMaker's connectors (Kafka 3.9 to 4.3 documentation, Connector configs)."""


@dataclass(frozen=True)
class Two:
    """Two datacenters that are up: kdeploy, and each with its way to be asked."""

    kdeploy: Kdeploy
    east: Site
    west: Site


def sets(config: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings that are compared, by name: MirrorMaker's, the same with as many tasks as kdeploy's, and kdeploy's."""
    plain = {key: value for key, value in config.items() if not key.startswith(OURS)}
    return {
        "MirrorMaker's defaults": {**plain, "tasks.max": DEFAULT_TASKS},
        "the same with our tasks": plain,
        "kdeploy's": dict(config),
    }


def measure_line() -> None:
    """What a connection over the line gets, with a consumer's own buffer and with one that the kernel sizes."""
    with over_line.namespaces("kdeploy-west", "kdeploy-east") as names:
        for loss in LOSSES:
            with over_line.line(names, Shape(ROUND_TRIP, loss, RATE)) as line:
                trips = over_line.echo(names, 50)
                small = over_line.received(names, 2**21, 2**16, "cubic")
                large = over_line.received(names, 2**22 if loss else 2**26, None, "cubic")
                there, back = line.counted()
            lost = sum(one["dropped"] for one in (there, back)) / sum(map(_all, (there, back)))
            print(
                f"line of {ROUND_TRIP * 1000:.0f} ms and {RATE / 1e6:g} MB/s, {loss:.0%} loss: a question takes "
                f"{statistics.median(trips) * 1000:.1f} ms; one connection gets {small / 1e6:.2f} MB/s with 64 KiB, "
                f"{large / 1e6:.2f} MB/s with a buffer of the kernel's ({lost:.1%} of packets lost; {load()})",
                flush=True,
            )


def _all(one: Mapping[str, int]) -> int:
    return one["passed"] + one["dropped"]


def load() -> str:
    """How busy this machine was in the last minute, beside which every figure has to be read."""
    return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors"


@contextmanager
def cubic() -> Iterator[None]:
    """Have hosts that boot in the block answer losses as Linux does by default: they take it from this machine."""
    before = CONGESTION.read_text()
    CONGESTION.write_text("cubic")
    try:
        yield
    finally:
        CONGESTION.write_text(before)


@contextmanager
def two() -> Iterator[Two]:
    """Two datacenters, up and mirrored."""
    from kdeploy.operations import status
    from kdeploy.operations.progress import Silent
    from kdeploy.spec import load as spec
    from tests.e2e.local.kdeploy_command import Kdeploy

    with tempfile.TemporaryDirectory(prefix="kdeploy-bench-") as folder, cubic():
        root = Path(folder)
        fleet, kdeploy = Fleet(root / "fleet"), Kdeploy(root, "two", 1500)
        os.environ["KDEPLOY_STATE_DIR"] = str(root / "state")
        os.environ["KDEPLOY_VAULT_PASSWORD"] = "for as long as this benchmark"
        try:
            datacenters.up(fleet, ("controller", "broker", "mirror"))
            kdeploy.file.parent.mkdir(parents=True)
            said = {"bandwidth": f"{RATE / 1e6:g}MB/s", "round_trip": f"{ROUND_TRIP * 1000:.0f}ms"}
            kdeploy.file.write_text(two_datacenters(fleet, **said, tasks=4))
            for command in ("plan --lock", "vault create", "up"):
                kdeploy(command)
            sites = {
                one.cluster.datacenter: one
                for one in status.sites_of(spec.load(kdeploy.file.parent), Silent(), None)
            }
            yield Two(kdeploy, sites["east"], sites["west"])
        finally:
            datacenters.remove(fleet)


def fill(found: Two) -> Positions:
    """Write the backlog in the east; by topic and partition, where it begins."""
    from confluent_kafka import Producer

    from kdeploy.operations import switching
    from tests.e2e.local.two_sides import Sides

    wanted = found.east.design.loaded.environment.mirroring
    assert wanted is not None
    began = {TOPIC: switching.ends(found.east, wanted)[TOPIC]}
    client = Producer(
        {
            **Sides(found.kdeploy).client("east", "orders-producer"),
            "acks": "all",
            "linger.ms": 50,
            "compression.type": "none",
            "message.timeout.ms": 120_000,
        }
    )
    for number in range(BACKLOG):
        while True:
            try:
                client.produce(TOPIC, key=str(number), value=os.urandom(SIZE))
                break
            except BufferError:
                client.poll(0.1)
    if client.flush(300):
        raise SystemExit("the backlog was not written in time")
    return began


def mirrored(found: Two, name: str, config: Mapping[str, str], began: Positions) -> float:
    """Bytes per second at which a connector mirrors the backlog with some settings, from its beginning."""
    from kdeploy.cluster import connectors
    from kdeploy.operations import backlog, mirroring

    client = mirroring.connect(found.west)

    def reached() -> int:
        return sum(backlog.reached(found.east, found.west).get(TOPIC, {}).values())

    client.stop(name)
    client.wait(f"{name} rests", lambda one: one[name].rests, STARTS)
    client.put(name, config)
    client.set_offsets(name, connectors.entries(began, "east"))
    client.resume(name)
    start, end = sum(began[TOPIC].values()), sum(began[TOPIC].values()) + BACKLOG
    deadline = time.monotonic() + STARTS
    while (first := reached()) <= start:
        if time.monotonic() > deadline:
            raise SystemExit(f"{name} mirrored nothing within {STARTS:.0f} s:\n{client.connectors()[name]}")
        time.sleep(0.2)
    at = time.monotonic()
    now, last = at, first
    while last < end and now < at + FOR:
        time.sleep(0.5)
        if (seen := reached()) > last:
            now, last = time.monotonic(), seen
        elif time.monotonic() > at + 2 * FOR:
            break
    if last == first:
        raise SystemExit(f"all of the backlog was there at once: BACKLOG of {BACKLOG:,} is too small")
    return (last - first) * SIZE / (now - at)


def measure() -> None:
    """Time each set of settings over each line, and print a line for each as soon as it is there."""
    from kdeploy.operations import mirroring

    name = "east-to-west-records"
    with two() as found:
        client = mirroring.connect(found.west)
        config = dict(client.connectors()[name].config)
        client.stop(name)
        client.wait(f"{name} rests", lambda one: one[name].rests, STARTS)
        began = fill(found)
        for loss in LOSSES:
            with datacenters.line(Shape(ROUND_TRIP, loss, RATE)):
                rates = {}
                for whose, settings in sets(config).items():
                    rates[whose] = mirrored(found, name, settings, began)
                    print(
                        f"mirror over {ROUND_TRIP * 1000:.0f} ms and {RATE / 1e6:g} MB/s, {loss:.0%} loss: "
                        f"{rates[whose] / 1e6:.2f} MB/s of records with {whose} ({load()})",
                        flush=True,
                    )
            defaults, _, ours = rates.values()
            print(f"  {ours / defaults:.1f} times MirrorMaker's defaults", flush=True)


def main(words: list[str]) -> None:
    """Measure the line, and what is mirrored over it."""
    if problem := wan.lacking() or (None if words == ["line"] else base.lacking()):
        raise SystemExit(problem)
    measure_line()
    if words != ["line"]:
        measure()


if __name__ == "__main__":
    main(sys.argv[1:])
