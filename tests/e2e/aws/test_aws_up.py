"""`preview`, `up` and `down` of an environment in AWS: a real engine, an emulated AWS, and no machines to log in to.

Of the kills and refusals an ordinary run takes the last row and one drawn by KDEPLOY_SEED, of refusals the first too;
with KDEPLOY_SOAK=1 all of them. Those marked `real_account` run in a real account too.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import KdeployError
from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from kdeploy.spec import lockfile
from tests.cloud import real, rights
from tests.cloud.account import Account
from tests.cloud.cloud import REPOSITORY
from tests.e2e.aws.counted import beside, everything
from tests.e2e.aws.verbs import Verbs

pytestmark = pytest.mark.cloud

in_real = pytest.mark.real_account

SEED = int(os.environ.get("KDEPLOY_SEED") or random.randrange(1_000_000))
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"


def chosen(rows: list[Any]) -> list[Any]:
    """Rows that this run takes."""
    return rows if SOAK else [rows[0], random.Random(SEED).choice(rows[1:-1]), rows[-1]]


TEXT = """\
kafka: {version: "3.9.2", coordination: zookeeper}
datacenters:
  - name: eu-west-1
    provider: aws
    region: eu-west-1
    racks: [a, b, c]
    ssh: {user: root, key: KEY, through: direct}
    network: {operators: [10.20.0.0/16]}
    machine: {bucket: true, alarms: true}
    brokers: {count: 3}
workload: {throughput: 1MB/s, retention: 1h, partitions: 30}
durability: {replication_factor: 3, min_insync_replicas: 2, survive: zone}
users: [{name: somebody}]
"""
RULE = "eu-west-1-broker-tcp-9094-from-broker"
"""A rule of a security group."""
NODES = [f"eu-west-1/{role}-{number}" for role in ("broker", "zookeeper") for number in (1, 2, 3)]


def written(folder: Path, cloud: Account, text: str = TEXT) -> dict[str, str]:
    """Write the environment; the variables of whoever works on it."""
    place = folder / "environments" / cloud.name
    place.mkdir(parents=True)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (place / "environment.yaml").write_text(text.replace("KEY", str(key)))
    own = {one: value for one, value in cloud.environment.items() if not one.startswith("PULUMI_CONFIG")}
    own.pop("PULUMI_BACKEND_URL", None)
    own |= {"KDEPLOY_STATE_DIR": str(folder / "state"), "KDEPLOY_VAULT_PASSWORD": cloud.password}
    return own | {"PYTHONPATH": str(REPOSITORY)}


def kdeploy(folder: Path, own: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdeploy", *arguments],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class World(Verbs):
    """An environment in an account."""

    def __init__(self, folder: Path, cloud: Any, own: dict[str, str]) -> None:
        super().__init__(folder, Silent(), cloud.name)
        self.cloud, self.own = cloud, own

    def kdeploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return kdeploy(self.folder, self.own, *arguments)

    def edit(self, old: str, new: str) -> None:
        """Change the environment as a person would, and decide it."""
        file = self.environment / "environment.yaml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        done = self.kdeploy("plan", self.name, "--lock", "--reshape")
        assert done.returncode == 0, done.stderr

    def decide(self, patch: pytest.MonkeyPatch) -> None:
        """Have its lock and its vault, and let this process work on it as commands do."""
        for name, value in self.own.items():
            patch.setenv(name, value)
        patch.setattr(hosts, "provider_of", self.hosts.use)
        for arguments in (("plan", self.name, "--lock"), ("vault", "create", self.name)):
            done = self.kdeploy(*arguments)
            assert done.returncode == 0, done.stderr

    def machines(self) -> dict[str, Any]:
        """Machines that are not gone, by their node."""
        answer = self.cloud.client("ec2").describe_instances(Filters=self._own())
        found = [one for group in answer["Reservations"] for one in group["Instances"]]
        return {_tags(one)["kdeploy:node"]: one for one in found if one["State"]["Name"] == "running"}

    def volumes(self) -> dict[str, Any]:
        """Data volumes by their resource."""
        found = self.cloud.client("ec2").describe_volumes(Filters=self._own())["Volumes"]
        return {_tags(one)["kdeploy:resource"]: one for one in found if "kdeploy:resource" in _tags(one)}

    def _own(self) -> list[dict[str, Any]]:
        return [{"Name": "tag:kdeploy:environment", "Values": [self.name]}]

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Calls that are made meanwhile, known afterwards; a real account does not count them."""
        found: Counter[str] = Counter()
        if self.cloud.emulated:
            self.cloud.calls(forget=True)
        yield found
        if self.cloud.emulated:
            found.update(self.cloud.calls())


def _ids(world: World, machines: dict[str, Any] | None = None) -> dict[str, str]:
    """AWS's names of machines: of those that run now, where no others are given."""
    there = world.machines() if machines is None else machines
    return {key: one["InstanceId"] for key, one in there.items()}


def _tags(one: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}


@pytest.fixture(scope="module")
def module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def world(account: Account, module: pytest.MonkeyPatch) -> World:
    """An environment that was decided, of which nothing is made yet."""
    folder = account.folder / "work"
    made = World(folder, account, written(folder, account))
    made.decide(module)
    return made


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
    world.edit("brokers: {count: 3}", "brokers: {count: 3, instance_type: m6g.large}")
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


@in_real
def test_volumes_grow_while_their_nodes_run(world: World) -> None:
    world.hosts.running = set(NODES)
    before = {name: one["Size"] for name, one in world.volumes().items()}
    started = {key: one["LaunchTime"] for key, one in world.machines().items()}
    world.edit("retention: 1h", "retention: 12h")
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
    (rule,) = [one for one in rules if _tags(one).get("kdeploy:resource") == RULE]
    ec2.revoke_security_group_ingress(
        GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    assert world.drifted() == [f"delete {RULE}", "update eu-west-1-broker-1-data-0 tags"]
    told = {(one.op, one.name) for one in world.outlook(refresh=True).changes}
    assert told == {("create", RULE), ("update", "eu-west-1-broker-1-data-0")}
    world.make(refresh=True)
    assert "whose" not in _tags(world.volumes()["eu-west-1-broker-1-data-0"])
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


@in_real
def test_deleting_everything_wants_the_name_and_leaves_nothing(world: World) -> None:
    for arguments in (("--yes",), ("--yes", "--confirm", "other"), ()):
        refused = world.kdeploy("down", world.name, "--delete-data", *arguments)
        assert refused.returncode == 2
        assert world.name in refused.stderr
    assert everything(world.cloud)["volumes"] > 5
    world.destroy()
    assert not left(world.cloud)


KILLS = [
    ("ec2:CreateVpc", "engine"),
    ("ssm:GetParameter", "both"),
    ("ec2:AuthorizeSecurityGroupIngress", "both"),
    ("ec2:CreateNatGateway", "engine"),
    ("route53:CreateHostedZone", "both"),
    ("route53:ChangeResourceRecordSets", "both"),
    ("iam:AddRoleToInstanceProfile", "both"),
    ("ec2:CreateVolume", "both"),
    ("ec2:RunInstances", "both"),
    ("iam:CreateRole", "both"),
    ("ec2:CreateRoute", "both"),
    ("ec2:AssociateRouteTable", "engine"),
    ("s3:CreateBucket", "both"),
    ("cloudwatch:PutMetricAlarm", "both"),
    ("ec2:AttachVolume", "kdeploy"),
]
"""Calls that something is killed at when the first one was made, and what: every row leaves the others' work half done.
Looking for the image is the preview, before anything is made."""

SEEN = {"ec2:CreateVpc": "networks", "ec2:RunInstances": "machines"}
"""Calls that a real account shows to have been made: by what there is one of then (as `everything` counts)."""

KILLED = KILLS if SOAK else [random.Random(SEED).choice(KILLS[:-1]), KILLS[-1]]
if real.wanted():
    KILLED = [row for row in KILLS if row[0] in SEEN]
"""Of which an ordinary run takes the last and one that is drawn; in a real account, those that show there."""

SLOW = {"ec2:AttachVolume": 3.0}
"""Seconds before AWS does it: what lives on after the kill makes these while the next run already looks around."""


@in_real
@pytest.mark.parametrize(("call", "victim"), KILLED, ids=[f"{victim}-{call}" for call, victim in KILLED])
def test_after_a_kill_up_again_finishes_with_nothing_twice(world: World, call: str, victim: str) -> None:
    lock = world.environment / "lock.yaml"
    kept = lock.read_text()
    if world.cloud.emulated:
        world.cloud.set(slow=SLOW)
        world.cloud.calls(forget=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.aws.verbs", "make", world.name],
        cwd=world.folder,
        env=world.own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: _is_made(world, call) or process.poll() is not None)
    for number in _victims(process, victim):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    try:
        world.make()
        found = everything(world.cloud)
        assert found["machines"] == found["interfaces"] - 1 == 6  # one interface is the gateway's
        assert found["volumes"] == 12  # a root disk each, and one for data
        assert (found["networks"], found["roles"], found["profiles"], found["zones"]) == (1, 1, 1, 1)
        assert (found["subnets"], found["apart"], found["addresses"]) == (4, 6, 1)
        assert (found["tables"], found["tied"], found["routes"]) == (4, 4, 4)
        assert (found["buckets"], found["alarms"]) == (1, 24)  # two checks of each, and two file systems
        assert beside(found, world.exported()) == {}, "in AWS, and not in the state"
        assert world.outlook().changes == ()
    finally:
        if world.cloud.emulated:
            world.cloud.set(slow={})
        world.destroy()
        lock.write_text(kept)
    assert not left(world.cloud)


def left(cloud: Account) -> Counter[str]:
    """What there is of an environment that was given up; a real account tells of its end a little late."""
    return cloud.left() if isinstance(cloud, real.Real) else everything(cloud)


def _is_made(world: World, call: str) -> bool:
    """Whether a call was made: as it is counted, or by what there is."""
    if world.cloud.emulated:
        return bool(world.cloud.calls()[call] > 0)
    time.sleep(1)  # AWS is asked some twenty things each time
    return everything(world.cloud)[SEEN[call]] > 0


def until(condition: Callable[[], bool]) -> None:
    """Wait; the test's own time limit is the end of it."""
    while not condition():
        time.sleep(0.02)


def _victims(process: subprocess.Popen[bytes], which: str) -> list[int]:
    """Process numbers: kdeploy's, its engine's, or both and the provider's."""
    below = {process.pid: "kdeploy"}
    for _ in range(3):
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and _parent(entry) in below:
                below[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
    engines = [number for number, words in below.items() if "pulumi\0" in words.partition(" ")[0]]
    if which == "kdeploy":
        return [process.pid]
    return [*engines, process.pid] if which == "both" else engines


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


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
