"""What an environment costs, by part: the plan's figures, or those of what its lock says is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy import planner
from kdeploy.cli import kdeploy
from kdeploy.planner import catalogue, costs
from kdeploy.planner.decide import decide
from kdeploy.spec import load
from kdeploy.spec.lock import Lock
from kdeploy.spec.model import Datacenter, Environment
from tests.contracts import hold

SHIPPED = Path(__file__).parents[2] / "environments"
PROD = (SHIPPED / "prod-eu" / "environment.yaml").read_text()
US = """  - name: us-east-1
    provider: aws
    region: us-east-1
    racks: [a, b, c]
    network: {cidr: 10.30.0.0/16, egress: none}
"""
TWO = PROD.replace("\naws:", f"{US}\naws:")
BESIDE = {"root_disks", "nat_gateways", "endpoints", "alarms", "metrics"}
"""Parts that no plan chooses: they follow from what is declared."""


def environment(tmp_path: Path, text: str) -> Environment:
    folder = tmp_path / "some"
    folder.mkdir(exist_ok=True)
    (folder / "environment.yaml").write_text(text)
    return load.load(folder).environment


def locked(wanted: Environment) -> Lock:
    ids = (f"{number:022d}" for number in range(10**6))
    return decide(wanted, planner.plan(wanted), None, lambda: next(ids))


@pytest.mark.parametrize("text", [PROD, TWO, PROD + "planner: {price_discount: 30%}\n"])
def test_without_a_lock_it_is_the_plan_part_for_part(tmp_path: Path, text: str) -> None:
    wanted = environment(tmp_path, text)
    plan = planner.plan(wanted)
    found = costs.costs(wanted, plan, None)
    assert found.source == "plan"
    for one, planned in zip(found.datacenters, plan.datacenters, strict=True):
        parts = {part.name: part.monthly_usd for part in one.parts}
        beside = sum(parts.pop(name) for name in BESIDE & set(parts))
        assert parts == planned.cost.parts
        assert beside > 0
        assert one.monthly_usd == pytest.approx((planned.cost.monthly_usd or 0) + beside, abs=0.02)
    assert found.monthly_usd == pytest.approx(sum(one.monthly_usd or 0 for one in found.datacenters))


@pytest.mark.parametrize("text", [PROD, TWO, PROD + "planner: {price_discount: 30%}\n"])
def test_a_lock_that_was_just_decided_costs_what_the_plan_does(tmp_path: Path, text: str) -> None:
    wanted = environment(tmp_path, text)
    lock = locked(wanted)
    by_plan = costs.costs(wanted, planner.plan(wanted), None)
    by_lock = costs.costs(wanted, planner.plan(wanted, lock), lock)
    assert by_lock.source == "lock"
    for one, other in zip(by_lock.datacenters, by_plan.datacenters, strict=True):
        assert [(part.name, part.what) for part in one.parts] == [
            (part.name, part.what) for part in other.parts
        ]
        assert [part.monthly_usd for part in one.parts] == pytest.approx(
            [part.monthly_usd for part in other.parts], abs=0.02
        )


def test_a_lock_is_what_is_there_whatever_is_wanted_by_now(tmp_path: Path) -> None:
    lock = locked(environment(tmp_path, PROD))
    more = environment(tmp_path, PROD.replace("throughput: 200MB/s", "throughput: 900MB/s"))
    before = costs.costs(more, planner.plan(more, lock), lock).datacenters[0]
    brokers = sum(node.role == "broker" for node in lock.datacenters[0].nodes)
    assert before.parts[0].what == f"{brokers} × {lock.datacenters[0].brokers.instance_type}"
    without = costs.costs(more, planner.plan(more), None).datacenters[0]
    assert (before.monthly_usd or 0) < (without.monthly_usd or 0)
    crossed = [
        next(part.monthly_usd for part in one.parts if part.name == "cross_zone_traffic")
        for one in (before, without)
    ]
    assert crossed[0] == crossed[1], "traffic follows the workload"


def test_what_has_no_price_any_more_is_said_and_not_left_out_of_a_sum(tmp_path: Path) -> None:
    wanted = environment(tmp_path, TWO)
    lock = locked(wanted)
    gone = lock.datacenters[0].brokers.model_copy(update={"instance_type": "m0.gone"})
    first = lock.datacenters[0].model_copy(update={"brokers": gone})
    lock = lock.model_copy(update={"datacenters": (first, lock.datacenters[1])})
    found = costs.costs(wanted, planner.plan(wanted), lock)
    assert found.datacenters[0].monthly_usd is None
    assert "there is no price of m0.gone" in found.datacenters[0].notes[0]
    assert found.monthly_usd == found.datacenters[1].monthly_usd


@pytest.mark.parametrize(("name", "said"), [("local", "this machine"), ("datacenter-zk", "you have")])
def test_machines_that_somebody_has_cost_nothing_that_is_known(name: str, said: str) -> None:
    wanted = load.load(SHIPPED / name).environment
    found = costs.costs(wanted, planner.plan(wanted), None)
    assert (found.monthly_usd, found.yearly_usd) == (None, None)
    assert said in found.datacenters[0].notes[0]


@pytest.mark.parametrize(
    ("network", "gateways"),
    [
        ({"egress": "nat"}, 1),
        ({"egress": "nat-per-zone"}, 3),
        ({"egress": "none"}, 0),
        ({"egress": "nat", "vpc": "vpc-0123abcd"}, 0),
    ],
)
def test_ways_to_the_internet_cost_by_the_gateway(network: dict[str, Any], gateways: int) -> None:
    wanted = Datacenter(name="dc1", provider="aws", region="us-east-1", network=network)  # type: ignore[arg-type]
    found = costs._network(wanted, "us-east-1", 6, 6, 0.0)
    assert [one.monthly_usd for one in found if one.name == "nat_gateways"] == (
        [pytest.approx(gateways * 36.5)] if gateways else []
    ), "$0.050 an hour, 730 hours"


@pytest.mark.parametrize(
    ("declared", "region", "endpoints", "alarms"),
    [
        ({"ssh": {"through": "ssm"}, "machine": {"alarms": True}}, "us-east-1", 3 * 2 * 7.30, 6 * 4 * 0.10),
        ({}, "us-east-1", 3 * 2 * 7.30, None),
        ({"racks": ["a"]}, "us-east-1", 2 * 7.30, None),
        ({}, "eu-west-1", 3 * 2 * 7.30 * catalogue.usual_ratio("eu-west-1"), None),
        ({"ssh": {"through": "direct"}}, "us-east-1", None, None),
        ({"ssh": {"jump": "jump.example.com"}}, "us-east-1", None, None),
        ({"network": {"vpc": "vpc-0123abcd"}, "machine": {"alarms": True}}, "us-east-1", None, 2.40),
        ({"network": {"egress": "none"}, "machine": {"alarms": True}}, "us-east-1", 3 * 3 * 7.30, 2.40),
        (
            {"network": {"egress": "none"}, "machine": {"alarms": True}, "ssh": {"jump": "jump.example.com"}},
            "us-east-1",
            3 * 7.30,
            2.40,
        ),
    ],
)
def test_endpoints_cost_by_the_zone_and_alarms_by_the_machine(
    declared: dict[str, Any], region: str, endpoints: float | None, alarms: float | None
) -> None:
    fields = {"name": "dc1", "provider": "aws", "region": region, "racks": ["a", "b", "c"], **declared}
    wanted = Datacenter.model_validate(fields)
    found = {one.name: one.monthly_usd for one in costs._network(wanted, region, 6, 6, 0.3)}
    assert found.get("endpoints") == (None if endpoints is None else pytest.approx(endpoints, abs=0.01))
    assert found.get("alarms") == (None if alarms is None else pytest.approx(alarms)), "no discount on either"


OUTSIDE = {"name": "kafka.example.com", "sources": ["198.51.100.0/24"]}


@pytest.mark.parametrize(
    ("more", "racks", "region", "usd", "said"),
    [
        ({}, "abc", "us-east-1", 16.43, "1; each GB through it costs $0.006 more"),
        (
            {"scheme": "internet-facing"},
            "abc",
            "us-east-1",
            16.43 + 3 * 3.65,
            "1 with 3 public addresses; each GB",
        ),
        ({"scheme": "internet-facing"}, "a", "us-east-1", 16.43 + 3.65, "1 with 1 public address; each GB"),
        ({}, "abc", "eu-west-1", 16.43 * catalogue.usual_ratio("eu-west-1"), "1; each GB"),
    ],
)
def test_a_load_balancer_costs_by_the_hour_and_public_addresses_by_the_zone(
    more: dict[str, Any], racks: str, region: str, usd: float, said: str
) -> None:
    fields = {"name": "dc1", "provider": "aws", "region": region, "racks": list(racks)}
    wanted = Datacenter.model_validate({**fields, "network": {"load_balancer": {**OUTSIDE, **more}}})
    found = {one.name: one for one in costs._network(wanted, region, 6, 6, 0.3)}
    assert found["load_balancer"].monthly_usd == pytest.approx(usd, abs=0.01), "no discount"
    assert found["load_balancer"].what.startswith(said)
    none = costs._network(Datacenter.model_validate(fields), region, 6, 6, 0.3)
    assert "load_balancer" not in {one.name for one in none}


def test_as_many_endpoints_and_alarms_are_priced_as_are_made() -> None:
    from kdeploy.infra.aws import access, alarms

    assert (len(access.SERVICES), len(alarms.CHECKS)) == (costs.ENDPOINTS, costs.ALARMS)


def test_metrics_cost_by_the_file_system_and_requests_by_the_machine() -> None:
    fields = {"name": "dc1", "provider": "aws", "region": "us-east-1", "racks": ["a", "b", "c"]}
    watched = Datacenter.model_validate({**fields, "machine": {"alarms": True}})
    found = {one.name: one for one in costs._network(watched, "us-east-1", 6, 12, 0.3)}
    requests = 6 * 730 * 60 / 1000 * 0.01
    assert found["metrics"].monthly_usd == pytest.approx(18 * 0.30 + requests, abs=0.01), "no discount"
    assert found["metrics"].what.startswith("18 of CloudWatch")
    assert found["alarms"].what.startswith(
        "30 of CloudWatch: 2 for each of 6 machines, and one for each of their 18"
    )
    unwatched = costs._network(Datacenter.model_validate(fields), "us-east-1", 6, 12, 0.3)
    assert {"alarms", "metrics"}.isdisjoint(one.name for one in unwatched)


def test_an_endpoint_of_cloudwatch_is_named_where_there_is_one() -> None:
    fields = {"name": "dc1", "provider": "aws", "region": "us-east-1", "racks": ["a", "b"]}
    watched = {**fields, "machine": {"alarms": True}, "network": {"egress": "none"}}
    for ssh, said in (
        ({}, "2 of Systems Manager and 1 of CloudWatch in 2 zones"),
        ({"jump": "jump.example.com"}, "1 of CloudWatch in 2 zones"),
    ):
        wanted = Datacenter.model_validate({**watched, "ssh": ssh})
        found = {one.name: one.what for one in costs._network(wanted, "us-east-1", 6, 12, 0.3)}
        assert found["endpoints"] == said


def test_disks_of_operating_systems_cost_by_the_node() -> None:
    wanted = Datacenter(name="dc1", provider="aws", region="us-east-1", machine={"root_size": 30})  # type: ignore[arg-type]
    found, *_ = costs._network(wanted, "us-east-1", 6, 6, 0.5)
    assert (found.name, found.monthly_usd) == ("root_disks", pytest.approx(6 * 30 * 0.08 / 2))
    assert found.what == "6 × gp3 30 GiB"


def run(*arguments: str) -> str:
    ended = CliRunner().invoke(kdeploy, ["cost", *arguments])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_command_says_it_on_80_columns_as_markdown_and_as_its_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = environment(tmp_path, TWO)
    monkeypatch.chdir(tmp_path)
    place = str(tmp_path / "some")
    text = run(place)
    assert max(map(len, text.splitlines())) <= 80
    document = json.loads(run(place, "--output", "json"))
    hold(document)
    assert document["source"] == "plan"
    assert f"costs ${document['monthly_usd']:,.0f} a month" in text
    for part in ("brokers", "volumes", "coordination", "cross-zone traffic", "together"):
        assert part in text
        assert f"| {part} |" in run(place, "--output", "markdown")
    lock = locked(wanted)
    from kdeploy.spec import lockfile

    lockfile.write_lock(tmp_path / "some" / "lock.yaml", lock)
    assert json.loads(run(place, "--output", "json"))["source"] == "lock"
    (tmp_path / "some" / "environment.yaml").write_text(TWO.replace("200MB/s", "300MB/s"))
    ended = CliRunner().invoke(kdeploy, ["cost", place])
    assert "workload.throughput" in ended.stderr
    assert "not in what is told here" in ended.stderr


def test_an_environment_without_a_price_says_so_in_its_first_line() -> None:
    assert run("local").splitlines()[0] == "local has no price that kdeploy knows."
