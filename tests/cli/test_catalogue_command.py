"""`kdeploy catalogue` lists what the model uses, in 80 columns and as JSON in base units."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdeploy.cli import kdeploy
from kdeploy.errors import UsageError
from kdeploy.planner import catalogue


def run(*words: str) -> Result:
    return CliRunner().invoke(kdeploy, ["catalogue", *words])


def document(*words: str) -> dict[str, Any]:
    result = run(*words, "--output", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "mx-central-1"])
def test_text_fits_into_80_columns_and_names_date_and_origin(region: str) -> None:
    text = run("--region", region).stdout
    assert max(map(len, text.splitlines())) <= 80
    first = " ".join(text.splitlines()[:3])
    assert "2026-07-20" in first
    assert ("published" in first) == (region == "us-east-1")
    assert ("estimate" in first) == (region != "us-east-1")
    assert ("not known: all are taken" in " ".join(text.split())) == (region == "mx-central-1")


def test_json_is_the_documented_contract_in_base_units() -> None:
    found = document("--family", "i3en")
    assert found["schema"] == "kdeploy.catalogue/v1"
    assert (found["region"], found["exact"], found["catalogue"]) == ("us-east-1", True, catalogue.SHIPPED)
    one = next(one for one in found["types"] if one["name"] == "i3en.2xlarge")
    assert (one["vcpus"], one["memory"], one["network"]) == (8, 64 * 2**30, 8400e6 / 8)
    assert one["local_disks"]["count"] == 2
    assert one["local_disks"]["write_throughput"] * 2 == pytest.approx(655e6)
    assert found["volumes"]["st1"]["confidence"]["size"] == "recalled"
    assert found["volumes"]["io2"]["usd_per_iops_month"][1] == {"beyond": 32000, "usd": 0.046}


def test_filters_leave_what_was_asked_for() -> None:
    words = ("--architecture", "arm64", "--local-disks", "--min-vcpus", "16", "--min-memory", "100GiB")
    types = document(*words)["types"]
    assert types
    for one in types:
        assert one["architecture"] == "arm64"
        assert one["local_disks"]["count"] > 0
        assert one["vcpus"] >= 16
        assert one["memory"] >= 100 * 2**30
        assert one["current_generation"]


def test_markdown_has_a_row_for_each_type() -> None:
    text = run("--family", "m7g", "--output", "markdown").stdout
    assert text.count("| m7g.") == len(document("--family", "m7g")["types"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--region", "eu-west-9"), "did you mean `eu-west-3`?"),
        (("--family", "m77g"), "did you mean `m7g`?"),
        (("--family", "m7g", "--local-disks"), "leave one of the flags out"),
        (("refresh", "--region", "eu-west-9"), "is not a region of AWS"),
    ],
)
def test_what_leads_to_nothing_is_a_mistake_with_its_remedy(words: tuple[str, ...], said: str) -> None:
    error = run(*words).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert said in str(error)
