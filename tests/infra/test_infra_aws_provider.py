"""Nodes on machines of a stack: what has none is not there, disks are found by volume, one machine changes at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from kdeploy.blueprint import Blueprint, ClusterBlueprint, Disk, Node
from kdeploy.errors import KdeployError
from kdeploy.infra import AppliesTogether, Forwards, KnowsTypes, NodeState, Reboots, Remakes
from kdeploy.infra.aws import provider as module
from kdeploy.infra.aws.own_disks import BY_ID
from kdeploy.infra.aws.provider import AwsProvider, Instance, Remaking, device, instances
from kdeploy.infra.hosts.ssh import Unreachable
from tests.infra.nodes import node

NODES = tuple(replace(node(f"broker-{number}"), disks=(Disk("volume:0", "u", "/d"),)) for number in (1, 2, 3))
BLUEPRINT = Blueprint("env", (ClusterBlueprint("here", "aws", "zookeeper", "3.9.2", None, NODES),))
OUTPUTS = {
    "nodes": {
        one.key: {
            "instance": f"i-{one.id}",
            "address": f"10.0.0.{one.id}",
            "image": "ami-1",
            "instance_type": "m6i.large",
            "volumes": [f"vol-0{one.id}"],
        }
        for one in NODES
    }
}
FOUND = instances(OUTPUTS)


class Hosts:
    """Notes what it is asked."""

    def __init__(
        self, machines: Mapping[str, Instance], log: list[Any], answers: Mapping[str, int], prepared: bool
    ) -> None:
        self.machines, self.log, self.answers, self.prepared = machines, log, dict(answers), prepared

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        self.log.append(("observe", tuple(one.disks[0].device for one in nodes)))
        if any(one.loses_data_on_stop or "Instance_Storage" in one.disks[0].device for one in nodes):
            return {one.key: NodeState(OWN.present, OWN.running, "a", None, "") for one in nodes}
        return {one.key: NodeState(True, True, "a", "a", "", prepared=self.prepared) for one in nodes}

    def reaches(self, one: Node) -> bool:
        left = self.answers.get(one.key, 0)
        self.answers[one.key] = left - 1
        return left <= 0

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        self.log.append(("hold", tuple(one.name for one in nodes)))

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        self.log.append(("provision", tuple(one.name for one in blueprint.nodes if one.key not in without)))

    def proxy(self, cluster: ClusterBlueprint) -> None:
        return None

    def own_disks(self, one: Node, prefix: str) -> list[dict[str, Any]]:
        self.log.append(("own disks", (one.name,)))
        if one.key in OWN.silent:
            raise Unreachable("no answer")
        return OWN.disks

    def forget(self, one: Node) -> None:
        self.log.append(("forget", (one.name, one.disks[0].device)))
        OWN.present = False


class Own:
    """What machines' own disks hold."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.disks: list[dict[str, Any]] = []
        self.present, self.running = True, False


OWN = Own()


def made(
    found: Mapping[str, Instance] = FOUND,
    remaking: Remaking = Remaking(),  # noqa: B008 - frozen
    answers: Mapping[str, int] | None = None,
    prepared: bool = False,
) -> tuple[AwsProvider, list[Any]]:
    log: list[Any] = []
    hosts: Any = lambda machines: Hosts(machines, log, answers or {}, prepared)  # noqa: E731
    return AwsProvider(BLUEPRINT, hosts, found, lambda *_: None, remaking), log


def test_it_answers_every_verb_that_operations_ask_for() -> None:
    provider, _ = made()
    for protocol in (AppliesTogether, Forwards, KnowsTypes, Reboots, Remakes):
        assert isinstance(provider, protocol)


def test_a_node_without_a_machine_is_not_there_and_its_host_is_not_asked() -> None:
    provider, log = made({key: one for key, one in FOUND.items() if key != "here/broker-2"})
    states = provider.observe(NODES)
    assert [states[one.key].present for one in NODES] == [True, False, True]
    assert log == [("observe", (module.BY_ID + "vol01", module.BY_ID + "vol03"))]
    assert provider.types(NODES) == {"here/broker-1": "m6i.large", "here/broker-3": "m6i.large"}
    with pytest.raises(KdeployError, match="no machine of here/broker-2"):
        provider.provision(BLUEPRINT)
    provider.stop(NODES[1])
    provider.delete(NODES[1])
    assert not provider.reaches(NODES[1])


def test_a_disk_is_found_by_its_volume_and_a_path_stays_a_path() -> None:
    one = Instance("i-1", "10.0.0.1", volumes=("vol-0a", "vol-0b"))
    assert device("volume:1", one) == "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0b"
    assert device("/dev/sdb", one) == "/dev/sdb"
    with pytest.raises(KdeployError, match="number 2 is wanted"):
        device("volume:2", one)


def test_what_the_program_exported_half_way_is_no_machine() -> None:
    assert instances({}) == {}
    assert instances({"nodes": {"here/broker-1": {"address": "10.0.0.1"}}}) == {}


def test_a_machine_is_changed_once_with_its_lease_and_its_place_and_nobody_elses() -> None:
    changed: list[str] = []

    def change(one: Node) -> Mapping[str, Instance]:
        changed.append(one.name)
        return FOUND

    why = {"here/broker-2": "its machine changes"}
    provider, log = made(remaking=Remaking(why, change, {"operator": "me"}))
    for one in NODES:
        provider.remake(one)
        provider.remake(one)
    assert changed == ["broker-2"]
    looked = ("observe", (module.BY_ID + "vol02",))
    assert log == [("hold", ("broker-2",)), looked, ("provision", ("broker-2",))]
    assert provider.outdated() == {}


def test_a_machine_that_came_back_as_it_was_is_not_made_ready_again() -> None:
    remaking = Remaking({"here/broker-2": "its machine changes"}, lambda one: FOUND)
    provider, log = made(remaking=remaking, prepared=True)
    provider.remake(NODES[1])
    assert [verb for verb, _ in log] == ["observe"]


def test_a_machine_that_boots_is_waited_for_and_one_that_never_answers_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    provider, _ = made(answers={"here/broker-1": 3, "here/broker-3": 1})
    assert [one.name for one in provider.unreached(NODES)] == ["broker-1", "broker-3"]
    provider.wait(NODES)
    assert provider.unreached(NODES) == ()
    monkeypatch.setattr(module, "COMES_BACK", -1.0)
    provider, _ = made(answers={"here/broker-3": 9})
    with pytest.raises(KdeployError, match=r"no answer by SSH .* from broker-3 \(i-3\)"):
        provider.wait(NODES)


LOSING = tuple(replace(one, disks=(Disk("local:0", "uuid-0", "/d"),)) for one in NODES[:1])


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    fresh = Own()
    monkeypatch.setitem(globals(), "OWN", fresh)
    fresh.disks = [{"path": f"{BY_ID}AWS1", "file_system": "uuid-0", "empty": False}]
    return fresh


def test_a_machines_own_disk_has_the_path_of_its_serial_number(own: Own) -> None:
    provider, log = made()
    assert provider.observe(LOSING)["here/broker-1"].present
    assert log == [("own disks", ("broker-1",)), ("observe", (f"{BY_ID}AWS1",))]


def test_a_node_whose_machines_own_disks_came_back_empty_is_not_there_and_is_forgotten_when_it_begins_anew(
    own: Own,
) -> None:
    own.disks = [{"path": f"{BY_ID}AWS9", "file_system": "", "empty": True}]
    provider, log = made()
    state = provider.observe(LOSING)["here/broker-1"]
    assert (state.present, state.emptied, state.prepared) == (False, True, False)
    log.clear()
    cluster = replace(BLUEPRINT.clusters[0], nodes=LOSING)
    provider.provision(replace(BLUEPRINT, clusters=(cluster,)))
    assert [what for what, _ in log] == ["own disks", "observe", "forget", "provision"]
    assert ("forget", ("broker-1", f"{BY_ID}AWS9")) in log
    log.clear()
    provider.provision(replace(BLUEPRINT, clusters=(cluster,)))
    assert "forget" not in [what for what, _ in log], "it never had the node"


@pytest.mark.parametrize("what", ["runs", "holds something else", "was never here"])
def test_nothing_else_is_taken_for_a_machine_that_lost_its_data(own: Own, what: str) -> None:
    own.disks = [{"path": f"{BY_ID}AWS9", "file_system": "", "empty": what != "holds something else"}]
    own.running, own.present = what == "runs", what != "was never here"
    provider, log = made()
    assert not provider.observe(LOSING)["here/broker-1"].emptied
    provider.provision(replace(BLUEPRINT, clusters=(replace(BLUEPRINT.clusters[0], nodes=LOSING),)))
    assert "forget" not in [one for one, _ in log]


def test_a_machine_that_cannot_be_asked_for_its_disks_is_told_as_any_that_cannot_be_asked(own: Own) -> None:
    own.silent.add("here/broker-1")
    provider, log = made()
    provider.observe(LOSING)
    assert log[-1] == ("observe", ("local:0",))


def test_a_machine_that_lacks_a_disk_of_its_own_is_named(own: Own) -> None:
    own.disks = []
    provider, _ = made()
    with pytest.raises(
        KdeployError, match=r"here/broker-1 \(i-1\): the machine has 0 disks of its own, and 1 are"
    ):
        provider.observe(LOSING)
