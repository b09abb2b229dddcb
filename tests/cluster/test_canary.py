"""Names of canaries, and what is said of their records by when each was acknowledged and came."""

from __future__ import annotations

import pytest

from kdeploy.cluster import canary, temporary
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import LogRecord, NewTopic

OLD = "10-abcdef-1-aaaaaa"


@pytest.mark.parametrize(
    ("topic", "is_"),
    [
        (f"kdeploy-drill-east_{OLD}", True),
        (f"far-east.kdeploy-drill-far-east_{OLD}", True),
        pytest.param(f"kdeploy-drill-east_{temporary.mark()}", False, id="one that runs"),
        ("kdeploy-drill-east_", False),
        ("kdeploy-drill-of-a-person", False),
        (f"orders-kdeploy-drill-east_{OLD}", False),
        ("orders", False),
    ],
)
def test_what_a_drill_left_that_no_longer_runs_is_known_by_its_name(topic: str, is_: bool) -> None:
    assert canary.abandoned(topic) is is_


def test_nothing_but_canaries_is_removed_whatever_is_asked() -> None:
    admin, ours = FakeAdmin(), canary.name("east", OLD)
    admin.create_topics([NewTopic(name, 1) for name in ("orders", ours)])
    admin.create_bindings([canary.right("orders"), canary.right(ours)])
    canary.remove(admin, ["orders", ours])
    assert set(admin.topics) == {"orders"}
    assert admin.acls == {canary.right("orders")}


def test_a_canary_of_one_datacenter_is_not_taken_for_anothers() -> None:
    topic = canary.name("far-west", OLD)
    assert canary.is_made_in(topic, "far-west")
    assert not canary.is_made_in(topic, "west")
    assert not canary.is_made_in(topic, "far")
    assert not canary.is_made_in(f"far-west.{topic}", "far-west")


def test_a_record_came_when_the_end_was_first_seen_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = FakeAdmin()
    admin.create_topics([NewTopic("copy", 1)])
    watch = canary.Watch(admin, "copy")
    watch.look()
    assert watch.arrived() == []
    now = iter((10.0, 20.0))
    monkeypatch.setattr("kdeploy.cluster.canary.time.monotonic", lambda: next(now))
    log = admin.logs.setdefault(("copy", 0), [])
    for numbers in ((0, 1), (), (2,)):
        # After each record stands the mark of its transaction, which is no record.
        log += [LogRecord("copy", 0, 2 * number, 0.0, value=str(number).encode()) for number in numbers]
        admin.ends["copy", 0] = 2 * len(log)
        watch.look()
    assert watch.arrived() == [(0, 10.0), (1, 10.0), (2, 20.0)]


@pytest.mark.parametrize(
    ("arrived", "delays", "missing"),
    [
        ([(0, 1.5), (1, 2.0), (2, 2.5)], (0.5, 0.5, 1.0), 2),
        ([(0, 1.5), (1, 2.0), (2, 2.5), (0, 9.0)], (0.5, 0.5, 1.0), 2),
        ([(0, 0.9), (1, 0.9), (2, 2.0)], (0.0, 0.0, 0.0), 2),
        ([(7, 1.0)], (), 3),
        ([], (), 3),
    ],
)
def test_delays_and_what_was_missing_follow_from_when_each_was_acknowledged_and_came(
    arrived: list[tuple[int, float]], delays: tuple[float, ...], missing: int
) -> None:
    acknowledged = {0: 1.0, 1: 1.0, 2: 2.0}
    assert canary.delays(acknowledged, arrived) == delays
    assert canary.most_missing(acknowledged, arrived) == missing
