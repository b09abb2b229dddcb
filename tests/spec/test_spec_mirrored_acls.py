"""Access lists that MirrorMaker copies: declared is what it makes of declared users', so that kdeploy takes none of it away."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.acl import declared
from kdeploy.cluster.state import Binding
from kdeploy.spec.identity import MIRROR
from kdeploy.spec.load import load
from kdeploy.spec.mirrored import declared_in
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Acl, Grant, User
from kdeploy.tuning.mirror import Side, connectors

SHIPPED = Path(__file__).parents[2] / "environments"
PASSIVE = load(SHIPPED / "local-two-dc-passive").environment
KINDS = [("active-active", None), ("active-passive", "identity"), ("active-passive", "prefixed")]
OPERATIONS = get_args(get_args(Acl.model_fields["operations"].annotation)[0])


def two(*acls: Acl, mode: str = "active-active", naming: str | None = None, **fields: object) -> Environment:
    said = {"mode": mode, "naming": naming, "sync_topic_acls": True, **fields}
    users = (User(name="app", acls=acls),)
    return PASSIVE.model_copy(
        update={"mirroring": Mirroring.model_validate(said), "users": users, "acls": ()}
    )


def copied(
    environment: Environment, found: frozenset[Binding], here: str, there: str, beyond: tuple[str, ...] = ()
) -> set[Binding]:
    """What MirrorMaker makes in one datacenter of entries that are in another.

    Told by its own source (MirrorSourceConnector of connect-mirror, Kafka 3.9 and 4.3: syncTopicAcls, shouldReplicateAcl,
    shouldReplicateTopic, isCycle, targetAclBinding; DefaultReplicationPolicy), from its connector's own patterns.
    """
    wanted = environment.mirroring
    assert wanted is not None
    sides = [Side(one, "e:1") for one in (here, *beyond)]
    config = next(
        one.config
        for one in connectors(environment, Side(there, "w:1"), sides, 1, "/s")
        if one.name == f"{here}-to-{there}-records"
    )

    def matches(key: str, topic: str) -> bool:
        return any(re.fullmatch(one, topic) for one in config[key].split(","))

    def is_cycle(topic: str) -> bool:
        source, dot, rest = topic.partition(".")
        prefixed = wanted.names == "prefixed" or topic.endswith("heartbeats")
        return bool(dot) and prefixed and (source == there or is_cycle(rest))

    made = set()
    for one in found:
        is_heartbeats = one.name.rpartition(".")[2] == "heartbeats"
        goes_past = is_heartbeats and "heartbeats.replication.enabled" not in config
        goes = matches("topics", one.name) and not matches("topics.exclude", one.name)
        if (one.resource, one.pattern) != ("topic", "literal") or is_cycle(one.name):
            continue
        if (one.permission, one.operation) == ("allow", "write") or not (goes or goes_past):
            continue
        operation = "read" if (one.permission, one.operation) == ("allow", "all") else one.operation
        keeps = wanted.names == "identity" and not is_heartbeats
        name = one.name if keeps else f"{here}.{one.name}"
        made.add(Binding(one.user, "topic", name, "literal", operation, one.permission, one.host))
    return made


NAMES = st.sampled_from(
    [
        "orders",
        "scratch",
        "*",
        "heartbeats",
        "east.orders",
        "west.orders",
        "west.x.orders",
        "x.west.orders",
        "a-b",
        "north.orders",
        "north.heartbeats",
        "east.x.heartbeats",
    ]
)
ACLS = st.builds(
    Acl,
    resource=st.sampled_from(["topic", "group"]),
    name=NAMES,
    pattern=st.sampled_from(["literal", "prefixed"]),
    operations=st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4, unique=True).map(tuple),
    permission=st.sampled_from(["allow", "deny"]),
    host=st.sampled_from(["*", "10.0.0.1"]),
)


@given(
    acls=st.lists(ACLS, max_size=5),
    kind=st.sampled_from(KINDS),
    topics=st.sampled_from([("*",), ("orders*", "a-b"), ("east.*", "west.*", "orders")]),
    written=st.sampled_from(["east", "west", ""]),
    then=st.sampled_from(["east", "west", ""]),
)
def test_all_that_is_copied_of_declared_users_is_declared_where_it_comes_whoever_was_written_to(
    acls: list[Acl],
    kind: tuple[Literal["active-active", "active-passive"], str | None],
    topics: tuple[str, ...],
    written: str,
    then: str,
) -> None:
    mode, naming = kind
    environment = two(*acls, mode=mode, naming=naming, topics=topics, exclude_topics=("scratch",))
    for here, there in (("east", "west"), ("west", "east")):
        made = copied(environment, declared(declared_in(environment, here, written)), here, there)
        assert made <= declared(declared_in(environment, there, then))


@given(
    acls=st.lists(ACLS, max_size=5),
    kind=st.sampled_from(KINDS),
    written=st.sampled_from(["north", "east", "west", ""]),
    then=st.sampled_from(["north", "east", "west", ""]),
    version=st.sampled_from(["3.9.2", "4.3.1"]),
)
def test_of_three_too_all_that_is_copied_is_declared_where_it_comes_whoever_was_written_to(
    acls: list[Acl],
    kind: tuple[Literal["active-active", "active-passive"], str | None],
    written: str,
    then: str,
    version: str,
) -> None:
    mode, naming = kind
    three = load(SHIPPED / "local-three-dc-passive").environment.datacenters
    environment = two(*acls, mode=mode, naming=naming)
    kafka = environment.kafka.model_copy(update={"version": version})
    environment = environment.model_copy(update={"datacenters": three, "kafka": kafka})
    for here, there, beyond in permutations(("north", "east", "west")):
        bindings = declared(declared_in(environment, here, written))
        made = copied(environment, bindings, here, there, (beyond,))
        assert made <= declared(declared_in(environment, there, then))


def test_of_three_of_which_one_is_written_to_a_name_that_begins_with_another_ones_is_an_applications() -> (
    None
):
    environment = load(SHIPPED / "local-three-dc-passive").environment
    users = (User(name="app", acls=(Acl(name="east.orders", operations=("all",)),)),)
    wanted = Mirroring(mode="active-passive", sync_topic_acls=True)
    environment = environment.model_copy(update={"mirroring": wanted, "users": users, "acls": ()})
    # Of what is declared as `all` in north a closed west keeps what is left, under the same name; nothing goes in circles.
    found = declared(declared_in(environment, "west", "north"))
    assert {(one.name, one.operation) for one in found if one.user == "app"} == {
        ("east.orders", one) for one in ("read", "describe", "describe-configs")
    }


@given(acls=st.lists(ACLS, max_size=5), kind=st.sampled_from(KINDS))
def test_nothing_is_declared_for_a_copy_that_lets_anybody_write(
    acls: list[Acl], kind: tuple[str, str | None]
) -> None:
    environment = two(*acls, mode=kind[0], naming=kind[1])
    without = two(*acls, mode=kind[0], naming=kind[1], sync_topic_acls=False)
    for here in ("east", "west"):
        more = declared(declared_in(environment, here, "")) - declared(declared_in(without, here, ""))
        writes = {one for one in more if one.permission == "allow" and one.operation in ("write", "all")}
        assert writes == set()


def test_a_right_to_one_topic_is_there_for_what_it_is_called_on_the_other_side() -> None:
    role = Grant(user="app", role="consumer", topics=("payments",), groups=("payments",))
    acls = Acl(name="orders", operations=("all",)), Acl(name="pay", pattern="prefixed", operations=("read",))
    environment = two(*acls).model_copy(update={"acls": (role,)})
    found = declared(declared_in(environment, "west", None))
    prefixed = {
        (one.name, one.operation) for one in found if one.user == "app" and one.name.startswith("east.")
    }
    assert prefixed == {
        *(("east.orders", one) for one in ("read", "describe", "describe-configs")),
        *(("east.payments", one) for one in ("read", "describe")),
    }


def test_of_three_datacenters_each_brings_the_rights_to_its_own_topics_and_passes_none_on() -> None:
    environment = load(SHIPPED / "local-three-dc-active").environment
    rights = tuple(Acl(name=name, operations=("read",)) for name in ("orders", "north.orders"))
    wanted = Mirroring(mode="active-active", sync_topic_acls=True)
    users = (User(name="app", acls=rights),)
    environment = environment.model_copy(update={"mirroring": wanted, "users": users, "acls": ()})
    found = declared(declared_in(environment, "west", None))
    names = {one.name for one in found if one.user == "app"}
    assert {"east.orders", "north.orders"} <= names
    assert "east.north.orders" not in names


@pytest.mark.parametrize(
    ("mode", "written", "east", "west"),
    [
        ("active-active", None, {"describe", "alter"}, {"describe", "alter"}),
        ("active-passive", "east", {"describe"}, {"describe", "alter"}),
        ("active-passive", "west", {"describe", "alter"}, {"describe"}),
    ],
)
def test_mirrormaker_may_alter_access_lists_only_where_they_are_copied_to(
    mode: str, written: str | None, east: set[str], west: set[str]
) -> None:
    for is_asked in (True, False):
        environment = two(mode=mode, sync_topic_acls=is_asked)
        for here, wanted in (("east", east), ("west", west)):
            found = declared(declared_in(environment, here, written))
            of_cluster = {one.operation for one in found if (one.user, one.resource) == (MIRROR, "cluster")}
            assert of_cluster == (wanted if is_asked else set())


def test_where_settings_do_not_follow_mirrormaker_may_alter_none() -> None:
    for follows in (True, False):
        environment = two(sync_topic_configs=follows)
        found = declared(declared_in(environment, "west", None))
        alters = {one.name for one in found if (one.user, one.operation) == (MIRROR, "alter-configs")}
        assert bool(alters) is follows
