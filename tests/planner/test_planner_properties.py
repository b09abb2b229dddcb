"""What holds for every workload, tried on many."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.planner import catalogue, hardware, limits
from kdeploy.planner.demand import demand_of
from kdeploy.planner.result import LIMITS, DatacenterPlan, Plan
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Environment
from tests.planner.workloads import changed, environments, locked

MANY = settings(max_examples=60, deadline=None)
FEWER = settings(max_examples=30, deadline=None)


def one(environment: Environment) -> DatacenterPlan:
    plan = planner.plan(environment)
    assert plan.feasible, plan.infeasible
    return plan.datacenters[0]


def price_of_one_fewer(environment: Environment, planned: DatacenterPlan) -> float:
    document = environment.to_json()
    document["datacenters"][0]["brokers"] |= {
        "count": planned.brokers.count - 1,
        "instance_type": planned.brokers.instance_type,
    }
    return cost(Environment.model_validate(document))


def cost(environment: Environment) -> float:
    plan = planner.plan(environment)
    return (plan.datacenters[0].cost.monthly_usd or 0.0) if plan.feasible else float("inf")


def more(environment: Environment, what: str, factor: float) -> Environment:
    workload = environment.workload
    greater: dict[str, tuple[str, Any]] = {
        "throughput": ("workload", f"{workload.throughput * factor!r}B/s"),
        "retention": ("workload", f"{workload.retention * factor!r}s"),
        "fan_out": ("workload", workload.fan_out * factor + 0.1),
        "peak_factor": ("workload", min(100.0, workload.peak_factor * factor)),
        "replication_factor": ("durability", environment.durability.replication_factor + 1),
    }
    part, value = greater[what]
    return changed(environment, part, **{what: value})


@pytest.mark.parametrize("what", ["throughput", "retention", "fan_out", "peak_factor", "replication_factor"])
@FEWER
@given(environment=environments(), factor=st.floats(1.001, 3))
def test_cost_never_falls_when_demand_rises(what: str, environment: Environment, factor: float) -> None:
    assert cost(more(environment, what, factor)) >= cost(environment) - 0.02


@MANY
@given(environment=environments())
def test_every_utilisation_of_a_feasible_plan_is_under_its_ceiling(environment: Environment) -> None:
    brokers = one(environment).brokers
    assert set(brokers.utilisation) <= set(LIMITS)
    for limit, used in brokers.utilisation.items():
        assert used <= brokers.ceilings[limit] * (1 + 1e-9), limit


@MANY
@given(environment=environments())
def test_one_broker_fewer_breaks_the_bottleneck_unless_the_structure_sets_the_count(
    environment: Environment,
) -> None:
    planned = one(environment)
    brokers = planned.brokers
    demand = demand_of(environment, environment.datacenters[0])
    assert brokers.bottleneck is not None
    assert brokers.required[brokers.bottleneck] == max(brokers.required.values())
    assert brokers.count >= demand.fewest_brokers
    if brokers.count == demand.fewest_brokers:
        return
    if (
        brokers.required[brokers.bottleneck] < brokers.count
    ):  # whole partitions: one fewer holds and costs more
        assert price_of_one_fewer(environment, planned) >= (planned.cost.monthly_usd or 0)
        return
    shapes = catalogue.load(planned.region or "")
    shape = shapes.only(np.array([name == brokers.instance_type for name in shapes.names]))
    volumes = brokers.volumes[0]
    from kdeploy.planner.storage import candidates

    fewer = Fleet.even(np.arange(1.0, brokers.count + 1), demand.racks)
    load = limits.loads(demand, fewer, np.array([float(volumes.count)]))[0, :, -2]
    found = candidates(shape, (volumes.type, volumes.count))
    capacity = hardware.completed(found.capacity, shape.vcpus, shape.memory, found.local)[0]
    broken = load / capacity > limits.CEILINGS * (1 + 1e-12)
    assert any(broken[i] for i, limit in enumerate(limits.LIMIT_OF) if limit == brokers.bottleneck)


@FEWER
@given(
    environment=environments(),
    parts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    rate=st.floats(1e3, 3e6),
)
def test_a_list_of_topics_gets_the_plan_of_their_sum_where_they_differ_by_size_alone(
    environment: Environment, parts: list[int], rate: float
) -> None:
    rows = [
        {"name": f"t{i}", "throughput": f"{rate * part!r}B/s", "partitions": part}
        for i, part in enumerate(parts)
    ]
    whole = f"{rate * sum(parts)!r}B/s"
    together = changed(environment, "workload", throughput=whole, partitions=sum(parts), topics=[])
    apart = changed(environment, "workload", topics=rows, partitions=None)
    sums, lists = planner.plan(together), planner.plan(apart)
    assert sums.feasible == lists.feasible
    for one_sum, one_list in zip(sums.datacenters, lists.datacenters, strict=True):
        assert one_list.brokers.count == one_sum.brokers.count
        assert one_list.brokers.instance_type == one_sum.brokers.instance_type
        assert one_list.partitions == one_sum.partitions
        assert one_list.cost.monthly_usd == pytest.approx(one_sum.cost.monthly_usd, rel=1e-5)
        assert one_list.brokers.utilisation == pytest.approx(one_sum.brokers.utilisation, rel=1e-3)


@MANY
@given(environment=environments())
def test_racks_differ_by_at_most_one_node(environment: Environment) -> None:
    planned = one(environment)
    for per_rack, nodes in (
        (planned.brokers.per_rack, planned.brokers.count),
        (planned.coordination.per_rack, planned.coordination.nodes),
    ):
        assert sum(per_rack.values()) == nodes
        assert max(per_rack.values()) - min(per_rack.values()) <= 1
    assert planned.coordination.nodes % 2 == 1


@FEWER
@given(environment=environments())
def test_the_same_environment_gives_the_same_bytes_and_json_reads_back_equal(
    environment: Environment,
) -> None:
    plan = planner.plan(environment)
    text = json.dumps(plan.to_json(), sort_keys=True, allow_nan=False)
    again = planner.plan(Environment.model_validate(environment.to_json()))
    assert json.dumps(again.to_json(), sort_keys=True) == text
    assert Plan.from_json(json.loads(text)) == plan


@FEWER
@given(environment=environments())
def test_no_alternative_is_cheaper_and_everything_rejected_breaks_a_limit(environment: Environment) -> None:
    plan = planner.plan(environment)
    price = plan.datacenters[0].cost.monthly_usd or 0.0
    for other in plan.alternatives:
        assert other.limit is None
        assert other.monthly_usd >= price - 0.02
    for other in plan.rejected:
        assert other.limit in LIMITS
        assert other.monthly_usd <= price + 0.02


@FEWER
@given(environment=environments(), factor=st.floats(1, 2))
def test_a_lock_keeps_shapes_and_only_grows(environment: Environment, factor: float) -> None:
    before = planner.plan(environment).datacenters[0]
    lock = locked(environment)
    grown = planner.plan(more(environment, "throughput", factor), lock)
    if not grown.feasible:
        return
    after = grown.datacenters[0]
    assert after.brokers.instance_type == before.brokers.instance_type
    assert after.brokers.count >= before.brokers.count
    assert after.partitions >= before.partitions
    old, new = before.brokers.volumes[0], after.brokers.volumes[0]
    assert (new.type, new.count) == (old.type, old.count)
    assert new.size >= old.size
    assert (new.throughput or 0) >= (old.throughput or 0)
    assert after.coordination.nodes == before.coordination.nodes
    assert after.coordination.instance_type == before.coordination.instance_type


@FEWER
@given(environment=environments())
def test_planning_from_its_own_lock_changes_nothing(environment: Environment) -> None:
    plan = planner.plan(environment)
    again = planner.plan(environment, locked(environment, plan))
    assert again.datacenters == plan.datacenters
