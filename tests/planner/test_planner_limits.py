"""The limits against numbers worked out by hand, and against an independent reading of the documentation."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kdeploy.planner import hardware, limits, spread
from kdeploy.planner.demand import Demand, demand_of
from kdeploy.planner.spread import Fleet
from tests.planner.workloads import aws

DEMAND = Demand(
    rate=100e6,
    peak=200e6,
    fan_out=2.0,
    records=200_000.0,
    retention=86400.0,
    retention_bytes=None,
    copies=3,
    racks=3,
    survive="zone",
    partitions=600,
    stated=True,
    decompression=0.0,
    clients_encrypt=True,
    coordination="zookeeper",
)


TCP, TLS = 1 + 52 / 1448, 1 + 22 / 16384


def load(demand: Demand, brokers: int, disks: int = 1) -> dict[str, float]:
    fleet = Fleet.even(np.array([float(brokers)]), demand.racks)
    row = limits.loads(demand, fleet, np.array([float(disks)]))[0, :, 0]
    return dict(zip(limits.COLUMNS, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        # 6 brokers in 3 racks hold 600 × 3 ÷ 6 = 300 of 600 partitions: half of the stream, 1.2 × busier
        ("network_in", 200e6 * 0.5 * 1.2 * TCP * TLS),
        # 4 survivors of 6: each sends a quarter of the stream twice, and to 3 × 4/6 - 1 = 1 copy left
        ("network_out", 200e6 * (2 + 1) / 4 * 1.2 * TCP * TLS),
        ("disk_write", 200e6 * 0.5 * 1.2),
        ("disk_throughput", 200e6 * (0.5 + 0.5 / 4) * 1.2),
        ("disk_iops", 200e6 * (0.5 + 0.5 / 4) * 1.2 / 131072),
        # a day of the average and an unrolled segment of 1 GiB for each partition
        ("disk_space", (100e6 * 86400 + 600 * 2**30) * 0.5 * 1.005 * 1.2),
        ("memory", 200e6 * 0.5 * 1.2 * 30),
        # survivor: leads 1/4, follows 1/4, sends 3/4; TLS on all it takes in and sends; records it leads
        (
            "cpu",
            (200e6 * (0.25 * 4 + 0.25 * 2 + 0.75 * 1 + (0.5 + 0.75) * 2) * 1e-9 + 50_000 * 0.5e-6) * 1.2,
        ),
        ("partitions", 300),
        ("disk_read", 200e6 * 0.5 / 4 * 1.2),
        ("partition_rate", 200e6 / 600 * 1.2),
        # of the half of the stream that it holds it copies two thirds, from five others
        ("single_flow", 200e6 * (1 / 2 - 1 / 6) / 5 * 1.2 * TCP * TLS),
        ("heap", 128 * 2**20 + 300 * 102_400),
        # 20 segments and the active one of each replica: more than its 5,214 GiB
        (
            "open_files",
            300 * 21,
        ),
        # half of it busy on average, and 4 h to take in what it held
        (
            "rebuild_in",
            (200e6 * 0.5 / 2 * 1.2 + (100e6 * 86400 + 600 * 2**30) * 0.5 * 1.005 * 1.2 / 14400) * TCP * TLS,
        ),
    ],
)
def test_the_load_of_six_brokers_is_what_a_person_works_out(limit: str, expected: float) -> None:
    assert load(DEMAND, 6)[limit] == pytest.approx(expected, rel=1e-9)


def test_a_failure_moves_leadership_and_not_copies() -> None:
    calm, zone = load(replace(DEMAND, survive="none"), 6), load(DEMAND, 6)
    for limit in ("network_in", "disk_write", "disk_space", "memory", "partitions"):
        assert zone[limit] == calm[limit]
    # before: (2 + 3 - 1) ÷ 6 of the stream; after: 3 ÷ 4
    assert zone["network_out"] / calm["network_out"] == pytest.approx((3 / 4) / (4 / 6))


def test_without_consumers_a_failure_makes_nothing_harder_to_send() -> None:
    idle = replace(DEMAND, fan_out=0.0)
    assert load(idle, 6)["network_out"] == load(replace(idle, survive="none"), 6)["network_out"]


def test_a_rack_with_fewer_brokers_carries_as_many_copies() -> None:
    # 7 brokers are 3, 2 and 2: the two brokers of a rack hold a whole copy, as with 6
    for limit in ("network_in", "disk_write", "disk_space", "partitions"):
        assert load(DEMAND, 7)[limit] == load(DEMAND, 6)[limit]


def test_partitions_that_do_not_divide_make_one_broker_busier() -> None:
    odd = replace(DEMAND, partitions=7, copies=1, racks=1, survive="none", fan_out=0.0)
    assert load(odd, 4)["network_in"] == pytest.approx(200e6 * 2 / 7 * 1.2 * TCP * TLS)


def test_the_busiest_disk_counts() -> None:
    few = replace(DEMAND, partitions=6)  # 3 replicas per broker on 2 disks: 2 and 1
    assert load(few, 6, disks=2)["disk_write"] == pytest.approx(load(few, 6)["disk_write"] * 4 / 3)


def test_chosen_partitions_are_even_over_brokers_and_disks() -> None:
    free = replace(DEMAND, partitions=20, stated=False)
    fleet = Fleet.even(np.arange(3.0, 40.0), 3)
    share = spread.shares(free, fleet, np.array([1.0, 2.0, 5.0]))
    assert (share.disk_skew == 1).all()
    assert (share.partitions >= 20).all()
    assert (share.partitions % (fleet.smallest_rack * 3) == 0).all()


def test_a_broker_that_may_fail_alone_is_not_enough() -> None:
    lonely = replace(DEMAND, copies=1, racks=1, survive="broker")
    assert math.isinf(load(lonely, 1)["network_out"])


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"retention_bytes": 1e9}, "disk_space"),
        ({"retention": 3600.0}, "disk_space"),
        ({"clients_encrypt": False}, "cpu"),
        ({"fan_out": 0.1}, "disk_throughput"),
    ],
)
def test_asking_for_less_loads_less(change: dict[str, Any], limit: str) -> None:
    assert load(replace(DEMAND, **change), 6)[limit] < load(DEMAND, 6)[limit]


def by_the_documentation(demand: Demand, brokers: int) -> dict[str, float]:
    """docs/planner.md in plain Python, for stated partitions, even racks and one disk."""
    per_rack = brokers // demand.racks
    replicas = math.ceil(demand.partitions * demand.copies / (demand.racks * per_rack))
    replicas = min(replicas, demand.partitions)  # with fewer brokers than copies
    held = replicas / demand.partitions
    survivors = brokers - {"none": 0, "broker": 1, "zone": per_rack}[demand.survive]
    led = math.ceil(demand.partitions / brokers) / demand.partitions
    led_after = max(led, math.ceil(demand.partitions / survivors) / demand.partitions)
    sent = led * demand.fan_out + (demand.copies - 1) / brokers
    left = max(demand.copies * survivors / brokers - 1, 0) / survivors
    sent_after = led_after * demand.fan_out + left
    peak = demand.peak * 1.2
    reads = min(0.5, demand.fan_out) * peak * led_after
    return {
        "network_in": peak * held * TCP * TLS,
        "network_out": peak * max(sent, sent_after) * TCP * TLS,
        "disk_write": peak * held,
        "disk_throughput": peak * held + reads,
        "disk_iops": (peak * held + reads) / 131072,
        "disk_space": (
            demand.rate * demand.retention + min(2**30 * demand.partitions, demand.rate * 7 * 86400)
        )
        * held
        * 1.005
        * 1.2,
        "memory": peak * held * 30,
        "partitions": replicas,
    }


def test_loads_agree_with_the_documentation_read_plainly() -> None:
    lots = random.Random(7)
    for _ in range(300):
        racks = lots.randint(1, 4)
        demand = replace(
            DEMAND,
            rate=(rate := lots.uniform(1e3, 1e9)),
            peak=rate * lots.uniform(1, 5),
            fan_out=lots.uniform(0, 9),
            copies=lots.randint(2, 4),
            racks=racks,
            survive=lots.choice(["none", "broker"] if racks == 1 else ["none", "broker", "zone"]),
            partitions=lots.randint(1, 9999),
        )
        brokers = racks * lots.randint(2, 20)
        found = load(demand, brokers)
        for limit, expected in by_the_documentation(demand, brokers).items():
            assert found[limit] == pytest.approx(expected, rel=1e-9), (limit, brokers, demand)


def test_heap_is_what_tuning_sets() -> None:
    from kdeploy.tuning.jvm import HEAP_SHARE, heap

    for gib in (4, 8, 11, 16, 64, 512):
        memory = gib * 2.0**30
        assert (
            hardware.page_cache(np.array([memory]))[0] == memory - heap("broker", memory, HEAP_SHARE) - 2**30
        )


@pytest.mark.parametrize(("vcpus", "replicas"), [(2, 1000), (4, 1000), (8, 2000), (16, 4000), (96, 4000)])
def test_replicas_per_broker_are_aws_s_recommendation(vcpus: int, replicas: int) -> None:
    assert hardware.replicas_capacity(np.array([float(vcpus)]))[0] == replicas


def test_required_is_the_first_count_that_holds() -> None:
    columns = len(limits.COLUMNS)
    rising = np.array([[8.0, 4.0, 2.0, 1.0]] * columns)
    capacity = np.array([2.0 / limits.CEILINGS, [0.5] * columns])
    first = limits.required(rising, capacity)
    assert first[0].tolist() == [2] * columns
    assert first[1].tolist() == [4] * columns


def test_the_workload_gives_partitions_where_none_are_stated() -> None:
    demand = demand_of(aws(workload={"throughput": "95MB/s", "peak_factor": 2}), aws().datacenters[0])
    assert (demand.partitions, demand.stated) == (19, False)
