"""Ranges: the cheapest plan that holds often enough, against trying every candidate, and the certain plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from kdeploy import planner
from kdeploy.planner import catalogue, choice, ensemble, hardware, limits, samples, storage, uncertainty
from kdeploy.planner.demand import demand_of, ranges, rank
from kdeploy.planner.result import LIMITS, Plan
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws, environments

UNSURE = {"throughput": "40MB/s..120MB/s", "retention": "12h..3d", "fan_out": "1..4"}


def trials(environment: Environment, names: tuple[str, ...], most: int) -> uncertainty.Trials:
    """Samples against a small catalogue."""
    settings, datacenter = environment.planner, environment.datacenters[0]
    drawn = samples.draw(ranges(environment.workload), settings.samples, settings.seed)
    sampled = demand_of(environment, datacenter, 0, drawn)
    middle = replace(demand_of(environment, datacenter), partitions=sampled.partitions)
    shapes = catalogue.load("us-east-1")
    found = storage.candidates(shapes.only(np.array([name in names for name in shapes.names])))
    kept = found.catalogue
    capacity = hardware.completed(found.capacity, kept.vcpus, kept.memory, found.local)
    counts = np.arange(float(middle.fewest_brokers), most + 1.0)
    market = ensemble.Market.of(shapes, None)
    space = choice.field(middle, replace(found, capacity=capacity), market, counts, choice.Terms())
    return uncertainty.Trials(space, sampled, settings.confidence)


def brute_force(of: uncertainty.Trials) -> tuple[float, int, int]:
    """The cheapest of all candidates and all purchases, sample by sample, with nothing left out."""
    space, best = of.space, (np.inf, -1, -1)
    enough = rank(of.confidence, of.samples)
    racks = space.demand.racks
    for position, count in enumerate(space.counts.tolist()):
        group = np.arange(count, -(-count // racks) * racks + 1)
        for row in range(len(space.candidates.disks)):
            disks = space.candidates.disks[[row]]
            table = limits.loads(of.demand, Fleet.even(group, racks), disks)[:, 0, :, 0]
            if position < space.first[row]:
                continue  # it does not hold at the middle
            usable = space.candidates.capacity[row] * space.ceilings * (1 + 1e-12)
            if (table <= usable).all(axis=1).sum() < enough:
                continue
            rows, positions = np.array([row]), np.array([position])
            ordered = np.sort(table, axis=0)
            middle = choice.load_at(space, rows, positions)[:, 0]
            for level in range(enough, of.samples + 1):
                wanted = np.maximum(ordered[level - 1], middle)
                bought = choice.buy_for(space, wanted[:, None], rows)
                capacity = choice.capacity_at(space, rows, positions, bought)[0] * space.ceilings
                if (table <= np.minimum(usable, capacity * (1 + 1e-9))).all(axis=1).sum() >= enough:
                    price = float(choice.monthly_price(space, rows, positions, bought)[0])
                    best = min(best, (round(price, 2), row, position))
                    break
    return best


@pytest.mark.parametrize(
    ("workload", "confidence"),
    [
        (UNSURE, "95%"),
        ({**UNSURE, "partitions": 50}, "80%"),
        ({"throughput": "10MB/s..200MB/s", "retention": "6h..6h"}, "99%"),
        ({"throughput": "40MB/s..120MB/s", "retention": "5d..9d"}, "50%"),
    ],
)
def test_nothing_cheaper_holds_often_enough_in_a_small_catalogue(
    workload: dict[str, Any], confidence: str
) -> None:
    environment = aws(workload=workload, planner={"samples": 200, "confidence": confidence})
    of = trials(environment, ("m6g.large", "m6in.large", "i3en.xlarge", "c7g.large"), 40)
    found = of.cheapest(1)[0]
    assert found.order == brute_force(of)
    assert found.fits >= float(confidence.rstrip("%")) / 100


def test_both_ends_alike_is_the_certain_plan() -> None:
    same = {"throughput": "90MB/s..90MB/s", "fan_out": "2..2", "retention": "3d..3d"}
    sure = planner.plan(aws(workload={"throughput": "90MB/s", "retention": "3d"})).datacenters[0]
    found = planner.plan(aws(workload=same, planner={"samples": 100})).datacenters[0]
    assert found.confidence is not None
    assert (found.confidence.fits, found.confidence.regret_usd) == (1.0, 0.0)
    assert found.brokers.volumes == sure.brokers.volumes
    assert found.brokers.required == sure.brokers.required
    assert (found.brokers.count, found.brokers.instance_type) == (
        sure.brokers.count,
        sure.brokers.instance_type,
    )
    assert found.cost == sure.cost
    assert found.brokers.utilisation == pytest.approx(sure.brokers.utilisation, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(environments())
def test_ranges_without_width_give_the_certain_plan_of_any_workload(environment: Environment) -> None:
    sure = planner.plan(environment, compare=True)
    document = environment.to_json()
    for name in ("throughput", "fan_out", "retention", "peak_factor", "message_size"):
        value = document["workload"][name]
        document["workload"][name] = f"{value}..{value}"
    document["planner"]["samples"] = 100
    found = planner.plan(Environment.model_validate(document), compare=True)
    (was,), (now,) = sure.datacenters, found.datacenters
    assert now.confidence is not None
    assert now.confidence.fits == 1.0
    for part in ("count", "per_rack", "instance_type", "volumes", "required", "bottleneck"):
        assert getattr(now.brokers, part) == getattr(was.brokers, part), part
    assert now.brokers.utilisation == pytest.approx(was.brokers.utilisation, rel=1e-9)
    assert (now.cost, now.coordination, now.partitions) == (was.cost, was.coordination, was.partitions)
    kinds = [one.reason for one in sure.comparison]
    assert [one.reason for one in found.comparison] == kinds
    for one, other in zip(sure.comparison, found.comparison, strict=True):
        assert other.monthly_usd <= one.monthly_usd + 0.02, one.reason
        assert other.fits == 1.0


def test_each_kind_is_the_cheapest_of_it_that_holds_in_a_small_catalogue() -> None:
    from kdeploy.planner import sides

    environment = aws(workload=UNSURE, planner={"samples": 100})
    of = trials(environment, ("m6g.large", "m6in.large", "i3en.xlarge", "c7g.large"), 40)
    found = sides.comparison(of, of.cheapest(1)[0], environment.datacenters[0])
    local = of.space.candidates.local
    graviton = of.space.candidates.catalogue.architecture == "arm64"
    kinds = {"local disks": local, "EBS": ~local, "Graviton": graviton, "x86": ~graviton}
    for one in found:
        if one.reason not in kinds:
            continue
        names = tuple(
            name
            for name, mine in zip(of.space.candidates.catalogue.names, kinds[one.reason], strict=True)
            if mine
        )
        alone = trials(environment, names, 40)
        if one.reason in ("local disks", "EBS"):  # the same type is there with both
            needed = np.where(
                alone.space.candidates.local[:, None] == (one.reason == "local disks"),
                alone.space.needed,
                len(alone.space.counts),
            )
            alone.space = replace(alone.space, needed=needed)
        assert one.monthly_usd == pytest.approx(brute_force(alone)[0], abs=0.011), one.reason
        assert one.fits is not None
        assert one.fits >= 0.95


def test_an_unsure_plan_says_how_sure_it_is_and_what_the_others_are() -> None:
    environment = aws(workload=UNSURE, planner={"samples": 500})
    plan = planner.plan(environment)
    planned = plan.datacenters[0]
    assert planned.confidence is not None
    assert planned.confidence.fits >= 0.95
    assert planned.confidence.ranges["throughput"] == (40e6, 120e6)
    for other in plan.alternatives:
        assert other.fits is not None
        assert other.fits >= 0.95
        assert other.monthly_usd >= (planned.cost.monthly_usd or 0) - 0.02
    for other in plan.rejected:
        assert other.fits is not None
        assert other.fits < 0.95
        assert other.limit is not None
    assert Plan.from_json(plan.to_json()) == plan
    assert planner.plan(environment) == plan, "the same seed gives the same plan"


def test_surer_costs_no_less() -> None:
    prices = [
        planner.plan(aws(workload=UNSURE, planner={"samples": 300, "confidence": f"{sure}%"}))
        .datacenters[0]
        .cost.monthly_usd
        for sure in (50, 90, 100)
    ]
    assert prices == sorted(prices)  # type: ignore[type-var]


@pytest.mark.parametrize("confidence", ["50%", "95%"])
def test_no_volume_is_too_small_for_the_middle(confidence: str) -> None:
    """Half of the samples of a product of ranges can need less than its middle."""
    unsure = {"throughput": "235MB/s..267MB/s", "retention": "122h..467h"}
    environment = aws(workload=unsure, planner={"samples": 200, "confidence": confidence, "seed": 53})
    middle = demand_of(environment, environment.datacenters[0])
    plan = planner.plan(environment)
    brokers = plan.datacenters[0].brokers
    every = [(brokers.count, brokers.volumes), *((one.count, one.volumes) for one in plan.alternatives)]
    for count, (volumes, *_) in every:
        fleet = Fleet.even(np.array([float(count)]), middle.racks)
        load = limits.loads(middle, fleet, np.array([float(volumes.count)]))[0, choice.SPACE, 0]
        assert load <= volumes.size * volumes.count * middle.ceilings[LIMITS.index("disk_space")] * (1 + 1e-9)
