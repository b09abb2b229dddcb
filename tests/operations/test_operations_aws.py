"""What operations do with a stack: one run where one is enough, none where nothing changes, never two nodes in one."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy.cli import kdeploy
from kdeploy.cluster import Check, HealthReport, reconcile
from kdeploy.cluster.failure import Unreachable
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Broker
from kdeploy.errors import KdeployError, LeaseHeld, UsageError
from kdeploy.infra import NodeState
from kdeploy.infra.aws.changes import INSTANCE, Op, Property, Resource, ResourceChange, State
from kdeploy.infra.aws.policy import TAGS, Planned
from kdeploy.infra.aws.provider import AwsProvider
from kdeploy.infra.aws.stack import Preview
from kdeploy.infra.hosts import ssh
from kdeploy.operations import (
    aws,
    aws_words,
    expected,
    hosts,
    places,
    prepare,
    preview,
    readiness,
    ssh_keys,
    status,
    vaults,
)
from kdeploy.operations.progress import Silent
from kdeploy.spec import load, lockfile

SHIPPED = Path(__file__).parents[2] / "environments"
VOLUME = "aws:ebs/volume:Volume"
VAULT: Any = SimpleNamespace(stack="a passphrase")
SAFE = {
    "tags": dict.fromkeys(TAGS, "x"),
    "rootBlockDevice": {"encrypted": True},
    "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
}
"""What of a machine the checks want."""


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
        self.gone: tuple[ResourceChange, ...] = ()
        self.settled_first = False
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

    def settle(self) -> None:
        self.settled_first |= not self.asked

    def state(self) -> State | None:
        return self.held

    def preview(self, *, refresh: bool = False, targets: Sequence[str] = ()) -> Preview:
        self.asked.append(("preview", (*targets,) if targets else refresh))
        if targets:
            return Preview(tuple(one for one in self.gone if one.urn in targets))
        return Preview((*self.changes, *(self.gone if refresh else ())), self.planned)

    def ask(self, targets: Sequence[str]) -> None:
        self.asked.append(("ask", (*targets,)))

    def up(self, **more: Any) -> None:
        self.asked.append(("up", more))

    def unlock(self) -> None:
        self.asked.append(("unlock", None))

    def destroy(self) -> None:
        self.asked.append(("destroy", None))


class Hosts:
    """Hosts of which some run and some do not answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.emptied: set[str] = set()

    def own_disks(self, node: Any, prefix: str) -> list[dict[str, Any]]:
        empty = node.name in self.emptied
        return [{"path": f"{prefix}AWS1", "file_system": "" if empty else "u", "empty": empty}]

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


def programs(folder: Path, *names: str) -> Path:
    """A folder with programs that do nothing."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> prepare.Design:
    """A decided environment in AWS whose machines somebody can log in to."""
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "prod"
    shutil.copytree(SHIPPED / "prod-eu", folder)
    (tmp_path / "key").write_text("private")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA me\n")
    programs(tmp_path / "sessions", *ssh.SSM_PROGRAMS)
    monkeypatch.setenv("PATH", f"{tmp_path}/sessions{os.pathsep}{os.environ['PATH']}")
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


def with_own_disks(design: prepare.Design, *names: str) -> prepare.Design:
    """A design in which the data of some nodes is on their machines' own disks."""
    (cluster,) = design.blueprint.clusters
    nodes = tuple(
        replace(one, disks=tuple(replace(disk, device="local:0") for disk in one.disks))
        if one.name in names
        else one
        for one in cluster.nodes
    )
    return replace(design, blueprint=replace(design.blueprint, clusters=(replace(cluster, nodes=nodes),)))


def test_a_machine_with_data_on_its_own_disks_waits_for_its_turn_also_while_its_node_is_stopped(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = with_own_disks(design, "broker-1", "broker-2")
    seen.down = {"broker-1", "broker-2", "broker-3"}
    seen.emptied = {"broker-2"}
    brokers = [change(f"eu-west-1-broker-{number}") for number in (1, 2, 3)]
    with_stack(monkeypatch, Stack(design, brokers))
    assert list(aws.outlook(design, VAULT, Silent()).disturbed) == ["eu-west-1/broker-1"]


def test_aws_is_asked_what_became_of_a_machine_only_where_it_does_not_answer(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.down = {"broker-1"}
    stack = with_stack(monkeypatch, Stack(design))
    aws.outlook(design, VAULT, Silent())
    assert stack.asked == [("preview", False)]


@pytest.mark.parametrize("refresh", [False, True])
def test_machines_that_somebody_stopped_are_named_with_what_starts_them_where_aws_was_asked(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch, refresh: bool
) -> None:
    seen.silent = {"broker-1"}
    stack = with_stack(monkeypatch, Stack(design))
    assert stack.held
    states = {"eu-west-1-broker-1": "stopped", "eu-west-1-broker-2": "stopped"}
    resources = [
        replace(one, id=f"i-{one.name[-8:]}", instance_state=states.get(one.name, "running"))
        for one in stack.held.resources
    ]
    stack.held = replace(stack.held, resources=tuple(resources))
    with pytest.raises(KdeployError, match="stopped in AWS by somebody else") as refused:
        aws.make(design, VAULT, Silent(), None, refresh)
    told = "i-broker-1 i-broker-2" if refresh else "i-broker-1"  # what was not asked anew may run again
    assert str(refused.value).endswith(
        f"\n    aws ec2 start-instances --region eu-west-1 --instance-ids {told}"
    )
    seen.silent = set()
    aws.make(design, VAULT, Silent(), None)


def test_of_a_silent_machine_beside_others_that_answer_aws_is_asked_for_its_own_alone(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.silent = {"broker-2"}
    stack = with_stack(monkeypatch, Stack(design, [change("eu-west-1-vpc", "update", "aws:ec2/vpc:Vpc")]))
    stack.gone = (change("eu-west-1-broker-2", "create"), change("eu-west-1-broker-3", "create"))
    own = f"urn:{INSTANCE}::eu-west-1-broker-2"
    looked = aws.outlook(design, VAULT, Silent())
    assert stack.asked == [("preview", False), ("preview", (own,))]
    assert [(one.name, one.op) for one in looked.changes] == [
        ("eu-west-1-vpc", "update"),
        ("eu-west-1-broker-2", "create"),
    ], "what nobody asked for is not touched"
    stack.asked.clear()
    aws.make(design, VAULT, Silent(), None)
    assert [verb for verb, _ in stack.asked] == ["preview", "preview", "ask", "up"]
    assert stack.asked[2] == ("ask", (own,))
    assert not stack.asked[3][1]["refresh"]


def test_a_silent_machine_that_is_as_it_was_made_is_asked_for_and_nothing_is_changed(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.silent = {"broker-2"}
    with_stack(monkeypatch, Stack(design))
    assert aws.outlook(design, VAULT, Silent()).changes == ()


@pytest.mark.parametrize("shared", ["rack", "role"])
def test_where_all_that_share_something_are_silent_aws_is_asked_what_became_of_everything(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    nodes = design.blueprint.nodes
    value = getattr(nodes[0], shared)
    seen.silent = {node.name for node in nodes if getattr(node, shared) == value}
    assert 1 < len(seen.silent) < len(nodes)
    stack = with_stack(monkeypatch, Stack(design))
    stack.gone = (change("eu-west-1-vpc", "create", "aws:ec2/vpc:Vpc"),)
    looked = aws.outlook(design, VAULT, Silent())
    assert (looked.refresh, looked.asked) == (True, ())
    assert [one.name for one in looked.changes] == ["eu-west-1-vpc"]
    assert stack.asked == [("preview", True)]


def machine(node: Any, image: str, kind: str | None = None) -> dict[str, str]:
    """Inputs of a node's machine."""
    return {"ami": image, "instanceType": kind or node.machine.instance_type}


def from_images(design: prepare.Design, *images: str, kind: str | None = None) -> tuple[Resource, ...]:
    """Machines in the state, started from these images, node after node."""
    return tuple(
        Resource(f"urn:{INSTANCE}::{node.datacenter}-{node.name}", INSTANCE, "i", machine(node, image, kind))
        for node, image in zip(design.blueprint.nodes, cycle(images), strict=False)
    )


def test_images_that_the_first_machines_will_start_from_are_noted_before_anything_is_made(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design, [change("eu-west-1-vpc", "create", "aws:ec2/vpc:Vpc")]))
    stack.planned = tuple(
        Planned(INSTANCE, f"eu-west-1-{node.name}", {**machine(node, "ami-1"), **SAFE})
        for node in design.blueprint.nodes
    )
    file = design.loaded.folder / "lock.yaml"
    before: list[Any] = []

    def note(**more: Any) -> None:
        before.append(lockfile.read_lock(file))

    monkeypatch.setattr(stack, "up", note)
    noted, _ = aws.make(design, VAULT, Silent(), None)
    assert before == [noted.lock] == [lockfile.read_lock(file)]
    kinds = {node.machine.architecture for node in design.blueprint.nodes if node.machine}
    assert noted.lock.datacenters[0].images == dict.fromkeys(kinds, "ami-1")
    assert {node.machine.image for node in noted.blueprint.nodes if node.machine} == {"ami-1"}


def test_machines_keep_the_image_that_they_run_on_where_nobody_kept_the_lock(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline whose first `up` wrote images into a checkout that is gone."""
    stack = Stack(design)
    stack.held = State({"nodes": {}}, from_images(design, "ami-0ld"))
    designs: list[prepare.Design] = []
    monkeypatch.setattr(aws, "stack_of", lambda one, *_: designs.append(one) or stack)
    aws.make(design, VAULT, Silent(), None)
    assert [verb for verb, _ in stack.asked] == ["preview"]
    previewed = designs[-1]
    assert {node.machine.image for node in previewed.blueprint.nodes if node.machine} == {"ami-0ld"}
    lock = lockfile.read_lock(design.loaded.folder / "lock.yaml")
    assert lock is not None
    assert set(lock.datacenters[0].images.values()) == {"ami-0ld"}
    assert designs[0].lock.datacenters[0].images == {}


def test_a_preview_knows_the_images_too_and_writes_nothing(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    stack.held = State({"nodes": {}}, from_images(design, "ami-0ld"))
    looked = aws.outlook(design, VAULT, Silent())
    assert set(looked.design.lock.datacenters[0].images.values()) == {"ami-0ld"}
    lock = lockfile.read_lock(design.loaded.folder / "lock.yaml")
    assert lock is not None
    assert lock.datacenters[0].images == {}


def test_an_image_is_noted_for_the_processors_that_it_runs_on_alone(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines of which the other kind of processor is wanted now: what they run on says nothing of the new ones."""
    assert {one.machine.architecture for one in design.blueprint.nodes if one.machine} == {"arm64"}
    stack = with_stack(monkeypatch, Stack(design))
    stack.held = State({"nodes": {}}, from_images(design, "ami-0ld", kind="m6i.large"))
    noted, _ = aws.make(design, VAULT, Silent(), None)
    assert noted.lock.datacenters[0].images == {}


def test_where_machines_were_started_from_two_images_the_first_ones_counts(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    stack.held = State({"nodes": {}}, from_images(design, "ami-1", "ami-2"))
    noted, _ = aws.make(design, VAULT, Silent(), None)
    assert noted.lock.datacenters[0].images == {"arm64": "ami-1"}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("file://~/states", "file://HOME/states"),
        ("file:///srv/states", "file:///srv/states"),
        ("s3://states?region=eu-west-1", "s3://states?region=eu-west-1"),
        ("https://api.pulumi.com", "https://api.pulumi.com"),
        (None, "file://HOME/kept/prod/aws/state"),
    ],
)
def test_the_state_is_in_one_place_whichever_folder_the_engine_runs_in(
    wanted: str | None, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "kept"))
    assert places.stack_backend("prod", wanted) == found.replace("HOME", str(tmp_path))


def test_who_wants_aws_to_be_asked_first_gets_back_what_was_changed_there(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    stack.gone = (
        change("eu-west-1-rule", "create", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"),
        change("eu-west-1-broker-2"),
    )
    assert aws.outlook(design, VAULT, Silent()).changes == (), "nobody knows of it else"
    stack.asked.clear()
    _, provider = aws.make(design, VAULT, Silent(), None, refresh=True)
    (looked, (_, run)) = stack.asked
    assert looked == ("preview", True)
    assert (run["refresh"], run["without"]) == (True, [stack.gone[1].urn])
    assert list(provider.outdated()) == ["eu-west-1/broker-2"], (
        "a machine that runs a node waits for its turn"
    )
    stack.asked.clear()
    provider.remake(next(one for one in design.blueprint.nodes if one.name == "broker-2"))
    assert stack.asked[0][1]["refresh"], "what was put into the state before is not what AWS has"


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
    said = aws_words.checked(aws.outlook(design, VAULT, Silent()))
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

    def found(
        planned: Any, known: Any, environment: str, identity: str | None, regions: Any
    ) -> dict[tuple[str, str], str]:
        assert identity == design.lock.id is not None
        asked.append(([one.name for one in planned], environment, regions))
        return {(vpc, "eu-west-1-vpc"): "vpc-1"}

    monkeypatch.setattr(aws, "stack_of", stack_of)
    monkeypatch.setattr("kdeploy.infra.aws.adoption.found", found)
    aws.make(design, VAULT, Silent(), None)
    # What stands on it is looked for again, now that its id is known.
    assert asked == [(["eu-west-1-vpc"], "prod", ["eu-west-1"])] * 2
    assert {(vpc, "eu-west-1-vpc"): "vpc-1"} in adopted
    assert [verb for verb, _ in stack.asked] == ["preview", "preview", "up"]
    assert stack.settled_first  # what still runs may make more while it is looked for


def test_what_is_known_by_what_it_stands_on_is_found_when_that_is_and_nothing_is_asked_for_ever(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("table", "route", "more")
    stack = Stack(design, [change(f"eu-west-1-{one}", "create", one) for one in kinds])
    stack.planned = tuple(Planned(one, f"eu-west-1-{one}", {}) for one in kinds)
    answers = [{("table", "t"): "rtb-1"}, {("table", "t"): "rtb-1", ("route", "r"): "rtb-1_10.0.0.0/8"}]
    asked: list[Any] = []

    def found(*given: Any) -> dict[tuple[str, str], str]:
        asked.append(given)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(aws, "stack_of", lambda *_: stack)
    monkeypatch.setattr("kdeploy.infra.aws.adoption.found", found)
    looked = aws.outlook(design, VAULT, Silent())
    assert aws.orphans(design, VAULT, Silent(), looked) == answers[1]
    assert len(asked) == 3


def test_the_state_of_another_environment_of_the_same_name_is_refused_before_the_engine_looks(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    assert stack.held
    stack.held = replace(stack.held, outputs={**stack.held.outputs, "environment": {"id": "another"}})
    with pytest.raises(KdeployError, match="that of another environment called prod: its id is another"):
        aws.make(design, VAULT, Silent(), None)
    assert stack.asked == []


def test_an_environment_keeps_its_id_and_one_outside_aws_has_none(design: prepare.Design) -> None:
    again = prepare.design(load.load(design.loaded.folder), freeze=False)
    assert design.lock.id == again.lock.id is not None
    assert prepare.design(load.load(load.find("local")), freeze=False).lock.id is None


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


@pytest.mark.parametrize(("there", "lacks"), [((), "aws"), (("aws",), "session-manager-plugin")])
def test_machines_that_could_not_be_reached_from_here_are_not_made(
    design: prepare.Design,
    seen: Hosts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    lacks: str,
) -> None:
    monkeypatch.setenv("PATH", str(programs(tmp_path / "bin", *there)))
    file = design.loaded.folder / "environment.yaml"
    file.write_text(
        file.read_text().replace(f"key: {tmp_path}/key", f"key: {tmp_path}/key\n      through: ssm")
    )
    stack = with_stack(monkeypatch, Stack(design))
    with pytest.raises(KdeployError, match=rf"needs `{lacks}`, which is not on this machine\n  install"):
        aws.make(replace(design, loaded=load.load(design.loaded.folder)), VAULT, Silent(), None)
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
    told = {one.name: one for one in aws_words.items(design, aws.outlook(design, VAULT, Silent()))}
    assert {name: one.effect for name, one in told.items()} == {
        "eu-west-1-broker-1": "change",  # its node is what is counted as restarted
        "eu-west-1-vpc": "create",
        "eu-west-1-broker-2-data-0": "change",
    }
    assert told["eu-west-1-broker-1"].why == "instanceType a → b; broker-1 is stopped for it, in its turn"
    assert {one.layer for one in told.values()} == {"resources"}


def test_of_a_broker_whose_data_goes_with_its_machine_a_change_says_so(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = with_own_disks(design, "broker-1")
    both = [change("eu-west-1-broker-1"), change("eu-west-1-broker-2")]
    with_stack(monkeypatch, Stack(design, both))
    told = [one.why for one in aws_words.items(design, aws.outlook(design, VAULT, Silent()))]
    turn = "instanceType a → b; broker-{} is stopped for it, in its turn"
    lost = ", loses its data with it, and gets all of it anew from the others"
    assert told == [turn.format(1) + lost, turn.format(2)]


def test_deleting_what_was_never_made_asks_nothing(
    design: prepare.Design, seen: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = with_stack(monkeypatch, Stack(design))
    aws.destroy(design, VAULT, Silent())
    stack.held = None
    aws.destroy(design, VAULT, Silent())
    assert stack.asked == [("preview", False), ("destroy", None)]
    assert stack.settled_first


@pytest.fixture
def password_file(design: prepare.Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the password of that environment's vault, which is given nowhere else."""
    for name in ("KDEPLOY_VAULT_PASSWORD", "KDEPLOY_VAULT_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "password"
    file.write_text("a password of sixteen characters\n")
    vaults.create(design.loaded, file)
    return file


class Leased(Hosts):
    """Hosts whose leases somebody else has."""

    def hold(self, nodes: Any, holder: Any) -> None:
        raise LeaseHeld("somebody is at work there")

    def release(self, nodes: Any, operator: str | None = None) -> tuple[str, ...]:
        return ("somebody",)


@pytest.mark.parametrize(
    "command",
    [
        ["down"],
        ["down", "--delete-data", "--yes", "--confirm", "prod"],
        ["import"],
        ["drift", "--accept"],
        ["up", "--expect", "saved.json"],
        ["unlock", "--yes"],
    ],
    ids=" ".join,
)
def test_the_file_with_the_vaults_password_is_all_that_a_command_needs_to_ask_aws(
    command: list[str],
    design: prepare.Design,
    password_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack, name = with_stack(monkeypatch, Stack(design)), design.loaded.environment.name
    monkeypatch.setattr(hosts, "provider_of", lambda *_: Leased())
    monkeypatch.setattr(aws, "ready", lambda ask: None)
    monkeypatch.chdir(tmp_path)
    saved = {"schema": "kdeploy.preview/v2", "environment": name, "clusters": [], "changes": []}
    (tmp_path / "saved.json").write_text(json.dumps(saved))
    words = [command[0], str(design.loaded.folder), *command[1:]]
    ended = CliRunner().invoke(kdeploy, [*words, "--vault-password-file", str(password_file)])
    if command[0] == "unlock":
        assert (ended.exit_code, ended.stdout) == (0, "ended: somebody\n")
        assert stack.asked == [("unlock", None)]
    else:  # leases are asked for only when the vault is open
        assert isinstance(ended.exception, LeaseHeld), ended.exception
    without = CliRunner().invoke(kdeploy, words)
    assert "the vault's password is needed" in str(without.exception)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the Pulumi CLI."""
    monkeypatch.setattr("kdeploy.infra.aws.command.find", lambda: None)


def closed(site: Any, **_: Any) -> Any:
    raise Unreachable("no broker answers")


def test_without_the_engine_preview_shows_the_rest_and_says_in_a_line_what_it_could_not_see(
    design: prepare.Design, password_file: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = FakeAdmin(brokers=tuple(Broker(n, f"r{n}", "localhost") for n in range(1, 7)))
    monkeypatch.setattr(readiness, "connected", lambda here, **_: nullcontext(admin))
    file = design.loaded.folder / "environment.yaml"
    file.write_text(
        file.read_text().replace("topics:\n", "topics:\n  - {name: payments, partitions: 2}\n", 1)
    )
    found = preview.preview(load.load(design.loaded.folder), password_file)
    (said,) = [note for note in found.notes if note.startswith("AWS could not be asked")]
    assert "so what would change there is not in this list: the Pulumi CLI is missing" in said
    assert "install it (https://www.pulumi.com/docs/install)" in said
    assert "\n" not in said
    nodes = {one.name: (one.kind, one.why) for one in found.items if one.layer == "nodes"}
    assert set(nodes) == {node.name for node in design.blueprint.nodes}
    assert {kind for kind, _ in nodes.values()} == {"unseen"}, "nobody knows, so nothing is made up"
    assert all("the Pulumi CLI is missing" in why for _, why in nodes.values())
    assert "payments" in {one.name for one in found.items if one.layer == "topics"}
    (cost,) = [one for one in found.items if one.layer == "cost"]
    assert cost.before is None, "nobody knows what is there, so it is not told as nothing"
    assert found.pending
    assert not any(one.compared for one in found.clusters), "--expect takes it for not seen"
    ended = CliRunner().invoke(
        kdeploy, ["preview", str(design.loaded.folder), "--vault-password-file", str(password_file)]
    )
    assert ended.exit_code == 4
    assert "the Pulumi CLI is missing" in " ".join(ended.stdout.split())


def test_without_the_engine_drift_tells_what_the_cluster_has_and_what_nobody_looked_at(
    design: prepare.Design, password_file: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = FakeAdmin(brokers=tuple(Broker(n, f"r{n}", "localhost") for n in range(1, 7)))
    monkeypatch.setattr(readiness, "connected", lambda here, **_: nullcontext(admin))
    given = status.sites_of(design.loaded, Silent(), password_file)[0].passwords()
    reconcile.carry_out(admin, reconcile.plan(design.loaded.environment, admin, given), given)
    words = [str(design.loaded.folder), "--vault-password-file", str(password_file)]
    calm = CliRunner().invoke(kdeploy, ["drift", *words])
    said = " ".join(calm.stdout.split())
    assert calm.exit_code == 5, "nothing was found, and not everything was looked at"
    assert "not seen: AWS could not be asked, so what became of all that was made there is not known" in said
    assert said.count("install it (https://www.pulumi.com/docs/install)") == 1
    names = ", ".join(node.name for node in design.blueprint.nodes)
    assert f"not seen: {names} cannot be asked: which machine it has is not known" in said, (
        "what has one reason is one line"
    )
    assert max(map(len, calm.stdout.splitlines())) <= 80
    admin.set_topic_settings({"orders": {"retention.ms": "5"}})
    found = CliRunner().invoke(kdeploy, ["drift", *words, "--output", "json"])
    assert found.exit_code == 4
    document = json.loads(found.stdout)
    assert [(one["layer"], one["name"], one["found"]) for one in document["items"]] == [
        ("topics", "orders", "5")
    ]
    assert len(document["unseen"]) == 2


def test_without_the_engine_status_shows_the_cluster_and_why_its_machines_are_not_seen(
    design: prepare.Design, password_file: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        readiness, "check", lambda here: HealthReport("eu-west-1", (Check("topics", True, ""),))
    )
    ended = CliRunner().invoke(
        kdeploy, ["status", str(design.loaded.folder), "--vault-password-file", str(password_file)]
    )
    assert ended.exit_code == 5
    assert "unseen  which machine it has is not known: the Pulumi CLI" in ended.stdout
    assert "ok    topics" in ended.stdout


@pytest.mark.parametrize(
    ("said", "why", "remedy"),
    [
        ("the CLI is missing\n  install it", "the CLI is missing", "install it"),
        ("AWS did not do all of it:\n  - a: no right (x)\n  give it", "a: no right (x)", "give it"),
        ("it is so", "it is so", ""),
    ],
)
def test_why_aws_could_not_be_asked_is_one_line_and_its_remedy_another(
    said: str, why: str, remedy: str
) -> None:
    assert aws_words.why_and_remedy(KdeployError(said)) == (why, remedy)


def test_what_was_not_seen_is_not_agreed_to(
    design: prepare.Design,
    password_file: Path,
    no_engine: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "connected", closed)
    blind = preview.preview(design.loaded, password_file)
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(blind.to_json()))
    saved = expected.read(file, design.loaded.environment.name)
    stack = with_stack(monkeypatch, Stack(design, [change("eu-west-1-vpc", "create")]))
    stack.held = None
    seen = preview.preview(design.loaded, password_file)
    with pytest.raises(expected.Moved, match=r"(?s)- new: .*create.*- gone: broker-1 cannot be asked"):
        expected.refuse_other(saved, seen)
    with pytest.raises(
        expected.Moved, match="broker-1 cannot be asked, so what would be done there is not known"
    ):
        expected.refuse_other(saved, blind)


def test_before_anything_was_made_everything_is_made_also_without_the_engine(
    design: prepare.Design, no_engine: None
) -> None:
    found = preview.preview(design.loaded)
    nodes = {one.name: one.kind for one in found.items if one.layer == "nodes"}
    assert nodes == {node.name: "create" for node in design.blueprint.nodes}
    assert any("the Pulumi CLI is missing" in note for note in found.notes)


@pytest.mark.parametrize(("zone", "said"), [(None, 1), ("Z0123456789ABC", 0)])
def test_a_name_that_clients_outside_call_is_somebodys_to_make_where_its_zone_is_not_said(
    zone: str | None, said: int
) -> None:
    from tests.tuning.places import small

    wanted = {"name": "kafka.example.com", "sources": ["198.51.100.0/24"]} | ({"zone": zone} if zone else {})
    design: Any = SimpleNamespace(blueprint=small(network={"load_balancer": wanted}))
    known = {"clusters": {"dc1": {"balancer": "own.elb.eu-west-1.amazonaws.com"}}}
    told = list(aws_words.names_to_make(design, known))
    assert len(told) == said
    for line in told:
        assert line.startswith("kafka.example.com has to lead to own.elb.eu-west-1.amazonaws.com")
    assert list(aws_words.names_to_make(design, {})) == [], "nothing is known of it yet"
