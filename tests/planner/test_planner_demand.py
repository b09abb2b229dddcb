"""Growth, lists of topics and measured rates become plain numbers; a list weighs what its sum weighs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.errors import InvalidEnvironment
from kdeploy.planner import limits, metrics
from kdeploy.planner.demand import Demand, demand_of, quantile
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.spread import Fleet
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws


def demand(**parts: Any) -> Demand:
    environment = aws(**parts)
    return demand_of(environment, environment.datacenters[0])


def load(one: Demand, brokers: float = 9) -> dict[str, float]:
    row = limits.loads(one, Fleet.even(np.array([brokers]), one.racks), np.array([2.0]))[0, :, 0]
    return dict(zip(COLUMNS, row.tolist(), strict=True))


def test_growth_compounds_to_the_end_of_the_horizon() -> None:
    grown = demand(workload={"throughput": "100MB/s", "growth": "30%", "horizon": "2y"})
    assert grown.rate == pytest.approx(169e6)
    assert grown.peak == pytest.approx(338e6)
    assert demand(workload={"throughput": "100MB/s", "growth": "30%"}).rate == pytest.approx(130e6)


def test_requests_are_batches_and_a_record_larger_than_a_batch_goes_alone() -> None:
    assert demand(workload={"throughput": "8MB/s", "batch_size": "16kB"}).requests == pytest.approx(1000)
    large = demand(workload={"throughput": "8MB/s", "batch_size": "16kB", "message_size": "1MB"})
    assert large.requests == large.records == pytest.approx(16)


def test_lagging_consumers_are_a_share_of_what_is_read() -> None:
    assert demand(workload={"throughput": "8MB/s", "fan_out": 3}).missed == pytest.approx(8e6)
    shared = demand(workload={"throughput": "8MB/s", "fan_out": 3, "lagging_consumers": "20%"})
    assert shared.missed == pytest.approx(0.2 * 3 * 16e6)


TOPICS = st.lists(
    st.tuples(st.floats(1e3, 1e8), st.integers(10, 500), st.floats(0, 9), st.floats(3600, 1e6)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(TOPICS, st.integers(3, 40))
def test_a_list_of_topics_loads_what_its_sum_loads_where_limits_are_linear(
    topics: list[tuple[float, int, float, float]], brokers: int
) -> None:
    rows = [
        {
            "name": f"t{i}",
            "throughput": f"{rate!r}B/s",
            "partitions": count,
            "fan_out": read,
            "retention": f"{kept!r}s",
        }
        for i, (rate, count, read, kept) in enumerate(topics)
    ]
    total = sum(rate for rate, *_ in topics)
    together = {
        "throughput": f"{total!r}B/s",
        "partitions": sum(count for _, count, _, _ in topics),
        "fan_out": sum(rate * read for rate, _, read, _ in topics) / total,
        "retention": f"{sum(rate * kept for rate, _, _, kept in topics) / total!r}s",
        "lagging_consumers": "10%",
    }
    apart = load(demand(workload={"topics": rows, "lagging_consumers": "10%"}), brokers)
    whole = load(demand(workload=together), brokers)
    for limit in set(COLUMNS) - {"partition_rate", "memory_maps", "open_files"}:
        assert apart[limit] == pytest.approx(whole[limit], rel=1e-9), limit
    assert apart["partition_rate"] >= whole["partition_rate"] * (1 - 1e-9)


def test_one_topic_that_inherits_everything_is_the_workload_itself() -> None:
    alone = planner.plan(aws(workload={"throughput": "90MB/s"}))
    listed = planner.plan(aws(workload={"topics": [{"name": "all", "throughput": "90MB/s"}]}))
    assert listed.datacenters == alone.datacenters


def test_topics_with_more_copies_or_a_cleaner_load_more() -> None:
    rows = [
        {"name": "a", "throughput": "20MB/s", "partitions": 90},
        {"name": "b", "throughput": "20MB/s", "partitions": 90},
    ]
    plain = load(demand(workload={"topics": rows}))
    copies = load(demand(workload={"topics": [rows[0], {**rows[1], "replication_factor": 5}]}))
    assert copies["network_in"] == pytest.approx(plain["network_in"] * 4 / 3)
    assert copies["disk_space"] == pytest.approx(plain["disk_space"] * 4 / 3)
    cleaned = load(demand(workload={"topics": [rows[0], {**rows[1], "compaction": True}]}))
    held = 3 / 9 * 20e6 * 1.2  # bytes a second of the compacted topic on the broker, on average
    assert cleaned["disk_write"] - plain["disk_write"] == pytest.approx(held)
    assert cleaned["disk_read"] - plain["disk_read"] == pytest.approx(2 * held)


def test_the_busiest_partition_of_a_list_is_what_a_partition_is_held_against() -> None:
    rows = [
        {"name": "one", "throughput": "50MB/s", "partitions": 1},
        {"name": "many", "throughput": "1MB/s", "partitions": 99},
    ]
    assert load(demand(workload={"topics": rows}))["partition_rate"] == pytest.approx(100e6 * 1.2)


def test_mirrored_traffic_is_produced_kept_and_read_like_any_other() -> None:
    plain = {"throughput": "50MB/s", "partitions": 90}
    alone, more = load(demand(workload=plain)), load(demand(workload={**plain, "mirrored_in": "50MB/s"}))
    both = load(demand(workload={**plain, "mirrored_in": "50MB/s", "mirrored_out": "30MB/s"}))
    for limit in ("disk_write", "disk_space", "network_in", "network_out"):
        assert more[limit] == pytest.approx(alone[limit] * 2, rel=2e-3), limit
    assert both["network_out"] - more["network_out"] == pytest.approx(
        30e6 * 2 * 1.2 / 6 * (1 + 52 / 1448) * (1 + 22 / 16384)
    )
    assert both["cross_region"] == pytest.approx(both["network_out"] - more["network_out"])


def test_mirrored_in_beside_a_list_of_topics_is_one_more_topic() -> None:
    row = {"name": "own", "throughput": "50MB/s", "partitions": 30}
    listed = demand(workload={"topics": [row], "mirrored_in": "20MB/s"})
    twice = demand(workload={"topics": [row, {"name": "mirrored", "throughput": "20MB/s"}]})
    assert listed == twice


def test_a_survivor_already_carries_what_the_other_datacenter_did() -> None:
    document = aws(workload={"throughput": "50MB/s"}).to_json()
    document["datacenters"].append({**document["datacenters"][0], "name": "dc2"})
    both = Environment.model_validate(document)
    assert [demand_of(both, one).rate for one in both.datacenters] == [50e6, 50e6]


@pytest.mark.parametrize(
    ("text", "average", "factor"),
    [
        ("time,rate\n1,1e6\n2,3e6\n3,2e6\n", 2e6, 1.5),
        ("2026-10-01T00:00:00Z,100\n2026-10-01T00:01:00Z,100\n", 100, 1),
        ("time,b1,b2\n1,10,20\n2,30,60\n", 60, 1.5),
        (
            '{"status":"success","data":{"resultType":"matrix","result":['
            '{"metric":{},"values":[[1,"10"],[2,"30"],[3,"NaN"]]},{"metric":{},"values":[[1,"20"],[2,"60"],[3,"5"]]}]}}',
            60,
            1.5,
        ),
    ],
)
def test_measured_rates_give_average_and_peak(text: str, average: float, factor: float) -> None:
    found = metrics.read(text, "f")
    assert (found.average, found.peak_factor()) == (average, factor)


def test_a_percentile_leaves_the_rare_peaks_out() -> None:
    found = metrics.Measured((*([100.0] * 98), 200.0, 10_000.0))
    assert found.percentile(99) == 200
    assert found.percentile(100) == 10_000


@pytest.mark.parametrize(
    ("text", "line", "wrong"),
    [
        ("", 0, "no produce rate above 0"),
        ("time,rate\n", 0, "no produce rate above 0"),
        ("1,0\n2,0\n", 0, "no produce rate above 0"),
        ("time,rate\n1,5\n2,x\n", 3, "no time with rates"),
        ("time,rate\n1,-5\n", 2, "no time with rates"),
        ("1\n2\n", 1, "no time with rates"),
        ("{\n", 2, "is none"),
        ('{"data": {"resultType": "vector"}}', 0, "no answer of a Prometheus range query"),
        ('{"data": {"resultType": "matrix", "result": [{"value": 1}]}}', 0, "no list of times"),
    ],
)
def test_what_holds_no_rates_is_said_with_its_line(text: str, line: int, wrong: str) -> None:
    with pytest.raises(InvalidEnvironment) as refused:
        metrics.read(text, "f.csv")
    problem = refused.value.problems[0]
    assert (problem.file, problem.line) == ("f.csv", line)
    assert wrong in problem.wrong


def test_a_quantile_is_a_value_that_was_drawn_and_enough_of_them_are_no_greater() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [quantile(values, share) for share in (0.2, 0.5, 0.8, 0.81, 1.0)] == [1, 3, 4, 5, 5]
