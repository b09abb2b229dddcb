"""Active-active with real Kafka: both datacenters written to at once, clients sent to one of them, and back.

One life of two datacenters, told in order; each test goes on from where the one before it left them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e import ports
from tests.e2e.local.two_sides import Following, Sides, Writing, two_sides

pytestmark = pytest.mark.kafka

NAME = "local-two-dc-active"
MORE = 10_000
"""Records that each side acknowledges."""

PATIENCE = 300.0
"""Seconds for all to be mirrored, on a machine that runs seven processes of Java on two processors."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    # Between the ports of test_two_datacenters.py, of which each role has a thousand to itself.
    yield from two_sides(tmp_path_factory.mktemp("two"), NAME, ports.ACTIVE)


@pytest.fixture(autouse=True)
def _rest(sides: Sides) -> Iterator[None]:
    yield
    sides.rest()


def once(found: Counter[int]) -> bool:
    return all(times == 1 for times in found.values())


def mirrored(sides: Sides, datacenter: str, topic: str, numbers: set[int]) -> Counter[int]:
    """What a topic holds as soon as it has these; a record too many is seen as well."""
    deadline = time.monotonic() + PATIENCE
    while (found := sides.read(datacenter, topic)).keys() != numbers:
        missing = len(numbers - found.keys())
        assert time.monotonic() < deadline, f"{missing} of {len(numbers)} are not in {topic} of {datacenter}"
        time.sleep(1)
    return found


def topics(sides: Sides, datacenter: str) -> set[str]:
    """Names of all topics that the application may see."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient(sides.client(datacenter, "orders-consumer"))
    return set(client.list_topics(timeout=30).topics)


def handed_out(sides: Sides) -> dict[str, str]:
    """Where the files of each folder of clients lead to."""
    found = {}
    for place in ("east", "west"):
        file = sides.kdeploy.state / "clients" / place / "users" / "orders-consumer" / "python.json"
        found[place] = json.loads(file.read_text())["confluent-kafka"]["bootstrap.servers"]
    return found


def test_both_clusters_and_both_mirrors_come_up_and_a_second_run_changes_nothing(sides: Sides) -> None:
    sides.kdeploy("up")
    again = sides.kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in again["clusters"]] == [False, False]
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_what_is_written_on_both_sides_at_once_is_on_both_sides_exactly_once(sides: Sides) -> None:
    both = [Writing(sides, place, rate=1000, idempotent=True) for place in ("east", "west")]
    for writing in both:
        writing.wait_for(MORE)
    for writing in both:
        writing.stop()
    for here, there in (("east", "west"), ("west", "east")):
        mine = sides.acknowledged[here]
        assert len(mine) >= MORE
        assert once(sides.read(here))
        assert sides.read(here).keys() == mine
        assert once(mirrored(sides, there, f"{here}.orders", mine))


def test_nothing_is_mirrored_in_circles(sides: Sides) -> None:
    for here, there in (("east", "west"), ("west", "east")):
        found = topics(sides, here)
        assert {"orders", f"{there}.orders", "scratch"} <= found
        assert [name for name in found if name.count("east") + name.count("west") > 1] == []
        assert f"{there}.scratch" not in found
        # Read once more, later: what went round would have come by now.
        assert once(sides.read(here, f"{there}.orders"))


def test_mirrors_of_both_directions_are_told_of(sides: Sides) -> None:
    document = sides.kdeploy("mirror status", "--output", "json", code=None).document
    assert {(one["source"], one["target"]) for one in document["links"]} == {
        ("east", "west"),
        ("west", "east"),
    }
    assert document["active"] is None


def test_a_dry_run_says_where_groups_would_go_on_and_changes_nothing(sides: Sides) -> None:
    before = handed_out(sides)
    report = sides.kdeploy("failover", "--to", "west", "--dry-run", "--output", "json").document
    assert (report["dry_run"], report["records_lost"]) == (True, 0)
    assert handed_out(sides) == before
    assert before["east"] != before["west"]


def test_clients_are_sent_to_one_side_and_go_on_there_without_a_record_skipped(sides: Sides) -> None:
    group = Following(sides, "east", "orders-app")
    writing = Writing(sides, "east", rate=1000, idempotent=True)
    writing.wait_for(MORE // 2)
    report = sides.kdeploy("failover", "--to", "west", "--yes", "--output", "json").document
    assert (report["planned"], report["target"], report["records_lost"]) == (True, "west", 0)
    assert set(handed_out(sides).values()) == {handed_out(sides)["west"]}
    writing.stop()
    group.stop()
    mine = sides.acknowledged["east"]
    mirrored(sides, "west", "east.orders", mine)
    there = Following(sides, "west", "orders-app", topics=("east.orders",))
    there.wait_for(mine - group.got.keys())
    there.stop()


def test_nobody_is_fenced_and_the_same_again_changes_nothing(sides: Sides) -> None:
    writing = Writing(sides, "east", rate=1000, idempotent=True)
    writing.wait_for(1000)
    writing.stop()
    again = sides.kdeploy("failover", "--to", "west", "--yes", "--output", "json").document
    assert again["already"]
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_a_failback_gives_each_side_its_own_clients_again(sides: Sides) -> None:
    report = sides.kdeploy("failback", "--yes", "--output", "json").document
    assert report["epoch"] == 2
    found = handed_out(sides)
    assert found["east"] != found["west"]
    mirrored(sides, "west", "east.orders", sides.acknowledged["east"])
    assert sides.kdeploy("up", "--output", "json").document["changed"] is False


def canaries(sides: Sides) -> set[str]:
    """Topics of drills, and copies of them, on either side."""
    from confluent_kafka.admin import AdminClient

    found = set[str]()
    for place in ("east", "west"):
        file = sides.kdeploy.root / "handed-out" / place / "admin" / "python.json"
        client = AdminClient(json.loads(file.read_text())["confluent-kafka"])
        found |= {name for name in client.list_topics(timeout=30).topics if "kdeploy-drill-" in name}
    return found


def test_a_drill_measures_both_directions_and_leaves_nothing(sides: Sides) -> None:
    ended = sides.kdeploy("drill", "--yes", "--output", "json", code=None)
    document = ended.document
    print(ended.stdout)
    assert ended.code == (0 if document["ok"] else 5)
    assert [(one["source"], one["target"]) for one in document["directions"]] == [
        ("east", "west"),
        ("west", "east"),
    ]
    for one in document["directions"]:
        assert one["written"] > 0
        assert (one["arrived"], one["doubled"]) == (one["written"], 0)
        assert one["p50_seconds"] <= one["p99_seconds"] <= one["max_seconds"]
    assert document["problems"] == []
    assert canaries(sides) == set()


def test_what_a_drill_leaves_that_was_killed_is_removed_by_the_next_one(sides: Sides) -> None:
    sides.killed_at("drill", "--yes", point="drill-written")
    left = canaries(sides)
    assert left
    document = sides.kdeploy("drill", "--yes", "--output", "json", code=None).document
    assert set(document["removed"]) >= left
    assert canaries(sides) == set()
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []
