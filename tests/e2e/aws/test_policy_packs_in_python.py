"""A user's own policy pack in Python, as Pulumi's documentation has one: what it forbids is not made, what it advises is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdeploy.operations import aws_words, hosts
from kdeploy.operations.progress import Silent
from tests.cloud import policies
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.verbs import ENVIRONMENT, Verbs
from tests.e2e.aws.world import TEXT, kdeploy, written

pytestmark = pytest.mark.cloud

PACK = """\
from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)


def small(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
    if args.resource_type == "aws:ec2/instance:Instance" and args.props["instanceType"] not in ALLOWED:
        report_violation(f"{args.props['instanceType']} is not paid for")


def few(args: StackValidationArgs, report_violation: ReportViolation) -> None:
    volumes = [one for one in args.resources if one.resource_type == "aws:ebs/volume:Volume"]
    if len(volumes) > 2:
        report_violation(f"{len(volumes)} volumes are many")


ALLOWED = TYPES
PolicyPack(
    name="house",
    enforcement_level=EnforcementLevel.ADVISORY,
    policies=[
        ResourceValidationPolicy(
            name="small-machines",
            description="Machines are small.",
            enforcement_level=EnforcementLevel.MANDATORY,
            validate=small,
        ),
        StackValidationPolicy(name="few-volumes", description="Volumes are few.", validate=few),
    ],
)
"""


class House:
    """An environment with one pack, and who works on it."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        policies.lay(cloud.folder / "bin")
        self.folder = folder
        self.pack = folder / "environments" / "packs" / "house"
        self.pack.mkdir(parents=True)
        self.own = written(folder, cloud, TEXT + "aws: {policy_packs: [../packs/house]}\n")
        self.write(["t3.nano"])
        for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
            done = self.kdeploy(*arguments)
            assert done.returncode == 0, done.stderr

    def write(self, allowed: list[str], virtualenv: Path | str | None = None, text: str = PACK) -> None:
        place = virtualenv or policies.environment()
        (self.pack / "PulumiPolicy.yaml").write_text(
            f"runtime:\n  name: python\n  options:\n    virtualenv: {place}\nversion: 1.2.3\n"
        )
        (self.pack / "requirements.txt").write_text("pulumi-policy>=1.21,<2\n")
        (self.pack / "__main__.py").write_text(text.replace("TYPES", json.dumps(allowed)))

    def kdeploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return kdeploy(self.folder, self.own, *arguments)


@pytest.fixture(scope="module")
def house(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"), cloud)


def test_what_a_mandatory_policy_forbids_is_not_made(house: House, cloud: Cloud) -> None:
    house.write(["t3.nano"])
    for verb in ("preview", "up"):
        done = house.kdeploy(verb, ENVIRONMENT)
        assert done.returncode == 1, done.stdout + done.stderr
        wrong = "policy small-machines of pack house: Machines are small. c6g.large is not paid for"
        assert done.stderr.count(f"eu-west-1-broker-1 (Instance): {wrong}") == 1
        assert "nothing was changed" in done.stderr
        assert "few-volumes" not in done.stderr, "advice refuses nothing"
        assert "Traceback" not in done.stderr
    assert not everything(cloud)


def test_advice_is_shown_and_what_every_policy_lets_through_is_made(
    house: House, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(["c6g.large", "m6g.large"])
    advice = "advised against: all of it together: policy few-volumes of pack house: Volumes are few. 6 volumes are many"
    done = house.kdeploy("preview", ENVIRONMENT)
    assert done.returncode == 4, done.stderr
    assert advice in " ".join(done.stdout.split())
    assert "small-machines" not in done.stdout
    for name, value in house.own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(house.folder)
    verbs = Verbs(house.folder, Silent())
    monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)
    verbs.make()
    assert everything(cloud)["machines"] == 6
    looked = verbs.outlook()
    assert looked.changes == ()
    assert advice in aws_words.checked(looked)
    verbs.destroy()
    assert not everything(cloud)


def test_a_pack_that_cannot_run_lets_nothing_through_and_says_what_it_lacks(
    house: House, cloud: Cloud, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    rows = {
        "venv": (
            "there is no Python in",
            f"python3 -m venv {house.pack}/venv && {house.pack}/venv/bin/pip install -r",
        ),
        str(bare): ("lacks the package pulumi and the package pulumi_policy", f"{bare}/bin/pip install -r"),
    }
    for virtualenv, words in rows.items():
        house.write(["c6g.large", "m6g.large"], virtualenv)
        for verb in ("preview", "up"):
            done = house.kdeploy(verb, ENVIRONMENT)
            assert done.returncode == 1, done.stdout + done.stderr
            for word in ("the policy pack house cannot run", *words):
                assert word in done.stderr
            assert "Traceback" not in done.stderr
    assert not everything(cloud)


BROKEN = [
    ("import nothing_such\n", "No module named 'nothing_such'"),
    ("def (\n", "SyntaxError"),
    (PACK.replace("args.props[", "args.nothing["), "has no attribute 'nothing'"),
]
"""Packs with a mistake of their own, and words of what is said."""


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=["module", "syntax", "policy"])
def test_a_pack_that_fails_lets_nothing_through_and_says_how(
    house: House, cloud: Cloud, text: str, words: str
) -> None:
    house.write(["c6g.large", "m6g.large"], text=text)
    for verb in ("preview", "up"):
        done = house.kdeploy(verb, ENVIRONMENT)
        assert done.returncode == 1, done.stdout + done.stderr
        assert words in done.stderr
        assert "policy pack" in done.stderr
        assert "Traceback" not in done.stderr
    assert not everything(cloud)
