"""Groups that nobody could go on with at the target: told by access lists alone, and only where that is certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.readers import Rights, barred
from kdeploy.cluster.route import Route
from kdeploy.cluster.state import Binding
from kdeploy.cluster.translation import GroupState, Translated

PASSIVE = Route("east", "west")
ACTIVE = Route("east", "west", "prefixed")


def may(
    user: str,
    what: str,
    name: str,
    operation: str = "read",
    *,
    pattern: str = "literal",
    permission: str = "allow",
    host: str = "*",
) -> Binding:
    return Binding(user, what, name, pattern, operation, permission, host)


def group(*topics: str, name: str = "billing") -> GroupState:
    offsets = tuple(Translated(topic, 0, 7, 7, 7, 7, 0, 0) for topic in topics)
    return GroupState(name, 0, 0, 0, offsets)


def told(
    there: list[Binding],
    here: list[Binding] | None = None,
    route: Route = PASSIVE,
    of: GroupState | None = None,
) -> list[str]:
    source = None if here is None else Rights(here)
    return list(barred(route, [of or group("orders")], source, Rights(there), "prod"))


ALL = [may("app", "group", "billing"), may("app", "topic", "orders")]


@pytest.mark.parametrize(
    "there",
    [
        ALL,
        [may("app", "group", "bill", pattern="prefixed"), may("app", "topic", "*", "all")],
        [may("*", "group", "*"), may("app", "topic", "or", pattern="prefixed")],
        [may("app", "group", "billing"), may("*", "topic", "orders")],
        [may("app", "group", "billing", host="10.0.0.7"), may("app", "topic", "orders")],
        [*ALL, may("app", "topic", "orders", permission="deny", host="10.0.0.7")],
        [*ALL, may("app", "topic", "orders", "write", permission="deny")],
        [*ALL, may("other", "topic", "orders", permission="deny")],
    ],
)
def test_a_group_that_some_user_may_go_on_with_is_not_told(there: list[Binding]) -> None:
    assert told(there) == []


@pytest.mark.parametrize(
    "there",
    [
        [may("app", "group", "billing")],
        [may("app", "group", "billing"), may("other", "topic", "orders")],
        [may("app", "group", "billing"), may("app", "topic", "orders", "write")],
        [may("app", "group", "billing"), may("app", "topic", "order")],
        [may("app", "group", "billing"), may("app", "topic", "*", pattern="prefixed")],
        [*ALL, may("app", "topic", "orders", permission="deny")],
        [*ALL, may("app", "topic", "ord", "all", pattern="prefixed", permission="deny")],
        [*ALL, may("*", "topic", "*", "describe", permission="deny")],
    ],
)
def test_a_topic_that_no_member_may_read_is_told_with_who_they_are_and_the_remedy(
    there: list[Binding],
) -> None:
    assert told(there) == [
        "nobody who may take part in group billing (app) may read orders in west: declare that right for whoever does, "
        "and run `kdeploy apply prod`"
    ]


@pytest.mark.parametrize(
    "there",
    [
        [],
        [may("app", "topic", "orders")],
        [may("app", "group", "billing", "describe"), may("app", "topic", "orders")],
        [may("__kdeploy-mirror", "group", "*"), may("__kdeploy-mirror", "topic", "*")],
        [*ALL, may("*", "group", "billing", "all", permission="deny")],
    ],
)
def test_a_group_that_no_user_may_take_part_in_is_told_and_who_may_where_it_reads_now(
    there: list[Binding],
) -> None:
    remedy = "declare whoever does, with the right to read the group and orders, and run `kdeploy apply prod`"
    assert told(there) == [f"no user may take part in group billing in west: {remedy}"]
    here = [may("legacy", "group", "billing"), may("legacy", "topic", "orders")]
    assert told(there, here) == [
        f"no user may take part in group billing in west, as legacy may in east: {remedy}"
    ]


def test_what_access_lists_let_nobody_read_at_the_source_either_is_not_the_targets_lack() -> None:
    assert told([], []) == []
    assert told([], [may("app", "group", "billing")]) == []


def test_topics_are_looked_for_under_the_name_that_they_have_at_the_target() -> None:
    assert told(ALL, ALL, ACTIVE) == [
        "nobody who may take part in group billing (app) may read east.orders in west: declare that right for whoever "
        "does, and run `kdeploy apply prod`"
    ]
    assert told([*ALL, may("app", "topic", "east.orders")], ALL, ACTIVE) == []


def test_a_sentence_is_one_for_a_group_and_names_few_of_many() -> None:
    many = group("a", "b", "c", "d", "e")
    (said,) = told([may("app", "group", "billing")], of=many)
    assert "may read a, b, c and 2 more in west" in said


NAMES = st.sampled_from(["a", "ab", "b", "*"])
ENTRIES = st.lists(
    st.builds(
        Binding,
        user=st.sampled_from(["u", "v", "*"]),
        resource=st.sampled_from(["topic", "group"]),
        name=NAMES,
        pattern=st.sampled_from(["literal", "prefixed"]),
        operation=st.sampled_from(["read", "describe", "write", "all"]),
        permission=st.sampled_from(["allow", "deny"]),
        host=st.just("*"),
    ),
    max_size=8,
)


def authorizer(entries: list[Binding], user: str, operation: str, resource: str, name: str) -> bool:
    """Kafka's rule, word for word: a denial that matches, else a permission that does."""
    implied = {operation, "all"} | ({"read", "write"} if operation == "describe" else set())
    matching = [
        one
        for one in entries
        if one.resource == resource
        and one.user in (user, "*")
        and (name.startswith(one.name) if one.pattern == "prefixed" else one.name in (name, "*"))
    ]
    if any(one.permission == "deny" and one.operation in (operation, "all") for one in matching):
        return False
    return any(one.permission == "allow" and one.operation in implied for one in matching)


@given(ENTRIES)
def test_a_group_is_told_exactly_where_kafka_would_let_no_user_read_it(entries: list[Binding]) -> None:
    def lets(user: str) -> bool:
        return all(
            authorizer(entries, user, what, *one)
            for what in ("read", "describe")
            for one in (("group", "ab"), ("topic", "ab"))
        )

    said = told(entries, of=group("ab", name="ab"))
    assert bool(said) == (not any(lets(user) for user in ("u", "v", "*")))
