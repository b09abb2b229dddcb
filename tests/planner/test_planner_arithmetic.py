"""What a person multiplies out by hand is what the plan says, for every limit."""

from __future__ import annotations

import math
import re

import pytest

from kdeploy import planner
from kdeploy.planner import arithmetic, report
from kdeploy.planner.result import LIMITS
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws

TOPICS = [
    {"name": "a", "throughput": "20MB/s", "partitions": 90, "compaction": True, "fan_out": 5},
    {"name": "b", "throughput": "30MB/s", "partitions": 60, "replication_factor": 2, "retention": "1d"},
]
ENVIRONMENTS = {
    "ebs": aws(workload={"throughput": "100MB/s", "growth": "20%", "horizon": "2y", "compression": "zstd"}),
    "local disks": aws(
        workload={"throughput": "50MB/s", "retention": "6h"},
        brokers={"instance_type": "i3en.2xlarge", "count": 7},
    ),
    "topics": aws(
        workload={"topics": TOPICS}, planner={"tls": False, "imbalance": 1.5, "utilisation": "50%"}
    ),
    "plaintext clients": aws(workload={"throughput": "30MB/s"}, security={"client_listener": "PLAINTEXT"}),
    "far away": aws(
        workload={
            "throughput": "60MB/s",
            "mirrored_in": "20MB/s",
            "mirrored_out": "40MB/s",
            "mirror_consumers": 8,
            "compression": "zstd",
            "topic_compression": "lz4",
        },
        planner={"round_trip": "40ms"},
    ),
    "compressed by the brokers": aws(workload={"throughput": "60MB/s", "topic_compression": "zstd"}),
    "one copy": aws(
        workload={"throughput": "30MB/s", "partitions": 77},
        durability={"replication_factor": 1, "min_insync_replicas": 1, "survive": "none"},
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_product_of_the_printed_factors_is_the_figure_in_the_plan(name: str, limit: str) -> None:
    environment = ENVIRONMENTS[name]
    planned = planner.plan(environment).datacenters[0]
    one = arithmetic.explain(environment, environment.datacenters[0], planned, limit)  # type: ignore[arg-type]
    if limit not in planned.brokers.utilisation:
        assert one is None
        return
    assert one is not None
    assert one.load / one.capacity == pytest.approx(planned.brokers.utilisation[limit], rel=1e-9)
    assert printed(report.arithmetic(one)) == pytest.approx(one.load, rel=1e-6)


RANGES = {
    "ebs": aws(
        workload={"throughput": "50MB/s..200MB/s", "fan_out": "1..4", "growth": "0%..40%"},
        planner={"samples": 400},
    ),
    "local disks": aws(
        workload={"throughput": "50MB/s..90MB/s", "retention": "2h..6h", "mirrored_out": "0MB/s..30MB/s"},
        brokers={"instance_type": "i3en.2xlarge"},
        planner={"samples": 400},
    ),
    "stated partitions": aws(
        workload={"throughput": "50MB/s..90MB/s", "partitions": 100, "message_size": "100B..10kB"},
        planner={"samples": 400, "confidence": "80%"},
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", RANGES)
def test_of_ranges_the_sample_that_decides_gives_the_figure_in_the_plan(name: str, limit: str) -> None:
    environment = RANGES[name]
    planned = planner.plan(environment).datacenters[0]
    one = arithmetic.explain(environment, environment.datacenters[0], planned, limit)  # type: ignore[arg-type]
    if one is None:
        assert limit not in planned.brokers.utilisation
        return
    assert one.load / one.capacity == pytest.approx(planned.brokers.utilisation[limit], rel=1e-9)
    assert printed(report.arithmetic(one)) == pytest.approx(one.load, rel=1e-6)
    assert one.holds >= environment.planner.confidence
    for place, value in one.values.items():
        ends = getattr(environment.workload, place)
        assert ends.low <= value <= ends.high


def printed(text: str) -> float:
    """Multiply and add what stands in the text, as a person with a calculator would."""
    terms: list[list[float]] = []
    for line in text.splitlines():
        if re.match(r"  \S.* = ", line):
            terms.append([])
        elif found := re.match(r"    × ([0-9.e+-]+)", line):
            terms[-1].append(float(found[1]))
    return math.fsum(math.prod(factors) for factors in terms)


def test_each_factor_has_its_line_with_a_source_within_80_columns() -> None:
    environment = ENVIRONMENTS["ebs"]
    planned = planner.plan(environment).datacenters[0]
    one = arithmetic.explain(environment, environment.datacenters[0], planned, "cpu")
    assert one is not None
    text = report.arithmetic(one)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("× ") >= sum(len(term.factors) for term in one.terms)
    assert all(factor.source for term in one.terms for factor in term.factors)


def test_a_limit_that_does_not_apply_has_no_arithmetic() -> None:
    environment = Environment(name="trial")
    planned = planner.plan(environment).datacenters[0]
    assert arithmetic.explain(environment, environment.datacenters[0], planned, "cpu") is None
