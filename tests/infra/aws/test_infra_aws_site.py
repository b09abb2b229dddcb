"""Names and parts of AWS: none too long, no two alike, each by its region."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kdeploy.infra.aws.site import Site


def site(environment: str = "prod", datacenter: str = "dc1", region: str = "eu-west-1") -> Site:
    return Site(environment, datacenter, region, cast("Any", None))


def test_names_that_are_too_long_stay_apart() -> None:
    longest = "e" * 40
    one, two = (site(longest, "d" * 39 + end).outside(most=64) for end in "ab")
    assert one != two
    assert {len(one), len(two)} == {64}
    assert site().outside("broker", most=64) == "kdeploy-prod-dc1-broker"


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("ap-southeast-2", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
    ],
)
def test_an_arn_begins_as_its_region_s_do(region: str, partition: str) -> None:
    assert site(region=region).partition == partition


def test_a_resource_says_what_it_is_and_whose() -> None:
    assert site().tags("dc1-broker-1", node="dc1/broker-1", role="broker") == {
        "Name": "prod-dc1-broker-1",
        "kdeploy:datacenter": "dc1",
        "kdeploy:resource": "dc1-broker-1",
        "kdeploy:node": "dc1/broker-1",
        "kdeploy:role": "broker",
    }
