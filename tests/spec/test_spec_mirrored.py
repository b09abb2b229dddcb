"""What each of two datacenters declares: MirrorMaker's least rights, and no way to write where nobody is to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.spec.identity import DRILL, MIRROR
from kdeploy.spec.load import load
from kdeploy.spec.mirrored import declared_in, is_mirrored, written_first
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Acl, Grant, User
from kdeploy.spec.roles import expand

SHIPPED = Path(__file__).parents[2] / "environments"
PASSIVE = load(SHIPPED / "local-two-dc-passive").environment
ACTIVE = load(SHIPPED / "local-two-dc-active").environment


def rights(environment: Environment, user: str) -> set[tuple[str, str, str, str]]:
    """Each right as resource, name (with an asterisk where it is a prefix), and operation."""
    found = next(one for one in environment.users if one.name == user)
    return {
        (acl.resource, acl.name + "*" * (acl.pattern == "prefixed"), operation, acl.permission)
        for acl in found.acls
        for operation in acl.operations
    }


def of_mirror(environment: Environment, resource: str, operation: str) -> set[str]:
    return {
        name for what, name, how, _ in rights(environment, MIRROR) if (what, how) == (resource, operation)
    }


def test_without_mirroring_the_environment_is_the_very_same() -> None:
    environment = load(SHIPPED / "local").environment
    assert declared_in(environment, "dc1", None) is environment


@pytest.mark.parametrize(
    ("environment", "here", "written", "first"),
    [(PASSIVE, "east", "east", "east"), (PASSIVE, "west", "east", "east"), (ACTIVE, "east", None, None)],
)
def test_the_workers_topics_are_declared_and_what_was_there_stays(
    environment: Environment, here: str, written: str | None, first: str | None
) -> None:
    found = declared_in(environment, here, written)
    assert written_first(environment) == first
    assert found.topics[: len(environment.topics)] == environment.topics
    more = {one.name: one.partitions for one in found.topics[len(environment.topics) :]}
    assert more == {f"{MIRROR}-configs": 1, f"{MIRROR}-offsets": 25, f"{MIRROR}-status": 5}
    assert [one.name for one in found.users] == [*(one.name for one in environment.users), MIRROR]


@pytest.mark.parametrize(
    ("environment", "here", "writes"),
    [
        (
            PASSIVE,
            "west",
            {
                f"{MIRROR}-*",
                "heartbeats",
                f"{DRILL}*",
                "east.*",
                "mm2-offset-syncs.east.internal",
                "*",
            },
        ),
        (
            ACTIVE,
            "west",
            {f"{MIRROR}-*", "heartbeats", "east.*", "mm2-offset-syncs.east.internal"},
        ),
    ],
)
def test_mirrormaker_may_write_what_it_mirrors_and_its_own_topics_alone(
    environment: Environment, here: str, writes: set[str]
) -> None:
    found = declared_in(environment, here, written_first(environment))
    assert of_mirror(found, "topic", "write") == writes
    assert of_mirror(found, "group", "read") == {MIRROR, "*", f"{DRILL}*"}
    assert {one[3] for one in rights(found, MIRROR)} == {"allow"}
    assert not of_mirror(found, "cluster", "all")


@pytest.mark.parametrize("written", ["north", "east", "west"])
def test_of_three_all_but_the_one_that_is_written_to_are_closed_and_mirrormaker_may_write_each(
    written: str,
) -> None:
    environment = load(SHIPPED / "local-three-dc-passive").environment
    assert written_first(environment) == "north"
    for here in ("north", "east", "west"):
        found = declared_in(environment, here, written)
        writes = {
            name
            for kind, name, operation, _ in rights(found, "orders-producer")
            if (kind, operation) == ("topic", "write")
        }
        # What is not mirrored stays where it was written.
        assert writes == ({"orders", "scratch"} if here == written else {"scratch"})
        others = {"north", "east", "west"} - {here}
        assert of_mirror(found, "topic", "write") == {
            *(f"{MIRROR}-*", "heartbeats", f"{DRILL}*", "*"),
            *(f"{one}.*" for one in others),
            *(f"mm2-offset-syncs.{one}.internal" for one in others),
        }


@pytest.mark.parametrize(
    ("acl", "left"),
    [
        (Acl(resource="topic", name="orders", operations=("read", "write")), ("read",)),
        (Acl(resource="topic", name="orders", operations=("write",)), None),
        (Acl(resource="topic", name="orders", operations=("all",)), ("read", "describe", "describe-configs")),
        (Acl(resource="topic", name="ord", pattern="prefixed", operations=("read", "write")), ("read",)),
        (Acl(resource="topic", name="*", operations=("write", "describe")), ("describe",)),
        (Acl(resource="topic", name="scratch", operations=("write",)), ("write",)),
        (Acl(resource="topic", name="orders", operations=("write",), permission="deny"), ("write",)),
        (Acl(resource="group", name="orders", operations=("read",)), ("read",)),
        (Acl(resource="transactional-id", name="orders", operations=("write",)), ("write",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("granted", [False, True])
def test_where_nobody_is_to_write_the_right_to_is_left_out_and_no_other(
    acl: Acl, left: tuple[str, ...] | None, granted: bool
) -> None:
    mirroring = Mirroring(exclude_topics=("scratch",))
    user = User(name="app", acls=() if granted else (acl,))
    grant = Grant(user="app", acls=(acl,))
    environment = PASSIVE.model_copy(
        update={"mirroring": mirroring, "users": (user,), "acls": (grant,) if granted else ()}
    )
    closed = declared_in(environment, "west", "east")
    found = closed.acls[0].acls if granted else closed.users[0].acls
    assert [one.operations for one in found] == ([] if left is None else [left])
    opened = declared_in(environment, "east", "east")
    assert opened.users[0] == user
    assert opened.acls == environment.acls


def test_where_all_are_written_to_nobody_is_closed_out() -> None:
    for here in ("east", "west"):
        assert declared_in(ACTIVE, here, None).users[:-1] == ACTIVE.users


def test_a_fenced_environment_is_closed_on_both_sides() -> None:
    for here in ("east", "west"):
        found = declared_in(PASSIVE, here, "")
        assert not {one for one in rights(found, "orders-producer") if one[2] == "write"}


@pytest.mark.parametrize(
    ("topic", "is_"),
    [
        ("orders", True),
        ("orders-2", True),
        ("payments", False),
        ("orders-scratch", False),
        ("__consumer_offsets", False),
        (f"{DRILL}east_1", False),
        ("heartbeats", False),
        ("orders.internal", False),
        ("orders-internal", False),
        ("orders.heartbeats", False),
    ],
)
def test_which_topics_are_mirrored(topic: str, is_: bool) -> None:
    wanted = Mirroring(topics=("orders*", "heartbeats", f"{DRILL}*"), exclude_topics=("orders-scratch",))
    assert is_mirrored(topic, wanted) is is_


NAMES = st.text("ab.-", min_size=1, max_size=4)
PATTERNS = st.lists(st.one_of(NAMES, NAMES.map("{}*".format), st.just("*")), min_size=1, max_size=3)
Operation = Literal["read", "write", "all", "describe", "create"]
OPERATIONS: st.SearchStrategy[list[Operation]] = st.lists(
    st.sampled_from(get_args(Operation)), min_size=1, max_size=3, unique=True
)


@st.composite
def entries(draw: st.DrawFn) -> Acl:
    name = draw(st.one_of(NAMES, st.just("*")))
    return Acl.model_construct(
        resource=draw(st.sampled_from(["topic", "group"])),
        name=name,
        pattern="literal" if name == "*" else draw(st.sampled_from(["literal", "prefixed"])),
        operations=tuple(draw(OPERATIONS)),
        permission=draw(st.sampled_from(["allow", "deny"])),
        host="*",
    )


def allowed(acls: Iterator[Acl] | tuple[Acl, ...], resource: str, name: str, operation: str) -> bool:
    """As Kafka judges it, denials left aside."""
    return any(
        acl.permission == "allow"
        and acl.resource == resource
        and {operation, "all"} & set(acl.operations)
        and (acl.name in ("*", name) or (acl.pattern == "prefixed" and name.startswith(acl.name)))
        for acl in acls
    )


@given(
    acls=st.lists(entries(), max_size=4),
    topics=PATTERNS,
    excluded=PATTERNS | st.just([]),
    name=st.text("ab.-", min_size=1, max_size=5),
)
def test_a_passive_side_never_lets_anybody_write_a_mirrored_topic_and_reading_stays(
    acls: list[Acl], topics: list[str], excluded: list[str], name: str
) -> None:
    wanted = Mirroring.model_construct(
        **{**dict(Mirroring()), "topics": tuple(topics), "exclude_topics": tuple(excluded)}
    )
    user = User.model_construct(name="app", acls=tuple(acls), credentials="vault", owner=None, delete=False)
    environment = PASSIVE.model_copy(update={"mirroring": wanted, "users": (user,)})
    closed = declared_in(environment, "west", "east").users[0].acls
    if is_mirrored(name, wanted):
        assert not allowed(closed, "topic", name, "write")
    for resource in ("topic", "group"):
        for operation in ("read", "describe"):
            before = allowed(tuple(acls), resource, name, operation)
            assert allowed(closed, resource, name, operation) == before
        assert not allowed(closed, resource, name, "write") or allowed(tuple(acls), resource, name, "write")
    assert [one for one in closed if one.permission == "deny"] == [
        one for one in acls if one.permission == "deny"
    ]


def test_what_a_role_stands_for_is_closed_too() -> None:
    grant = Grant(user="app", role="producer", topics=("orders",))
    environment = PASSIVE.model_copy(update={"acls": (grant,)})
    (closed,) = declared_in(environment, "west", "east").acls
    assert any("write" in acl.operations for acl in expand(grant) if acl.resource == "topic")
    assert not any("write" in acl.operations for acl in expand(closed) if acl.resource == "topic")
    assert {acl.resource for acl in expand(closed)} == {acl.resource for acl in expand(grant)}


@pytest.mark.parametrize(
    "topic", ["mm2-offset-syncs.west.internal", "west.checkpoints.internal", "west.heartbeats", ".own"]
)
def test_what_mirrormaker_never_carries_is_not_waited_for(topic: str) -> None:
    assert not is_mirrored(topic, Mirroring())
