"""`kdeploy capacity` as a person or a pipeline calls it: output, exit codes, messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdeploy.cli import kdeploy
from kdeploy.errors import KdeployError
from kdeploy.planner.figures import PROTOCOL_OVERHEAD
from kdeploy.planner.result import LIMITS

FLEET = ("--instance-type", "i3en.2xlarge", "--brokers", "3", "--replication-factor", "3", "--fan-out", "1")
CEILING = ("--utilisation", "100%", "--survive", "none")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kdeploy, ["capacity", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--output", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*arguments: str) -> str:
    """The message of an error whose exit code is 2."""
    result = run(*arguments)
    if isinstance(result.exception, KdeployError):
        assert result.exception.exit_code == 2
        return str(result.exception)
    assert result.exit_code == 2
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "trial"
    place.mkdir()
    return place


def written(folder: Path, text: str) -> str:
    (folder / "environment.yaml").write_text(text)
    return str(folder)


def test_json_is_the_documented_contract() -> None:
    found = document(*FLEET, *CEILING)
    assert found["schema"] == "kdeploy.capacity/v1"
    assert found["throughput"] == pytest.approx(655e6)
    assert found["bottleneck"] == "disk_write"
    assert set(found["limits"]) <= set(LIMITS)
    assert found["throughput"] == min(rate for rate in found["limits"].values() if rate is not None)
    assert found["assumed"]["imbalance"] == 1
    assert found["datacenters"][0]["brokers"] == 3
    assert found["environment"] is None


def test_the_answer_comes_first_and_fits_a_terminal() -> None:
    for arguments in (FLEET, (*FLEET, *CEILING), ("prod-eu",), ("local",)):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert " can take; " in lines[0]
        assert max(map(len, lines)) <= 80, max(lines, key=len)


def test_markdown_says_the_same() -> None:
    shown = run(*FLEET, "--output", "markdown").stdout
    assert shown.startswith(
        "**436.7 MB/s is what 3 × i3en.2xlarge in us-east-1 can take; disk write sets it**"
    )
    assert "|---|" in shown
    assert "◀ bottleneck" in shown


def test_using_everything_leaves_caution_out_unless_it_is_stated() -> None:
    assert "nothing is added for caution" in " ".join(run(*FLEET, *CEILING).stdout.split())
    stated = document(*FLEET, *CEILING, "--imbalance", "1.25")
    assert stated["throughput"] == pytest.approx(655e6 / 1.25)
    assert stated["assumed"]["imbalance"] == 1.25


def test_disks_are_a_limit_only_for_a_retention_that_is_asked_for() -> None:
    free = document(*FLEET)
    assert "disk_space" not in free["limits"]
    assert free["datacenters"][0]["retention"] > 0
    kept = document(*FLEET, "--retention", "7d")
    assert kept["bottleneck"] == "disk_space"
    assert kept["throughput"] < free["throughput"]


def test_an_environment_takes_at_least_what_it_was_planned_for() -> None:
    found = document("prod-eu")
    assert found["environment"] == "prod-eu"
    assert found["throughput"] >= 200e6 * (1 - 1e-9)


def test_declared_hosts_are_asked_by_what_they_declare(folder: Path) -> None:
    hosts = "".join(
        f"      - {{address: 10.0.0.{n}, rack: r{n % 3}, role: {role}, hardware: {{cores: 8, memory: 32GiB, "
        "network: 125MB/s}}\n"
        for n, role in enumerate(["broker"] * 3 + ["zookeeper"] * 3)
    )
    name = written(
        folder,
        "workload: {peak_factor: 1, fan_out: 0}\n"
        f"datacenters:\n  - name: dc1\n    provider: hosts\n    racks: [r0, r1, r2]\n    hosts:\n{hosts}",
    )
    found = document(name, *CEILING, "--tls", "off")
    assert found["bottleneck"] == "network_in"
    assert found["throughput"] == pytest.approx(125e6 / PROTOCOL_OVERHEAD.value)


def test_a_limit_that_breaks_at_any_rate_is_named_with_exit_code_three() -> None:
    result = run(*FLEET, "--partitions", "5000")
    assert result.exit_code == 3
    assert result.stdout.startswith("No rate fits 3 × i3en.2xlarge in us-east-1: partitions")
    found = json.loads(run(*FLEET, "--partitions", "5000", "--output", "json").stdout)
    assert found["throughput"] is None
    assert found["feasible"] is False
    assert found["bottleneck"] == "partitions"


def test_an_environment_that_no_plan_fits_has_no_fleet_to_ask_about(folder: Path) -> None:
    name = written(
        folder,
        "workload: {throughput: 900TB/s}\n"
        "datacenters: [{name: dc1, provider: aws, region: eu-west-1, racks: [a, b, c]}]\n",
    )
    result = run(name)
    assert result.exit_code == 3
    assert "no plan fits in dc1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--instance-type is missing"),
        (("--instance-type", "m5.large"), "--brokers is missing"),
        (("--instance-type", "m5.large", "--brokers", "2"), "3 copies need 3 brokers"),
        (("--instance-type", "m5.lrge", "--brokers", "3"), "did you mean m5.large?"),
        ((*FLEET, "--region", "mars-1"), "'mars-1' is not a region"),
        ((*FLEET, "--utilisation", "80"), "write it like 30%"),
        ((*FLEET, "--utilisation", "0%"), "write it like 80%"),
        ((*FLEET, "--utilisation", "101%"), "write it like 80%"),
        ((*FLEET, "--lagging-consumers", "0.5"), "write it like 30%"),
        ((*FLEET, "--volume-throughput", "1MB/s..2MB/s"), "not a quantity such as 200MB/s"),
        ((*FLEET, "--zones", "4"), "cannot be in 4 zones"),
        ((*FLEET, "--volume-size", "1TB", "--volume-type", "local-nvme"), "are what they are"),
        ((*FLEET, "--message-size", "0B"), "--message-size"),
        (("prod-eu", "--brokers", "3"), "the environment says what is there"),
        (("prod-eu", "--zones", "3"), "without an environment"),
    ],
)
def test_bad_input_gets_one_clear_message(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)
