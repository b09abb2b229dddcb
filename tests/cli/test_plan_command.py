"""`kdeploy plan` as a person or a pipeline calls it: output, exit codes, and what it writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdeploy.cli import kdeploy
from kdeploy.errors import KdeployError
from kdeploy.planner.result import LIMITS, Plan

ENVIRONMENT = """\
datacenters:
  - name: ireland
    provider: aws
    region: eu-west-1
    racks: [a, b, c]
workload:
  throughput: 50MB/s
  retention: 1d
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kdeploy, ["plan", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--output", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "trial"
    place.mkdir()
    (place / "environment.yaml").write_text(ENVIRONMENT)
    return place


def test_a_throughput_is_all_it_takes() -> None:
    result = run("--throughput", "200MB/s")
    assert result.exit_code == 0
    assert "in us-east-1: $" in result.stdout.splitlines()[0]


def test_json_is_the_documented_contract() -> None:
    plan = document("--throughput", "200MB/s")
    assert plan["schema"] == "kdeploy.plan/v1"
    assert plan["feasible"] is True
    assert {"alternatives", "rejected", "assumptions"} <= plan.keys()
    datacenter = plan["datacenters"][0]
    brokers = datacenter["brokers"]
    assert sum(brokers["per_rack"].values()) == brokers["count"]
    assert set(brokers["utilisation"]) <= set(LIMITS)
    assert brokers["bottleneck"] in brokers["required"]
    assert {"type", "count", "size", "iops", "throughput"} <= brokers["volumes"][0].keys()
    assert {"kind", "nodes", "instance_type"} <= datacenter["coordination"].keys()
    assert {"monthly_usd", "parts"} <= datacenter["cost"].keys()
    assert Plan.from_json(plan).to_json()["datacenters"]


def test_what_does_not_apply_is_null() -> None:
    datacenter = document("local")["datacenters"][0]
    assert datacenter["brokers"]["instance_type"] is None
    assert datacenter["coordination"]["instance_type"] is None
    assert datacenter["cost"]["monthly_usd"] is None


@pytest.mark.parametrize(
    ("flag", "value", "path", "expected"),
    [
        ("--coordination", "kraft", ("coordination", "kind"), "kraft"),
        ("--zones", "4", ("brokers", "per_rack"), {"a": 1, "b": 1, "c": 1, "d": 1}),
        ("--region", "eu-central-1", ("region",), "eu-central-1"),
        ("--partitions", "300", ("partitions",), 300),
        ("--replication-factor", "5", ("brokers", "count"), 5),
    ],
)
def test_a_flag_reaches_the_plan(flag: str, value: str, path: tuple[str, ...], expected: object) -> None:
    found: Any = document("--throughput", "1MB/s", flag, value)["datacenters"][0]
    for step in path:
        found = found[step]
    assert found == expected


@pytest.mark.parametrize(
    ("flag", "less", "more"),
    [
        ("--throughput", "10MB/s", "900MB/s"),
        ("--fan-out", "1", "9"),
        ("--retention", "1d", "30d"),
        ("--retention-bytes", "100MB", "1TB"),
        ("--peak-factor", "1", "9"),
        ("--replication-factor", "2", "4"),
        ("--message-size", "10kB", "10B"),
        ("--compression", "none", "gzip"),
        ("--survive", "none", "zone"),
        ("--payload", "30MB/s", "900MB/s"),
        ("--growth", "0%", "90%"),
        ("--lagging-consumers", "0%", "100%"),
        ("--batch-size", "1MB", "1kB"),
        ("--clients", "1", "10000"),
        ("--imbalance", "1", "3"),
        ("--tls", "off", "on"),
        ("--follower-fetching", "on", "off"),
        ("--utilisation", "100%", "30%"),
        ("--price-discount", "40%", "0%"),
    ],
)
def test_each_flag_of_the_workload_changes_the_price(flag: str, less: str, more: str) -> None:
    base = [] if flag in ("--throughput", "--payload") else ["--throughput", "300MB/s"]
    base += ["--fan-out", "8", "--retention", "2h"] if flag == "--tls" else []
    cheap, dear = (
        document(*base, flag, value)["datacenters"][0]["cost"]["monthly_usd"] for value in (less, more)
    )
    assert cheap < dear


def test_growth_is_planned_for_to_its_end() -> None:
    grown = document("--throughput", "100MB/s", "--growth", "100%", "--horizon", "2y")
    at_once = document("--throughput", "400MB/s")
    assert grown["datacenters"] == at_once["datacenters"]
    text = " ".join(run("--throughput", "100MB/s", "--growth", "100%", "--horizon", "2y").stdout.split())
    assert "to the end of month 24: 400 MB/s on average then, 800 MB/s at the peak" in text


def test_a_payload_is_its_compressed_rate() -> None:
    stated = document("--payload", "500MB/s", "--compression", "zstd", "--compression-ratio", "2.5")
    assert (
        stated["datacenters"] == document("--throughput", "200MB/s", "--compression", "zstd")["datacenters"]
    )
    usual = document("--payload", "288.7MB/s", "--compression", "zstd")
    assert usual["datacenters"] == document("--throughput", "100MB/s", "--compression", "zstd")["datacenters"]


def test_a_file_of_topics_is_a_workload(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text("# ours\n- name: a\n  throughput: 20MB/s\n- {name: b, throughput: 30MB/s}\n")
    found = run("--workload", str(file), "--retention", "1d")
    assert "2 topics with 50 MB/s together" in " ".join(found.stdout.split())
    file.write_text("- name: a\n  throughput: 20\n")
    refused = run("--workload", str(file)).exception
    assert f"{file}:2: workload.topics[0].throughput: 20 has no unit" in str(refused)
    file.write_text("- {name: a, throughput: 20MB/s}\n")
    both = run("--workload", str(file), "--throughput", "1MB/s").exception
    assert "have rates of their own" in str(both)


def test_measured_rates_take_the_place_of_throughput_and_peak(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("time,rate\n1,10000000\n2,30000000\n")
    measured = document("--from-metrics", str(file))["datacenters"]
    assert measured == document("--throughput", "20MB/s", "--peak-factor", "1.5")["datacenters"]
    assert "give one of them" in str(run("--from-metrics", str(file), "--throughput", "1MB/s").exception)
    assert "cannot be read" in str(run("--from-metrics", str(tmp_path / "none")).exception)


def test_the_arithmetic_of_a_limit_is_shown_alone() -> None:
    result = run("--throughput", "100MB/s", "--explain", "network-out")
    assert result.stdout.startswith("Network out of the busiest broker")
    shown = json.loads(run("--throughput", "100MB/s", "--explain", "cpu", "--output", "json").stdout)
    assert shown["schema"] == "kdeploy.explain/v1"
    used = document("--throughput", "100MB/s")["datacenters"][0]["brokers"]["utilisation"]["cpu"]
    assert shown["explanations"][0]["utilisation"] == used
    assert "name one of network_in" in str(run("--explain", "nothing").exception)
    assert "does not apply" in str(run("--explain", "rebuild").exception)


def test_the_arithmetic_of_ranges_says_which_values_it_fills_in() -> None:
    flags = ("--throughput", "100MB/s..200MB/s", "--fan-out", "1..3", "--samples", "200")
    text = run(*flags, "--explain", "network-out").stdout
    assert "of the samples this load is not exceeded" in text
    assert re.search(r"^    throughput: 1\d\d(\.\d)? MB/s$", text, re.MULTILINE)
    assert re.search(r"^    fan_out: [123]\.\d", text, re.MULTILINE)
    one = json.loads(run(*flags, "--explain", "cpu", "--output", "json").stdout)["explanations"][0]
    assert 100e6 <= one["values"]["throughput"] <= 200e6
    assert one["holds"] >= 0.95


def test_kinds_of_clusters_stand_side_by_side_where_quantities_are_ranges() -> None:
    flags = ("--throughput", "100MB/s..200MB/s", "--samples", "200", "--compare")
    text = run(*flags).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "holds" in text[text.index("Side by side") :]
    compared = document(*flags)["comparison"]
    assert {"few large", "many small", "local disks", "EBS", "Graviton", "x86"} == {
        one["reason"] for one in compared
    }
    assert all(one["fits"] >= 0.95 and one["monthly_usd"] > 0 for one in compared)


def test_kinds_of_clusters_stand_side_by_side() -> None:
    text = run("--throughput", "100MB/s", "--compare").stdout
    section = text[text.index("Side by side") :]
    assert max(map(len, text.splitlines())) <= 80
    for kind in ("chosen", "few large", "many small", "local disks", "Graviton"):
        assert f"\n  {kind} " in section
    compared = document("--throughput", "100MB/s", "--compare")["comparison"]
    assert {"few large", "local disks", "Graviton"} <= {one["reason"] for one in compared}
    assert document("--throughput", "100MB/s")["comparison"] == []


def test_a_range_is_planned_for_with_its_probability() -> None:
    arguments = ("--throughput", "50MB/s..100MB/s", "--samples", "200")
    plan = document(*arguments, "--confidence", "90%")
    sure = plan["datacenters"][0]["confidence"]
    assert (sure["asked"], sure["samples"], sure["seed"]) == (0.9, 200, 1)
    assert sure["fits"] >= 0.9
    text = " ".join(run(*arguments).stdout.split())
    assert "Planned for 50 MB/s to 100 MB/s on average" in text
    assert "of 200 samples (asked: 95%" in text


def test_a_type_and_a_most_of_brokers_are_held() -> None:
    found = document("--throughput", "200MB/s", "--instance-type", "m5.4xlarge")["datacenters"][0]
    assert found["brokers"]["instance_type"] == "m5.4xlarge"
    few = document("--throughput", "200MB/s", "--max-brokers", "6")["datacenters"][0]["brokers"]["count"]
    assert few <= 6 < document("--throughput", "200MB/s")["datacenters"][0]["brokers"]["count"]


def test_markdown_is_a_page() -> None:
    result = run("--throughput", "20MB/s", "--output", "markdown")
    assert result.stdout.startswith("**")
    assert "| limit | used | ceiling |" in result.stdout


def test_no_plan_is_exit_code_3_with_what_would_fit() -> None:
    result = run("--throughput", "100TB/s")
    assert result.exit_code == 3
    assert result.stdout.startswith("No plan fits")
    infeasible = json.loads(run("--throughput", "100TB/s", "--output", "json").stdout)
    assert (infeasible["feasible"], infeasible["infeasible"][0]["limit"]) == (False, "partitions")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--peak-factor", "0.5"), "--peak-factor"),
        (("--replication-factor", "40"), "--replication-factor"),
        (("--region", "eu-wst-1"), "eu-west-1"),
        (("--zones", "1", "--survive", "zone"), "racks"),
        (("--lock",), "kdeploy plan ENV --lock"),
        (("local", "--region", "us-east-1"), "--region"),
        (("local", "--instance-type", "m5.large"), "--instance-type"),
        (("--payload", "1MB/s", "--throughput", "1MB/s"), "give one of them"),
        (("--compression-ratio", "2"), "--payload"),
        (("--payload", "1MB/s", "--compression-ratio", "0.5"), "1 or more"),
        (("--instance-type", "m5.larg"), "m5.large"),
        (("local", "--throughput", "1MB/s", "--check"), "--throughput"),
    ],
)
def test_what_cannot_be_is_a_usage_error_with_its_remedy(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, KdeployError)
    assert result.exception.exit_code == 2
    assert words in str(result.exception)


def test_a_number_without_its_unit_is_refused() -> None:
    result = run("--throughput", "200")
    assert result.exit_code == 2
    assert "has no unit" in result.output


def test_flags_take_the_place_of_what_an_environment_says(folder: Path) -> None:
    own = document(str(folder))["datacenters"][0]
    more = document(str(folder), "--throughput", "900MB/s")["datacenters"][0]
    assert own["region"] == more["region"] == "eu-west-1"
    assert own["cost"]["monthly_usd"] < more["cost"]["monthly_usd"]


def test_a_lock_is_written_once_and_checked(folder: Path) -> None:
    lock = folder / "lock.yaml"
    assert run(str(folder), "--check").exit_code == 4
    assert not lock.exists()
    written = run(str(folder), "--lock")
    assert written.exit_code == 0
    assert "lock.yaml" in written.stderr
    first = lock.read_bytes()
    assert run(str(folder), "--check").exit_code == 0
    assert run(str(folder), "--lock").exit_code == 0
    assert lock.read_bytes() == first


def test_more_load_than_was_locked_is_a_pending_change_in_words(folder: Path) -> None:
    assert run(str(folder), "--lock").exit_code == 0
    file = folder / "environment.yaml"
    file.write_text(ENVIRONMENT.replace("50MB/s", "500MB/s"))
    checked = run(str(folder), "--check")
    assert checked.exit_code == 4
    assert "workload.throughput" in checked.stderr
    assert "becomes" in checked.stderr
    assert run(str(folder), "--lock").exit_code == 0
    assert run(str(folder), "--check").exit_code == 0


def test_help_shows_an_example() -> None:
    assert "Example: kdeploy plan --throughput 200MB/s" in run("--help").output


def test_a_terminal_without_unicode_is_served() -> None:
    program = "from kdeploy.cli import main; main()"
    ascii_only = subprocess.run(
        [sys.executable, "-c", program, "plan", "--throughput", "200MB/s"],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"< bottleneck" in ascii_only.stdout
    assert b"#" in ascii_only.stdout
    assert ascii_only.stderr == b""


@pytest.mark.parametrize(
    ("flags", "wrong", "right"),
    [
        (("--retention", "1000y"), "too large", "d or less"),
        (("--partitions", "0"), "0 is too small", "1 or more"),
        (("--replication-factor", "100"), "100 is too large", "32 or less"),
        (("--message-size", "0B"), "too small", "1B or more"),
        (("--growth", "1000000%"), "too large", "10000% or less"),
        (("--round-trip", "10min"), "too large", "min or less"),
        (("--mirror-consumers", "0"), "0 is too small", "1 or more"),
    ],
)
def test_a_flag_beyond_what_there_is_says_what_would_be_right(
    flags: tuple[str, str], wrong: str, right: str
) -> None:
    message = str(run(*flags).exception)
    assert message.startswith(f"{flags[0]}: ")
    assert wrong in message
    assert message.splitlines()[1].endswith(right)


def test_a_range_that_does_not_fit_is_answered_with_a_range() -> None:
    text = run("--throughput", "1GB/s..100TB/s", "--samples", "100").stdout
    assert re.search(
        r"produce rate of \S+ [a-zA-Z]+/s to \S+ [a-zA-Z]+/s in place of 1 GB/s to 100 TB/s",
        " ".join(text.split()),
    )


def test_many_partitions_are_answered_with_kraft() -> None:
    text = " ".join(run("--partitions", "100000").stdout.split())
    assert "KRaft controllers in place of ZooKeeper fit, for $" in text
