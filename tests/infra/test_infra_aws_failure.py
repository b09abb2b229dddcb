"""What AWS refuses is told by the resource, what AWS said, and what to do; each kind in its own words."""

from __future__ import annotations

import pytest

from kdeploy.infra.aws.failure import SHOWN, Said, explained

URN = "urn:pulumi:env::kdeploy::kdeploy:aws:Node$aws:ec2/instance:Instance::eu-west-1-broker-1"


def sdk(code: str, words: str, verb: str = "RunInstances") -> str:
    """As pulumi-aws tells of an error."""
    return (
        "1 error occurred:\n\t* creating EC2 Instance: operation error EC2: "
        f"{verb}, https response error StatusCode: 400, RequestID: 4d9f, api error {code}: {words}\n\n"
    )


def boto(code: str, words: str, verb: str = "RunInstances") -> str:
    """As boto3 does."""
    return f"An error occurred ({code}) when calling the {verb} operation: {words}"


TABLE = [
    ("InvalidClientTokenId", "The security token included in the request is invalid.", "does not know these credentials", "AWS_PROFILE"),
    ("ExpiredToken", "The security token included in the request is expired", "have ended", "log in again"),
    ("OptInRequired", "You are not subscribed to this service", "region is not enabled", "enable-region"),
    ("UnauthorizedOperation", "You are not authorized to perform this operation.", "lack a right", "docs/aws.md"),
    ("Unsupported", "Your requested instance type (m6i.large) is not supported in your requested Availability Zone", "not offered in this zone", "instance_type"),
    ("InsufficientInstanceCapacity", "We currently do not have sufficient capacity", "right now", "later"),
    ("VcpuLimitExceeded", "You have requested more vCPU capacity than your current limit", "quota is used up", "Service Quotas"),
    ("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit", "quota is used up", "Service Quotas"),
    ("InvalidSubnet.Conflict", "The CIDR '10.20.0.0/20' conflicts with another subnet", "address range", "network.cidr"),
    ("InvalidVpc.Range", "The CIDR '10.0.0.0/8' is invalid.", "address range", "network.cidr"),
    ("InsufficientFreeAddressesInSubnet", "Insufficient free addresses in subnet 'subnet-1'", "no room", "network.cidr"),
    ("InvalidParameterValue", "Address does not fall within the subnet's address range", "no room", "network.cidr"),
    ("InvalidParameterValue", "Value (eu-west-1z) for parameter availabilityZone is invalid.", "no such zone", "racks"),
    ("OverlappingCidrs", "VPC pcx-1 and vpc-2 have overlapping CIDR blocks", "address range", "network.cidr"),
    ("EntityAlreadyExists", "Role with name kdeploy-x already exists.", "of this name is there already", "rename"),
    ("InvalidGroup.Duplicate", "The security group 'x' already exists", "of this name is there already", "rename"),
    ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "no such image", "machine.images"),
    ("RequestLimitExceeded", "Request limit exceeded.", "fewer questions", "in a minute"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "words", "meaning", "remedy"), TABLE, ids=[f"{at}-{row[0]}" for at, row in enumerate(TABLE)]
)
@pytest.mark.parametrize("form", [sdk, boto])
def test_each_refusal_of_aws_has_its_meaning_its_words_and_its_remedy(
    form: object, code: str, words: str, meaning: str, remedy: str
) -> None:
    said = str(explained([Said(URN, form(code, words))], "prod-eu"))  # type: ignore[operator]
    assert "eu-west-1-broker-1 (Instance)" in said
    assert meaning in said
    assert remedy in said
    assert words[:40] in said
    assert "RequestID" not in said


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions", "wants a token"),
        ("401 Unauthorized: invalid access token", "does not know this token"),
        ("Unauthorized: No credentials provided or are invalid.", "does not know this token"),
        ("this command requires logging in; try running `pulumi login` first", "does not know who asks"),
        ("could not create stack: [403] Forbidden: out has no access to acme", "from whoever the token is of"),
        (
            "failed to complete update: [403] The provided update token has expired.",
            "somebody ended this run in Pulumi Cloud meanwhile",
        ),
        (
            'performing HTTP request: Get "https://api.pulumi.com/api/user": dial tcp: no such host',
            "that keeps the state cannot be reached",
        ),
        (
            "error listing stacks: could not list bucket: blob (code=NotFound): operation error S3: ListObjectsV2, "
            "NoSuchBucket: The specified bucket does not exist",
            "bucket that keeps the state is not there",
        ),
        (
            "could not create secrets manager for new stack: secrets (code=NotFound): operation error KMS: Encrypt, "
            "NotFoundException: Alias arn:aws:kms:eu-west-1:1:alias/x is not found.",
            "key of the state's secrets",
        ),
        ("unable to validate AWS credentials: no valid credential sources for pulumi-aws found", "credentials"),
        ("AWS account ID not allowed: 111111111111", "another account"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "cannot be reached"),
        ("incorrect passphrase", "another passphrase than the vault's"),
        ("Could not automatically download and install resource plugin: no resource plugin 'aws'", "is not there"),
        ("EndpointConnectionError: Could not connect to the endpoint URL", "cannot be reached"),
    ],
)  # fmt: skip
def test_what_the_engine_says_without_aws_is_explained_too(message: str, meaning: str) -> None:
    assert meaning in str(explained([Said("", message)], "prod-eu"))


def test_what_nobody_foresaw_is_told_as_it_was_said_and_the_command_goes_on() -> None:
    said = str(explained([Said(URN, "the moon is in the way"), Said("", "update failed")], "prod-eu"))
    assert "the moon is in the way" in said
    assert "update failed" not in said
    assert "`kdeploy up prod-eu` goes on" in said


def test_hundreds_of_refusals_for_one_reason_are_a_few_lines() -> None:
    many = [Said(f"{URN}{number}", sdk("VcpuLimitExceeded", "no more")) for number in range(300)]
    lines = str(explained(many, "prod-eu")).splitlines()
    assert len(lines) == SHOWN + 3
    assert f"and {300 - SHOWN} more" in lines[-2]
