"""The planner against a second reading of its documentation, and against itself with one broker fewer."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import given, settings

from kdeploy import planner
from kdeploy.planner.result import DatacenterPlan
from kdeploy.spec.model import Environment
from tests.planner import independent
from tests.planner.workloads import aws, changed, environments

SEED = 20261125
MANY = 10_000 if os.environ.get("KDEPLOY_SOAK") == "1" else 500


def hold_against_the_documentation(environment: Environment) -> DatacenterPlan | None:
    """Feasible is feasible there too, and every utilisation agrees to a millionth."""
    plan = planner.plan(environment)
    if not plan.feasible:
        assert plan.infeasible[0].by > 1
        return None
    document = plan.to_json()["datacenters"][0]
    found = independent.utilisation(environment.to_json(), document)
    planned = plan.datacenters[0]
    used = planned.brokers.utilisation
    assert set(found) == set(used)
    for limit, ratio in used.items():
        assert ratio == pytest.approx(found[limit], rel=1e-6, abs=1e-12), (limit, environment.workload)
        assert found[limit] <= independent.CEILINGS[limit] * (1 + 1e-6), limit
    return planned


def drawn(lots: random.Random) -> Environment:
    """A workload from a trickle to some GB/s; some of them cannot be carried."""

    def log_uniform(low: float, high: float) -> float:
        return low * (high / low) ** lots.random()

    copies = lots.randint(1, 4)
    survive = lots.choice(["none", "broker", "zone"])
    zones = 3 if survive == "zone" else lots.randint(1, 4)
    workload: dict[str, Any] = {
        "throughput": f"{log_uniform(1, 3e9)!r}B/s",
        "peak_factor": lots.uniform(1, 5),
        "fan_out": lots.choice([0.0, log_uniform(0.1, 20)]),
        "retention": f"{log_uniform(600, 5e6)!r}s",
        "message_size": f"{log_uniform(10, 1e6)!r}B",
        "batch_size": f"{log_uniform(1e3, 1e6)!r}B",
        "compression": lots.choice(["none", "gzip", "snappy", "lz4", "zstd"]),
        "clients": lots.randint(0, 3000),
        "growth": f"{lots.choice([0, 10, 40])}%",
        "lagging_consumers": lots.choice([None, "10%", "100%"]),
        "retention_bytes": lots.choice([None, "5GB"]),
        "partitions": lots.choice([None, lots.randint(1, 5000)]),
        **_far(lots),
    }
    local = lots.random() < 0.2
    return aws(
        zones=zones,
        workload=workload,
        durability={
            "replication_factor": copies,
            "min_insync_replicas": max(1, copies - 1),
            "survive": survive,
        },
        security={"client_listener": lots.choice(["SASL_SSL", "PLAINTEXT"])},
        planner={
            "round_trip": lots.choice(["1ms", f"{log_uniform(1e-3, 0.3)!r}s"]),
            "socket_buffer": lots.choice(["16MiB", "64KiB"]),
        },
        brokers={"instance_type": "i3en.2xlarge"} if local else {},
    )


def _far(lots: random.Random) -> dict[str, Any]:
    """Mirroring and another codec of the topics, each for some."""
    mirrored = {
        name: f"{lots.choice([0, lots.uniform(0, 4e7)])!r}B/s" for name in ("mirrored_in", "mirrored_out")
    }
    return mirrored | {
        "mirror_consumers": lots.randint(1, 12),
        "mirror_round_trip": f"{lots.uniform(0.001, 0.2)!r}s",
        "topic_compression": lots.choice([None, None, "none", "gzip", "snappy", "lz4", "zstd"]),
    }


def test_many_workloads_agree_with_the_documentation_read_plainly() -> None:
    lots = random.Random(SEED)
    planned = [hold_against_the_documentation(drawn(lots)) for _ in range(MANY)]
    found = [one for one in planned if one is not None]
    assert len(found) > MANY / 2
    assert {one.brokers.volumes[0].type for one in found} == {"gp3", "local-nvme"}


@settings(max_examples=40, deadline=None)
@given(environments())
def test_any_workload_agrees_with_the_documentation_read_plainly(environment: Environment) -> None:
    hold_against_the_documentation(environment)


def cost(environment: Environment) -> float:
    plan = planner.plan(environment)
    return (plan.datacenters[0].cost.monthly_usd or 0.0) if plan.feasible else float("inf")


@pytest.mark.parametrize(
    ("what", "less", "more"),
    [
        ("clients", 100, 5000),
        ("growth", "0%", "60%"),
        ("lagging_consumers", "5%", "90%"),
        ("batch_size", "200kB", "2kB"),
        ("message_size", "100kB", "50B"),
        ("retention", "1d", "2d"),
        ("peak_factor", 1.5, 3),
        ("fan_out", 1, 3),
        ("compression", "none", "gzip"),
    ],
)
def test_more_of_any_demand_costs_no_less(what: str, less: object, more: object) -> None:
    lots = random.Random(SEED)
    for _ in range(15):
        environment = drawn(lots)
        cheap, dear = (cost(changed(environment, "workload", **{what: value})) for value in (less, more))
        assert cheap <= dear + 0.02, (what, environment.workload)


ABSURD: list[tuple[str, dict[str, Any], bool]] = [
    ("1 B/s", {"throughput": "1B/s"}, True),
    ("100 TB/s", {"throughput": "100TB/s"}, False),
    ("10 years", {"retention": "10y", "throughput": "1MB/s"}, True),
    ("10 years of a lot", {"retention": "10y", "throughput": "5GB/s"}, False),
    ("nothing is read", {"fan_out": 0}, True),
    ("read a thousand times", {"fan_out": 1000}, True),
    ("a million partitions", {"partitions": 1_000_000}, False),
    ("messages of 1 byte", {"message_size": "1B"}, True),
    ("messages of 10 MB", {"message_size": "10MB"}, True),
    ("requests of 1 byte", {"batch_size": "1B", "message_size": "1B"}, True),
    ("a million clients", {"clients": 1_000_000}, False),
    ("one partition for everything", {"partitions": 1, "throughput": "1GB/s"}, False),
    ("a hundred times as much each year", {"growth": "9900%", "horizon": "10y"}, False),
    ("a peak of a hundred times", {"peak_factor": 100}, True),
]


@pytest.mark.parametrize(("workload", "fits"), [row[1:] for row in ABSURD], ids=[row[0] for row in ABSURD])
def test_absurd_input_gets_a_sensible_plan_or_a_sensible_refusal(
    workload: dict[str, Any], fits: bool
) -> None:
    plan = planner.plan(aws(workload=workload))
    assert plan.feasible is fits
    if fits:
        assert 3 <= plan.datacenters[0].brokers.count <= 1000
        assert (plan.datacenters[0].cost.monthly_usd or 0) > 0
    else:
        assert plan.infeasible[0].by > 1
        assert plan.infeasible[0].nearest


def test_one_copy_gets_a_plan_and_is_held_against_the_documentation() -> None:
    alone = aws(
        workload={"throughput": "50MB/s"},
        durability={"replication_factor": 1, "min_insync_replicas": 1, "survive": "none"},
    )
    assert hold_against_the_documentation(alone) is not None
