"""Another machine for a dead broker: fenced, gated, written whole, and gone on with after any kill."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.blueprint import Node
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import NewTopic, Partition
from kdeploy.errors import GateClosed, KdeployError, StaleLock, UsageError
from kdeploy.infra import NodeState
from kdeploy.operations import hosts, prepare, readiness, replacing, site, vaults
from kdeploy.operations import replace as operation
from kdeploy.operations.progress import Silent
from kdeploy.security import vault
from kdeploy.security.authority import issue, new_authority
from kdeploy.spec import load, lockfile

SHIPPED = Path(__file__).parents[2] / "environments"
PASSWORD = "a long password for tests"
OLD, NEW = "10.20.2.21", "10.20.2.29"


class Machines:
    """A provider of the old machine: whether it can be reached, and what runs there."""

    def __init__(self) -> None:
        self.reached, self.running = True, False
        self.retired: list[str] = []

    def reaches(self, node: Node) -> bool:
        return self.reached

    def observe(self, nodes: Any) -> dict[str, NodeState]:
        return {node.key: NodeState(True, self.running, None, None, "") for node in nodes}

    def retire(self, node: Node) -> bool:
        self.retired.append(f"{node.name} on {node.host}")
        return self.reached


class World:
    """An environment on hosts, decided and with its vault; its cluster has lost broker 2."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "prod"
        shutil.copytree(SHIPPED / "datacenter-zk", self.folder)
        self.password = folder / "password"
        self.password.write_text(PASSWORD)
        loaded = load.load(self.folder)
        prepare.save_lock(prepare.design(loaded, freeze=False))
        vaults.create(loaded, self.password)
        self.machines, self.admin, self.ups = Machines(), FakeAdmin(), list[Any]()
        self.admin.create_topics([NewTopic("t", assignment=((1, 2, 3), (2, 3, 1)))])
        self.admin.brokers = tuple(one for one in self.admin.brokers if one.id != 2)
        self.isr("13", "31")

    def isr(self, *texts: str) -> None:
        """Leader first, those in sync of each partition."""
        self.admin.topics["t"] = tuple(
            Partition("t", at, int(text[0]), one.replicas, tuple(map(int, text)))
            for at, (text, one) in enumerate(zip(texts, self.admin.topics["t"], strict=True))
        )

    def replace(self, node: str = "broker-2", address: str = NEW, **more: Any) -> operation.Replaced:
        loaded = load.load(self.folder)
        return operation.replace(loaded, Silent(), self.password, node=node, address=address, **more)

    def files(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.folder.iterdir()}

    def names(self) -> frozenset[str]:
        """What the certificate of broker-2 is made out to."""
        return vault.read(self.folder / "vault.yaml", PASSWORD).nodes["dc1/broker-2"].reached_by

    def host(self) -> str | None:
        lock = lockfile.read_lock(self.folder / "lock.yaml")
        assert lock is not None
        return next(one.host for one in lock.datacenters[0].nodes if one.name == "broker-2")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    made = World(tmp_path)

    @contextmanager
    def connected(here: site.Site) -> Iterator[FakeAdmin]:
        yield made.admin

    def up(loaded: Any, progress: Any, password: Any, manner: Any) -> Any:
        made.ups.append((loaded, manner))
        return ()

    monkeypatch.setattr(hosts, "provider_of", lambda loaded, progress: made.machines)
    monkeypatch.setattr(hosts, "held", lambda design, command: nullcontext())
    monkeypatch.setattr(site, "provider_of", lambda design, progress, vault: made.machines)
    monkeypatch.setattr(readiness, "connected", connected)
    monkeypatch.setattr(operation, "FORGOTTEN", 0.0)
    monkeypatch.setattr(operation, "up", up)
    monkeypatch.setattr(operation, "_speaks", lambda host, port, proxy: False)
    return made


def test_the_new_machine_takes_the_nodes_place_everywhere(world: World) -> None:
    before = (world.folder / "environment.yaml").read_text()
    shared = vault.read(world.folder / "vault.yaml", PASSWORD)
    done = world.replace()
    assert (done.node, done.old, done.new, done.fence) == ("broker-2", OLD, NEW, "stopped")
    assert (world.folder / "environment.yaml").read_text() == before.replace(OLD, NEW)
    assert world.host() == NEW
    assert world.names() == {"broker-2", "broker-2.dc1", NEW}
    assert world.machines.retired == [f"broker-2 on {OLD}"]
    now = vault.read(world.folder / "vault.yaml", PASSWORD)
    assert now.nodes["dc1/broker-1"].certificate == shared.nodes["dc1/broker-1"].certificate
    assert now.passwords == shared.passwords
    ((loaded, manner),) = world.ups
    assert manner.catch_up > 0
    design = prepare.design(loaded, freeze=True)  # what is written is current
    (node,) = [one for one in design.blueprint.nodes if one.name == "broker-2"]
    assert (node.id, node.rack, node.host) == (2, "b", NEW)


def test_no_other_running_node_is_restarted_for_it(world: World) -> None:
    before = prepare.design(load.load(world.folder), freeze=True).blueprint.nodes
    world.replace()
    after = prepare.design(load.load(world.folder), freeze=True).blueprint.nodes
    changed = [
        one.name for one, other in zip(before, after, strict=True) if one.fingerprint != other.fingerprint
    ]
    assert changed == ["broker-2"]


def test_a_machine_that_runs_the_broker_is_refused(world: World) -> None:
    world.machines.running = True
    before = world.files()
    with pytest.raises(KdeployError, match=f"{OLD} runs broker-2, and two brokers of one id must never run"):
        world.replace(dead=OLD)
    assert (world.files(), world.machines.retired, world.ups) == (before, [], [])


def test_one_that_answers_at_a_port_is_refused_whatever_a_person_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.machines.reached = False
    monkeypatch.setattr(operation, "_speaks", lambda host, port, proxy: port == 9094)
    before = world.files()
    with pytest.raises(KdeployError, match=f"{OLD} answers on port 9094 of broker-2"):
        world.replace(dead=OLD)
    assert world.files() == before


@pytest.mark.parametrize("dead", ["", "10.20.1.21", NEW])
def test_one_that_cannot_be_reached_takes_a_persons_word_for_that_very_machine(
    world: World, dead: str
) -> None:
    world.machines.reached = False
    before = world.files()
    with pytest.raises(KdeployError, match=f"add --accept-dead {OLD}; nothing was changed"):
        world.replace(dead=dead)
    assert world.files() == before
    assert world.replace(dead=OLD).fence == "vouched"
    assert world.host() == NEW


@pytest.mark.parametrize(
    ("isr", "said"),
    [
        (("13", "2"), "no other replica is in sync of t-1: their last copy is on the old machine"),
        (("123", "31"), "the dead broker is still counted in sync, or leads: t-0"),
    ],
)
def test_nothing_is_written_while_records_could_be_lost(
    world: World, isr: tuple[str, ...], said: str
) -> None:
    world.isr(*isr)
    before = world.files()
    with pytest.raises(GateClosed, match=said):
        world.replace()
    assert (world.files(), world.machines.retired, world.ups) == (before, [], [])


def test_records_that_a_person_gives_up_hold_nothing(world: World) -> None:
    world.isr("13", "2")
    assert world.replace(lost=["t"]).fence == "stopped"


def test_only_what_speaks_tls_at_a_port_counts_as_a_broker(tmp_path: Path) -> None:
    authority = new_authority("CN=nodes,O=test", datetime.now(UTC))
    identity = issue(authority, "CN=broker-1,O=test", "node", datetime.now(UTC), 1)
    (tmp_path / "node.pem").write_bytes(identity.pem)
    (tmp_path / "authority.pem").write_text(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "node.pem")
    context.load_verify_locations(tmp_path / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(how: str) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def answer() -> None:
                with listening.accept()[0] as taken, suppress(OSError):
                    if how != "silent":
                        context.minimum_version = context.maximum_version = ssl.TLSVersion[how]
                        context.wrap_socket(taken, server_side=True).close()

            thread = threading.Thread(target=answer)
            thread.start()
            spoken = operation._speaks("127.0.0.1", listening.getsockname()[1], None)
            thread.join()
        return spoken

    assert serve("TLSv1_3")
    assert serve("TLSv1_2"), "it refuses who has no certificate, and that is an answer"
    assert not serve("silent"), "something took the connection and said nothing"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = listening.getsockname()[1]
    assert not operation._speaks("127.0.0.1", closed, None)


class Killed(BaseException):
    """As SIGKILL: nothing handles it."""


@pytest.mark.parametrize("moment", ["environment-edited", "lock-written", "vault-written"])
def test_killed_at_any_moment_the_same_command_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def kill(name: str) -> None:
        if name == moment:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(replacing, "kill_point", kill)
        with pytest.raises(Killed):
            world.replace()
    done = world.replace()
    assert done.fence == ("stopped" if moment == "environment-edited" else "before")
    assert (world.host(), world.names()) == (NEW, {"broker-2", "broker-2.dc1", NEW})
    assert len(world.ups) == 1
    settled = world.files()
    world.isr("132", "312")
    world.admin.brokers = FakeAdmin().brokers
    assert world.replace().fence == "before", "the new machine's broker is there"
    assert world.files()["vault.yaml"] == settled["vault.yaml"]


def test_an_address_that_a_person_wrote_already_is_taken_as_it_is(world: World) -> None:
    file = world.folder / "environment.yaml"
    file.write_text(file.read_text().replace(OLD, NEW))
    written = file.read_bytes()
    assert world.replace().old == OLD
    assert file.read_bytes() == written
    assert world.host() == NEW


def test_a_new_machine_may_have_its_disks_at_other_paths(world: World) -> None:
    file = world.folder / "environment.yaml"
    head, found, tail = file.read_text().partition(f"address: {OLD}")
    tail = tail.replace("disks: [/dev/disk/by-path/pci-0000:01:00.0-nvme-1", "disks: [/dev/disk/by-id/new", 1)
    file.write_text(head + found + tail)
    world.replace()
    design = prepare.design(load.load(world.folder), freeze=True)
    (node,) = [one for one in design.blueprint.nodes if one.name == "broker-2"]
    assert (node.host, node.disks[0].device) == (NEW, "/dev/disk/by-id/new")


def test_other_changes_at_the_same_time_are_refused_by_name(world: World) -> None:
    file = world.folder / "environment.yaml"
    file.write_text(file.read_text().replace("retention: 3d", "retention: 4d"))
    before = world.files()
    with pytest.raises(StaleLock, match=r"workload\.retention: the lock was written for") as caught:
        world.replace()
    assert "hosts" not in str(caught.value)
    assert world.files() == before


def test_an_address_that_is_written_otherwise_is_left_to_a_person_with_its_line(world: World) -> None:
    file = world.folder / "environment.yaml"
    file.write_text(file.read_text().replace(f"address: {OLD}", f"address:\n          {OLD}"))
    line = load.load(world.folder).source.line(("datacenters", 0, "hosts", 4, "address"))
    with pytest.raises(
        UsageError, match=rf"environment.yaml:{line}: the address is written in a way"
    ) as caught:
        world.replace()
    assert f"write {NEW} in place of {OLD} there" in str(caught.value)


@pytest.mark.parametrize(
    ("node", "address", "said"),
    [
        ("broker-9", NEW, r"there is no node 'broker-9'\n  there are: zookeeper-1, "),
        ("zookeeper-1", NEW, "zookeeper-1 is a member of the quorum"),
        ("broker-2", "10.20.3.21", "10.20.3.21 is the machine of broker-3"),
    ],
)
def test_what_makes_no_sense_is_refused_with_nothing_changed(
    world: World, node: str, address: str, said: str
) -> None:
    before = world.files()
    with pytest.raises(UsageError, match=said):
        world.replace(node, address)
    assert world.files() == before


def test_what_is_no_address_is_said_by_line_as_in_any_environment(world: World) -> None:
    before = world.files()
    with pytest.raises(KdeployError, match="is not a valid address"):
        world.replace(address="no address")
    assert world.files() == before


@pytest.mark.parametrize(
    ("name", "said"), [("local", "processes on this machine"), ("datacenter-zk", "nothing is")]
)
def test_an_environment_without_machines_or_without_a_lock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
    with pytest.raises(KdeployError, match=said):
        operation.replace(load.load(SHIPPED / name), Silent(), node="broker-1", address=NEW)


def test_the_broker_of_a_second_datacenter_is_named_with_it() -> None:
    nodes = [SimpleNamespace(name="broker-1", role="broker")]
    lock: Any = SimpleNamespace(
        datacenters=[SimpleNamespace(name=name, nodes=nodes, mirrors=()) for name in ("east", "west")]
    )
    with pytest.raises(UsageError, match=r"more than one datacenter has a broker-1\n  write east/broker-1"):
        replacing._node(lock, "broker-1")
    assert replacing._node(lock, "west/broker-1")[0].name == "west"


def test_a_worker_of_mirrormaker_is_replaced_without_asking_after_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    folder, password = tmp_path / "prod", tmp_path / "password"
    shutil.copytree(SHIPPED / "datacenter-two-dc", folder)
    password.write_text(PASSWORD)
    prepare.save_lock(prepare.design(load.load(folder), freeze=False))
    vaults.create(load.load(folder), password)
    machines = Machines()
    monkeypatch.setattr(hosts, "provider_of", lambda loaded, progress: machines)
    monkeypatch.setattr(hosts, "held", lambda design, command: nullcontext())
    monkeypatch.setattr(site, "provider_of", lambda design, progress, vault: machines)
    monkeypatch.setattr(operation, "_speaks", lambda *_: False)
    monkeypatch.setattr(operation, "up", lambda *_: ())
    with pytest.raises(
        UsageError, match=r"more than one datacenter has a mirror-1\n  write frankfurt/mirror-1"
    ):
        operation.replace(load.load(folder), Silent(), password, node="mirror-1", address="10.31.1.39")

    done = operation.replace(
        load.load(folder), Silent(), password, node="paris/mirror-1", address="10.31.1.39"
    )

    assert (done.old, done.new, done.fence) == ("10.31.1.31", "10.31.1.39", "stopped")
    assert machines.retired == ["mirror-1 on 10.31.1.31"]
    lock = lockfile.read_lock(folder / "lock.yaml")
    assert lock is not None
    assert [one.host for one in lock.datacenters[1].mirrors] == ["10.31.1.39", "10.31.2.31"]
    made_out = vault.read(folder / "vault.yaml", PASSWORD).nodes
    assert "10.31.1.39" in made_out["paris/mirror-1"].reached_by
