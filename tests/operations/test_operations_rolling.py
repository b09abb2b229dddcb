"""In which order running nodes are restarted, and how far a canary goes; without any node."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import gate
from kdeploy.cluster.state import ClusterState
from kdeploy.errors import GateClosed
from kdeploy.operations import readiness, rolling
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
    monkeypatch.setattr(rolling, "_roll_coordinator", lambda site, one: names.append(one.name))
    monkeypatch.setattr(rolling, "_roll_broker", lambda site, admin, one: names.append(one.name))
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
    assert asked == [(1, ("single",))]


@pytest.mark.parametrize("name", ["broker-1", "zookeeper-2"])
def test_a_node_gets_its_files_while_it_runs_and_nothing_comes_between_its_gate_and_its_stop(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    done: list[str] = []

    def noting(what: str) -> Any:
        return lambda *_, **__: done.append(what)

    for wait in ("wait_for_coordination", "wait_for_gate", "wait_for_brokers", "settle"):
        monkeypatch.setattr(readiness, wait, noting(wait))
    provider = SimpleNamespace(stop=noting("stop"), start=noting("start"))
    there = SimpleNamespace(
        apply=noting("apply"), provider=provider, progress=SimpleNamespace(step=noting("say"))
    )
    if name.startswith("broker"):
        rolling._roll_broker(there, None, node(name))  # type: ignore[arg-type]
        assert done == ["apply", "wait_for_gate", "say", "stop", "start", "wait_for_brokers", "settle"]
    else:
        rolling._roll_coordinator(there, node(name))  # type: ignore[arg-type]
        expected = ["apply", "wait_for_coordination", "say", "stop", "start", "wait_for_coordination"]
        assert done == expected
