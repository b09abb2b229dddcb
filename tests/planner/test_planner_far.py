"""What distance and another codec of the topics cost: by hand, from the documented figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdeploy import planner
from kdeploy.planner import report
from kdeploy.planner.demand import Demand, demand_of
from kdeploy.planner.far import region_capacity
from kdeploy.planner.limits import COLUMNS, loads
from kdeploy.planner.result import DatacenterPlan
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws

WIRE = (1 + 52 / 1448) * (1 + 22 / 16384)


def demand(**parts: Any) -> Demand:
    environment = aws(**parts)
    return demand_of(environment, environment.datacenters[0])


def load(wanted: Demand, brokers: int = 9) -> dict[str, float]:
    fleet = Fleet.even(np.array([float(brokers)]), wanted.racks)
    return dict(zip(COLUMNS, loads(wanted, fleet, np.array([1.0]))[0, :, 0].tolist(), strict=True))


def one(environment: Environment) -> DatacenterPlan:
    plan = planner.plan(environment)
    assert plan.feasible, plan.infeasible
    return plan.datacenters[0]


@pytest.mark.parametrize(
    ("gbps", "vcpus", "leaves"),
    [(0.75, 2, 0.75), (5, 16, 5), (12.5, 16, 5), (10, 32, 5), (25, 96, 12.5), (100, 192, 50)],
)
def test_what_leaves_a_region_is_5_gbit_or_half_of_the_baseline(
    gbps: float, vcpus: int, leaves: float
) -> None:
    assert region_capacity(np.array([gbps * 1e9 / 8]), np.array([vcpus]))[0] == leaves * 1e9 / 8


def test_a_follower_waits_for_a_round_trip_per_buffer() -> None:
    near, far = (
        load(demand(workload={"throughput": "90MB/s"}, planner={"round_trip": trip, "socket_buffer": "1MiB"}))
        for trip in ("1ms", "50ms")
    )
    assert far["far_followers"] == pytest.approx(near["far_followers"] * 50)
    pulled = 180e6 / 3 * (1 - 1 / 3) / 8 * 1.2 * WIRE
    assert far["far_followers"] == pytest.approx(pulled * 0.05 / 2**20)
    assert near["single_flow"] == pytest.approx(pulled)


def test_lost_disks_are_filled_again_no_faster_than_connections_to_far_brokers_carry() -> None:
    near, far = (
        aws(
            workload={"throughput": "5MB/s", "retention": "1d"},
            brokers={"instance_type": "i3en.2xlarge", "count": 6},
            planner={"round_trip": trip, "socket_buffer": "1MiB"},
        )
        for trip in ("1ms", "60ms")
    )
    brokers = one(far).brokers
    held = brokers.utilisation["disk_space"] * 2 * 2500e9
    fetched = 2 * 2**20 / 0.06 - 5e6 / 2 * (1 - 1 / 3) / 5 * 1.2 * WIRE  # 8 processors: 2 fetchers
    assert brokers.rebuild_time == pytest.approx(held * WIRE / 5 / fetched, rel=1e-6)
    assert brokers.utilisation["rebuild"] == pytest.approx(brokers.rebuild_time / (4 * 3600))
    assert (one(near).brokers.rebuild_time or 0) < brokers.rebuild_time / 3
    strict = aws(
        workload={"throughput": "5MB/s", "retention": "1d"},
        brokers={"instance_type": "i3en.2xlarge", "storage": "local"},
        planner={"round_trip": "60ms", "socket_buffer": "1MiB", "rebuild_time": "10min"},
    )
    assert one(strict).brokers.bottleneck == "rebuild"


def test_a_stretched_cluster_needs_more_fetchers_or_more_brokers() -> None:
    asked: dict[str, Any] = {"throughput": "150MB/s", "retention": "1h"}
    near = one(aws(workload=asked))
    far = one(aws(workload=asked, planner={"round_trip": "60ms", "socket_buffer": "128KiB"}))
    assert far.brokers.bottleneck == "far_followers"
    assert (far.cost.monthly_usd or 0) > (near.cost.monthly_usd or 0)


def test_mirroring_from_afar_needs_consumers_rather_than_brokers() -> None:
    asked = {"throughput": "100MB/s", "mirrored_out": "100MB/s", "mirror_round_trip": "150ms"}
    few, many = (load(demand(workload=asked | {"mirror_consumers": tasks})) for tasks in (1, 10))
    assert few["mirror_flow"] == pytest.approx(many["mirror_flow"] * 10)
    assert few["mirror_flow"] == pytest.approx(200e6 * 1.2 / 6 * WIRE * 0.15 / 2**24)
    near = load(demand(workload=asked | {"mirror_round_trip": "1ms", "mirror_consumers": 1}))
    assert near["mirror_flow"] == pytest.approx(200e6 * 1.2 / 6 * WIRE / 625e6), "one flow has 5 Gbit/s"


@pytest.mark.parametrize("rate", ["100MB/s", "20MB/s..100MB/s"])
def test_consumers_that_are_not_stated_are_as_many_as_it_takes_and_the_fewest(rate: str) -> None:
    asked: dict[str, Any] = {"throughput": "60MB/s", "mirrored_out": rate, "mirror_round_trip": "150ms"}
    settings = {"socket_buffer": "1MiB", "samples": 200, "ceilings": {"mirror_flow": "50%"}}
    free = one(aws(workload=asked, planner=settings))
    assert free.mirror_consumers is not None
    assert free.mirror_consumers > 3
    assert free.brokers.utilisation["mirror_flow"] == 0
    same = {"count": free.brokers.count, "instance_type": free.brokers.instance_type}
    for fewer, fits in ((0, True), (1, False)):
        stated = asked | {"mirror_consumers": free.mirror_consumers - fewer}
        plan = planner.plan(aws(workload=stated, planner=settings, brokers=same))
        assert plan.feasible is fits
    assert "mirroring consumers in place of" in " ".join(one.change for one in plan.infeasible[0].relaxations)
    text = " ".join(report.text(planner.plan(aws(workload=asked)), aws(workload=asked)).split())
    assert "enough at a round trip of 150 ms" in text


def test_nothing_mirrored_has_no_consumers() -> None:
    assert one(aws()).mirror_consumers is None


def test_what_is_mirrored_out_leaves_the_region_unless_the_other_datacenter_is_in_it() -> None:
    asked = {"throughput": "50MB/s", "mirrored_out": "20MB/s"}
    document = aws(workload=asked).to_json()
    alone = one(Environment.model_validate(document))
    place = document["datacenters"][0]
    found = {}
    for region in ("us-east-1", "eu-west-1"):
        document["datacenters"] = [place, {**place, "name": "dc2", "region": region}]
        found[region] = one(Environment.model_validate(document))
    near, far = found["us-east-1"], found["eu-west-1"]
    assert near.brokers.utilisation["cross_region"] == 0
    assert far.brokers.utilisation["cross_region"] == alone.brokers.utilisation["cross_region"] > 0
    assert far.cost.parts["cross_region_traffic"] == pytest.approx(20e6 * 730 * 3600 / 2**30 * 0.02, abs=0.01)
    assert "cross_region_traffic" not in near.cost.parts
    assert near.cost.parts["cross_zone_traffic"] > far.cost.parts["cross_zone_traffic"]


def test_a_topic_of_another_codec_is_decompressed_and_compressed_by_its_leader() -> None:
    kept, anew = (
        load(demand(workload={"throughput": "60MB/s", "compression": "zstd", "topic_compression": codec}))
        for codec in (None, "lz4")
    )
    ratio = 2.887 / 2.101
    for limit in ("disk_write", "network_in", "network_out"):
        assert anew[limit] == pytest.approx(kept[limit] * ratio), limit
    least = 120e6 * ratio / 6 * 1.2 * (2.101 / 700e6)
    assert anew["cpu"] > kept["cpu"] + least


def test_a_topic_that_compresses_more_takes_in_what_is_sent_and_keeps_less() -> None:
    plain, anew = (
        load(demand(workload={"throughput": "60MB/s", "partitions": 90, "topic_compression": codec}))
        for codec in (None, "gzip")
    )
    assert anew["disk_write"] == pytest.approx(plain["disk_write"] / 2.743)
    extra = 120e6 / 2.743 * (2.743 - 1) / 6 * 1.2 * WIRE
    assert anew["network_in"] == pytest.approx(plain["network_in"] / 2.743 + extra)
    assert anew["cpu"] > plain["cpu"], "95 MB/s of gzip on a processor outweigh the bytes that are saved"


def test_a_topic_codec_that_is_the_producers_changes_nothing() -> None:
    same = {"compression": "lz4", "topic_compression": "lz4"}
    assert demand(workload=same) == demand(workload={"compression": "lz4"})


def test_the_report_says_what_is_mirrored_and_compressed_anew() -> None:
    environment = aws(
        workload={"mirrored_in": "5MB/s..9MB/s", "mirrored_out": "20MB/s", "topic_compression": "zstd"}
    )
    words = report.asked(environment)
    assert "5 MB/s to 9 MB/s more are mirrored in." in words
    assert "20 MB/s are mirrored out." in words
    assert "Brokers compress it anew: zstd in place of no compression." in words
