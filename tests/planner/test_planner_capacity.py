"""The reverse of a plan: worked by hand, checked against plans, and monotone in what is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.errors import UsageError
from kdeploy.planner import figures, given, limits
from kdeploy.planner.capacity import (
    FleetCapacity,
    Question,
    capacity,
    greatest_that_holds,
)
from kdeploy.planner.declared import Machine, fleet_of
from kdeploy.planner.demand import demand_of
from kdeploy.planner.ebs import KINDS
from kdeploy.planner.ensemble import spread
from kdeploy.planner.given import AskedVolumes, Given
from kdeploy.planner.limits import COLUMNS, LIMIT_OF
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws

CEILING = Question(utilisation=1.0, encrypted=False, space=False)
BENCHMARK = {"durability": {"survive": "none"}}


def workload(**values: Any) -> dict[str, Any]:
    return {"peak_factor": 1.0, "fan_out": 1.0, **values}


def asked(
    instance_type: str,
    brokers: int,
    question: Question = CEILING,
    volumes: AskedVolumes = AskedVolumes(),  # noqa: B008
    zones: int = 3,
    survive: str = "none",
    copies: int = 3,
    **values: Any,
) -> FleetCapacity:
    environment = aws(
        zones=zones,
        workload=workload(**values),
        durability={
            "survive": survive,
            "replication_factor": copies,
            "min_insync_replicas": max(1, copies - 1),
        },
    )
    racks = environment.datacenters[0].racks
    fleet = given.of_type(instance_type, "us-east-1", spread(brokers, racks), volumes)
    return capacity(environment, (fleet,), question).weakest


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        # three brokers, three copies: each takes in and writes all of it; two disks of 327.5 MB/s each
        ("disk_write", 655e6),
        # 8.4 Gbit/s; all of it in; a third of it to consumers and two thirds to followers out
        ("network_in", 1050e6 / figures.PROTOCOL_OVERHEAD.value),
        ("network_out", 1050e6 / figures.PROTOCOL_OVERHEAD.value),
    ],
)
def test_the_physical_ceiling_of_a_fleet_is_what_one_works_out_by_hand(limit: str, expected: float) -> None:
    found = asked("i3en.2xlarge", 3, message_size="1024B")
    assert found.limits[limit] == pytest.approx(expected, rel=1e-9)


def test_the_processor_carries_no_more_than_its_times_for_bytes_and_records_allow() -> None:
    """8 processors; each leads a third, follows two thirds and sends as much as is produced."""
    per_byte = figures.CPU_PRODUCE.value / 3 + figures.CPU_REPLICATE.value * 2 / 3 + figures.CPU_SEND.value
    most = 8 / (per_byte + figures.CPU_RECORD.value / 1024 / 3)
    found = asked("i3en.2xlarge", 3, message_size="1024B").limits["cpu"]
    assert found is not None
    assert 0.85 * most < found <= most * (1 + 1e-9)  # what requests cost beside comes off


def test_the_least_limit_is_the_answer() -> None:
    found = asked("i3en.2xlarge", 3)
    assert found.throughput == pytest.approx(655e6)
    assert found.bottleneck == "disk_write"
    assert found.throughput == min(rate for rate in found.limits.values() if rate is not None)
    assert found.utilisation["disk_write"] == pytest.approx(1)


def test_aws_own_formula_for_a_cluster_bound_by_ebs_holds() -> None:
    """max(tcluster) = max(tEBSnetwork) × brokers ÷ copies (AWS, right-sizing, equation 1)."""
    for brokers in (3, 6, 9):
        found = asked("m5.large", brokers)
        assert found.bottleneck == "disk_throughput"
        assert found.throughput == pytest.approx(81.25e6 * brokers / 3)


def test_caution_lowers_the_answer_by_what_it_says() -> None:
    bare = asked("i3en.2xlarge", 3)
    full = asked("i3en.2xlarge", 3, Question(utilisation=1.0, imbalance=1.25, encrypted=False, space=False))
    half = asked("i3en.2xlarge", 3, Question(utilisation=0.5, imbalance=1.0, encrypted=False, space=False))
    assert bare.throughput == pytest.approx(full.throughput * 1.25 if full.throughput else 0)
    assert bare.throughput == pytest.approx(half.throughput * 2 if half.throughput else 0)


def test_lagging_consumers_take_disk_throughput_from_producers() -> None:
    lagging = asked(
        "m5.large", 3, Question(utilisation=1.0, lagging_consumers=0.5, encrypted=False, space=False)
    )
    assert lagging.limits["disk_throughput"] == pytest.approx(81.25e6 / (1 + 0.5 / 3))


def test_stated_partitions_hold_at_any_rate_or_break_at_any() -> None:
    held = asked("i3en.2xlarge", 3, partitions=2000)
    assert held.limits["partitions"] is None
    assert held.feasible
    broken = asked("i3en.2xlarge", 3, partitions=2001)
    assert not broken.feasible
    assert broken.throughput is None
    assert broken.bottleneck == "partitions"
    assert broken.broken == ("partitions",)


def test_a_cluster_has_a_limit_of_replicas_of_its_own() -> None:
    found = asked("i3en.24xlarge", 300, partitions=100_000)
    assert found.broken == ("partitions",)


def test_a_fleet_that_does_not_outlive_the_failure_takes_nothing() -> None:
    found = asked("m5.large", 1, survive="broker", copies=1, zones=1)
    assert not found.feasible


def test_the_disks_hold_the_longest_retention_that_is_told_and_no_longer() -> None:
    question = Question(space=True)
    volumes = AskedVolumes("gp3", 1, 2**40, None, 250 * 2**20)
    free = asked("m5.xlarge", 6, Question(space=False), volumes)
    assert free.retention is not None
    kept = asked("m5.xlarge", 6, question, volumes, retention=f"{free.retention!r}s")
    assert kept.throughput == pytest.approx(free.throughput)
    longer = asked("m5.xlarge", 6, question, volumes, retention=f"{free.retention * 1.01!r}s")
    assert longer.throughput is not None
    assert free.throughput is not None
    assert longer.throughput < free.throughput
    assert longer.bottleneck == "disk_space"


def test_what_nothing_limits_is_not_a_number() -> None:
    environment = aws(workload=workload(partitions=30), **BENCHMARK)
    fleet = given.of_machine("dc1", Machine(2, 2.0**30), {"a": 3}, whole_machine=False)
    found = capacity(environment, (fleet,), CEILING).weakest
    assert found.feasible
    assert found.throughput is None
    assert found.limits == {"partitions": None}


def test_an_environment_takes_as_much_as_the_weakest_of_its_datacenters() -> None:
    racks = ["a", "b", "c"]
    places = [
        {"name": name, "provider": "aws", "region": "us-east-1", "racks": racks} for name in ("one", "two")
    ]
    environment = Environment.model_validate({"name": "trial", "workload": workload(), "datacenters": places})
    strong, weak = (
        given.of_type("m7g.xlarge", "us-east-1", spread(count, tuple(racks)), AskedVolumes(), name)
        for name, count in (("one", 6), ("two", 3))
    )
    found = capacity(environment, (strong, weak), Question(space=False))
    assert found.weakest.name == "two"
    assert found.to_json()["throughput"] == found.weakest.throughput
    assert [one["name"] for one in found.to_json()["datacenters"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("volumes", "throughput", "iops"),
    [
        (AskedVolumes("gp3", 1, 100 * 2**30), 125.0, 3000.0),
        (AskedVolumes("gp3", 2, 100 * 2**30, 4000, 500 * 2**20), 500.0, 4000.0),
        (AskedVolumes("gp3", None, None, None, 1000 * 2**20), 1000.0, 8000.0),
        (AskedVolumes(), 2000.0, 16000.0),
        (AskedVolumes("gp2", None, 100 * 2**30), 75.0, 300.0),
        (AskedVolumes("gp2", None, 1000 * 2**30), 250.0, 3000.0),
        (AskedVolumes("io2", None, 100 * 2**30, 10_000), 2560.0, 10_000.0),
        (AskedVolumes("st1", None, 2 * 2**40), 80.0, None),
    ],
)
def test_a_volume_gives_what_its_kind_gives(
    volumes: AskedVolumes, throughput: float, iops: float | None
) -> None:
    (found,) = given.of_type("r5.4xlarge", "us-east-1", {"a": 3}, volumes).volumes
    assert found.throughput == throughput * 2**20
    assert found.iops == iops


@pytest.mark.parametrize(
    ("instance_type", "volumes", "message"),
    [
        ("m5.large", AskedVolumes("local-nvme"), "no local disks"),
        ("i3en.2xlarge", AskedVolumes("local-nvme", 3), "are what they are"),
        ("m5.large", AskedVolumes("gp3", throughput=3000 * 2**20), "at most 2,000 MiB/s"),
        ("m5.large", AskedVolumes("gp3", iops=3000, throughput=1000 * 2**20), "needs 4,000 IOPS"),
        ("m5.large", AskedVolumes("st1", size=2**40, iops=100), "not sold apart"),
        ("m5.large", AskedVolumes("gp2", size=2**40, throughput=100e6), "not sold apart"),
        ("m5.large", AskedVolumes("gp3", size=2**30, iops=3001), "a gp3 volume has at most 3,000"),
        ("m5.large", AskedVolumes("st1", size=2**30), "at least 125 GiB"),
        ("m5.large", AskedVolumes("gp2"), "depends on its size"),
        ("m5.large", AskedVolumes("io2", size=2**40), "--volume-iops"),
        ("m5.large", AskedVolumes("io2", size=4 * 2**30, iops=5000), "an io2 volume has at most 4,000"),
        ("m5.lrge", AskedVolumes(), "did you mean m5.large?"),
    ],
)
def test_a_volume_that_is_not_sold_so_is_refused(
    instance_type: str, volumes: AskedVolumes, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        given.of_type(instance_type, "us-east-1", {"a": 3}, volumes)


def test_the_instance_limits_what_its_volumes_could_give() -> None:
    small, large = (
        given.of_type("m5.large", "us-east-1", {"a": 3}, AskedVolumes("gp3", 1, 2**40, None, rate))
        for rate in (50e6, 500e6)
    )
    throughput = COLUMNS.index("disk_throughput")
    assert small.capacity[throughput] == 50e6
    assert large.capacity[throughput] == 81.25e6


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("a line", lambda x: x / 3e6, 3e6),
        ("a line that does not begin at nothing", lambda x: 0.5 + x / 6e6, 3e6),
        ("a bend", lambda x: np.maximum(x / 9e6, x / 3e6 - 1), 6e6),
        ("a step", lambda x: np.where(x > 12345.678, 2.0, 0.5), 12345.678),
        ("a root", lambda x: np.sqrt(x / 1e12), 1e12),
        ("what always holds", lambda x: 0 * x + 1, math.inf),
        ("what never does", lambda x: 0 * x + 1.1, 0.0),
        ("what is infinite at once", lambda x: np.where(x > 5, np.inf, 0.1), 5.0),
    ],
)
def test_the_search_finds(name: str, function: Any, expected: float) -> None:
    found = greatest_that_holds(lambda tried: np.array([function(tried), tried / 7e5]))
    assert found[0] == pytest.approx(expected, rel=1e-9), name
    assert found[1] == pytest.approx(7e5, rel=1e-9)
    assert np.all(found[0] <= expected * (1 + 1e-12))


TYPES = ("m5.large", "m7g.2xlarge", "r7g.4xlarge", "c5.4xlarge", "m8gb.large")


@st.composite
def questions(draw: st.DrawFn) -> tuple[Environment, str, int]:
    """A fleet with as many brokers in every zone, and a workload for it that has room in it."""
    zones = draw(st.integers(1, 3))
    copies = draw(st.integers(1, 3))
    brokers = zones * draw(st.integers(math.ceil((copies + 1) / zones), 20))
    kinds = ["none", *(["broker"] if copies > 1 else []), *(["zone"] if copies > 1 and zones == 3 else [])]
    survive = draw(st.sampled_from(kinds))
    values: dict[str, Any] = {
        "peak_factor": draw(st.floats(1, 4)),
        "fan_out": draw(st.floats(0, 20)),
        "message_size": f"{draw(st.integers(20, 100_000))}B",
        "retention": f"{draw(st.integers(60, 3_000_000))}s",
        "compression": draw(st.sampled_from(["none", "zstd"])),
        "partitions": draw(st.one_of(st.none(), st.integers(1, 40).map(lambda n: n * brokers))),
    }
    environment = aws(
        zones=zones,
        workload=values,
        durability={
            "replication_factor": copies,
            "survive": survive,
            "min_insync_replicas": 1,
        },
    )
    return environment, draw(st.sampled_from(TYPES)), brokers


def planned(environment: Environment, instance_type: str, brokers: int, rate: float) -> bool:
    document = environment.to_json()
    document["workload"]["throughput"] = f"{rate!r}B/s"
    document["datacenters"][0]["brokers"] = {"count": brokers, "instance_type": instance_type}
    return planner.plan(Environment.model_validate(document)).feasible


@settings(max_examples=40, deadline=None)
@drawn(questions())
def test_a_plan_for_the_answer_fits_the_same_fleet_and_one_for_a_hundredth_more_does_not(
    question: tuple[Environment, str, int],
) -> None:
    environment, instance_type, brokers = question
    racks = environment.datacenters[0].racks
    fleet = given.of_type(instance_type, "us-east-1", spread(brokers, racks), AskedVolumes())
    found = capacity(environment, (fleet,), Question()).weakest
    assert found.throughput is not None
    assert planned(environment, instance_type, brokers, found.throughput)
    assert not planned(environment, instance_type, brokers, found.throughput * 1.01)


@settings(max_examples=40, deadline=None)
@drawn(questions(), st.sampled_from([None, 0.5, 1.0]))
def test_each_limit_alone_holds_at_its_rate_and_breaks_just_above(
    question: tuple[Environment, str, int], utilisation: float | None
) -> None:
    environment, instance_type, brokers = question
    place = environment.datacenters[0]
    fleet = given.of_type(instance_type, "us-east-1", spread(brokers, place.racks), AskedVolumes())
    how = Question(utilisation)
    found = capacity(environment, (fleet,), how).weakest

    def ratio(limit: str, rate: float) -> float:
        workload = environment.workload.model_copy(update={"throughput": rate})
        demand = demand_of(environment.model_copy(update={"workload": workload}), place)
        load = limits.loads(how.applied(demand), fleet_of(fleet.per_rack), fleet.disks)[0, :, 0]
        mine = [position for position, one in enumerate(LIMIT_OF) if one == limit]
        return float((load[mine] / fleet.capacity[mine]).max() / found.ceilings[limit])

    for limit, rate in found.limits.items():
        if rate is not None:
            assert ratio(limit, rate) <= 1 + 1e-11
            assert ratio(limit, rate * (1 + 1e-8)) > 1


@pytest.mark.parametrize("volume_type", KINDS)
def test_what_a_plan_bought_can_take_what_was_planned_for_whatever_the_kind(volume_type: str) -> None:
    environment = aws(workload={"throughput": "40MB/s"}, brokers={"volume_type": volume_type})
    (bought,) = planner.plan(environment).datacenters
    fleet = given.of_plan(bought)
    assert fleet.volumes == bought.brokers.volumes
    found = capacity(environment, (fleet,), Question()).weakest
    assert found.throughput is not None
    assert found.throughput >= 40e6 * (1 - 1e-9)


def fleets() -> list[Given]:
    return [given.of_type("m7g.xlarge", "us-east-1", {"a": n}, AskedVolumes()) for n in (3, 6, 12, 24)]


def test_more_brokers_take_more() -> None:
    environment = aws(zones=1, workload=workload(), **BENCHMARK)
    rates = [capacity(environment, (one,), Question(space=False)).weakest.throughput or 0 for one in fleets()]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(8 * rates[0])
