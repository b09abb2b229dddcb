"""Policy packs of a user's own, run by a real engine: what they forbid is not made, what they advise is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import KdeployError
from kdeploy.operations import aws_words, hosts
from kdeploy.operations.progress import Silent
from tests.cloud.cloud import REPOSITORY, Cloud
from tests.e2e.aws.verbs import ENVIRONMENT, Verbs
from tests.e2e.aws.world import TEXT, kdeploy, written

pytestmark = pytest.mark.cloud

SMALL = {
    "policy": "small-machines",
    "type": "aws:ec2/instance:Instance",
    "property": "instanceType",
    "value": "t3.nano",
    "level": "mandatory",
    "message": "only t3.nano is paid for",
}
OTHER = {
    "policy": "tenancy",
    "type": "aws:ec2/vpc:Vpc",
    "property": "instanceTenancy",
    "value": "dedicated",
    "level": "advisory",
    "message": "networks should be dedicated",
}


class House:
    """An environment with one pack, and who works on it."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder = folder
        program = cloud.folder / "bin" / "pulumi-analyzer-policy-rules"
        program.write_text(
            f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m tests.cloud.pack "$@"\n'
        )
        program.chmod(0o755)
        self.pack = folder / "environments" / "packs" / "house"
        self.own = written(folder, cloud, TEXT + "aws: {policy_packs: [../packs/house]}\n")
        self.write([SMALL, OTHER])
        for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
            done = kdeploy(folder, self.own, *arguments)
            assert done.returncode == 0, done.stderr

    def write(self, rules: list[dict[str, Any]], runtime: str = "rules") -> None:
        self.pack.mkdir(parents=True, exist_ok=True)
        (self.pack / "PulumiPolicy.yaml").write_text(f"runtime: {runtime}\n")
        (self.pack / "rules.json").write_text(json.dumps(rules))


@pytest.fixture
def house(cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(folder, cloud)
    for name, value in made.own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return made


def test_a_mandatory_policy_is_not_let_through_an_advisory_one_is_shown_and_a_pack_that_cannot_run_is_named(
    house: House, cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs = Verbs(folder, Silent())
    monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)
    with pytest.raises(KdeployError) as caught:
        verbs.make()
    said = str(caught.value)
    assert "policy small-machines of pack house: only t3.nano is paid for" in said
    assert said.count("eu-west-1-broker-1 (Instance)") == 1
    assert "tenancy" not in said, "advice refuses nothing"
    assert "nothing was changed" in said
    assert not cloud.client("ec2").describe_instances()["Reservations"]

    for arguments in (("preview", ENVIRONMENT), ("up", ENVIRONMENT)):
        shown = kdeploy(folder, house.own, *arguments)
        assert shown.returncode == 1
        assert "policy small-machines of pack house: only t3.nano is paid for" in shown.stderr
        assert "Traceback" not in shown.stderr

    house.write([OTHER])
    looked = verbs.outlook()
    told = aws_words.checked(looked)
    advice = (
        "advised against: eu-west-1-vpc (Vpc): policy tenancy of pack house: networks should be dedicated"
    )
    assert advice in told
    assert "policy packs let it through: ../packs/house" in told

    house.write([OTHER], runtime="nodejs")
    with pytest.raises(KdeployError) as caught:
        verbs.outlook()
    assert "the language that a policy pack is written in cannot be run here" in str(caught.value)
    assert "'pulumi-analyzer-policy-nodejs'" in str(caught.value)
    assert "pulumi-language-python" in str(caught.value)
