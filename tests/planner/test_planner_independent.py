"""The planner against a second reading of its documentation, and against itself with one broker fewer."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.planner.demand import demand_of
from kdeploy.planner.result import DatacenterPlan, Plan
from kdeploy.spec.model import Environment
from tests.planner import independent
from tests.planner.independent import quantity
from tests.planner.workloads import aws, changed, drawn, environments

SOAK = os.environ.get("KDEPLOY_SOAK") == "1"
MANY = 10_000 if SOAK else 300
SEED = int(os.environ.get("KDEPLOY_SEED") or (random.randrange(1_000_000) if SOAK else 20261125))
"""The ordinary run tries the same workloads every time, so that a change alone can break it."""

READ_BACK = 25
"""Every such plan of many is written as JSON and read back, and compared with other kinds."""


def hold_against_the_documentation(environment: Environment, whole: bool = False) -> DatacenterPlan | None:
    """Feasible is feasible there too, and every utilisation agrees to a millionth.

    Args:
        environment: What to plan for.
        whole: Whether the plan has all its parts, and is read back from JSON.
    """
    plan = planner.plan(environment, compare=whole, remedies=whole)
    if whole:
        text = json.dumps(plan.to_json(), sort_keys=True, allow_nan=False)
        assert Plan.from_json(json.loads(text)) == plan
        assert Environment.model_validate(json.loads(json.dumps(environment.to_json()))) == environment
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


def one_step_fewer_breaks_what_is_named(environment: Environment, planned: DatacenterPlan) -> None:
    """With fewer brokers of the same type and the same volumes a limit breaks: the one that is named.

    Unless the structure is the reason: a broker for each copy and rack, and one that is left after the
    failure. Where the price is (each broker brings free throughput), another limit may be what breaks.
    """
    brokers = planned.brokers
    demand = demand_of(environment, environment.datacenters[0])
    step = demand.racks if demand.copies > 1 else 1
    fewer = brokers.count - (brokers.count % step or step)
    if fewer < demand.fewest_brokers:
        return
    document = json.loads(json.dumps(Plan("", True, (planned,)).to_json()))["datacenters"][0]
    document["brokers"]["count"] = fewer
    found = independent.utilisation(environment.to_json(), document)
    broken = {limit for limit, ratio in found.items() if ratio > independent.CEILINGS[limit] * (1 - 1e-9)}
    assert brokers.bottleneck is not None
    if brokers.required[brokers.bottleneck] > fewer:
        assert brokers.bottleneck in broken, (brokers.bottleneck, found)
    assert broken, (brokers.required, found)


def test_many_workloads_agree_with_the_documentation_read_plainly() -> None:
    print(f"KDEPLOY_SEED={SEED}")
    lots = random.Random(SEED)
    found: list[DatacenterPlan] = []
    for number in range(MANY):
        environment = drawn(lots)
        planned = hold_against_the_documentation(environment, number % READ_BACK == 0)
        if planned is not None:
            one_step_fewer_breaks_what_is_named(environment, planned)
            found.append(planned)
    assert len(found) > MANY / 2
    assert {one.brokers.volumes[0].type for one in found} == {"gp3", "local-nvme"}


@settings(max_examples=2000 if SOAK else 40, deadline=None)
@given(environments())
def test_any_workload_agrees_with_the_documentation_read_plainly(environment: Environment) -> None:
    hold_against_the_documentation(environment)


def cost(environment: Environment) -> float:
    plan = planner.plan(environment)
    return (plan.datacenters[0].cost.monthly_usd or 0.0) if plan.feasible else float("inf")


DEMANDS: dict[str, tuple[str, Any]] = {
    "throughput": ("workload", lambda now, x: f"{quantity(now) * x!r}B/s"),
    "retention": ("workload", lambda now, x: f"{quantity(now) * x!r}s"),
    "retention_bytes": ("workload", lambda now, x: f"{quantity(now or '5000000000B') * x!r}B"),
    "peak_factor": ("workload", lambda now, x: min(100.0, now * x)),
    "fan_out": ("workload", lambda now, x: now * x + 0.1),
    "growth": ("workload", lambda now, x: f"{(quantity(now) + 0.1) * x * 100!r}%"),
    "horizon": ("workload", lambda now, x: f"{quantity(now) * x!r}s"),
    "clients": ("workload", lambda now, x: int(now * x) + 1),
    "message_size": ("workload", lambda now, x: f"{max(1, quantity(now) / x)!r}B"),
    "batch_size": ("workload", lambda now, x: f"{max(1, quantity(now) / x)!r}B"),
    "lagging_consumers": ("workload", lambda now, x: f"{min(100, (quantity(now or '30%') * x) * 100)!r}%"),
    "mirrored_in": ("workload", lambda now, x: f"{(quantity(now) + 1e5) * x!r}B/s"),
    "mirrored_out": ("workload", lambda now, x: f"{(quantity(now) + 1e5) * x!r}B/s"),
    "mirror_round_trip": ("workload", lambda now, x: f"{quantity(now) * x!r}s"),
    "mirror_consumers": ("workload", lambda now, x: max(1, int(now / x))),
    "round_trip": ("planner", lambda now, x: f"{quantity(now) * x!r}s"),
    "socket_buffer": ("planner", lambda now, x: f"{max(1024, quantity(now) / x)!r}B"),
    "rebuild_time": ("planner", lambda now, x: f"{quantity(now) / x!r}s"),
    "imbalance": ("planner", lambda now, x: min(10.0, now * x)),
    "replication_factor": ("durability", lambda now, _: now + 1),
}
"""More of each demand, by the part of an environment that has it: from what it is and a factor above 1."""


@pytest.mark.parametrize("what", DEMANDS)
@settings(max_examples=300 if SOAK else 20, deadline=None)
@given(seed=st.integers(0, 2**32), factor=st.floats(1.001, 5))
def test_more_of_any_demand_costs_no_less(what: str, seed: int, factor: float) -> None:
    environment = drawn(random.Random(seed))
    part, greater = DEMANDS[what]
    now = environment.to_json()[part][what]
    usual = {"retention_bytes": "5000000000B", "lagging_consumers": "30%", "mirror_consumers": 8}
    if now is None:  # what is left out is another rule, not less of the same
        now = usual[what]
        environment = changed(environment, part, **{what: now})
    more = changed(environment, part, **{what: greater(now, factor)})
    assert cost(environment) <= cost(more) + 0.02, (environment.workload, environment.planner)


def test_compression_on_the_brokers_is_never_cheaper_on_processors() -> None:
    lots = random.Random(SEED)
    for _ in range(15):
        environment = changed(drawn(lots), "workload", compression="none", topic_compression=None)
        place = environment.datacenters[0]
        plain = demand_of(environment, place)
        anew = demand_of(changed(environment, "workload", topic_compression="zstd"), place)
        assert (plain.recompression, plain.arriving) == (0, 1)
        assert anew.recompression > 0
        assert anew.arriving > 1


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
