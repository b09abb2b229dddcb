"""Active-active with real Kafka: both datacenters written to at once, clients sent to one of them, and back.

One life of two datacenters, told in order; each test goes on from where the one before it left them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e import ports
from tests.e2e.local.two_sides import Following, Sides, Writing, expect_drilled, once, two_sides

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


LEGACY = "User:legacy"
"""An application that nobody declared."""

HOUR = 3_600_000


def administrator(sides: Sides, datacenter: str) -> Any:
    """A client of a datacenter's administrator; what it is asked ends with it."""
    from confluent_kafka.admin import AdminClient

    sides.client(datacenter, "orders-consumer")
    return AdminClient(sides.connection(datacenter, "admin"))


def entry(topic: str, operation: str, permission: str = "ALLOW") -> Any:
    from confluent_kafka import admin

    return admin.AclBinding(
        *(admin.ResourceType.TOPIC, topic, admin.ResourcePatternType.LITERAL, LEGACY, "*"),
        *(admin.AclOperation[operation], admin.AclPermissionType[permission]),
    )


def entries(sides: Sides, datacenter: str) -> set[tuple[str, str, str]]:
    """What the undeclared application may and may not do there: topic, operation, permission."""
    from confluent_kafka import admin

    every = admin.AclBindingFilter(
        *(admin.ResourceType.TOPIC, None, admin.ResourcePatternType.ANY, LEGACY, None),
        *(admin.AclOperation.ANY, admin.AclPermissionType.ANY),
    )
    client = administrator(sides, datacenter)
    found = client.describe_acls(every).result(30)
    return {(one.name, one.operation.name, one.permission_type.name) for one in found}


def give(sides: Sides, *given: Any) -> None:
    client = administrator(sides, "east")
    for one in client.create_acls(list(given)).values():
        one.result(30)


def kept(sides: Sides, datacenter: str, topic: str) -> int:
    """Milliseconds for which a topic keeps its records; 0 where it is not there."""
    from confluent_kafka import KafkaException, admin

    asked = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
    client = administrator(sides, datacenter)
    try:
        (found,) = client.describe_configs([asked]).values()
        return int(found.result(30)["retention.ms"].value)
    except KafkaException:
        return 0


def keep(sides: Sides, topic: str, milliseconds: int) -> None:
    from confluent_kafka import admin

    how = admin.ConfigEntry(
        "retention.ms", str(milliseconds), incremental_operation=admin.AlterConfigOpType.SET
    )
    wanted = admin.ConfigResource(admin.ResourceType.TOPIC, topic, incremental_configs=[how])
    client = administrator(sides, "east")
    for one in client.incremental_alter_configs([wanted]).values():
        one.result(30)


def make(sides: Sides, topic: str, milliseconds: int) -> None:
    """A topic that nobody declared."""
    from confluent_kafka import admin

    new = admin.NewTopic(topic, 1, 2, config={"retention.ms": str(milliseconds)})
    client = administrator(sides, "east")
    for one in client.create_topics([new]).values():
        one.result(30)


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(1)


def nothing_to_do(sides: Sides) -> None:
    """Nothing was changed behind git's back, and nothing is to be changed."""
    drift = sides.kdeploy("drift", "--output", "json").document
    assert (drift["items"], drift["unseen"]) == ([], [])
    assert sides.kdeploy("up", "--output", "json").document["changed"] is False
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


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


def test_a_drill_measures_both_directions_and_leaves_nothing(sides: Sides) -> None:
    ended = sides.kdeploy("drill", "--yes", "--output", "json", code=None)
    expect_drilled(ended, ("east", "west"), ("west", "east"))
    assert sides.canaries() == set()


def test_what_a_drill_leaves_that_was_killed_is_removed_by_the_next_one(sides: Sides) -> None:
    sides.killed_at("drill", "--yes", point="drill-written")
    left = sides.canaries()
    assert left
    document = sides.kdeploy("drill", "--yes", "--output", "json", code=None).document
    assert set(document["removed"]) >= left
    assert sides.canaries() == set()
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_settings_of_topics_follow_and_rights_do_not_where_nothing_is_said(sides: Sides) -> None:
    give(sides, entry("orders", "READ"))
    make(sides, "ledger", HOUR)
    wait_for("ledger is mirrored", lambda: kept(sides, "west", "east.ledger") == HOUR)
    # MirrorMaker would copy rights before settings, each 30 s: what did not come with the second change does not come.
    for hours in (2, 3):
        keep(sides, "ledger", hours * HOUR)
        wait_for("its setting follows", lambda: kept(sides, "west", "east.ledger") == hours * HOUR)  # noqa: B023
    assert entries(sides, "west") == set()
    nothing_to_do(sides)


def test_rights_but_to_write_are_copied_and_settings_do_not_follow_where_that_is_declared(
    sides: Sides,
) -> None:
    sides.kdeploy.edit(
        "  mode: active-active\n",
        "  mode: active-active\n  sync_topic_configs: false\n  sync_topic_acls: true\n",
    )
    ended = sides.kdeploy("validate")
    assert "copied-acls" in ended.stdout + ended.stderr
    sides.kdeploy("up")
    keep(sides, "ledger", 4 * HOUR)
    give(sides, entry("orders", "WRITE"), entry("ledger", "ALL"), entry("ledger", "DELETE", "DENY"))
    copied = {
        ("east.orders", "READ", "ALLOW"),
        ("east.ledger", "READ", "ALLOW"),
        ("east.ledger", "DELETE", "DENY"),
    }
    wait_for("rights are copied", lambda: entries(sides, "west") >= copied)
    make(sides, "journal", HOUR)
    give(sides, entry("journal", "READ"))
    copied.add(("east.journal", "READ", "ALLOW"))
    wait_for("the next ones are", lambda: entries(sides, "west") >= copied)
    assert entries(sides, "west") == copied
    wait_for("journal is made with its setting", lambda: kept(sides, "west", "east.journal") == HOUR)
    assert kept(sides, "west", "east.ledger") == 3 * HOUR
    nothing_to_do(sides)
