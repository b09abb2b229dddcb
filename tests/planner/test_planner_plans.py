"""Plans for particular environments: chosen, declared, locked, and those that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy import planner
from kdeploy.errors import InvalidSetting
from kdeploy.planner import ensemble
from kdeploy.planner.figures import FIGURES
from kdeploy.planner.result import DatacenterPlan
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws, changed, locked

FAST = {"throughput": "200MB/s"}


def one(environment: Environment, **options: Any) -> DatacenterPlan:
    plan = planner.plan(environment, **options)
    assert plan.feasible, plan.infeasible
    return plan.datacenters[0]


def hosts(per_rack: int = 1, **hardware: Any) -> Environment:
    machines = [
        {"address": f"{role}{number}-{rack}", "rack": rack, "role": role, "hardware": hardware}
        for rack in "abc"
        for role, count in (("broker", per_rack), ("zookeeper", 1))
        for number in range(count)
    ]
    place = {"provider": "hosts", "hosts": machines}
    return Environment.model_validate(
        {"name": "trial", "datacenters": [place], "workload": {"retention": "1d"}}
    )


def test_everything_about_a_plan_in_ec2_is_there() -> None:
    planned = one(aws(workload=FAST))
    brokers = planned.brokers
    assert brokers.instance_type is not None
    assert set(brokers.per_rack) == {"a", "b", "c"}
    assert brokers.bottleneck in brokers.required
    assert planned.cost.monthly_usd == pytest.approx(sum(planned.cost.parts.values()), abs=0.02)
    assert set(planned.cost.parts) == {"brokers", "volumes", "coordination", "cross_zone_traffic"}
    assert (planned.cost.exact, planned.cost.date) == (True, "2026-07-20")
    assert planned.coordination.nodes == 3


def test_cross_zone_traffic_is_what_crosses_zones() -> None:
    # produce 2/3, two copies, each of two readers 2/3; both sides pay; a month is 730 h
    planned = one(aws(workload=FAST))
    crossing = 2 / 3 + 2 + 2 * 2 / 3
    expected = 200e6 * crossing * 730 * 3600 / 2**30 * 0.02
    assert planned.cost.parts["cross_zone_traffic"] == pytest.approx(expected, abs=0.01)
    single = aws(zones=1, workload=FAST, durability={"survive": "broker"})
    assert one(single).cost.parts["cross_zone_traffic"] == 0


def test_long_retention_buys_volumes_and_a_short_one_may_use_local_disks() -> None:
    assert one(aws(workload={**FAST, "retention": "30d"})).brokers.volumes[0].type == "gp3"
    named = aws(
        workload={"throughput": "50MB/s", "retention": "6h"}, brokers={"instance_type": "i3en.2xlarge"}
    )
    assert one(named).brokers.instance_type == "i3en.2xlarge"


def test_a_stated_count_and_type_are_taken_as_they_are() -> None:
    planned = one(aws(workload=FAST, brokers={"count": 12, "instance_type": "m5.4xlarge"}))
    assert (planned.brokers.count, planned.brokers.instance_type) == (12, "m5.4xlarge")
    assert planned.brokers.cores == 16


@pytest.mark.parametrize(
    ("parts", "path", "right"),
    [
        ({"region": "eu-wst-1"}, "region", "eu-west-1"),
        ({"brokers": {"instance_type": "r6g.larg"}}, "instance_type", "r6g.large"),
        ({"coordination": {"instance_type": "c6g.larg"}}, "instance_type", "c6g.large"),
    ],
)
def test_what_the_catalogue_does_not_know_is_refused_with_the_nearest_name(
    parts: dict[str, Any], path: str, right: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        planner.plan(aws(**parts))
    assert refused.value.path[-1] == path
    assert right in refused.value.right


def test_a_large_cluster_gets_five_coordination_nodes() -> None:
    planned = one(aws(workload=FAST, brokers={"count": 30}))
    assert planned.coordination.nodes == 5
    assert planned.coordination.per_rack == {"a": 2, "b": 2, "c": 1}


def test_many_partitions_make_coordination_nodes_larger() -> None:
    few, many = (
        one(aws(workload={"partitions": count}, kafka={"version": "4.3.1", "coordination": "kraft"}))
        for count in (100, 600_000)
    )
    assert many.coordination.memory > few.coordination.memory
    assert many.coordination.kind == "kraft"


@pytest.mark.parametrize(
    ("racks", "nodes", "survive", "refused"),
    [
        (("a", "b", "c"), 3, "zone", False),
        (("a", "b", "c"), 5, "zone", False),
        (("a", "b"), 3, "zone", True),
        (("a", "b"), 3, "broker", False),
        (("a",), 1, "broker", True),
        (("a",), 1, "none", False),
    ],
)
def test_no_ensemble_loses_its_majority_to_the_declared_failure(
    racks: tuple[str, ...], nodes: int, survive: Any, refused: bool
) -> None:
    per_rack = ensemble.spread(nodes, racks)
    if not refused:
        ensemble.refuse_lost_majority(per_rack, survive, 0, stated=True)
        return
    with pytest.raises(InvalidSetting, match="no majority"):
        ensemble.refuse_lost_majority(per_rack, survive, 0, stated=True)


def test_a_lock_keeps_the_shape_that_a_fresh_plan_would_not_take() -> None:
    before = aws(workload=FAST, brokers={"instance_type": "m5.2xlarge"})
    lock = locked(before)
    free = changed(aws(workload=FAST), "workload", throughput="210MB/s")
    assert one(free).brokers.instance_type != "m5.2xlarge"
    kept = one(free, previous=lock)
    assert kept.brokers.instance_type == "m5.2xlarge"
    assert kept.brokers.count >= one(before).brokers.count
    assert one(free, previous=lock, reshape=True).brokers.instance_type != "m5.2xlarge"


def test_less_load_takes_no_broker_and_no_disk_away() -> None:
    lock = locked(aws(workload=FAST))
    before, after = one(aws(workload=FAST)), one(aws(workload={"throughput": "20MB/s"}), previous=lock)
    assert after.brokers.count == before.brokers.count
    assert after.brokers.volumes == before.brokers.volumes
    assert after.partitions == before.partitions


def test_fewer_copies_shrink_no_volume_of_a_coordination_node() -> None:
    lock = locked(aws(workload={"partitions": 60_000}))
    fewer = aws(
        workload={"partitions": 60_000}, durability={"replication_factor": 2, "min_insync_replicas": 1}
    )
    assert one(fewer).coordination.volumes[0].size < lock.datacenters[0].coordination.volumes[0].size
    kept = one(fewer, previous=lock).coordination.volumes[0].size
    assert kept == lock.datacenters[0].coordination.volumes[0].size


def test_another_instance_type_than_the_lock_s_needs_a_reshape() -> None:
    lock = locked(aws(workload=FAST))
    wanted = aws(workload=FAST, brokers={"instance_type": "m5.2xlarge"})
    with pytest.raises(InvalidSetting, match="--reshape"):
        planner.plan(wanted, lock)
    assert one(wanted, previous=lock, reshape=True).brokers.instance_type == "m5.2xlarge"


@pytest.mark.parametrize(
    ("environment", "limit", "nearest"),
    [
        (
            aws(workload=FAST, brokers={"count": 3, "instance_type": "m5.large"}),
            "network_out",
            "m5.large fit",
        ),
        (aws(workload={"throughput": "100TB/s"}), "partitions", "a produce rate of"),
        (aws(workload={"partitions": 1_000_000}), "partitions", "in place of 1,000,000 fit"),
        (aws(workload={"throughput": "9GB/s", "partitions": 1}), None, "partitions in place of 1 fit"),
        (aws(workload={"retention": "36500d", "throughput": "9GB/s"}), "memory_maps", "retention of"),
    ],
)
def test_no_plan_names_what_binds_and_what_would_fit(
    environment: Environment, limit: str | None, nearest: str
) -> None:
    plan = planner.plan(environment)
    assert (plan.feasible, plan.datacenters) == (False, ())
    assert plan.infeasible[0].by > 1
    assert limit in (None, plan.infeasible[0].limit)
    assert nearest in plan.infeasible[0].nearest
    assert "a month" in plan.infeasible[0].nearest


def test_the_nearest_relaxation_truly_fits_and_little_more_does_not() -> None:
    asked = aws(workload={"throughput": "9GB/s", "retention": "36500d"})
    words = planner.plan(asked).infeasible[0].nearest.split()
    days = float(words[words.index("of") + 1].replace(",", ""))
    assert planner.plan(changed(asked, "workload", retention=f"{days * 0.99}d")).feasible
    assert not planner.plan(changed(asked, "workload", retention=f"{days * 1.02}d")).feasible


@pytest.mark.parametrize(
    "workload",
    [
        {"throughput": "1B/s"},
        {"fan_out": 0},
        {"message_size": "1B"},
        {"message_size": "10MB"},
        {"retention": "3650d"},
        {"throughput": "1B/s", "partitions": 60_000},
    ],
)
def test_odd_workloads_get_a_plan(workload: dict[str, Any]) -> None:
    assert one(aws(workload=workload)).brokers.count >= 3


def test_local_brokers_are_declared_not_chosen() -> None:
    planned = one(Environment(name="trial"))
    assert planned.brokers.count == 3
    assert planned.brokers.per_rack == {"a": 1, "b": 1, "c": 1}
    assert planned.brokers.instance_type is None
    assert planned.brokers.memory == 2**30
    assert set(planned.brokers.utilisation) == {"partitions"}
    assert (planned.coordination.nodes, planned.coordination.instance_type) == (3, None)
    assert (planned.cost.monthly_usd, planned.region) == (None, None)


def test_local_is_feasible_whatever_is_asked() -> None:
    heavy = changed(Environment(name="trial"), "workload", throughput="50GB/s")
    assert planner.plan(heavy).feasible


def test_hosts_are_checked_against_what_they_declare() -> None:
    good = hosts(cores=16, memory="64GiB", disks=["/dev/sdb"], disk_size="4TB", network="1GB/s")
    planned = one(good)
    assert planned.brokers.count == 3
    assert set(planned.brokers.utilisation) == {
        "cpu", "memory", "network_in", "network_out", "disk_space", "partitions",
        "partition_rate", "single_flow", "heap", "connections", "open_files", "memory_maps",
        "far_followers", "mirror_flow",
    }  # fmt: skip
    assert planned.brokers.volumes[0].type == "disk"


def test_hosts_that_break_a_limit_are_no_plan_and_more_hosts_are_the_remedy() -> None:
    small = hosts(cores=16, memory="64GiB", disks=["/dev/sdb"], disk_size="1TB")
    plan = planner.plan(changed(small, "workload", throughput="12MB/s"))
    assert not plan.feasible
    assert plan.infeasible[0].limit == "disk_space"
    assert "brokers in place of 3" in plan.infeasible[0].nearest
    assert one(hosts(per_rack=2, cores=16, memory="64GiB", disks=["/dev/sdb"], disk_size="2TB"))


def test_hosts_are_as_good_as_the_least_of_them() -> None:
    document = hosts(cores=16, memory="64GiB", network="1GB/s").to_json()
    document["datacenters"][0]["hosts"][0]["hardware"] = {"cores": 8, "memory": "32GiB"}
    planned = one(Environment.model_validate(document))
    assert (planned.brokers.cores, planned.brokers.memory) == (8, 32 * 2**30)
    assert "network_in" not in planned.brokers.utilisation


def test_each_datacenter_carries_the_whole_workload() -> None:
    document = aws(workload=FAST).to_json()
    document["datacenters"].append({**document["datacenters"][0], "name": "dc2"})
    first, second = planner.plan(Environment.model_validate(document)).datacenters
    assert first.brokers == second.brokers


def test_every_figure_of_the_model_is_an_assumption_with_a_source() -> None:
    names = {one.name for one in planner.plan(aws()).assumptions}
    assert {figure.name for figure in FIGURES} <= names
    assert all(one.source and one.value for one in planner.plan(aws()).assumptions)
