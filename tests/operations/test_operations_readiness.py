"""Waiting is for what can be seen, and what cannot be seen for a moment is waited for too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.blueprint import Disk, Node
from kdeploy.cluster.failure import TimedOut
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Metadata, NewTopic
from kdeploy.errors import GateClosed, Unhealthy
from kdeploy.infra import NodeState
from kdeploy.operations import readiness, up
from kdeploy.operations.difference import Action
from kdeploy.operations.progress import Silent
from tests.infra.nodes import node


def site(patience: float) -> Any:
    """As much of a site as waiting for a gate needs."""
    design = SimpleNamespace(blueprint=SimpleNamespace(environment="demo"))
    manner = SimpleNamespace(accepted=())
    return SimpleNamespace(patience=patience, progress=Silent(), design=design, manner=manner)


class Busy(FakeAdmin):
    """A cluster that does not answer the first questions, as while its controller changes."""

    def __init__(self, silent: int) -> None:
        super().__init__()
        self.unanswered = silent

    def metadata(self) -> Metadata:
        self.unanswered -= 1
        if self.unanswered >= 0:
            raise TimedOut("no answer in time\n  look")
        return super().metadata()


def test_a_gate_that_cannot_be_looked_at_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PAUSE", 0.01)
    admin = Busy(silent=2)
    readiness.wait_for_gate(site(10), admin, node())
    assert admin.unanswered < 0


def test_a_gate_that_stays_closed_says_what_holds_it_and_both_ways_on() -> None:
    with pytest.raises(GateClosed, match="no answer in time") as closed:
        readiness.wait_for_gate(site(0), Busy(silent=1000), node())
    admin = FakeAdmin()
    admin.create_topics([NewTopic("single", partitions=3, replication_factor=1)])
    with pytest.raises(GateClosed, match="topic single has replication factor 1"):
        readiness.wait_for_gate(site(0), admin, node())
    assert "`kdeploy down demo`, then `kdeploy up demo`" in str(closed.value)


def lost_its_host(*isr: tuple[int, ...]) -> FakeAdmin:
    """A cluster whose broker 2 has lost its machine; replicas 1, 2, 3 of each partition."""
    admin = FakeAdmin()
    if isr:
        admin.create_topics([NewTopic("t", assignment=((1, 2, 3),) * len(isr))])
        admin.topics["t"] = tuple(
            replace(one, leader=ids[0], isr=ids) for one, ids in zip(admin.topics["t"], isr, strict=True)
        )
    admin.brokers = tuple(one for one in admin.brokers if one.id != 2)
    return admin


@pytest.mark.parametrize(
    ("admin", "lost", "why"),
    [
        (lost_its_host((1, 3), (3, 1)), (), None),
        (lost_its_host(), (), None),
        (FakeAdmin(), (), None),
        (lost_its_host((1, 3), (2,)), (), "no other replica is in sync of t-1"),
        (lost_its_host((1, 3), (2,)), ("t",), None),
        (lost_its_host((1, 2, 3)), (), "still counted in sync"),
    ],
)
def test_a_broker_whose_data_is_gone_begins_anew_only_where_others_have_it(
    admin: FakeAdmin, lost: tuple[str, ...], why: str | None
) -> None:
    place = site(0)
    place.manner = SimpleNamespace(lost=lost)
    if why is None:
        readiness.wait_for_others(place, admin, node("broker-2"))
        return
    with pytest.raises(GateClosed, match="broker-2 was not begun anew without its data") as closed:
        readiness.wait_for_others(place, admin, node("broker-2"))
    assert why in str(closed.value)


@pytest.mark.parametrize(
    ("kinds", "asked"),
    [
        (("none", "create", "none"), ["broker-2"]),
        (("restart", "create", "create"), ["broker-2", "broker-3"]),
        (("create", "create", "create"), []),
        (("start", "create", "start"), []),
        (("none", "start", "restart"), []),
    ],
)
def test_up_asks_for_it_exactly_where_a_broker_is_new_in_a_cluster_that_serves(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[Any, ...], asked: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(readiness, "connected", lambda site: nullcontext(None))
    monkeypatch.setattr(readiness, "wait_for_others", lambda site, admin, one: found.append(one.name))
    todo = tuple(Action(node(f"broker-{at}"), kind, "") for at, kind in enumerate(kinds, 1))
    up._wait_for_others(site(0), (*todo, Action(node("zookeeper-1"), "create", "")))
    assert found == asked


@pytest.mark.parametrize(
    ("kinds", "remedy"),
    [
        (("create", "create", "start"), "kdeploy up env --without broker-1 --without broker-2"),
        (("create", "create", "create"), "kdeploy down env --delete-data"),
    ],
)
def test_a_machine_that_lost_its_data_begins_anew_only_where_a_broker_serves_that_may_have_it(
    kinds: tuple[Any, ...], remedy: str
) -> None:
    nodes = [replace(node(f"broker-{at}"), disks=(Disk("local:0", "u", "/d"),)) for at in (1, 2, 3)]
    states = {one.key: NodeState(False, False, None, None, "", emptied=True) for one in nodes}
    place = site(0)
    place.provider = SimpleNamespace(observe=lambda asked: states)
    place.design = SimpleNamespace(blueprint=SimpleNamespace(environment="env"))
    todo = tuple(Action(one, kind, "") for one, kind in zip(nodes, kinds, strict=True))
    with pytest.raises(GateClosed, match="broker-1, broker-2") as closed:
        up._wait_for_others(place, todo)
    assert remedy in str(closed.value)
    states |= {one.key: NodeState(False, False, None, None, "") for one in nodes}
    assert not up._wait_for_others(place, todo), "they are new"


def test_what_a_machine_lost_is_waited_for_and_what_its_volumes_kept_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "connected", lambda site: nullcontext(None))
    monkeypatch.setattr(readiness, "wait_for_others", lambda *_: None)
    kept = node("broker-1")
    lost = replace(kept, disks=(Disk("local:0", "u", "/d"),))
    serving = Action(node("broker-2"), "none", "")
    assert up._wait_for_others(site(0), (Action(lost, "create", ""), serving))
    assert not up._wait_for_others(site(0), (Action(kept, "create", ""), serving))


def test_data_that_comes_back_is_waited_for_longer_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PAUSE", 0.0)
    monkeypatch.setattr(readiness, "TELL", 0.0)
    told: list[str] = []
    admin = lost_its_host((1, 3))
    admin.brokers = FakeAdmin().brokers  # it is back, without its data
    place = site(0)
    brokers = [node(f"broker-{number}") for number in (1, 2, 3)]
    running = {one.key: NodeState(True, True, None, None, "") for one in brokers}
    place.cluster = SimpleNamespace(brokers=brokers)
    place.provider = SimpleNamespace(observe=lambda nodes: running)
    place.manner = SimpleNamespace(catch_up=0.0)
    with pytest.raises(Unhealthy, match="not fully in sync: t-0"):
        readiness.settle(place, admin)

    def step(phase: str, text: str) -> None:
        told.append(f"{phase}: {text}")
        if len(told) == 3:
            admin.topics["t"] = tuple(replace(one, isr=(1, 2, 3)) for one in admin.topics["t"])

    place.progress = SimpleNamespace(step=step, now=Silent().now)
    place.manner = SimpleNamespace(catch_up=60.0)
    readiness.settle(place, admin)
    assert told == ["catch up: not fully in sync: t-0 (2 of 3)"] * 3


class Restless:
    """A provider whose one broker ends by itself each time it is started, until the time comes."""

    def __init__(self, detail: str, ends: int) -> None:
        self.detail, self.ends, self.started = detail, ends, 0

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        running = self.started >= self.ends
        return {one.key: NodeState(True, running, None, None, self.detail) for one in nodes}

    def start(self, _: Node) -> None:
        self.started += 1


EXISTS = "ended by itself; its logs last say:\n  KeeperErrorCode = NodeExists"


def starting(monkeypatch: pytest.MonkeyPatch, provider: Restless) -> None:
    """Connect to the brokers of a machine that was just switched on again."""

    @contextmanager
    def connect(_: object) -> Iterator[FakeAdmin]:
        yield FakeAdmin()

    def attempt(access: object, *_: float) -> AbstractContextManager[FakeAdmin]:
        if not provider.observe([node()])[node().key].running:
            raise TimedOut("no broker could be reached\n  look")
        return connect(access)

    monkeypatch.setattr(readiness, "PAUSE", 0.0)
    monkeypatch.setattr("kdeploy.cluster.admin.connect", attempt)
    place = site(10)
    place.provider, place.access, place.cluster = (
        provider,
        None,
        SimpleNamespace(brokers=(node(),), cluster_id=None),
    )
    with readiness.connected(place, starting=True):
        pass


def test_brokers_that_came_before_zookeeper_forgot_them_are_started_until_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Restless(EXISTS, ends=20)
    starting(monkeypatch, provider)
    assert provider.started == 20


def test_a_broker_that_is_never_forgotten_is_given_up_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "FORGOTTEN_IN", 0.05)
    with pytest.raises(Unhealthy, match=r"(?s)ended while it started.*NodeExists"):
        starting(monkeypatch, Restless(EXISTS, ends=10**9))


def test_a_broker_that_ends_for_another_reason_has_four_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Restless("ended by itself; its logs last say:\n  No space left on device", ends=10**9)
    with pytest.raises(Unhealthy, match="No space left on device"):
        starting(monkeypatch, provider)
    assert provider.started == readiness.BROKER_STARTS - 1


@pytest.mark.parametrize(("may_return", "ends"), [(True, "waited"), (False, "ended while it started")])
def test_a_broker_that_may_return_by_itself_is_waited_for_and_not_started(
    monkeypatch: pytest.MonkeyPatch, may_return: bool, ends: str
) -> None:
    monkeypatch.setattr(readiness, "PAUSE", 0.0)
    state = NodeState(True, False, None, None, "10.0.0.1 cannot be reached", may_return=may_return)
    provider = Restless("", ends=10**9)
    monkeypatch.setattr(provider, "observe", lambda nodes: {one.key: state for one in nodes})
    place = site(0.05)
    place.provider, place.cluster = provider, SimpleNamespace(brokers=(node("broker-9"),))
    with pytest.raises(Unhealthy, match=ends):
        readiness.wait_for_brokers(place, FakeAdmin())
    assert (provider.started == 0) is may_return
