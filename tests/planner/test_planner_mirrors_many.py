"""Three datacenters and more that mirror each other: every direction is planned, with the clients of a lost one too."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.planner import mirror_figures
from kdeploy.planner.demand import demand_of, exchanged
from kdeploy.planner.exchange import of_one_link
from kdeploy.planner.report import text
from kdeploy.planner.result import MirrorPlan, Plan
from kdeploy.spec.model import Environment

FEWER = settings(max_examples=25, deadline=None)
REGIONS = ("eu-west-1", "us-east-1", "eu-central-1", "us-west-2", "ap-southeast-2")


def many(
    count: int = 3, links: list[dict[str, Any]] | None = None, share: str = "100%", **parts: Any
) -> Environment:
    """Datacenters `a`, `b`, ... in regions of AWS, all of them written to."""
    return Environment.model_validate(
        {
            "name": "trial",
            "kafka": {"version": "4.3.1", "coordination": "kraft"},
            "datacenters": [
                {
                    "name": "abcde"[at],
                    "provider": "aws",
                    "region": REGIONS[at],
                    "network": {"cidr": f"10.{at}.0.0/16"},
                }
                for at in range(count)
            ],
            "mirroring": {"mode": "active-active", "links": links or [], "survivor_share": share},
            "workload": {"throughput": "20MB/s"},
            **parts,
        }
    )


def workers(plan: Plan, name: str) -> MirrorPlan:
    found = next(one.mirror for one in plan.datacenters if one.name == name)
    assert found is not None
    return found


def test_every_datacenter_reads_in_every_other_one_and_is_enough_for_it() -> None:
    environment = many()
    plan = planner.plan(environment)
    assert plan.feasible
    assert Plan.from_json(plan.to_json()) == plan
    for one in "abc":
        found = workers(plan, one)
        assert [link.source for link in found.links] == [other for other in "abc" if other != one]
        assert all(link.runs for link in found.links)
        assert found.utilisation <= mirror_figures.CEILING.value
        assert found.heap <= found.memory * mirror_figures.HEAP_SHARE.value
        assert all(link.carried >= link.peak for link in found.links)
    shown = text(plan, environment)
    for one, other in combinations("abc", 2):
        assert f"Mirroring from {one} to {other}" in shown
        assert f"Mirroring from {other} to {one}" in shown
    assert "with a lost datacenter's clients there" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_a_link_costs_what_one_reads_and_bears_what_a_lost_ones_clients_write_there() -> None:
    (link, _) = workers(planner.plan(many(share="50%")), "a").links
    assert link.live == pytest.approx(20e6)
    assert link.peak == pytest.approx(20e6 * 2 * 1.5)
    two = workers(planner.plan(many(2)), "a").links[0]
    assert (two.live, two.peak) == (pytest.approx(20e6), pytest.approx(40e6))
    assert link.monthly_usd == two.monthly_usd


def test_each_link_is_held_against_what_the_network_carries_there() -> None:
    thin = [
        {"source": "c", "target": "a", "bandwidth": "50MB/s"},
        {"source": "b", "target": "a", "bandwidth": "1GB/s"},
    ]
    plan = planner.plan(many(links=thin))
    assert not plan.feasible
    (found,) = plan.infeasible
    assert (found.datacenter, found.limit) == ("a", "mirror_link")
    assert "from c to a in place of 50 MB/s" in found.nearest


@given(st.integers(2, 5), st.integers(0, 100), st.floats(1e3, 1e8), st.floats(1e3, 1e8))
@FEWER
def test_there_is_room_for_all_others_and_for_a_lost_ones_clients(
    count: int, percent: int, carried: float, kept: float
) -> None:
    topics = [
        {"name": "orders", "throughput": f"{carried!r}B/s"},
        {"name": "scratch", "throughput": f"{kept!r}B/s"},
    ]
    wanted = many(count, workload={"topics": topics})
    mirroring = wanted.mirroring
    assert mirroring is not None
    wanted = wanted.model_copy(
        update={
            "mirroring": mirroring.model_copy(
                update={"survivor_share": percent / 100, "exclude_topics": ("scratch",)}
            )
        }
    )
    into, out = (float(one) for one in exchanged(wanted, {}))
    share = percent / 100
    all_there = (count - 1) * carried
    one_lost = (count - 2) * carried + share * (carried + kept)
    assert into == pytest.approx(max(all_there, one_lost))
    # What is read out: by every other one, or by those that are left, of its own and of what the lost one's clients write.
    assert out == pytest.approx(max((count - 1) * carried, (count - 2) * carried * (1 + share)))
    usual, most = of_one_link(wanted)
    assert out * usual == pytest.approx(carried)
    assert out * most == pytest.approx(carried * (1 + share if count > 2 else 1))


def test_one_more_datacenter_is_never_less_to_carry() -> None:
    demands = [demand_of(many(count), many(count).datacenters[0]) for count in (2, 3, 4, 5)]
    for less, more in pairwise(demands):
        assert float(more.rate) > float(less.rate)
        assert float(more.mirrored_out) > float(less.mirrored_out)


def test_tasks_that_are_usual_are_dealt_out_to_the_directions() -> None:
    for count in (2, 3, 5):
        found = workers(planner.plan(many(count)), "a")
        usual = int(mirror_figures.TASKS.value)
        assert found.tasks == -(-found.count * usual // (count - 1))


def test_what_leaves_the_region_is_priced_by_who_is_in_another_one_with_nobody_lost() -> None:
    def abroad(environment: Environment) -> float:
        return planner.plan(environment).datacenters[0].cost.parts.get("cross_region_traffic", 0.0)

    two = abroad(many(2))
    assert two > 0
    for count in (3, 4):
        found = planner.plan(many(count)).datacenters[0]
        assert found.cost.parts["cross_region_traffic"] == pytest.approx((count - 1) * two, rel=1e-4)
    near = many(3)
    same = [one.model_copy(update={"region": REGIONS[0]}) for one in near.datacenters[:2]]
    near = near.model_copy(update={"datacenters": (*same, near.datacenters[2])})
    assert abroad(near) == pytest.approx(two, rel=1e-4)
