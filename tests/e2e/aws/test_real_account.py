"""What lets tests spend money in a real account, what they take for their own there, and that nothing of it stays.

No real account was used: the same tests, with all that leads them to a real account, are run against an emulated one that
others have things in.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdeploy import planner
from kdeploy.planner import costs
from kdeploy.spec import load
from kdeploy.units import HOURS_PER_MONTH
from tests.cloud import real, rights
from tests.cloud.cloud import ACCOUNT, REPOSITORY, Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.test_aws_whole import SESSIONS
from tests.e2e.aws.world import TEXT

OTHER = "210987654321"
DOCUMENT = (REPOSITORY / "docs" / "aws.md").read_text().partition("## The tests in an account of yours")[2]


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of whoever runs the tests, a place for what runs leave, and an account that is named."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    monkeypatch.setenv(real.NUMBER, ACCOUNT)
    monkeypatch.setattr(real, "PATIENCE", 0.0)


@pytest.fixture
def opened(cloud: Cloud, mine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulated account, as credentials of whoever runs the tests open it."""
    for name, value in cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize("named", ["", "12345", "prod", f"{ACCOUNT}0"])
def test_nothing_is_asked_of_aws_until_an_account_is_named(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(real.NUMBER, named)
    monkeypatch.setattr(real, "_client", lambda *_: pytest.fail("AWS was asked"))
    with pytest.raises(real.Refused, match="by its 12 digits, and is"):
        real.permitted()


@pytest.mark.usefixtures("mine")
def test_the_account_that_credentials_open_has_to_be_the_one_that_was_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from moto import mock_aws

    with mock_aws():
        assert real.permitted() == ACCOUNT
        monkeypatch.setenv(real.NUMBER, OTHER)
        with pytest.raises(real.Refused, match=f"open account {ACCOUNT}, and {real.NUMBER} says {OTHER}"):
            real.permitted()


@pytest.mark.usefixtures("mine")
def test_credentials_that_open_nothing_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(real.Refused) as told:
        real.permitted()
    assert re.fullmatch(r"AWS does not say whose .*credentials.*; nothing was made", str(told.value))


def test_a_run_without_an_account_ends_before_any_test_begins(tmp_path: Path) -> None:
    done = as_a_person(tmp_path, dict(os.environ) | {real.NUMBER: ""}, "tests/e2e/aws/test_aws_up.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert f"{real.NUMBER} has to name it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_credentials_reach_what_is_run_and_another_place_for_the_state_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_PROFILE", "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.setenv(name, "somebody's")
    found = real.Real(ACCOUNT).environment
    assert {name for name, value in found.items() if value == "somebody's"} == {"AWS_PROFILE", "PULUMI_HOME"}
    assert real.Real(ACCOUNT).name != real.Real(ACCOUNT).name


def made(run: real.Real, name: str) -> str:
    """Make a network with what is in it, and what has a name, for an environment; the network's id."""
    ec2 = run.client("ec2")
    tags = [{"Key": "kdeploy:environment", "Value": name}]
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])[
        "Vpc"
    ]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24")
    ec2.create_volume(
        AvailabilityZone="eu-west-1a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    run.client("iam").create_role(RoleName=f"kdeploy-{name}-eu-west-1-broker", AssumeRolePolicyDocument="{}")
    run.client("s3").create_bucket(
        Bucket=f"kdeploy-{name}-eu-west-1-1",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    run.client("route53").create_hosted_zone(Name=f"eu-west-1.{name}.kdeploy.internal", CallerReference=name)
    return str(vpc)


@pytest.mark.cloud
@pytest.mark.usefixtures("opened")
def test_what_others_have_in_the_account_is_not_counted_for_the_tests_own() -> None:
    run = real.Real(real.permitted())
    made(run, "prod-eu")
    assert not everything(run)
    vpc = made(run, run.name)
    group = run.client("ec2").create_security_group(GroupName="brokers", Description="of it", VpcId=vpc)
    assert group["GroupId"]
    own = ("networks", "subnets", "volumes", "roles", "buckets", "zones", "groups")
    found = everything(run)
    assert {name: found[name] for name in own} == dict.fromkeys(own, 1)
    assert set(found) <= {*own, "rules"}


def _made_and_left(run: real.Real) -> None:
    """A run that makes what nothing of it knows."""
    tags = [{"Key": "kdeploy:environment", "Value": run.name}]
    with run:
        vpc = run.client("ec2").create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
        run.client("ec2").create_tags(Resources=[vpc], Tags=tags)


@pytest.mark.cloud
@pytest.mark.usefixtures("opened")
def test_a_run_stays_known_until_nothing_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = real.Real(real.permitted())
    with pytest.raises(real.Refused, match="'networks': 1") as told:
        _made_and_left(run)
    assert f"python -m tests.cloud.real --delete {run.name}".partition(" ")[2] in str(told.value)
    vpc = run.client("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.99.0.0/16"]}])

    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["real", *arguments])
        real.main()
        return capsys.readouterr().out

    assert f"{run.name} in account {ACCOUNT}: {run.folder}" in said()
    monkeypatch.setenv(real.NUMBER, OTHER)
    with pytest.raises(SystemExit, match=f"open account {ACCOUNT}"):
        said("--delete", run.name)
    monkeypatch.setenv(real.NUMBER, ACCOUNT)
    run.client("ec2").delete_vpc(VpcId=vpc["Vpcs"][0]["VpcId"])
    assert said("--delete", run.name) == f"nothing of {run.name} is left\n"
    assert said() == "no run is left\n"
    with pytest.raises(SystemExit, match=f"no run called {run.name} is left"):
        said("--delete", run.name)


@pytest.mark.parametrize(("text", "usd"), [(TEXT, "$0.59"), (SESSIONS, "$0.65")], ids=["played", "whole"])
def test_what_a_run_costs_is_what_the_documents_say(tmp_path: Path, text: str, usd: str) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "environment.yaml").write_text(text.replace("KEY", str(tmp_path / "key")))
    wanted = load.load(folder).environment
    (one,) = costs.costs(wanted, planner.plan(wanted), None).datacenters
    monthly = sum(part.monthly_usd for part in one.parts if part.name not in costs.TRAFFIC)
    assert f"${monthly / HOURS_PER_MONTH:.2f}" == usd
    assert f"{usd} an hour" in DOCUMENT


def test_rights_to_look_are_told_and_are_none_of_the_policys() -> None:
    assert all(f"`{right}`" in DOCUMENT for right in real.LOOKING)
    assert rights.refused(real.LOOKING) == real.LOOKING


def as_a_person(folder: Path, own: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of tests in a real account, as a person starts one."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "cloud", *arguments],
        cwd=REPOSITORY,
        env=own | {real.WANTED: "1", "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(folder / "states")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


ALL = tuple(f"tests/e2e/aws/{name}.py" for name in ("test_aws_up", "test_aws_kills", "test_aws_whole"))

RUNS = [
    ((ALL[0], "-k", "up_makes_what"), {"passed": 1}),
    pytest.param(
        ALL,
        {"passed": 11, "skipped": 14},
        marks=pytest.mark.skipif(os.environ.get("KDEPLOY_SOAK") != "1", reason="a soak: KDEPLOY_SOAK=1"),
    ),
]
"""Tests of a real account, and what becomes of them; the first ends with everything there, as after a failure."""


@pytest.mark.cloud
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("arguments", "outcomes"), RUNS, ids=["one", "all"])
def test_of_what_is_made_in_an_account_nothing_stays_and_what_others_have_does(
    cloud: Cloud, folder: Path, arguments: tuple[str, ...], outcomes: dict[str, int]
) -> None:
    others: Any = cloud
    made(others, f"of-others-{len(outcomes)}")
    before = everything(cloud)
    done = as_a_person(folder, {**cloud.environment, real.NUMBER: ACCOUNT}, *arguments)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    found = {what: int(count) for count, what in re.findall(r"(\d+) (passed|skipped)", done.stdout)}
    assert found == outcomes, done.stdout[-8000:]
    assert everything(cloud) == before
    assert not list((folder / "states").glob("kdeploy/tests-in-aws/*"))
    assert rights.refused(cloud.needed()) == real.LOOKING
