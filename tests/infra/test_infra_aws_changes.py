"""What the engine tells of, as values: one change a resource, what disturbs a node, and no secret in it."""

from __future__ import annotations

import pytest

from kdeploy.infra.aws import changes
from kdeploy.infra.aws.changes import INSTANCE, Step, collected

URN = "urn:pulumi:env::kdeploy::kdeploy:aws:Node$aws:ec2/instance:Instance::eu-west-1-broker-1"
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
INTERFACE = "aws:ec2/networkInterface:NetworkInterface"


def step(op: str, type_: str = INSTANCE, name: str = "eu-west-1-broker-1", **more: object) -> Step:
    return Step(op, f"urn:pulumi:env::kdeploy::{type_}::{name}", type_, **more)  # type: ignore[arg-type]


def test_steps_of_one_replacement_are_one_change_with_what_caused_it() -> None:
    (found,) = collected(
        [
            step("delete-replaced", differs=("ami",), before={"ami": "ami-1"}),
            step("replace", differs=("ami",), before={"ami": "ami-1"}, after={"ami": "ami-2"}),
            step("create-replacement", differs=("ami",), before={"ami": "ami-1"}, after={"ami": "ami-2"}),
        ]
    )
    assert found.op == "replace"
    assert [str(one) for one in found.differs] == ["ami ami-1 → ami-2"]


def test_what_stays_and_what_is_only_looked_at_is_no_change() -> None:
    assert collected([step("same"), step("read"), step("refresh")]) == ()


def test_a_value_that_is_secret_or_no_plain_one_is_named_and_not_shown() -> None:
    secret = {changes.SECRET: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:secret"}
    (found,) = collected([step("update", differs=("userData", "rules[0].port"), after={"userData": secret})])
    assert [str(one) for one in found.differs] == ["rules", "userData"]
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("op", "type_", "differs", "disturbs"),
    [
        ("create", INSTANCE, (), False),
        ("update", INSTANCE, ("tags", "tagsAll"), False),
        ("update", INSTANCE, ("rootBlockDevice.volumeSize", "metadataOptions.httpTokens"), False),
        ("update", INSTANCE, ("instanceType", "tags"), True),
        ("update", INSTANCE, ("userData",), True),
        ("replace", INSTANCE, ("ami",), True),
        ("delete", INSTANCE, (), True),
        ("replace", ATTACHMENT, ("instanceId",), True),
        ("delete", ATTACHMENT, (), True),
        ("create", ATTACHMENT, (), False),
        ("replace", INTERFACE, ("subnetId",), True),
        ("update", INTERFACE, ("securityGroups",), False),
        ("update", VOLUME, ("size", "iops"), False),
    ],
)
def test_what_stops_a_running_node_is_told_from_what_it_never_notices(
    op: str, type_: str, differs: tuple[str, ...], disturbs: bool
) -> None:
    (found,) = collected([step(op, type_, differs=differs)])
    assert found.is_disturbing is disturbs


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("eu-west-1-broker-1", True),
        ("eu-west-1-broker-1-data-0", True),
        ("eu-west-1-broker-10", False),
        ("eu-west-1-broker-10-data-0", False),
        ("us-east-1-broker-1", False),
    ],
)
def test_a_node_has_the_resources_that_are_called_after_it_and_no_others(name: str, own: bool) -> None:
    assert changes.is_of_node(name, "eu-west-1", "broker-1") is own


def test_a_state_tells_what_is_there_and_what_nobody_knows_about() -> None:
    deployment = {
        "resources": [
            {
                "urn": "urn:pulumi:env::kdeploy::pulumi:pulumi:Stack::kdeploy-env",
                "type": "pulumi:pulumi:Stack",
                "outputs": {"nodes": {"dc/broker-1": {}}, "hidden": {changes.SECRET: "x", "ciphertext": "y"}},
            },
            {
                "urn": URN,
                "type": INSTANCE,
                "id": "i-1",
                "inputs": {"ami": "ami-1"},
                "outputs": {"instanceState": "stopped"},
            },
        ],
        "pending_operations": [
            {"type": "creating", "resource": {"urn": URN.replace("broker-1", "broker-2"), "type": INSTANCE}},
            {"type": "updating", "resource": {"urn": URN, "type": INSTANCE}},
        ],
    }
    found = changes.state(deployment)
    assert found.outputs == {"nodes": {"dc/broker-1": {}}}
    assert [(one.name, one.id) for one in found.resources][1:] == [("eu-west-1-broker-1", "i-1")]
    assert [one.instance_state for one in found.resources] == ["", "stopped"]
    assert [one.name for one in found.pending] == ["eu-west-1-broker-2"]
    assert not found.is_empty
    assert changes.state({"resources": deployment["resources"][:1]}).is_empty
