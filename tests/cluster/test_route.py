"""Names of one direction: what it carries, and what MirrorMaker calls it on the other side."""

from __future__ import annotations

import pytest

from kdeploy.cluster import connectors
from kdeploy.cluster.route import Route
from kdeploy.spec.mirroring import Mirroring

PASSIVE = Route.of(Mirroring(topics=("orders*", "users"), exclude_topics=("orders.tmp*",)), "eu", "us")
ACTIVE = Route.of(Mirroring(mode="active-active", exclude_groups=("probe-*",)), "eu", "us")


MANY = Route.of(Mirroring(mode="active-active"), "eu", "us", ("ap", "eu", "us"))


@pytest.mark.parametrize(
    ("route", "topic", "carried", "there"),
    [
        (PASSIVE, "orders", True, "orders"),
        (PASSIVE, "orders.new", True, "orders.new"),
        (PASSIVE, "orders.tmp1", False, None),
        (PASSIVE, "users", True, "users"),
        (PASSIVE, "users2", False, None),
        (ACTIVE, "orders", True, "eu.orders"),
        (ACTIVE, "us.orders", False, None),
        (ACTIVE, "ap.orders", True, "eu.ap.orders"),
        (MANY, "orders", True, "eu.orders"),
        (MANY, "us.orders", False, None),
        (MANY, "ap.orders", False, None),
        (MANY, "apps.orders", True, "eu.apps.orders"),
        (MANY, "ap.heartbeats", False, None),
        (ACTIVE, "__consumer_offsets", False, None),
        (ACTIVE, "__kdeploy-resources", False, None),
        (ACTIVE, "us.checkpoints.internal", False, None),
        (ACTIVE, "mm2-offset-syncs.us.internal", False, None),
        (ACTIVE, "heartbeats", False, None),
        (ACTIVE, "us.heartbeats", False, None),
    ],
)
def test_topics_that_are_carried_and_their_names_there(
    route: Route, topic: str, carried: bool, there: str | None
) -> None:
    assert route.carries(topic) == carried
    if there is not None:
        assert route.on_target(topic) == there


@pytest.mark.parametrize(
    ("group", "translated"),
    [
        ("billing", True),
        ("probe-1", False),
        ("__kdeploy-mirror", False),
        ("console-consumer-4711", False),
        ("connect-sink", False),
    ],
)
def test_groups_that_are_translated(group: str, translated: bool) -> None:
    assert ACTIVE.translates(group) == translated


def test_its_connectors_are_ones_of_kdeploy_and_its_topics_are_named_by_the_source() -> None:
    assert PASSIVE.connectors == ("eu-to-us-records", "eu-to-us-groups", "us-heartbeats")
    assert all(connectors.ours(name, ("eu", "us")) for name in PASSIVE.connectors)
    assert (PASSIVE.heartbeats, PASSIVE.checkpoints) == ("eu.heartbeats", "eu.checkpoints.internal")
    assert PASSIVE.syncs == "mm2-offset-syncs.eu.internal"
