"""`preview`, `up` and `down` of an environment in AWS: a real engine, an emulated AWS, and no machines to log in to.

Of the refusals an ordinary run takes the first row, the last one and one drawn by KDEPLOY_SEED; with KDEPLOY_SOAK=1 all of
them, and the image that a person asks for. Those marked `real_account` run in a real account too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import Node
from kdeploy.errors import KdeployError
from kdeploy.operations import readiness, rolling, site
from kdeploy.operations.progress import Silent
from kdeploy.spec import lockfile
from tests.cloud import rights
from tests.e2e.aws.counted import everything
from tests.e2e.aws.world import NODES, SOAK, World, chosen, kdeploy, left, tags

pytestmark = pytest.mark.cloud

in_real = pytest.mark.real_account

RULE = "eu-west-1-broker-tcp-9094-from-broker"
"""A rule of a security group."""


def _ids(world: World, machines: dict[str, Any] | None = None) -> dict[str, str]:
    """AWS's names of machines: of those that run now, where no others are given."""
    there = world.machines() if machines is None else machines
    return {key: one["InstanceId"] for key, one in there.items()}


@in_real
def test_a_preview_of_nothing_lists_every_resource_and_writes_nothing(world: World) -> None:
    done = world.kdeploy("preview", world.name, "--output", "json")
    assert done.returncode == 4, done.stderr
    found = [one for one in json.loads(done.stdout)["changes"] if one["layer"] == "resources"]
    kinds = Counter(one["what"] for one in found)
    assert kinds["create machine"] == kinds["create volume"] == kinds["create network interface"] == 6
    assert {one["effect"] for one in found} == {"create"}
    assert not everything(world.cloud)
    assert not (world.folder / "state" / world.name / "aws" / "state").exists()


@in_real
def test_up_makes_what_the_lock_says_notes_the_image_and_a_second_one_changes_nothing(world: World) -> None:
    provider = world.make()
    lock = lockfile.read_lock(world.environment / "lock.yaml")
    assert lock is not None
    (place,) = lock.datacenters
    wanted = {f"eu-west-1/{node.name}": node.address for node in place.nodes}
    machines = world.machines()
    assert {key: one["PrivateIpAddress"] for key, one in machines.items()} == wanted
    assert {one["ImageId"] for one in machines.values()} == set(place.images.values())
    assert provider.outdated() == {}
    before = everything(world.cloud)
    with world.counted() as calls:
        assert world.outlook().changes == ()
        world.make()
    assert [name for name in calls if re.search(r":(Run|Create|Attach|Modify|Delete|Stop)", name)] == []
    assert (everything(world.cloud), _ids(world)) == (before, _ids(world, machines))


def test_a_newer_image_replaces_no_machine_by_itself_with_the_lock_and_where_nobody_kept_it(
    world: World,
) -> None:
    world.cloud.publish("20271127-1")
    assert world.outlook().changes == ()
    file = world.environment / "lock.yaml"
    noted = file.read_text()
    first = lockfile.read_lock(file)
    assert first is not None
    bare = tuple(one.model_copy(update={"images": {}}) for one in first.datacenters)
    lockfile.write_lock(file, first.model_copy(update={"datacenters": bare}))
    world.cloud.calls(forget=True)
    world.make()
    assert not [name for name in world.cloud.calls() if re.search(r":(Run|Stop|Terminate)", name)]
    assert file.read_text() == noted


@in_real
def test_no_secret_of_the_vault_is_in_the_state(world: World) -> None:
    vault = world.vault()
    exported = world.exported()
    secrets = [one.key for one in vault.identities().values()] + [vault.stack, *vault.passwords.values()]
    assert len(secrets) > 8
    assert vault.passwords.keys() >= {"somebody"}
    for secret in secrets:
        lines = [line for line in secret.splitlines() if line and "-----" not in line]
        assert lines
        assert not any(line in exported for line in lines)


@in_real
def test_another_type_is_given_to_one_running_node_at_a_time(world: World) -> None:
    world.hosts.running = set(NODES)
    world.edit("brokers: {count: 3}", "brokers: {count: 3, instance_type: m6g.large}", "--reshape")
    before = _ids(world)
    with world.counted() as calls:
        provider = world.make()
    assert calls["ec2:StopInstances"] == 0
    brokers = [f"eu-west-1/broker-{number}" for number in (1, 2, 3)]
    assert sorted(provider.outdated()) == brokers
    assert all("instanceType c6g.large → m6g.large" in why for why in provider.outdated().values())
    nodes = {node.key: node for node in world.design().blueprint.nodes}
    for number, key in enumerate(brokers, 1):
        with world.counted() as calls:
            provider.remake(nodes[key])
        assert calls["ec2:StopInstances"] == world.cloud.emulated
        assert key not in provider.outdated()
        assert world.hosts.provisioned[-1] == (key,)
        assert sum(one["InstanceType"] == "m6g.large" for one in world.machines().values()) == number + 3
    assert _ids(world) == before
    assert world.outlook().changes == ()


class Turns:
    """Nodes that roll without a Kafka on them: what hosts would do is noted, and AWS is looked at when each starts.

    Invariant: whoever stops a node, or waits for all of them, finds all others running.

    Attributes:
        taken: Each node that was stopped and started, in their order, with the machines that were changed meanwhile.
        calls: What was called meanwhile, for each.
    """

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.world, self.stopped = world, ""
        self.taken: list[tuple[str, set[str]]] = []
        self.calls: list[Counter[str]] = []
        self._ids = _ids(world)
        for name in ("stop", "start", "apply"):
            patch.setattr(world.hosts, name, getattr(self, name), raising=False)
        for name in ("wait_for_coordination", "wait_for_gate", "wait_for_brokers", "settle"):
            patch.setattr(readiness, name, self.all_run)
        patch.setattr(readiness, "connected", lambda there: nullcontext(None))
        patch.setattr(readiness, "refuse_impossible", lambda there, admin, steps: None)
        patch.setattr(readiness, "leading_coordinator", lambda there: 1)
        patch.setattr(readiness, "controller_id", lambda admin: 2)
        patch.setattr(rolling, "_relieve", lambda there, admin, nodes: None)

    def all_run(self, *_: Any, **__: Any) -> None:
        assert self.world.hosts.running == set(NODES)

    def apply(self, node: Node, secrets: Any) -> None:
        """Files are put in place before the node stops, and again on its new machine."""
        assert self.stopped in ("", node.key)

    def stop(self, node: Node, how: str = "controlled") -> None:
        self.all_run()
        assert _ids(self.world) == self._ids, "between two turns no machine changes"
        self.world.cloud.calls(forget=True)
        self.world.hosts.running.remove(node.key)
        self.stopped = node.key

    def start(self, node: Node) -> None:
        assert self.stopped == node.key
        now = _ids(self.world)
        self.taken.append((node.key, {key for key in NODES if now.get(key) != self._ids[key]}))
        self.calls.append(self.world.cloud.calls())
        self.world.hosts.running.add(node.key)
        self._ids, self.stopped = now, ""


@pytest.mark.timeout(1500)
@pytest.mark.skipif(not SOAK, reason="a soak, six machines one after the other: KDEPLOY_SOAK=1")
def test_an_image_that_is_asked_for_is_given_to_one_running_node_at_a_time_in_the_rolling_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hosts.running = set(NODES)
    (old,) = {one["ImageId"] for one in world.machines().values()}
    new = world.cloud.publish("20271224-1")["arm64"]
    world.edit("alarms: true}", f"alarms: true, images: {{arm64: {new}}}}}")
    machines, volumes = world.machines(), world.volumes()
    with world.counted() as calls:
        provider = world.make()
    assert not [name for name in calls if re.search(r":(Run|Stop|Terminate)", name)]
    assert sorted(provider.outdated()) == NODES
    assert all(f"ami {old} → {new}" in why for why in provider.outdated().values())
    (there,) = site.sites(world.design(), world.vault(), Silent(), provider=provider)
    turns = Turns(world, monkeypatch)
    assert rolling.roll(there, there.cluster.nodes) == ()
    order = [*("zookeeper-2", "zookeeper-3", "zookeeper-1"), *("broker-1", "broker-3", "broker-2")]
    expected = [f"eu-west-1/{name}" for name in order]  # who leads comes last
    assert turns.taken == [(key, {key}) for key in expected]
    once = ("ec2:TerminateInstances", "ec2:RunInstances", "ec2:AttachVolume")
    assert [[made[name] for name in once] for made in turns.calls] == [[1, 1, 1]] * len(NODES)
    assert provider.outdated() == {}
    assert world.hosts.provisioned[-6:] == [(key,) for key in expected]
    after = world.machines()
    assert {one["ImageId"] for one in after.values()} == {new}
    assert {key: one["PrivateIpAddress"] for key, one in after.items()} == {
        key: one["PrivateIpAddress"] for key, one in machines.items()
    }
    attached = {one["VolumeId"]: _of(one, after) for one in world.volumes().values()}
    assert attached == {one["VolumeId"]: _of(one, machines) for one in volumes.values()}
    assert set(attached.values()) == set(NODES)
    assert world.outlook().changes == ()


def _of(volume: Any, machines: dict[str, Any]) -> str:
    """The node on whose machine a volume is."""
    (attached,) = volume["Attachments"]
    (key,) = (key for key, one in machines.items() if one["InstanceId"] == attached["InstanceId"])
    return key


@in_real
def test_volumes_grow_while_their_nodes_run(world: World) -> None:
    world.hosts.running = set(NODES)
    before = {name: one["Size"] for name, one in world.volumes().items()}
    started = {key: one["LaunchTime"] for key, one in world.machines().items()}
    world.edit("retention: 1h", "retention: 12h", "--reshape")
    with world.counted() as calls:
        assert world.make().outdated() == {}
    assert calls["ec2:ModifyVolume"] == 3 * world.cloud.emulated
    assert calls["ec2:StopInstances"] == calls["ec2:DetachVolume"] == 0
    assert {key: one["LaunchTime"] for key, one in world.machines().items()} == started, "none was stopped"
    after = {name: one["Size"] for name, one in world.volumes().items()}
    grown = {name for name in before if after[name] > before[name]}
    assert grown == {f"eu-west-1-broker-{number}-data-0" for number in (1, 2, 3)}


@in_real
def test_what_was_changed_behind_our_back_is_named_and_put_back_and_what_aws_fills_in_is_not(
    world: World,
) -> None:
    assert world.drifted() == []
    ec2 = world.cloud.client("ec2")
    volume = world.volumes()["eu-west-1-broker-1-data-0"]["VolumeId"]
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "whose", "Value": "mine"}])
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    (rule,) = [one for one in rules if tags(one).get("kdeploy:resource") == RULE]
    ec2.revoke_security_group_ingress(
        GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    assert world.drifted() == [f"delete {RULE}", "update eu-west-1-broker-1-data-0 tags"]
    told = {(one.op, one.name) for one in world.outlook(refresh=True).changes}
    assert told == {("create", RULE), ("update", "eu-west-1-broker-1-data-0")}
    world.make(refresh=True)
    assert "whose" not in tags(world.volumes()["eu-west-1-broker-1-data-0"])
    assert world.outlook(refresh=True).changes == ()


@in_real
def test_a_machine_that_was_terminated_comes_again_with_its_address_and_its_volume(world: World) -> None:
    world.hosts.running = set(NODES) - {"eu-west-1/broker-2"}
    old, volumes = world.machines(), world.volumes()
    gone = old["eu-west-1/broker-2"]
    ec2 = world.cloud.client("ec2")
    ec2.terminate_instances(InstanceIds=[gone["InstanceId"]])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[gone["InstanceId"]])
    world.hosts.silent = {gone["InstanceId"]}
    with world.counted() as calls:
        looked = world.outlook()
    assert (looked.refresh, bool(looked.asked)) == (False, True), "others of its rack and its role answer"
    assert (calls["ec2:DescribeInstances"] > 0) == world.cloud.emulated
    assert calls["ec2:DescribeVpcs"] == calls["ec2:DescribeSecurityGroups"] == 0, (
        "of what all share nobody asks"
    )
    assert ("eu-west-1-broker-2", "create") in {(one.name, one.op) for one in looked.changes}
    assert {one.name.startswith("eu-west-1-broker-2") for one in looked.changes} == {True}
    world.make()
    new = world.machines()
    assert new["eu-west-1/broker-2"]["InstanceId"] != gone["InstanceId"]
    assert new["eu-west-1/broker-2"]["PrivateIpAddress"] == gone["PrivateIpAddress"]
    assert {key: one["InstanceId"] for key, one in new.items() if key != "eu-west-1/broker-2"} == {
        key: one["InstanceId"] for key, one in old.items() if key != "eu-west-1/broker-2"
    }
    after = world.volumes()
    assert {name: one["VolumeId"] for name, one in after.items()} == {
        name: one["VolumeId"] for name, one in volumes.items()
    }
    attached = after["eu-west-1-broker-2-data-0"]["Attachments"]
    assert [one["InstanceId"] for one in attached] == [new["eu-west-1/broker-2"]["InstanceId"]]
    world.hosts.silent = set()
    assert world.outlook().changes == ()


def test_a_machine_that_somebody_stopped_is_named_with_what_starts_it_and_then_nothing_is_left_to_do(
    world: World,
) -> None:
    key = "eu-west-1/broker-2"
    ids, ec2 = _ids(world), world.cloud.client("ec2")
    world.hosts.running, world.hosts.silent = set(NODES) - {key}, {ids[key]}
    ec2.stop_instances(InstanceIds=[ids[key]])
    with pytest.raises(KdeployError) as refused:
        world.make()
    assert f"aws ec2 start-instances --region eu-west-1 --instance-ids {ids[key]}" in str(refused.value)
    ec2.start_instances(InstanceIds=[ids[key]])
    world.hosts.running, world.hosts.silent = set(NODES), set()
    assert world.make().outdated() == {}
    assert world.outlook(refresh=True).changes == ()
    assert _ids(world) == ids


@in_real
def test_deleting_everything_wants_the_name_and_leaves_nothing(world: World) -> None:
    for arguments in (("--yes",), ("--yes", "--confirm", "other"), ()):
        refused = world.kdeploy("down", world.name, "--delete-data", *arguments)
        assert refused.returncode == 2
        assert world.name in refused.stderr
    assert everything(world.cloud)["volumes"] > 5
    world.destroy()
    assert not left(world.cloud)


REFUSALS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "a region that is off",
        {"regions_off": ["eu-west-1"]},
        ["region", "enable"],
    ),
    (
        "no such machine in a zone",
        {"not_offered": [["c6g.large", "eu-west-1b"], ["m6g.large", "eu-west-1b"]]},
        ["-2 (Instance)", "not offered in this zone", "instance_type"],
    ),
    (
        "a quota",
        {"quotas": {"vcpu": 4}},
        ["quota is used up", "VcpuLimitExceeded", "Service Quotas"],
    ),
    (
        "a name that is taken",
        {"troubles": [{"call": "iam:CreateRole", "code": "EntityAlreadyExists", "message": "Role exists.", "status": 409}]},
        ["(Role)", "is there already", "rename"],
    ),
    (
        "a range that is taken",
        {"troubles": [{"call": "ec2:CreateSubnet", "code": "InvalidSubnet.Conflict", "message": "The CIDR conflicts"}]},
        ["(Subnet)", "address range", "network.cidr"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [row[1:] for row in chosen(REFUSALS)],
    ids=[row[0] for row in chosen(REFUSALS)],
)
def test_what_aws_refuses_is_told_by_resource_and_remedy_and_up_goes_on_afterwards(
    world: World, settings: dict[str, Any], words: list[str]
) -> None:
    normal = {"regions_off": [], "not_offered": [], "quotas": {}, "troubles": []}
    world.cloud.set(**(normal | settings))
    try:
        with pytest.raises(KdeployError) as refused:
            world.make()
        for word in words:
            assert word in str(refused.value)
        assert "Traceback" not in str(refused.value)
    finally:
        world.cloud.set(**normal)
        world.destroy()
    assert not everything(world.cloud)


@in_real
def test_wrong_credentials_are_told_by_preview_too(world: World) -> None:
    own = {**world.own, "AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        own.pop(name, None)
    done = kdeploy(world.folder, own, "preview", world.name)
    assert "credentials" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_command_line_tool_nothing_begins(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.environment, tmp_path / "environments" / world.name)
    path = os.pathsep.join(["/usr/bin", "/bin"])
    own = {**world.own, "PATH": path, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    own["KDEPLOY_STATE_DIR"] = str(tmp_path / "state")
    done = kdeploy(tmp_path, own, "up", world.name)
    assert done.returncode == 1
    assert "the Pulumi CLI is missing" in done.stderr
    assert not (tmp_path / "state").exists()


def test_every_call_of_all_this_is_one_that_the_policy_of_the_documents_allows(world: World) -> None:
    needed = world.cloud.needed()
    assert {"ec2:RunInstances", "iam:CreateRole", "cloudwatch:DeleteAlarms", "s3:CreateBucket"} <= needed
    assert rights.refused(needed) == set()
