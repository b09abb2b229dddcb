"""What is mirrored is carried, in time, by workers that are enough; and what is too little is named with what fits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.blueprint import draw
from kdeploy.errors import InvalidSetting
from kdeploy.planner import mirror_figures, mirrors
from kdeploy.planner.decide import decide
from kdeploy.planner.demand import demand_of, exchanged
from kdeploy.planner.figures import Figure
from kdeploy.planner.mirrored import SAID
from kdeploy.planner.mirrors import Fleet, Load
from kdeploy.planner.report import text
from kdeploy.planner.result import MIRROR_LIMITS, LinkPlan, MirrorPlan, Plan
from kdeploy.spec.load import load, shipped_folder
from kdeploy.spec.mirroring import Link
from kdeploy.spec.model import Environment
from kdeploy.tuning import jvm
from kdeploy.tuning import mirror as tuned
from tests.tuning.builders import lock

FEWER = settings(max_examples=25, deadline=None)
rates = st.floats(1e3, 2e9)


def two(provider: str = "aws", mirroring: dict[str, Any] | None = None, **parts: Any) -> Environment:
    """Two datacenters, primary and standby; of provider hosts each has three brokers and two workers."""
    datacenters: list[dict[str, Any]] = [
        {"name": name, "provider": provider} for name in ("primary", "standby")
    ]
    if provider == "aws":
        datacenters[0]["region"], datacenters[1]["region"] = "eu-central-1", "eu-west-1"
    if provider == "local":
        datacenters[1]["base_port"] = 25000
    if provider == "hosts":
        for index, one in enumerate(datacenters):
            one["hosts"] = [
                {
                    "address": f"{index}{role}{rack}",
                    "rack": rack,
                    "role": role,
                    "hardware": {"cores": 8, "memory": "32GiB"},
                }
                for role, racks in (("zookeeper", "abc"), ("broker", "abc"), ("mirror", "ab"))
                for rack in racks
            ]
    document: dict[str, Any] = {"name": "trial", "datacenters": datacenters, **parts}
    if mirroring is not None:
        document["mirroring"] = mirroring
    return Environment.model_validate(document)


def linked(bandwidth: str | None = None, round_trip: str = "20ms") -> list[dict[str, Any]]:
    said = {"round_trip": round_trip} | ({"bandwidth": bandwidth} if bandwidth else {})
    return [
        {"source": "primary", "target": "standby", **said},
        {"source": "standby", "target": "primary", **said},
    ]


def workers(plan: Plan, name: str = "standby") -> MirrorPlan:
    found = next(one.mirror for one in plan.datacenters if one.name == name)
    assert found is not None
    return found


def direction(plan: Plan, name: str = "standby") -> LinkPlan:
    (found,) = workers(plan, name).links
    return found


def a_load(**parts: Any) -> Load:
    return replace(Load(live=20e6, peak=40e6, partitions=30, brokers=3, encrypted=True), **parts)


def test_without_mirroring_nothing_is_planned_for_it() -> None:
    plan = planner.plan(two())
    assert all(one.mirror is None for one in plan.datacenters)
    assert "workers" not in plan.datacenters[0].cost.parts
    assert len(plan.assumptions) < len(planner.plan(two(mirroring={})).assumptions)


def test_each_side_of_active_passive_can_be_read_once_more() -> None:
    wanted = two(mirroring={})
    stated = two(workload={"mirrored_out": "10MB/s"})
    for mine, theirs in zip(wanted.datacenters, stated.datacenters, strict=True):
        derived = demand_of(wanted, mine)
        assert replace(derived, sends=True) == demand_of(stated, theirs)
    assert [demand_of(wanted, one).sends for one in wanted.datacenters] == [True, False]


@given(st.integers(0, 100), st.floats(1e3, 1e8), st.floats(1e3, 1e8))
@FEWER
def test_each_side_of_active_active_holds_both_with_the_other_and_alone(
    percent: int, carried: float, kept: float
) -> None:
    topics = [
        {"name": "orders", "throughput": f"{carried!r}B/s"},
        {"name": "scratch", "throughput": f"{kept!r}B/s"},
    ]
    wanted = two(
        mirroring={
            "mode": "active-active",
            "exclude_topics": ["scratch"],
            "survivor_share": f"{percent}%",
        },
        workload={"topics": topics},
    )
    into, out = exchanged(wanted, {})
    assert float(out) == pytest.approx(carried)
    with_the_other, alone = carried + kept + carried, (carried + kept) * (1 + percent / 100)
    has_room_for = carried + kept + float(into)
    assert has_room_for >= max(with_the_other, alone) * (1 - 1e-9)
    assert has_room_for == pytest.approx(max(with_the_other, alone))


def test_what_the_workload_states_is_taken_as_it_is() -> None:
    wanted = two(
        mirroring={"mode": "active-active"}, workload={"mirrored_in": "3MB/s", "mirrored_out": "4MB/s"}
    )
    assert exchanged(wanted, {}) == (3e6, 4e6)


def test_the_price_of_what_crosses_is_paid_where_it_is_sent_from() -> None:
    plan = planner.plan(two(mirroring={}))
    paid = [one.cost.parts.get("cross_region_traffic") for one in plan.datacenters]
    assert paid[1] is None
    assert paid[0] == pytest.approx(direction(plan).monthly_usd)
    assert (direction(plan).runs, direction(plan, "primary").runs) == (True, False)


def test_workers_are_part_of_the_price() -> None:
    for one in planner.plan(two(mirroring={})).datacenters:
        assert one.cost.parts["workers"] > 0
        assert one.cost.monthly_usd == pytest.approx(sum(one.cost.parts.values()))
        assert one.cost.yearly_usd == pytest.approx(12 * sum(one.cost.parts.values()))


@given(throughput=st.floats(1e4, 3e8), factor=st.floats(1.01, 4))
@settings(max_examples=12, deadline=None)
def test_more_to_carry_never_takes_fewer_or_cheaper_workers(throughput: float, factor: float) -> None:
    def of(rate: float, **wanted: Any) -> tuple[int, float]:
        plan = planner.plan(two(mirroring=wanted, workload={"throughput": f"{rate!r}B/s"}), remedies=False)
        assert plan.feasible
        found = next(one for one in plan.datacenters if one.name == "standby")
        return workers(plan).count, found.cost.parts["workers"]

    _, price = of(throughput)
    assert price <= of(throughput * factor)[1] + 0.01
    kind = {"workers": {"instance_type": "m7g.xlarge"}}
    assert of(throughput, **kind)[0] <= of(throughput * factor, **kind)[0]


@given(rates, st.integers(1, 60), st.integers(1, 400), st.booleans())
def test_one_lost_worker_of_several_is_survived(
    peak: float, cores: int, partitions: int, encrypted: bool
) -> None:
    fleet = Fleet(np.array(float(cores)), np.array(1.25e9), np.arange(1.0, 21.0))
    load = a_load(peak=peak, partitions=partitions, encrypted=encrypted)
    tasks = fleet.count * 4
    whole, left = fleet.carried(load, tasks), fleet.carried(load, tasks, lost=True)
    assert (left <= whole * (1 + 1e-12)).all()
    assert (np.diff(left) >= -1e-6).all(), "another worker never makes it less"
    assert left[0] == whole[0], "nothing is left where there is one"
    assert (whole <= partitions * mirror_figures.TASK.value).all(), "a partition is read by one task"


@given(st.floats(0, 1e6), rates, rates, st.floats(1.0001, 10))
def test_more_bandwidth_never_takes_more_time_to_catch_up(
    cut: float, live: float, carried: float, factor: float
) -> None:
    slow, fast = mirrors.drain(cut, live, np.array([carried, carried * factor])).tolist()
    assert fast <= slow
    longer = float(mirrors.drain(cut * 2, live, carried))
    assert longer >= float(mirrors.drain(cut, live, carried))


@given(st.floats(1, 1e6), rates, st.floats(1.001, 10))
def test_in_the_time_that_it_takes_all_that_waits_and_all_that_comes_gets_through(
    cut: float, live: float, factor: float
) -> None:
    carried = live * factor
    took = float(mirrors.drain(cut, live, carried))
    assert carried * took == pytest.approx(live * cut + live * took)


def test_a_backlog_is_never_caught_up_where_nothing_is_left_for_it() -> None:
    assert mirrors.drain(60, 10e6, np.array([5e6, 10e6, 20e6])).tolist() == [math.inf, math.inf, 60]
    assert mirrors.drain(0, 10e6, 5e6) == 0
    assert mirrors.drain(60, 0, 5e6) == 0
    wanted = two("hosts", {"links": linked("24MB/s")}, workload={"throughput": "25MB/s"})
    plan = planner.plan(wanted)
    assert direction(plan).drain is None
    assert "never; no more gets through than is written" in " ".join(text(plan, wanted).split())


@given(rates, st.floats(0.001, 5), st.integers(1, 1000))
def test_what_gets_through_is_the_least_of_what_it_passes(
    bandwidth: float, trip: float, partitions: int
) -> None:
    load = a_load(partitions=partitions)
    link = Link(source="a", target="b", bandwidth=f"{bandwidth!r}B/s", round_trip=f"{trip!r}s")
    carried, least = mirrors.through(load, link, 1e8, 2e8)
    assert carried <= min(1e8, bandwidth / load.wire, partitions * 2**23 / trip) * (1 + 1e-9)
    assert least in ("link", "workers", "partitions")
    farther, _ = mirrors.through(load, link.model_copy(update={"round_trip": trip * 2}), 1e8, 2e8)
    assert farther <= carried
    assert mirrors.lag(load, trip * 2, farther) >= mirrors.lag(load, trip, carried)


def test_a_link_that_carries_too_little_is_named_with_one_that_is_enough() -> None:
    wanted = two("hosts", {"links": linked("45MB/s")}, workload={"throughput": "20MB/s"})
    plan = planner.plan(wanted)
    assert not plan.feasible
    assert {(one.datacenter, one.limit) for one in plan.infeasible} == {
        ("primary", "mirror_link"),
        ("standby", "mirror_link"),
    }
    assert "the load on the link that is mirrored over is" in " ".join(text(plan, wanted).split())
    for one in plan.infeasible:
        assert "a link of 51.9 MB/s" in one.nearest
        assert one.by > 1
    enough = two("hosts", {"links": linked("51.9MB/s")}, workload={"throughput": "20MB/s"})
    assert planner.plan(enough).feasible
    short = two("hosts", {"links": linked("51.7MB/s")}, workload={"throughput": "20MB/s"})
    assert not planner.plan(short).feasible


def test_too_few_workers_are_named_with_as_many_as_are_enough() -> None:
    wanted = two("hosts", {}, workload={"throughput": "100MB/s", "retention": "1h", "partitions": 300})
    plan = planner.plan(wanted)
    assert {one.limit for one in plan.infeasible} == {"mirror_workers"}
    assert plan.infeasible[0].nearest == "3 workers in place of 2, of the same kind, fit"


def test_an_objective_that_cannot_be_met_is_named_with_one_that_can() -> None:
    wanted = two(
        "hosts",
        {"links": linked(round_trip="30s"), "rpo": "32s"},
        workload={"throughput": "1MB/s", "partitions": 100},
    )
    plan = planner.plan(wanted)
    assert [one.limit for one in plan.infeasible] == ["mirror_lag"] * 2
    assert plan.infeasible[0].nearest == "an rpo of 46 s in place of 32 s fits"
    changed = wanted.mirroring.model_copy(update={"rpo": 46.0}) if wanted.mirroring else None
    assert planner.plan(wanted.model_copy(update={"mirroring": changed})).feasible


def test_too_few_partitions_for_the_distance_are_named_with_as_many_as_are_enough() -> None:
    far = {"links": linked(round_trip="4s"), "rpo": "1min"}
    wanted = two("hosts", far, workload={"throughput": "5MB/s", "partitions": 3})
    plan = planner.plan(wanted)
    assert [one.limit for one in plan.infeasible] == ["mirror_partitions"] * 2
    assert plan.infeasible[0].nearest == "10 partitions in place of 3 fit"
    assert planner.plan(two("hosts", far, workload={"throughput": "5MB/s", "partitions": 10})).feasible


def test_on_this_machine_everything_is_feasible_and_shown_all_the_same() -> None:
    wanted = two("local", {"links": linked("1MB/s")}, workload={"throughput": "10MB/s"})
    plan = planner.plan(wanted)
    assert plan.feasible
    assert (direction(plan).utilisation or 0) > 1
    assert "ever further while the peak lasts" in " ".join(text(plan, wanted).split())
    assert workers(plan).count == 1
    assert "more than half of its memory" not in " ".join(text(plan, wanted).split())
    assert direction(plan).lag_after_loss is None, "there is no other worker"


def test_every_limit_that_is_named_is_in_the_list() -> None:
    assert (
        set(MIRROR_LIMITS)
        == {"mirror_link", "mirror_partitions", "mirror_workers", "mirror_lag"}
        == set(SAID)
    )


def test_what_was_decided_is_kept_with_less_to_carry() -> None:
    busy = two(mirroring={}, workload={"throughput": "200MB/s"})
    lock = decide(busy, planner.plan(busy), None, lambda: "x" * 22)
    idle = two(mirroring={}, workload={"throughput": "1MB/s"})
    assert workers(planner.plan(idle, lock)).count == len(lock.datacenters[1].mirrors) > 2
    assert workers(planner.plan(idle)).count == 2


def test_a_type_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidSetting, match=r"m7g\.lrage is not in the catalogue") as caught:
        planner.plan(two(mirroring={"workers": {"instance_type": "m7g.lrage"}}))
    assert "did you mean m7g.large?" in str(caught.value.right)


def test_a_topic_with_more_copies_than_brokers_that_are_planned_is_refused_by_name() -> None:
    wanted = two(
        mirroring={}, topics=[{"name": "orders", "replication_factor": 30}], workload={"throughput": "1MB/s"}
    )
    with pytest.raises(
        InvalidSetting, match="30 copies need 30 brokers, and datacenter primary is planned"
    ) as caught:
        planner.plan(wanted)
    assert caught.value.path == ("topics", 0, "replication_factor")
    gone = two(mirroring={}, topics=[{"name": "orders", "replication_factor": 30, "delete": True}])
    assert planner.plan(gone).feasible


def test_ranges_are_planned_with_the_confidence_that_is_asked_for() -> None:
    wanted = two(mirroring={}, workload={"throughput": "10MB/s..90MB/s"}, planner={"samples": 500})
    found = direction(planner.plan(wanted, remedies=False))
    middle = direction(planner.plan(two(mirroring={}, workload={"throughput": "30MB/s"}), remedies=False))
    assert middle.peak < found.peak <= 2 * 90e6
    assert demand_of(wanted, wanted.datacenters[0]).mirrored_out == pytest.approx(30e6)


@pytest.mark.parametrize(
    "name",
    [
        "datacenter-two-dc",
        "dr-active-passive",
        "global-active-active",
        "local-two-dc-active",
        "local-two-dc-passive",
    ],
)
def test_what_is_shipped_is_planned_with_workers_on_both_sides_and_told_in_80_columns(name: str) -> None:
    environment = load(shipped_folder() / name).environment
    plan = planner.plan(environment)
    assert plan.feasible
    assert Plan.from_json(plan.to_json()) == plan
    shown = text(plan, environment)
    first, second = (one.name for one in environment.datacenters)
    for one in plan.datacenters:
        assert one.mirror is not None
        assert one.mirror.utilisation <= mirror_figures.CEILING.value
        assert one.mirror.heap <= one.mirror.memory * mirror_figures.HEAP_SHARE.value
    assert f"Mirroring from {first} to {second}" in shown
    assert f"Mirroring from {second} to {first}" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (mirror_figures.TASKS, tuned.TASKS_PER_WORKER),
        (mirror_figures.FETCH, tuned.FETCH),
        (mirror_figures.TRANSACTION, tuned.TRANSACTION),
        (mirror_figures.LINGER, tuned.LINGER),
        (mirror_figures.REBALANCE, 10 + tuned.REBALANCE_DELAY),
        (mirror_figures.HEAP_SHARE, jvm.LOCAL_HEAP_SHARE),
        (mirror_figures.MOST_HEAP, jvm.LARGEST_HEAP["mirror"]),
        (mirror_figures.KEPT, 2 * mirror_figures.TASK.value * tuned.TRANSACTION),
    ],
)
def test_what_plans_assume_of_workers_is_what_they_are_told(figure: Figure, told: float) -> None:
    assert figure.value == told


MIRRORED = [
    "datacenter-two-dc",
    "dr-active-passive",
    "global-active-active",
    "local-three-dc-active",
    "local-three-dc-passive",
    "local-two-dc-active",
    "local-two-dc-passive",
]


@pytest.mark.parametrize("tasks", [None, 6], ids=["usual", "stated"])
@pytest.mark.parametrize("name", MIRRORED)
def test_workers_that_are_drawn_are_those_of_the_plan(name: str, tasks: int | None) -> None:
    environment = load(shipped_folder() / name).environment
    assert environment.mirroring is not None
    wanted = environment.mirroring.workers.model_copy(update={"tasks": tasks, "memory": None})
    environment = environment.model_copy(
        update={"mirroring": environment.mirroring.model_copy(update={"workers": wanted})}
    )
    plan = planner.plan(environment, remedies=False)
    drawn = draw(environment, plan, lock(environment, plan))
    for datacenter, cluster in zip(plan.datacenters, drawn.clusters, strict=True):
        mirror = datacenter.mirror
        assert mirror is not None
        assert cluster.mirror is not None
        assert len(cluster.mirror.nodes) == mirror.count
        drawn_records = [one.config for one in cluster.mirror.connectors if one.name.endswith("-records")]
        assert len(drawn_records) == len(plan.datacenters) - 1
        for config in drawn_records:
            assert config["tasks.max"] == str(mirror.tasks)
            # What is not told is as Kafka has it, which the figure of what waits to be sent is.
            assert "producer.override.buffer.memory" not in config
            assert int(config["source.consumer.fetch.max.bytes"]) <= mirror_figures.FETCHED.value
            assert int(config["source.consumer.max.partition.fetch.bytes"]) <= mirror_figures.FETCH.value
        for node in cluster.mirror.nodes:
            assert "consumer.fetch.max.bytes" not in str(node)
            (largest,) = (one for one in node.java_options if one.startswith("-Xmx"))
            assert int(largest.removeprefix("-Xmx").removesuffix("m")) * 2**20 >= mirror.heap


@given(st.integers(1, 40), st.integers(1, 500), st.integers(1, 60), st.integers(1, 10))
def test_more_to_hold_never_takes_less_heap_and_never_more_than_brokers_answer(
    brokers: int, partitions: int, tasks: int, count: int
) -> None:
    load = a_load(brokers=brokers, partitions=partitions)
    needed = mirrors.heap(load, tasks, count)
    assert needed <= mirrors.heap(replace(load, brokers=brokers + 1), tasks, count)
    assert needed <= mirrors.heap(replace(load, partitions=partitions + 7), tasks, count)
    assert mirrors.heap(load, tasks, count + 1) <= needed
    running = math.ceil(tasks / max(count - 1, 1))
    others = mirror_figures.SENT.value + mirror_figures.KEPT.value
    most = running * (brokers * mirror_figures.FETCHED.value + others)
    assert running * others < needed - mirror_figures.HEAP.value <= most


def test_a_worker_on_this_machine_gets_the_memory_that_its_tasks_need_where_nobody_says() -> None:
    plan = planner.plan(two("local", {"workers": {"tasks": 4}}), remedies=False)
    found = workers(plan)
    assert found.heap <= found.memory * mirror_figures.HEAP_SHARE.value < found.heap + mirrors.STEP
    wanted = two("local", {"workers": {"tasks": 4, "memory": "512MiB"}})
    stated = planner.plan(wanted, remedies=False)
    assert workers(stated).memory == 2**29
    assert "more than half of its memory" in " ".join(text(stated, wanted).split())


def test_more_tasks_than_the_largest_heap_holds_are_refused_with_what_fits() -> None:
    asked = {"workers": {"count": 2, "tasks": 400, "instance_type": "r7g.4xlarge"}}
    plan = planner.plan(
        two(mirroring=asked, workload={"throughput": "5MB/s", "partitions": 4000}), remedies=False
    )
    assert not plan.feasible
    (said,) = {one.nearest for one in plan.infeasible if "heap" in one.nearest}
    assert said == "more workers than 2, or fewer tasks than 400, fit: each has 4 GiB of heap at most"
