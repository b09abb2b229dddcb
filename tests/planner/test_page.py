"""The page of a plan: whole, safe, true to the JSON, and the planner's own word on what comes later."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from kdeploy import planner
from kdeploy.planner import page
from kdeploy.planner.demand import ranges
from kdeploy.planner.page import outlook
from kdeploy.planner.result import Alternative, Assumption, Plan
from kdeploy.spec.model import Environment
from tests.planner.pages import ENVIRONMENTS, at, seen, shown
from tests.planner.workloads import aws

NAMES = sorted(ENVIRONMENTS)
PLANNED = partial(planner.plan, remedies=False)
"""The planner as the command asks it for a page's many questions."""

HOSTILE = '<script>alert("x")</script>&\'<img src=x onerror=y>'


@cache
def page_of(name: str) -> str:
    environment = ENVIRONMENTS[name]
    return page.html(planner.plan(environment), environment, PLANNED)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_and_loads_and_runs_nothing(name: str) -> None:
    found = seen(page_of(name))
    assert not [tag for tag, _ in found.tags if tag in ("script", "img", "iframe", "object", "image")]
    for tag, attributes in found.tags:
        for attribute, value in attributes.items():
            assert not attribute.startswith("on"), (tag, attribute)
            if attribute in ("src", "href", "xlink:href"):
                assert value == "data:,", (tag, value)
    assert "url(" not in page_of(name)
    assert "@import" not in page_of(name)
    assert len(page_of(name).encode()) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_the_plan_is_the_json_s(name: str) -> None:
    document = planner.plan(ENVIRONMENTS[name]).to_json()
    found = seen(page_of(name)).numbers
    assert found
    for path, value, text in found:
        assert at(document, path) == value, path
        assert text == shown(path, value), path


@pytest.mark.parametrize("name", ["feasible", "two-datacenters"])
def test_no_limit_price_choice_or_assumption_of_the_plan_is_left_out(name: str) -> None:
    plan = planner.plan(ENVIRONMENTS[name])
    found = seen(page_of(name))
    paths = {path for path, _, _ in found.numbers}
    for position, placed in enumerate(plan.datacenters):
        start = f"datacenters.{position}"
        assert {f"{start}.brokers.utilisation.{limit}" for limit in placed.brokers.utilisation} <= paths
        assert {f"{start}.brokers.required.{limit}" for limit in placed.brokers.required} <= paths
        assert {f"{start}.cost.parts.{part}" for part in placed.cost.parts} <= paths
    for kind in ("alternatives", "rejected"):
        assert {f"{kind}.{i}.monthly_usd" for i in range(len(getattr(plan, kind)))} <= paths
    for one in plan.assumptions:
        assert one.name in found.text
        assert one.source in found.text


def test_the_answer_is_the_first_heading_and_the_title() -> None:
    text = seen(page_of("feasible")).text
    plan = planner.plan(ENVIRONMENTS["feasible"])
    (placed,) = plan.datacenters
    answer = f"{placed.brokers.count} × {placed.brokers.instance_type} in us-east-1: "
    assert text.index(answer) < text.index("What it is")
    start = f"<h1>{placed.brokers.count} × {placed.brokers.instance_type} in "
    assert f'{start}<span class="unbroken">us-east-1:</span> $' in page_of("feasible")


def test_a_page_without_a_plan_says_why_and_what_would_fit() -> None:
    plan = planner.plan(ENVIRONMENTS["infeasible"])
    (unfit,) = plan.infeasible
    text = seen(page_of("infeasible")).text
    assert "No plan fits" in text
    assert unfit.nearest in text
    assert "What would more, or less, throughput cost?" in text


def test_the_same_input_gives_the_same_bytes_again_and_in_another_process() -> None:
    again = ENVIRONMENTS["two-datacenters"]
    assert page.html(planner.plan(again), again, PLANNED) == page_of("two-datacenters")
    program = (
        "import sys\n"
        "from functools import partial\n"
        "from kdeploy import planner\n"
        "from kdeploy.planner import page\n"
        "from tests.planner.pages import ENVIRONMENTS\n"
        "environment = ENVIRONMENTS['two-datacenters']\n"
        "planned = partial(planner.plan, remedies=False)\n"
        "made = page.html(planner.plan(environment), environment, planned)\n"
        "sys.stdout.buffer.write(made.encode())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, capture_output=True
    )
    assert run.stdout.decode() == page_of("two-datacenters")


def hostile(environment: Environment) -> Plan:
    """A plan in which every text that could come from a person or a file is hostile; its type is in the catalogue."""
    plan = planner.plan(environment)
    if not plan.feasible:
        return plan
    (placed,) = plan.datacenters
    brokers = replace(
        placed.brokers,
        per_rack={HOSTILE: 3},
        utilisation={**placed.brokers.utilisation, HOSTILE: 0.5},
        ceilings={**placed.brokers.ceilings, HOSTILE: 0.7},
        required={**placed.brokers.required, HOSTILE: 1},
    )
    parts = {**placed.cost.parts, HOSTILE: 12.0}
    cost = replace(placed.cost, parts=parts, date=HOSTILE)
    if not plan.alternatives:
        return replace(plan, datacenters=(replace(placed, brokers=brokers, cost=cost),))
    other = replace(plan.alternatives[0], instance_type=HOSTILE, reason=HOSTILE)
    return replace(
        plan,
        environment=HOSTILE,
        datacenters=(replace(placed, brokers=brokers, cost=cost),),
        alternatives=(other,),
        rejected=(),
        assumptions=(Assumption(HOSTILE, HOSTILE, HOSTILE),),
    )


def test_what_a_person_named_is_text_and_nothing_else() -> None:
    environment = aws(workload={"throughput": "20MB/s"}).model_copy(update={"name": HOSTILE})

    def planned(wanted: Environment) -> Plan:
        place = wanted.datacenters[0]
        known = place.brokers.model_copy(update={"instance_type": None})
        freed = place.model_copy(update={"brokers": known})
        return hostile(wanted.model_copy(update={"datacenters": (freed,)}))

    made = page.html(hostile(environment), environment, planned, months=2)
    found = seen(made)
    assert HOSTILE in found.text
    assert not [tag for tag, _ in found.tags if tag in ("script", "img")]
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_limits_and_parts_of_the_price_that_are_not_known_yet_simply_appear() -> None:
    def deeper(environment: Environment) -> Plan:
        plan = planner.plan(environment)
        if not plan.feasible:
            return plan
        (placed,) = plan.datacenters
        brokers = replace(
            placed.brokers,
            utilisation={**placed.brokers.utilisation, "tape_wear": 0.25},
            ceilings={**placed.brokers.ceilings, "tape_wear": 0.5},
        )
        cost = replace(placed.cost, parts={**placed.cost.parts, "tape_freight": 4321.0})
        return replace(plan, datacenters=(replace(placed, brokers=brokers, cost=cost),))

    environment = aws(workload={"throughput": "20MB/s"})
    text = seen(page.html(deeper(environment), environment, deeper, months=2)).text
    assert "tape wear" in text
    assert "25% of 50%" in text
    assert "tape freight" in text
    assert "$4,321" in text


def held(environment: Environment, plan: Plan) -> Environment:
    (placed,) = plan.datacenters
    document = environment.to_json()
    stated = {"count": placed.brokers.count, "instance_type": placed.brokers.instance_type}
    document["datacenters"][0]["brokers"] |= stated
    return Environment.model_validate(document)


def with_rate(environment: Environment, rate: float) -> Environment:
    document = environment.to_json()
    document["workload"]["throughput"] = f"{rate!r}B/s"
    return Environment.model_validate(document)


@pytest.mark.parametrize("growth", [0.1, 0.2, 1.0])
def test_the_month_in_which_the_brokers_are_full_is_the_planner_s_own(growth: float) -> None:
    environment = aws(workload={"throughput": "200MB/s"})
    plan = planner.plan(environment)
    found = outlook.over_time(environment, plan.datacenters[0], PLANNED, growth, 36)
    assert found.end is not None
    assert [one.month for one in found.holding] == list(range(found.end.month))
    rates = {month: 200e6 * (1 + growth) ** (month / 12) for month in (found.end.month - 1, found.end.month)}
    stated = held(environment, plan)
    before, then = (planner.plan(with_rate(stated, rate)) for rate in rates.values())
    assert before.feasible
    assert not then.feasible
    assert (found.end.tightest, found.end.share) == (then.infeasible[0].limit, then.infeasible[0].by)


def test_brokers_that_need_not_grow_hold_throughout() -> None:
    environment = aws(workload={"throughput": "20MB/s"}, brokers={"instance_type": "i3en.2xlarge"})
    found = outlook.over_time(environment, planner.plan(environment).datacenters[0], PLANNED, 0.0, 12)
    assert found.end is None
    assert len(found.months) == 13


def test_the_curve_goes_through_today_s_price_and_never_falls() -> None:
    environment = aws(workload={"throughput": "50MB/s"})
    found = outlook.over_throughput(environment, PLANNED)
    assert len(found) == len(outlook.FACTORS)
    prices = [one.monthly_usd for one in found]
    assert prices == sorted(prices)
    (today,) = (one for one in found if one.rate == environment.workload.throughput)
    assert today.plan == planner.plan(environment)


def test_a_choice_takes_today_s_rate_exactly_if_it_is_no_rejected_one() -> None:
    environment = aws(workload={"throughput": "20MB/s"})
    plan = planner.plan(environment)
    (placed,) = plan.datacenters

    def takes(choice: Alternative) -> float:
        return outlook.could_take(environment, choice, placed.brokers.ceilings, PLANNED)

    assert outlook.can_take(environment, placed, PLANNED) >= 1
    assert plan.alternatives
    assert plan.rejected
    assert all(takes(one) >= 1 for one in plan.alternatives)
    assert all(takes(one) < 1 for one in plan.rejected)


UNSURE = aws(
    workload={"throughput": "100MB/s..200MB/s", "growth": "20%", "horizon": "2y"}, planner={"samples": 200}
)


def test_a_page_for_ranges_takes_their_middle_where_it_asks_on() -> None:
    plan = planner.plan(UNSURE)
    found = seen(page.html(plan, UNSURE, PLANNED, months=6))
    assert "charts of other rates, months and choices take the middle" in found.text
    assert "datacenters.0.confidence.fits" in {path for path, _, _ in found.numbers}
    assert "The arithmetic" not in found.text


def test_the_middle_of_an_environment_is_certain_and_its_topics_share_a_rate_that_is_scaled() -> None:
    topics = [{"name": "a", "throughput": "10MB/s..40MB/s"}, {"name": "b", "throughput": "5MB/s"}]
    middle = outlook.certain(aws(workload={"retention": "1d..4d", "topics": topics}))
    assert not ranges(middle.workload)
    assert middle.workload.retention == pytest.approx(2 * 86400)
    assert outlook.at_rate(middle, 3.0).workload.produced == pytest.approx(75e6)


def test_stated_growth_is_in_today_s_price_and_leads_the_outlook_from_today_s_rate() -> None:
    environment = aws(workload={"throughput": "50MB/s", "growth": "40%", "horizon": "2y"})
    plan = planner.plan(environment)
    (today,) = (one for one in outlook.over_throughput(environment, PLANNED) if one.rate == 50e6)
    assert today.monthly_usd == plan.datacenters[0].cost.monthly_usd
    found = outlook.over_time(environment, plan.datacenters[0], PLANNED, 0.4, 24)
    assert found.end is None
    ends = found.months[-1].used
    planned_for = outlook.shares(
        plan.datacenters[0].brokers.utilisation, plan.datacenters[0].brokers.ceilings
    )
    assert ends == pytest.approx(planned_for)


def test_the_kind_of_disks_of_a_choice_is_held() -> None:
    environment = aws(workload={"throughput": "20MB/s"}, brokers={"storage": "local"})
    (placed,) = planner.plan(environment).datacenters
    held_brokers = outlook.held_at(environment, placed.name, placed.brokers).datacenters[0].brokers
    assert (held_brokers.storage, held_brokers.volume_type) == ("local", None)
    (bought,) = planner.plan(aws()).datacenters
    held_brokers = outlook.held_at(aws(), bought.name, bought.brokers).datacenters[0].brokers
    assert (held_brokers.storage, held_brokers.volume_type) == ("ebs", "gp3")


def test_a_page_has_the_arithmetic_of_every_limit_that_applies() -> None:
    (placed,) = planner.plan(ENVIRONMENTS["feasible"]).datacenters
    sums = [named for tag, named in seen(page_of("feasible")).tags if named.get("class") == "sum"]
    assert len(sums) == len(placed.brokers.utilisation)
    assert sum("open" in named for named in sums) == 1
