"""One datacenter that is written to and several that stand by: any may be the one, and each has to be enough for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.planner.demand import demand_of, exchanged
from kdeploy.planner.exchange import of_one_link
from kdeploy.planner.mirror_loads import Fleet, Load, beside, busy
from kdeploy.planner.report import text
from kdeploy.planner.result import MirrorPlan, Plan
from kdeploy.spec.load import load, shipped_folder
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from tests.planner.test_planner_mirrors_many import REGIONS, many

FEW = settings(max_examples=10, deadline=None)


def standing(count: int = 3, **fields: Any) -> Environment:
    """Datacenters `a`, `b`, ... in regions of AWS, of which `a` is written to unless `primary` says otherwise."""
    parts = {name: fields.pop(name) for name in ("workload", "planner") if name in fields}
    wanted = Mirroring.model_validate({"mode": "active-passive", **fields})
    return many(count, **parts).model_copy(update={"mirroring": wanted})


def declared(count: int) -> Environment:
    """The same on machines of one's own: three brokers, three controllers and two workers in each."""
    places = [
        {
            "name": "abcde"[at],
            "provider": "hosts",
            "hosts": [
                {"address": f"10.0.{at}.{10 * row + ord(rack)}", "rack": rack, "role": role}
                | {"hardware": {"cores": 8, "memory": "32GiB"}}
                for row, (role, racks) in enumerate(
                    (("controller", "abc"), ("broker", "abc"), ("mirror", "ab"))
                )
                for rack in racks
            ],
        }
        for at in range(count)
    ]
    document = {
        "name": "trial",
        "kafka": {"version": "4.3.1", "coordination": "kraft"},
        "datacenters": places,
        "mirroring": {"mode": "active-passive", "primary": "b"},
    }
    return Environment.model_validate(document)


def workers(plan: Plan, name: str) -> MirrorPlan:
    found = next(one.mirror for one in plan.datacenters if one.name == name)
    assert found is not None
    return found


@given(st.integers(2, 5), st.floats(1e3, 1e8), st.floats(1e3, 1e8))
@FEW
def test_what_is_written_is_read_by_each_that_stands_by_and_written_there_once(
    count: int, carried: float, kept: float
) -> None:
    topics = [
        {"name": "orders", "throughput": f"{carried!r}B/s"},
        {"name": "scratch", "throughput": f"{kept!r}B/s"},
    ]
    wanted = standing(count, exclude_topics=["scratch"], workload={"topics": topics})
    into, out = (float(one) for one in exchanged(wanted, {}))
    assert into == 0
    assert out == pytest.approx((count - 1) * carried)
    usual, most = of_one_link(wanted)
    assert usual == most
    assert out * most == pytest.approx(carried)


@pytest.mark.parametrize("primary", ["a", "b", "c"])
def test_each_is_planned_to_be_written_to_and_the_one_that_is_now_sends(primary: str) -> None:
    wanted = standing(primary=primary)
    stated = wanted.model_copy(
        update={"workload": wanted.workload.model_copy(update={"mirrored_out": 2 * 20e6})}
    )
    demands = {one.name: demand_of(wanted, one) for one in wanted.datacenters}
    assert {name for name, one in demands.items() if one.sends} == {primary}
    for one in stated.datacenters:
        assert demand_of(stated, one) == demands[one.name]
    alone = wanted.model_copy(update={"mirroring": None})
    assert {one.rate for one in demands.values()} == {demand_of(alone, alone.datacenters[0]).rate}


@pytest.mark.parametrize("primary", ["a", "b"])
def test_what_leaves_the_region_is_paid_once_for_each_that_stands_by_where_it_is_written(
    primary: str,
) -> None:
    plan = planner.plan(standing(primary=primary), remedies=False)
    paid = {one.name: one.cost.parts.get("cross_region_traffic") for one in plan.datacenters}
    running = [
        link.monthly_usd or 0.0
        for one in "abc"
        for link in workers(plan, one).links
        if link.source == primary
    ]
    assert len(running) == 2
    assert paid.pop(primary) == pytest.approx(sum(running), abs=0.02)
    assert set(paid.values()) == {None}


def test_what_stays_in_the_region_costs_nothing_to_leave_it() -> None:
    far = standing()
    near = [one.model_copy(update={"region": REGIONS[0]}) for one in far.datacenters[:2]]
    plans = [
        planner.plan(one, remedies=False)
        for one in (standing(2), far, far.model_copy(update={"datacenters": (*near, far.datacenters[2])}))
    ]
    two, three, mixed = (plan.datacenters[0].cost.parts["cross_region_traffic"] for plan in plans)
    assert three == pytest.approx(2 * two, rel=1e-4)
    assert mixed == pytest.approx(two, rel=1e-4)
    assert [link.monthly_usd is None for link in workers(plans[2], "a").links] == [True, False]


def a_load(peak: float, **parts: Any) -> Load:
    return replace(
        Load(live=peak / 2, peak=peak, partitions=30, brokers=3, encrypted=True, alone=True), **parts
    )


@given(st.lists(st.floats(1e3, 1e9), min_size=1, max_size=9), st.integers(1, 9), st.integers(1, 40))
def test_workers_that_read_in_one_at_a_time_are_for_the_greatest_of_them(
    peaks: list[float], count: int, tasks: int
) -> None:
    loads = [a_load(peak) for peak in peaks]
    greatest = max(loads, key=lambda one: one.peak)
    assert busy(loads) == greatest.peak
    assert {beside(one, loads) for one in loads} == {0.0}
    fleet = Fleet(np.array(4.0), np.array(1e9), np.array(float(count)))
    assert fleet.used(loads, float(tasks)) == fleet.used([greatest], float(tasks))
    together = [replace(one, alone=False) for one in loads]
    assert busy(together) == pytest.approx(sum(peaks))
    assert fleet.used(together, float(tasks)) >= fleet.used(loads, float(tasks))


@given(st.floats(1e5, 6e7), st.integers(3, 5))
@FEW
def test_one_more_that_stands_by_needs_no_less_where_it_is_written_and_the_same_workers(
    throughput: float, count: int
) -> None:
    few, more = (
        planner.plan(standing(one, workload={"throughput": f"{throughput!r}B/s"}), remedies=False)
        for one in (count - 1, count)
    )
    for less, greater in zip(few.datacenters, more.datacenters, strict=False):
        machines = [
            sum(one.cost.parts[part] for part in ("brokers", "volumes", "coordination"))
            for one in (less, greater)
        ]
        assert machines[0] <= machines[1] + 0.02
        assert less.cost.parts["workers"] <= greater.cost.parts["workers"]
        before, after = workers(few, less.name), workers(more, less.name)
        assert (before.tasks, before.count) == (after.tasks, after.count)
        # A lost one's clients are nobody's to add: each direction is what it is between two.
        for one, other in combinations((*before.links, *after.links), 2):
            assert (one.live, one.peak) == (pytest.approx(other.live), pytest.approx(other.peak))


def test_with_the_same_brokers_to_read_from_workers_and_directions_are_those_of_two() -> None:
    two, four = (planner.plan(standing_local(count), remedies=False) for count in (2, 4))
    for name in ("a", "b"):
        before, after = workers(two, name), workers(four, name)
        assert replace(after, links=()) == replace(before, links=())
        (only,) = before.links
        assert only.least == "workers"
        assert len(after.links) == 3
        assert only in after.links
        figures = {replace(one, source="", runs=True) for one in after.links}
        assert figures == {replace(only, source="", runs=True)}


def standing_local(count: int) -> Environment:
    """Datacenters on this machine, whose brokers are as many however much is read."""
    places = [{"name": "abcde"[at], "base_port": 2000 + 6000 * at} for at in range(count)]
    document = {
        "name": "trial",
        "datacenters": places,
        "mirroring": {"mode": "active-passive", "workers": {"count": 2, "tasks": 6}},
        "workload": {"throughput": "20MB/s", "partitions": 12},
    }
    return Environment.model_validate(document)


def test_a_link_that_nothing_goes_over_until_a_failover_has_to_carry_it_all_the_same() -> None:
    thin = [{"source": "c", "target": "b", "bandwidth": "10MB/s"}]
    plan = planner.plan(standing(links=thin), remedies=False)
    (found,) = plan.infeasible
    assert (found.datacenter, found.limit) == ("b", "mirror_link")
    assert "from c to b in place of 10 MB/s" in found.nearest


@pytest.mark.parametrize(
    ("environment", "primary", "each"),
    [
        (standing(primary="b"), "b", "20 MB/s"),
        (declared(3), "b", "10 MB/s"),
        (load(shipped_folder() / "local-three-dc-passive").environment, "north", "1 MB/s"),
    ],
    ids=["aws", "hosts", "local"],
)
def test_a_plan_says_which_directions_run_and_which_wait_for_a_failover(
    environment: Environment, primary: str, each: str
) -> None:
    plan = planner.plan(environment)
    assert plan.feasible
    assert Plan.from_json(plan.to_json()) == plan
    shown = text(plan, environment)
    assert max(map(len, shown.splitlines())) <= 80
    for source, target in permutations([one.name for one in environment.datacenters], 2):
        section = shown.partition(f"Mirroring from {source} to {target}\n")[2].partition("\n\n")[0]
        assert section, (source, target)
        assert (f"It stands still until a failover to {source}." in section) is (source != primary)
    said = " ".join(shown.split())
    assert (
        f"{each} of it are mirrored to each of the 2 datacenters that stand by, and any can be the one that is "
        "written to."
    ) in said
    assert "lost datacenter's clients" not in said
    assert "for this direction" not in said
    assert "in all" in said
