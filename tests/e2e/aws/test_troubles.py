"""What the engine says when AWS says no: the real provider's sentences, with AWS's code and message in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation.errors import CommandError

from tests.cloud.cloud import Cloud
from tests.e2e.aws.engine import Stack
from tests.e2e.aws.programs import Machines

pytestmark = pytest.mark.cloud

ONE = Machines(zones="a", names=False)


@pytest.fixture
def stack(cloud: Cloud, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(cloud, tmp_path / "work", ONE, name=f"trouble{tmp_path.name[-1]}")
    yield made
    cloud.set(troubles=[], quotas={}, not_offered=[], regions_off=[])
    made.stack.destroy()


def failing(stack: Stack) -> str:
    with pytest.raises(CommandError) as caught:
        stack.run()
    return str(caught.value)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "quota exceeded": (
        {"quotas": {"vcpu": 1}},
        r"creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, "
        r"RequestID: \S*, api error VcpuLimitExceeded: You have requested more vCPU capacity",
    ),
    "not offered": (
        {"not_offered": [("m6i.large", "eu-west-1a")]},
        r"api error Unsupported: Your requested instance type \(m6i.large\) is not supported",
    ),
    "region not enabled": (
        {"regions_off": ["eu-west-1"]},
        r"(?s)unable to validate AWS credentials.*operation error STS: GetCallerIdentity.*"
        r"api error InvalidClientTokenId",
    ),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_a_refusal_reaches_the_user_with_awss_words(stack: Stack, what: str) -> None:
    import re

    settings, said = SETTINGS[what]
    stack.cloud.set(**settings)
    assert re.search(said, failing(stack))


def test_what_was_made_before_a_refusal_is_not_made_again(stack: Stack) -> None:
    stack.cloud.set(quotas={"vcpu": 1})
    failing(stack)
    stack.cloud.set(quotas={})
    stack.cloud.calls(forget=True)
    stack.run()
    calls = stack.cloud.calls()
    assert calls["ec2:CreateVpc"] == calls["ec2:CreateSubnet"] == calls["ec2:CreateVolume"] == 0
    assert calls["ec2:RunInstances"] == 1


def test_a_resource_that_was_made_but_not_finished_is_known_and_finished(stack: Stack) -> None:
    trouble = {
        "call": "ec2:ModifyVpcAttribute",
        "code": "InternalError",
        "message": "An internal error",
        "times": 1,
    }
    stack.cloud.set(troubles=[trouble])
    assert "api error InternalError" in failing(stack)
    (vpc,) = [one for one in stack.state() if one["type"] == "aws:ec2/vpc:Vpc"]
    stack.run()
    (after,) = [one for one in stack.state() if one["type"] == "aws:ec2/vpc:Vpc"]
    assert after["id"] == vpc["id"]
    dns = stack.cloud.client("ec2").describe_vpc_attribute(VpcId=after["id"], Attribute="enableDnsHostnames")
    assert dns["EnableDnsHostnames"]["Value"] is True


def test_what_exists_is_taken_in_by_its_id(cloud: Cloud, tmp_path: Path) -> None:
    import pulumi

    made = cloud.client("ec2").create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]

    def program() -> None:
        import pulumi_aws as aws

        here = aws.Provider("aws-eu-west-1", region="eu-west-1")
        aws.ec2.Vpc(
            "vpc", cidr_block="10.50.0.0/16", opts=pulumi.ResourceOptions(provider=here, import_=made)
        )

    here = Stack(cloud, tmp_path / "work", program, name="import")
    assert here.run()["import"] == 1
    (vpc,) = [one for one in here.state() if one["type"] == "aws:ec2/vpc:Vpc"]
    assert vpc["id"] == made
    here.stack.destroy()


def test_another_account_than_the_one_allowed_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    def program() -> None:
        import pulumi
        import pulumi_aws as aws

        here = aws.Provider("aws-eu-west-1", region="eu-west-1", allowed_account_ids=["210987654321"])
        aws.ec2.Vpc("vpc", cidr_block="10.51.0.0/16", opts=pulumi.ResourceOptions(provider=here))

    here = Stack(cloud, tmp_path / "work", program, name="account")
    assert "AWS account ID not allowed: 123456789012" in failing(here)
