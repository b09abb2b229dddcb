"""What a person reads: within 80 columns, answer first, and the same in every form."""

from __future__ import annotations

import pytest

from kdeploy import planner
from kdeploy.planner import report
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws

ENVIRONMENTS = {
    "aws": aws(workload={"throughput": "200MB/s"}),
    "another region": aws("eu-west-1", workload={"throughput": "2GB/s", "partitions": 5000}),
    "not feasible": aws(workload={"throughput": "100TB/s"}),
    "local": Environment(name="trial"),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_text_fits_80_columns_also_without_unicode(name: str) -> None:
    environment = ENVIRONMENTS[name]
    plan = planner.plan(environment)
    for text in (report.text(plan, environment), report.text(plan, environment, unicode=False)):
        assert max(map(len, text.splitlines())) <= 80
    report.text(plan, environment, unicode=False).encode("ascii")


def test_the_answer_comes_first() -> None:
    environment = ENVIRONMENTS["aws"]
    plan = planner.plan(environment)
    brokers = plan.datacenters[0].brokers
    first = report.text(plan, environment).splitlines()[0]
    assert first.startswith(f"{brokers.count} × {brokers.instance_type} in us-east-1: $")


def test_every_limit_has_its_bar_and_the_bottleneck_is_marked_once() -> None:
    environment = ENVIRONMENTS["aws"]
    plan = planner.plan(environment)
    lines = report.text(plan, environment).splitlines()
    bars = [line for line in lines if "░" in line or "█" in line]
    used = plan.datacenters[0].brokers.utilisation
    assert len(bars) == sum(one >= report.SHOWN for one in used.values())
    assert len(used) == 18
    idle = [limit for limit, one in used.items() if one < report.SHOWN]
    words = " ".join(" ".join(lines).split())
    assert all(limit.replace("_", " ") in words for limit in idle)
    assert sum("◀ bottleneck" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("used", "ceiling", "bar"),
    [
        (0.0, 1.0, "░" * 24),
        (1.0, 1.0, "█" * 24),
        (0.5, 0.8, "█" * 12 + "░" * 7 + "│" + "░" * 4),
        (3.0, 0.8, "█" * 19 + "│" + "█" * 4),
    ],
)
def test_a_bar_shows_use_and_ceiling(used: float, ceiling: float, bar: str) -> None:
    assert report._bar(used, ceiling) == bar


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_markdown_says_what_the_text_says(name: str) -> None:
    environment = ENVIRONMENTS[name]
    plan = planner.plan(environment)
    page = report.markdown(plan, environment)
    assert report.answer(plan) in page
    for section in report.sections(plan, environment):
        assert f"### {section.title}" in page
        for row in section.rows:
            assert all(cell.replace("|", "\\|") in page for cell in row)


def test_prices_say_whether_they_are_published_or_derived() -> None:
    for name, words in (("aws", "us-east-1, published"), ("another region", "derived from us-east-1's")):
        environment = ENVIRONMENTS[name]
        text = " ".join(report.text(planner.plan(environment), environment).split())
        assert words in text
        assert "2026-07-20" in text


def test_no_plan_says_what_binds_and_what_would_fit() -> None:
    environment = ENVIRONMENTS["not feasible"]
    text = " ".join(report.text(planner.plan(environment), environment).split())
    assert text.startswith("No plan fits: in dc1 the load on partitions is 300.00 times")
    assert "a produce rate of" in text
