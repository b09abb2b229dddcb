"""Datacenters are asked at once: one that is gone is waited for once, and what it says too late is not kept open."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from kdeploy.cli.mirror import text, wrongs
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.mirror import MirrorStatus
from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import asking, mirror_status
from kdeploy.operations.asking import Answer, asked
from kdeploy.operations.reach import WrongCluster
from kdeploy.operations.site import Site
from tests.contracts import hold
from tests.operations.two_sides_world import TwoSides


class Doors:
    """What stands before each cluster: open, or shut until somebody opens it."""

    def __init__(self, sites: tuple[Site, ...]) -> None:
        self.sites = sites
        self.opened = {one.cluster.datacenter: threading.Event() for one in sites}
        self.inside: list[str] = []
        self.left = threading.Event()
        self.together = threading.Barrier(len(sites), timeout=30)

    @contextmanager
    def connected(self, here: Site, within: float) -> Iterator[FakeAdmin]:
        self.together.wait()  # nobody comes in before all are asked
        name = here.cluster.datacenter
        assert self.opened[name].wait(60)
        self.inside.append(name)
        try:
            yield FakeAdmin()
        finally:
            self.inside.remove(name)
            self.left.set()


@pytest.fixture
def doors(two: TwoSides, monkeypatch: pytest.MonkeyPatch) -> Doors:
    made = Doors(two.sites)
    monkeypatch.setattr("kdeploy.operations.readiness.connected", made.connected)
    return made


def test_all_are_asked_before_any_is_waited_for_and_are_open_for_the_block_alone(doors: Doors) -> None:
    for one in doors.opened.values():
        one.set()
    with asked(doors.sites, 30) as found:
        assert all(isinstance(one, Answer) for one in found.values())
        assert sorted(doors.inside) == ["east", "west"]
    assert doors.inside == []


def test_where_none_answers_all_are_asked_once_more_for_twice_as_long(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    @contextmanager
    def connected(here: Site, within: float) -> Iterator[FakeAdmin]:
        tried.append(within)
        if within == 0.2 or here.cluster.datacenter == "east":
            raise Unhealthy("it is busy")
        yield FakeAdmin()

    monkeypatch.setattr("kdeploy.operations.readiness.connected", connected)
    with asked(two.sites, 0.2) as found:
        assert isinstance(found["west"], Answer)
        assert isinstance(found["east"], Unhealthy)
    assert tried == [0.2, 0.2, 0.4, 0.4]


def test_one_that_lets_nobody_in_is_given_up_and_what_comes_late_is_closed(doors: Doors) -> None:
    doors.opened["west"].set()
    with asked(doors.sites, 0.2) as found:
        assert isinstance(found["west"], Answer)
        assert isinstance(found["east"], Unhealthy)
        assert "east let nobody in within 0.2 s" in str(found["east"])
    doors.left.clear()
    doors.opened["east"].set()
    assert doors.left.wait(30)
    assert doors.inside == []


def test_another_cluster_at_its_addresses_is_told_and_not_taken_for_silent(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(here: Site, within: float) -> Any:
        raise WrongCluster("it is another cluster")

    monkeypatch.setattr("kdeploy.operations.readiness.connected", other)
    with pytest.raises(WrongCluster), asked(two.sites, 5):
        raise AssertionError("nobody may come in")


def test_what_is_wrong_with_kdeploy_itself_is_no_silence(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(here: Site, within: float) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("kdeploy.operations.readiness.connected", broken)
    with pytest.raises(ZeroDivisionError), asked(two.sites, 5):
        raise AssertionError("nobody may come in")


def told(two: TwoSides) -> tuple[MirrorStatus, list[str]]:
    found = mirror_status.status(two.loaded)
    hold(json.loads(json.dumps(found.to_json())))
    return found, list(wrongs(found, 10.0))


def test_where_the_primary_is_gone_the_status_says_so_and_all_that_the_other_side_knows(
    two: TwoSides,
) -> None:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    found, wrong = told(two)
    assert [one.datacenter for one in found.silent] == ["east"]
    (link,) = found.links
    assert (link.source, link.target, link.source_answers) == ("east", "west", False)
    assert [one.topic for one in link.topics] == ["orders"]
    assert link.topics[0].seconds is not None
    assert wrong[0] == "east does not answer: no broker could be reached within 0 s"
    assert "FAIL  east does not answer" in text(found, wrong)


def test_where_the_target_is_gone_the_status_says_so_and_that_nothing_is_known_of_it(two: TwoSides) -> None:
    two.down = {"west"}
    found, wrong = told(two)
    assert found.links == ()
    assert wrong == [
        "west does not answer: no broker could be reached within 0 s",
        "no direction could be looked at: how far a mirror is, is kept where it writes",
    ]


def test_where_nobody_answers_there_is_no_status(two: TwoSides) -> None:
    two.down = {"east", "west"}
    with pytest.raises(Unhealthy, match="no datacenter of local-two-dc-passive answers"):
        mirror_status.status(two.loaded)


def test_each_question_to_a_datacenter_that_is_gone_is_one_wait(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    through = two._connect

    @contextmanager
    def counted(access: Any) -> Iterator[FakeAdmin]:
        name, _ = two.where(access)
        if name in two.down:
            waits.append(name)
        with through(access) as admin:
            yield admin

    monkeypatch.setattr(two, "_connect", counted)
    two.down = {"east"}
    mirror_status.status(two.loaded)
    assert waits == ["east"]


def test_a_jump_host_has_the_time_that_ssh_takes(two: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(asking, "_wait", lambda one, deadline: waited.append(deadline))
    monkeypatch.setattr(asking.time, "monotonic", lambda: 100.0)
    east, west = two.sites
    behind = replace(east, access=replace(east.access, proxy=lambda: ("127.0.0.1", 1)))
    with suppress(KdeployError), asked((behind, west), 5.0):
        pass
    assert waited == [100 + 5 + asking.WAY, 100 + 5 + 1]
