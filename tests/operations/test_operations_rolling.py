"""In which order running nodes are restarted, and how far a canary goes; without any node."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.blueprint import Disk
from kdeploy.cluster import gate
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import ClusterState, NewTopic
from kdeploy.errors import GateClosed, KdeployError, UsageError
from kdeploy.operations import readiness, rolling
from kdeploy.operations.progress import Silent
from kdeploy.operations.site import Manner
from tests.infra.nodes import node

BROKERS = [node(f"broker-{number}") for number in (1, 2, 3)]
ENSEMBLE = [node(f"zookeeper-{number}") for number in (1, 2, 3)]


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names in the order of their restarts; zookeeper-1 leads its ensemble, broker-2 is the controller."""
    names: list[str] = []
    monkeypatch.setattr(readiness, "connected", lambda site: nullcontext(None))
    monkeypatch.setattr(readiness, "controller_id", lambda admin: 2)
    monkeypatch.setattr(readiness, "leading_coordinator", lambda site: 1)
    monkeypatch.setattr(readiness, "refuse_impossible", lambda site, admin, steps: None)
    monkeypatch.setattr(rolling, "_roll_coordinator", lambda site, one: names.append(one.name))
    monkeypatch.setattr(
        rolling, "_roll_brokers", lambda site, admin, some: names.append("+".join(one.name for one in some))
    )
    return names


def site(**manner: Any) -> Any:
    return SimpleNamespace(manner=Manner(**manner))


def test_who_leads_comes_last_and_the_ensemble_before_the_brokers(restarted: list[str]) -> None:
    assert rolling.roll(site(), [*BROKERS, *ENSEMBLE]) == ()
    assert restarted == ["zookeeper-2", "zookeeper-3", "zookeeper-1", "broker-1", "broker-3", "broker-2"]


@pytest.mark.parametrize(
    ("nodes", "first", "left"),
    [
        (BROKERS, ["broker-1"], ["broker-3", "broker-2"]),
        (BROKERS[1:2], ["broker-2"], []),
        (
            [*ENSEMBLE, *BROKERS],
            ["zookeeper-2"],
            ["zookeeper-3", "zookeeper-1", "broker-1", "broker-2", "broker-3"],
        ),
        ([], [], []),
    ],
)
def test_a_canary_is_the_first_of_the_order_and_the_rest_is_named(
    restarted: list[str], nodes: list[Any], first: list[str], left: list[str]
) -> None:
    assert [one.name for one in rolling.roll(site(canary=True), nodes)] == left
    assert restarted == first


def test_what_can_never_be_done_is_refused_before_the_first_node_is_touched(
    restarted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[list[str]]] = []

    def refuse(site: Any, admin: Any, steps: Any) -> None:
        asked.append([[one.name for one in step] for step in steps])
        raise GateClosed("never")

    monkeypatch.setattr(readiness, "refuse_impossible", refuse)
    with pytest.raises(GateClosed):
        rolling.roll(site(), [*BROKERS, *ENSEMBLE])
    with pytest.raises(GateClosed):
        rolling.roll(site(by_rack=True), RACKS[:5])
    assert restarted == []
    assert asked == [
        [["broker-1"], ["broker-3"], ["broker-2"]],
        [["broker-1", "broker-4"], ["broker-3"], ["broker-5", "broker-2"]],
    ]


def test_topics_that_can_never_spare_a_broker_are_all_named_at_once() -> None:
    admin = FakeAdmin()
    admin.create_topics(
        [
            NewTopic("lone", assignment=((3,),)),
            NewTopic("pair", assignment=((2, 3),)),
            NewTopic("fine", assignment=((1, 2, 3),)),
        ]
    )
    steps = [[one] for one in BROKERS]
    with pytest.raises(GateClosed, match="no running node was restarted") as caught:
        readiness.refuse_impossible(site(), admin, steps)  # type: ignore[arg-type]
    assert str(caught.value).count("topic lone") == str(caught.value).count("topic pair") == 1
    assert "fine" not in str(caught.value)
    readiness.refuse_impossible(site(accepted=("lone", "pair")), admin, steps)  # type: ignore[arg-type]
    readiness.refuse_impossible(site(), admin, steps[:1])  # type: ignore[arg-type]
    admin.metadata = unanswered  # type: ignore[method-assign]
    readiness.refuse_impossible(site(), admin, steps)  # type: ignore[arg-type]


def unanswered() -> Any:
    raise KdeployError("no answer just now")


def test_no_node_of_an_ensemble_is_stopped_while_another_is_left_out(restarted: list[str]) -> None:
    with pytest.raises(GateClosed, match="zookeeper-3 is down"):
        rolling.roll(site(without=("zookeeper-3",)), [*BROKERS, *ENSEMBLE[:2]])
    assert restarted == []
    rolling.roll(site(without=("zookeeper-3",)), BROKERS[:1])
    rolling.roll(site(without=("broker-3",)), ENSEMBLE[:1])
    assert restarted == ["broker-1", "zookeeper-1"]


def test_topics_that_a_person_accepts_are_asked_of_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    from kdeploy.cluster import health

    asked: list[Any] = []
    monkeypatch.setattr(health, "observe", lambda admin: SimpleNamespace(quorum=None))

    def judge(state: ClusterState, broker: int, accepted: Any) -> gate.Verdict:
        asked.append((broker, accepted))
        return gate.Verdict()

    monkeypatch.setattr(gate, "judge", judge)
    readiness._verdict(site(accepted=("single",)), None, BROKERS[0])  # type: ignore[arg-type]
    readiness._verdict(site(accepted=()), None, *BROKERS)  # type: ignore[arg-type]
    assert asked == [({1}, ("single",)), ({1, 2, 3}, ())]


RACKS = [replace(node(f"broker-{number}"), rack=rack) for number, rack in enumerate("abcabcabc", 1)]


@pytest.mark.parametrize(
    ("nodes", "order"),
    [
        (RACKS, ["broker-1+broker-4+broker-7", "broker-3+broker-6+broker-9", "broker-5+broker-8+broker-2"]),
        (RACKS[:5], ["broker-1+broker-4", "broker-3", "broker-5+broker-2"]),
        (RACKS[2:4], ["broker-3", "broker-4"]),
        ([*ENSEMBLE, RACKS[0]], ["zookeeper-2", "zookeeper-3", "zookeeper-1", "broker-1"]),
    ],
)
def test_by_the_rack_the_controllers_rack_comes_last_and_the_ensemble_stays_one_by_one(
    restarted: list[str], nodes: list[Any], order: list[str]
) -> None:
    assert rolling.roll(site(by_rack=True), nodes) == ()
    assert restarted == order


def test_a_canary_by_the_rack_is_one_rack(restarted: list[str]) -> None:
    left = rolling.roll(site(by_rack=True, canary=True), RACKS[:6])
    assert restarted == ["broker-1+broker-4"]
    assert [one.name for one in left] == ["broker-3", "broker-6", "broker-5", "broker-2"]


class Machines:
    """A provider and the site around it, that note what is done to which nodes; no broker takes settings live."""

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[str, ...]]] = []
        self.provider, self.progress, self.manner = self, Silent(), Manner(by_rack=True)

    def live_settings(self, nodes: list[Any]) -> dict[int, Any]:
        return {}

    def stop(self, one: Any) -> None:
        self.done.append(("stop", (one.name,)))

    def start(self, one: Any) -> None:
        self.done.append(("start", (one.name,)))

    def apply(self, one: Any) -> None:
        raise AssertionError("files of a rack are put in place in one go")

    def apply_all(self, nodes: list[Any], apply: Any) -> None:
        self.done.append(("apply", tuple(one.name for one in nodes)))


def test_a_rack_gets_its_files_while_it_runs_and_its_last_broker_stops_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    for wait in ("wait_for_gate", "wait_for_brokers", "settle"):

        def note(site: Any, admin: Any, *nodes: Any, name: str = wait) -> None:
            machines.done.append((name, tuple(one.name for one in nodes)))

        monkeypatch.setattr(readiness, wait, note)
    rolling._roll_brokers(machines, None, [RACKS[4], RACKS[7], RACKS[1]])  # type: ignore[arg-type]
    names = ("broker-5", "broker-8", "broker-2")
    assert machines.done[:2] == [("apply", names), ("wait_for_gate", names)]
    assert sorted(machines.done[2:4]) == [("stop", ("broker-5",)), ("stop", ("broker-8",))]
    assert machines.done[4] == ("stop", ("broker-2",))
    assert sorted(machines.done[5:8]) == [("start", (name,)) for name in sorted(names)]
    assert machines.done[8:] == [("wait_for_brokers", ()), ("settle", ())]


class Rebooting(Machines):
    """Machines that can be booted anew."""

    def reboot(self, one: Any) -> None:
        self.done.append(("reboot", (one.name,)))


@pytest.mark.parametrize("kind", ["broker", "coordinator"])
def test_a_host_is_booted_anew_between_the_stop_and_the_start_of_its_node(kind: str) -> None:
    machines = Rebooting()
    machines.manner = Manner(reboot=True)
    rolling._restart(machines, RACKS[0], kind)  # type: ignore[arg-type]
    assert [what for what, _ in machines.done] == ["stop", "reboot", "start"]
    machines.done.clear()
    machines.manner = Manner()
    rolling._restart(machines, RACKS[0], kind)  # type: ignore[arg-type]
    assert [what for what, _ in machines.done] == ["stop", "start"]


def test_hosts_of_a_rack_are_booted_anew_together_when_all_of_its_brokers_are_stopped() -> None:
    machines = Rebooting()
    machines.manner = Manner(by_rack=True, reboot=True)
    rolling._restart_together(machines, RACKS[:2])  # type: ignore[arg-type]
    kinds = [what for what, _ in machines.done]
    assert kinds == ["stop", "stop", "reboot", "reboot", "start", "start"]


def test_a_rack_that_is_all_there_is_cannot_be_restarted_together() -> None:
    with pytest.raises(
        UsageError, match=r"every broker of here is in rack r1, so --by-rack would stop them all"
    ):
        Manner(by_rack=True).refuse_impossible(BROKERS)
    Manner().refuse_impossible(BROKERS)
    Manner(by_rack=True).refuse_impossible(RACKS)
    Manner(by_rack=True).refuse_impossible(BROKERS[:1])


@pytest.mark.parametrize("name", ["broker-1", "zookeeper-2"])
def test_a_node_gets_its_files_while_it_runs_and_nothing_comes_between_its_gate_and_its_stop(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done: list[str] = []

    def noting(what: str) -> Any:
        return lambda *_, **__: done.append(what)

    for wait in ("wait_for_coordination", "wait_for_gate", "wait_for_brokers", "settle"):
        monkeypatch.setattr(readiness, wait, noting(wait))
    monkeypatch.setattr(rolling, "_relieve", noting("relieve"))
    provider = SimpleNamespace(stop=noting("stop"), start=noting("start"))
    there = SimpleNamespace(
        apply=noting("apply"),
        provider=provider,
        progress=SimpleNamespace(step=noting("say"), now=Silent().now),
        manner=Manner(),
    )
    if name.startswith("broker"):
        rolling._roll_brokers(there, None, [node(name)])  # type: ignore[arg-type]
        assert done == [
            "apply",
            "wait_for_gate",
            "say",
            "stop",
            "start",
            "wait_for_brokers",
            "settle",
            "relieve",
        ]
    else:
        rolling._roll_coordinator(there, node(name))  # type: ignore[arg-type]
        expected = ["apply", "wait_for_coordination", "say", "stop", "start", "wait_for_coordination"]
        assert done == expected


def on_its_own(number: int, rack: str = "a") -> Any:
    """A broker whose data is on its machine's own disks."""
    return replace(node(f"broker-{number}"), rack=rack, disks=(Disk("local:0", "u", "/d"),))


class Remade(Machines):
    """Machines that can be changed; notes their changes too."""

    def __init__(self, *outdated: Any) -> None:
        super().__init__()
        self.manner, self.why = Manner(), {one.key: "its machine is replaced" for one in outdated}

    def apply(self, one: Any) -> None:
        self.done.append(("apply", (one.name,)))

    def outdated(self) -> dict[str, str]:
        return dict(self.why)

    def remake(self, one: Any) -> None:
        self.done.append(("remake", (one.name,)))
        del self.why[one.key]

    def observe(self, nodes: Any) -> Any:
        return {}


def test_data_that_goes_with_a_machine_is_seen_to_be_elsewhere_before_its_stop_and_its_change_and_then_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclass
    class Place:
        provider: Any
        manner: Manner
        progress: Any = field(default_factory=Silent)

        def apply(self, one: Any) -> None:
            self.provider.apply(one)

    broker = on_its_own(1)
    machines = Remade(broker)
    asked: list[tuple[str, float]] = []

    def noting(what: str) -> Any:
        def note(site: Any, *_: Any) -> None:
            asked.append((what, site.manner.catch_up))
            machines.done.append((what, ()))

        return note

    for wait in ("wait_for_gate", "wait_for_brokers", "settle"):
        monkeypatch.setattr(readiness, wait, noting(wait))
    for wait in ("_wait_for_copies", "_wait_until_uncounted", "_relieve"):
        monkeypatch.setattr(rolling, wait, noting(wait))
    monkeypatch.setattr(readiness, "connected", lambda site: nullcontext(None))
    rolling._roll_brokers(Place(machines, Manner()), None, [broker])  # type: ignore[arg-type]
    assert [what for what, _ in machines.done] == [
        *("apply", "wait_for_gate", "_wait_for_copies", "stop", "_wait_until_uncounted", "remake", "apply"),
        *("start", "wait_for_brokers", "settle", "_relieve"),
    ]
    assert dict(asked)["settle"] == readiness.CATCH_UP
    assert dict(asked)["wait_for_gate"] == 0
    asked.clear()
    machines.done.clear()
    rolling._roll_brokers(Place(machines, Manner()), None, [broker])  # type: ignore[arg-type]
    assert [what for what, _ in machines.done][:3] == ["apply", "wait_for_gate", "stop"], "its machine stays"
    assert dict(asked)["settle"] == 0


def test_brokers_that_lose_their_data_are_never_stopped_together(restarted: list[str]) -> None:
    brokers = [on_its_own(number, rack) for number, rack in enumerate("abab", 1)]
    place = SimpleNamespace(manner=Manner(by_rack=True), provider=Remade(*brokers[:2]))
    rolling.roll(place, brokers)  # type: ignore[arg-type]
    assert restarted == ["broker-3", "broker-4", "broker-1", "broker-2"]
    restarted.clear()
    rolling.roll(SimpleNamespace(manner=Manner(by_rack=True), provider=Remade()), brokers)  # type: ignore[arg-type]
    assert restarted == ["broker-1+broker-3", "broker-4+broker-2"]


def test_the_last_copy_in_sync_keeps_its_machine() -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("lone", assignment=((3,),)), NewTopic("pair", assignment=((2, 3),))])
    from kdeploy.cluster import health

    state = health.observe(admin)
    assert gate.judge_emptying(state, 2).open
    (reason,) = gate.judge_emptying(state, 3).reasons
    assert "lone" in reason
    assert "pair" not in reason
    assert gate.judge_emptying(state, 3, ("lone",)).open
