"""Three datacenters with real Kafka: all written to at once, one of them lost and given back, nothing lost or twice.

One life of three datacenters, told in order; each test goes on from where the one before it left them. Left to `make kafka` and
`make soak`: an ordinary run has three of which one is written to, whose ten minutes are what there is for three.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Set
from itertools import permutations

import pytest

from tests.e2e import ports
from tests.e2e.local.two_sides import Following, Sides, Writing, once, two_sides

pytestmark = [pytest.mark.kafka, pytest.mark.long]

NAME = "local-three-dc-active"
PLACES = ("north", "east", "west")
DIRECTIONS = tuple(permutations(PLACES, 2))
MORE = 4_000
"""Records that each datacenter acknowledges."""

RATE = 500
"""Records a second that each is offered, on a machine that runs nine processes of Java on two processors."""

PATIENCE = 300.0
"""Seconds for all to be mirrored there."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    yield from two_sides(tmp_path_factory.mktemp("three"), NAME, ports.THREE)


@pytest.fixture(autouse=True)
def _rest(sides: Sides) -> Iterator[None]:
    yield
    sides.rest()


def mirrored(sides: Sides, here: str, there: str, numbers: Set[int]) -> Counter[int]:
    """What a copy of `orders` holds as soon as it has these; a record too many is seen as well."""
    deadline = time.monotonic() + PATIENCE
    while numbers - (found := sides.read(there, f"{here}.orders")).keys():
        missing = len(numbers - found.keys())
        assert time.monotonic() < deadline, f"{missing} of {len(numbers)} of {here} are not in {there}"
        time.sleep(1)
    return found


def everywhere(sides: Sides) -> None:
    """Everything that was acknowledged is where it was written and in both other datacenters, exactly once."""
    for here, there in DIRECTIONS:
        mine = sides.acknowledged[here]
        assert once(mirrored(sides, here, there, mine))
        found = sides.read(here)
        assert found.keys() >= mine
        assert once(found)


def topics(sides: Sides, datacenter: str) -> set[str]:
    """Names of all topics that are there, Kafka's and MirrorMaker's own too."""
    from confluent_kafka.admin import AdminClient

    sides.client(datacenter, "orders-consumer")
    file = sides.kdeploy.root / "handed-out" / datacenter / "admin" / "python.json"
    client = AdminClient(json.loads(file.read_text())["confluent-kafka"])
    return set(client.list_topics(timeout=30).topics)


def handed_out(sides: Sides) -> dict[str, str]:
    """By folder of clients the datacenter that its files lead to."""
    own = {
        json.loads(
            (
                sides.kdeploy.root / "handed-out" / one / "users" / "orders-consumer" / "python.json"
            ).read_text()
        )["confluent-kafka"]["bootstrap.servers"]: one
        for one in PLACES
        if sides.client(one, "orders-consumer")
    }
    found = {}
    for one in PLACES:
        file = sides.kdeploy.state / "clients" / one / "users" / "orders-consumer" / "python.json"
        found[one] = own[json.loads(file.read_text())["confluent-kafka"]["bootstrap.servers"]]
    return found


OWN = {one: one for one in PLACES}


def test_all_clusters_and_all_mirrors_come_up_and_a_second_run_changes_nothing(sides: Sides) -> None:
    sides.kdeploy("up")
    again = sides.kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in again["clusters"]] == [False, False, False]
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_what_is_written_everywhere_at_once_is_everywhere_exactly_once(sides: Sides) -> None:
    writing = [Writing(sides, one, rate=RATE, idempotent=True) for one in PLACES]
    for one in writing:
        one.wait_for(MORE)
    for one in writing:
        one.stop()
    assert all(len(sides.acknowledged[one]) >= MORE for one in PLACES)
    everywhere(sides)


def test_nothing_is_mirrored_on_or_in_circles(sides: Sides) -> None:
    for here in PLACES:
        others = [one for one in PLACES if one != here]
        found = {name for name in topics(sides, here) if not name.endswith((".internal", "heartbeats"))}
        own = {name for name in found if not name.startswith("__")}
        assert own == {"orders", "scratch", *(f"{one}.orders" for one in others)}


def test_every_direction_is_told_of(sides: Sides) -> None:
    document = sides.kdeploy("mirror status", "--output", "json", code=None).document
    assert {(one["source"], one["target"]) for one in document["links"]} == set(DIRECTIONS)
    assert (document["active"], document["handed"]) == (None, {})
    for one in document["links"]:
        assert {topic["topic"] for topic in one["topics"]} == {"orders"}
        assert one["heartbeat"]["age"] < 60


def test_while_all_answer_it_has_to_be_said_whose_clients_are_meant(sides: Sides) -> None:
    refused = sides.kdeploy("failover", "--to", "west", "--yes", code=2)
    assert "it has to be said whose clients west is to take" in refused.stderr
    assert "--from north|east --to west" in " ".join(refused.stderr.split())
    assert handed_out(sides) == OWN
    report = sides.kdeploy(
        "failover", "--from", "north", "--to", "west", "--dry-run", "--output", "json"
    ).document
    assert (report["source"], report["handed"], report["records_lost"]) == ("north", {"north": "west"}, 0)
    assert handed_out(sides) == OWN


def test_a_failover_that_was_killed_is_finished_by_the_same_command(sides: Sides) -> None:
    arguments = ("failover", "--from", "north", "--to", "west", "--yes")
    sides.killed_at(*arguments, point="failover-decided")
    report = sides.kdeploy(*arguments, "--output", "json").document
    assert (report["already"], report["epoch"], report["planned"]) == (True, 1, True)
    assert handed_out(sides) == {**OWN, "north": "west"}
    back = sides.kdeploy("failback", "--yes", "--output", "json").document
    assert (back["source"], back["epoch"], back["handed"]) == ("north", 2, {})
    assert handed_out(sides) == OWN


def test_one_that_dies_is_taken_over_from_and_the_others_go_on(sides: Sides) -> None:
    group = Following(sides, "east", "orders-app")
    writing = {one: Writing(sides, one, rate=RATE, idempotent=True) for one in PLACES}
    for one in writing.values():
        one.wait_for(MORE // 2)
    sides.kill("east")
    writing["east"].stop()
    group.stop(lost=True)
    report = sides.kdeploy("failover", "--to", "west", "--yes", "--output", "json").document
    assert (report["source"], report["target"], report["planned"]) == ("east", "west", False)
    assert (report["epoch"], report["handed"]) == (3, {"east": "west"})
    assert handed_out(sides) == {**OWN, "east": "west"}
    for one in ("north", "west"):
        writing[one].wait_for(MORE // 2)
        writing[one].stop()
    for here, there in (("north", "west"), ("west", "north")):
        assert once(mirrored(sides, here, there, sides.acknowledged[here]))
    came = sides.read("west", "east.orders")
    assert once(came)
    print(f"{len(sides.acknowledged['east'] - came.keys()):,} records of east are not in west yet, {report}")
    there = Following(sides, "west", "orders-app", topics=("east.orders",))
    there.wait_for(came.keys() - group.got.keys())
    there.stop()


def test_the_same_again_changes_nothing_and_the_status_says_what_was_decided(sides: Sides) -> None:
    again = sides.kdeploy("failover", "--to", "west", "--yes", "--output", "json").document
    assert (again["already"], again["epoch"]) == (True, 3)
    document = sides.kdeploy("mirror status", "--output", "json", code=5).document
    assert [one["datacenter"] for one in document["silent"]] == ["east"]
    assert document["handed"] == {"east": "west"}
    refused = sides.kdeploy("failback", "--yes", code=5)
    assert "east does not answer, so nothing can be given back" in " ".join(refused.stderr.split())
    refused = sides.kdeploy("failover", "--from", "north", "--to", "east", "--yes", code=5)
    assert "east does not answer" in refused.stderr


def test_it_comes_back_is_caught_up_with_and_given_its_clients_again_with_nothing_lost(sides: Sides) -> None:
    sides.kdeploy("up")
    assert handed_out(sides) == {**OWN, "east": "west"}, "what was decided stays until it is given back"
    report = sides.kdeploy("failback", "--yes", "--output", "json").document
    assert (report["source"], report["epoch"], report["handed"]) == ("east", 4, {})
    assert (report["planned"], report["records_lost"]) == (True, 0)
    assert handed_out(sides) == OWN
    everywhere(sides)
    assert sides.kdeploy("up", "--output", "json").document["changed"] is False
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_a_drill_measures_every_direction_and_leaves_nothing(sides: Sides) -> None:
    document = sides.kdeploy("drill", "--yes", "--output", "json", code=None).document
    print(json.dumps(document))
    assert [(one["source"], one["target"]) for one in document["directions"]] == list(DIRECTIONS)
    for one in document["directions"]:
        assert one["written"] > 0
        assert (one["arrived"], one["doubled"]) == (one["written"], 0)
    assert document["problems"] == []
    assert not any("kdeploy-drill-" in name for one in PLACES for name in topics(sides, one))
    everywhere(sides)
