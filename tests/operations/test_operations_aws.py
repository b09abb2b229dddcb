"""What operations do with a stack: one run where one is enough, none where nothing changes, never two nodes in one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.errors import KdeployError, UsageError
from kdeploy.infra import NodeState
from kdeploy.infra.aws.changes import INSTANCE, Op, Property, Resource, ResourceChange, State
from kdeploy.infra.aws.policy import TAGS, Planned
from kdeploy.infra.aws.provider import AwsProvider
from kdeploy.infra.aws.stack import Preview
from kdeploy.operations import aws, hosts, prepare, ssh_keys
from kdeploy.operations.progress import Silent
from kdeploy.spec import load, lockfile

SHIPPED = Path(__file__).parents[2] / "environments"
VOLUME = "aws:ebs/volume:Volume"
VAULT: Any = SimpleNamespace(stack="a passphrase")


def change(
    name: str, op: Op = "update", type_: str = INSTANCE, differs: str = "instanceType"
) -> ResourceChange:
    properties = (Property(differs, "a", "b"),) if op == "update" else ()
    return ResourceChange(f"urn:{type_}::{name}", type_, name, op, properties)


class Stack:
    """A stack that answers as it is told and notes what it is asked."""

    def __init__(self, design: prepare.Design, changes: Sequence[ResourceChange] = ()) -> None:
        self.changes, self.asked = tuple(changes), list[tuple[str, Any]]()
        self.planned: tuple[Planned, ...] = ()
        outputs = {
            node.key: {
                "instance": f"i-{node.name}",
                "address": "10.0.0.1",
                "image": "ami-1",
                "volumes": ["vol-1"],
            }
            for node in design.blueprint.nodes
        }
        resources = tuple(
            Resource(f"urn:{INSTANCE}::{node.datacenter}-{node.name}", INSTANCE, "i", {})
            for node in design.blueprint.nodes
        )
        self.held: State | None = State({"nodes": outputs}, resources)

    def state(self) -> State | None:
        return self.held

    def preview(self, *, refresh: bool = False) -> Preview:
        self.asked.append(("preview", refresh))
        return Preview(self.changes, self.planned)

    def up(self, **more: Any) -> None:
        self.asked.append(("up", more))

    def destroy(self) -> None:
        self.asked.append(("destroy", None))


class Hosts:
    """Hosts of which some run and some do not answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.silent: set[str] = set()

    def observe(self, nodes: Sequence[Any]) -> dict[str, NodeState]:
        return {
            one.key: NodeState(True, one.name not in self.down | self.silent, None, None, "") for one in nodes
        }

    def reaches(self, node: Any) -> bool:
        return node.name not in self.silent

    def proxy(self, cluster: Any) -> None:
        return None

    def provision(self, blueprint: Any, without: Any = ()) -> None:
        return None


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> prepare.Design:
    """A decided environment in AWS whose machines somebody can log in to."""
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "prod"
    shutil.copytree(SHIPPED / "prod-eu", folder)
    (tmp_path / "key").write_text("private")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA me\n")
    file = folder / "environment.yaml"
    file.write_text(re.sub(r"through: ssm.*", f"key: {tmp_path}/key", file.read_text()))
    made = prepare.design(load.load(folder), freeze=False)
    prepare.save_lock(made)
    return made


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    made = Hosts()
    monkeypatch.setattr(hosts, "provider_of", lambda *_: made)
    monkeypatch.setattr(AwsProvider, "wait", lambda self, nodes: None)
    return made


def with_stack(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> Stack:
    monkeypatch.setattr(aws, "stack_of", lambda *_: stack)
    return stack


def test_where_nothing_changes_the_engine_looks_once_and_does_nothing(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    _, provider = aws.make(design, VAULT, Silent(), None)
    assert stack.asked == [("preview", False)]
    assert provider.outdated() == {}


def test_what_disturbs_running_nodes_waits_for_each_nodes_own_run(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.down = {"broker-3"}
    brokers = [change(f"eu-west-1-broker-{number}") for number in (1, 2, 3)]
    tags = change("eu-west-1-broker-2-data-0", type_=VOLUME, differs="tags")
    group = change("eu-west-1-rule", "create", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    stack = with_stack(monkeypatch, Stack(design, [*brokers, tags, group]))
    _, provider = aws.make(design, VAULT, Silent(), None)
    (_, (_, run)) = stack.asked
    assert run["without"] == sorted([brokers[0].urn, brokers[1].urn, tags.urn])
    assert run["total"] == 2
    assert sorted(provider.outdated()) == ["eu-west-1/broker-1", "eu-west-1/broker-2"]
    stack.asked.clear()
    node = next(one for one in design.blueprint.nodes if one.name == "broker-2")
    provider.remake(node)
    ((verb, run),) = stack.asked
    assert verb == "up"
    assert set(run["targets"]) == {brokers[1].urn, tags.urn}


def test_aws_is_asked_what_became_of_everything_only_where_a_machine_does_not_answer(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.down = {"broker-1"}
    stack = with_stack(monkeypatch, Stack(design))
    assert not aws.outlook(design, VAULT, Silent()).refresh
    seen.silent = {"broker-2"}
    assert aws.outlook(design, VAULT, Silent()).refresh
    assert stack.asked == [("preview", False), ("preview", True)]


def test_images_of_the_first_machines_are_noted_and_never_changed(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_stack(monkeypatch, Stack(design, [change("eu-west-1-vpc", "create", "aws:ec2/vpc:Vpc")]))
    noted, _ = aws.make(design, VAULT, Silent(), None)
    lock = lockfile.read_lock(design.loaded.folder / "lock.yaml")
    assert lock == noted.lock
    kinds = {node.machine.architecture for node in design.blueprint.nodes if node.machine}
    assert noted.lock.datacenters[0].images == dict.fromkeys(kinds, "ami-1")
    assert {node.machine.image for node in noted.blueprint.nodes if node.machine} == {"ami-1"}


@pytest.mark.parametrize("op", ["replace", "delete"])
def test_a_data_volume_is_never_replaced_or_deleted_by_up(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch, op: Op
) -> None:
    stack = with_stack(monkeypatch, Stack(design, [change("eu-west-1-broker-1-data-0", op, VOLUME)]))
    with pytest.raises(KdeployError, match=r"eu-west-1-broker-1-data-0 .* nothing was changed"):
        aws.make(design, VAULT, Silent(), None)
    assert [verb for verb, _ in stack.asked] == ["preview"]


def test_a_plan_that_a_check_does_not_let_through_is_named_by_preview_and_refused_by_up(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design, [change("eu-west-1-x", "create", VOLUME)]))
    stack.planned = (Planned(VOLUME, "eu-west-1-x", {"tags": {}}, protect=True, retain=True),)
    said = aws.checked(aws.outlook(design, VAULT, Silent()))
    assert said[0] == "check encryption does not hold: eu-west-1-x: it is not encrypted"
    assert said[-1].startswith("checked in AWS, and so: no public exposure")
    with pytest.raises(KdeployError, match="encryption: eu-west-1-x: it is not encrypted"):
        aws.make(design, VAULT, Silent(), None)
    assert {verb for verb, _ in stack.asked} == {"preview"}


def test_what_would_be_made_and_is_there_already_is_taken_over_in_the_same_run(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    vpc = "aws:ec2/vpc:Vpc"
    stack = Stack(design, [change("eu-west-1-vpc", "create", vpc)])
    stack.planned = (Planned(vpc, "eu-west-1-vpc", {"tags": dict.fromkeys(TAGS, "x")}),)
    adopted: list[Any] = []

    def stack_of(*given: Any) -> Stack:
        adopted.append(given[3] if len(given) > 3 else None)
        return stack

    asked: list[Any] = []

    def found(planned: Any, known: Any, environment: str, regions: Any) -> dict[tuple[str, str], str]:
        asked.append(([one.name for one in planned], environment, regions))
        return {(vpc, "eu-west-1-vpc"): "vpc-1"}

    monkeypatch.setattr(aws, "stack_of", stack_of)
    monkeypatch.setattr("kdeploy.infra.aws.adoption.found", found)
    aws.make(design, VAULT, Silent(), None)
    assert asked == [(["eu-west-1-vpc"], "prod", ["eu-west-1"])]
    assert {(vpc, "eu-west-1-vpc"): "vpc-1"} in adopted
    assert [verb for verb, _ in stack.asked] == ["preview", "up"]


def test_machines_that_nobody_could_log_in_to_are_not_made(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    file = design.loaded.folder / "environment.yaml"
    file.write_text(
        "\n".join(
            line for line in file.read_text().splitlines() if " key: " not in line and "ssh:" not in line
        )
    )
    closed = prepare.design(load.load(design.loaded.folder), freeze=False)
    with pytest.raises(UsageError, match=r"ssh\.key names no key"):
        aws.make(closed, VAULT, Silent(), None)
    assert stack.asked == []


def test_a_key_without_its_public_half_is_named(design: prepare.Design, tmp_path: Path) -> None:
    assert ssh_keys.public_keys(design) == {"eu-west-1": "ssh-ed25519 AAAA me"}
    ssh_keys.refuse_closed(design)
    (tmp_path / "key.pub").unlink()
    assert ssh_keys.public_keys(design) == {}
    with pytest.raises(UsageError, match=r"key\.pub is what machines let in"):
        ssh_keys.refuse_closed(design)


def test_a_change_is_told_by_what_becomes_of_the_resource_and_of_its_node(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = change("eu-west-1-vpc", "create", "aws:ec2/vpc:Vpc")
    grown = change("eu-west-1-broker-2-data-0", type_=VOLUME, differs="size")
    with_stack(monkeypatch, Stack(design, [change("eu-west-1-broker-1"), made, grown]))
    told = {one.name: one for one in aws.items(design, aws.outlook(design, VAULT, Silent()))}
    assert {name: one.effect for name, one in told.items()} == {
        "eu-west-1-broker-1": "change",  # its node is what is counted as restarted
        "eu-west-1-vpc": "create",
        "eu-west-1-broker-2-data-0": "change",
    }
    assert told["eu-west-1-broker-1"].why == "instanceType a → b; broker-1 is stopped for it, in its turn"
    assert {one.layer for one in told.values()} == {"resources"}


def test_deleting_what_was_never_made_asks_nothing(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    aws.destroy(design, VAULT, Silent())
    stack.held = None
    aws.destroy(design, VAULT, Silent())
    assert stack.asked == [("preview", False), ("destroy", None)]
