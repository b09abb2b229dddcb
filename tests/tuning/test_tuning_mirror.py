"""MirrorMaker's connectors and workers: both directions, as declared, and no secret in any of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.spec.load import load
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.tuning import mirror
from kdeploy.tuning.mirror import Side, connectors

SHIPPED = Path(__file__).parents[2] / "environments"
PASSIVE = load(SHIPPED / "local-two-dc-passive").environment
ACTIVE = load(SHIPPED / "local-two-dc-active").environment
EAST, WEST = Side("east", "e:1,e:2"), Side("west", "w:1")
CANARY = r"kdeploy-drill-east_.*"
BACK = r"kdeploy-drill-west_.*"
OWN = r"__.*,\..*,.*[.-]internal,.*\.heartbeats"


def made(environment: Environment, target: Side = WEST, tasks: int = 3) -> dict[str, dict[str, str]]:
    source = EAST if target is WEST else WEST
    found = connectors(environment, target, [source], tasks, "/s")
    return {one.name: one.config for one in found}


def mirroring(**fields: object) -> Environment:
    return PASSIVE.model_copy(update={"mirroring": Mirroring.model_validate(fields)})


def test_each_datacenter_has_a_connector_for_records_for_groups_and_for_its_own_heartbeats() -> None:
    assert list(made(PASSIVE)) == ["east-to-west-groups", "east-to-west-records", "west-heartbeats"]
    assert list(made(PASSIVE, EAST)) == ["east-heartbeats", "west-to-east-groups", "west-to-east-records"]


def test_where_nothing_is_mirrored_there_is_no_connector() -> None:
    assert connectors(load(SHIPPED / "local").environment, WEST, [EAST], 1, "/s") == ()


def test_a_connector_that_reads_knows_where_from_and_that_of_heartbeats_reads_from_nowhere() -> None:
    found = connectors(PASSIVE, WEST, [EAST], 1, "/s")
    assert {one.name: one.source for one in found} == {
        "east-to-west-groups": "east",
        "east-to-west-records": "east",
        "west-heartbeats": None,
    }


@pytest.mark.parametrize("environment", [PASSIVE, ACTIVE], ids=["active-passive", "active-active"])
@pytest.mark.parametrize("target", [EAST, WEST], ids=["into-east", "into-west"])
def test_passwords_are_named_and_never_written(environment: Environment, target: Side) -> None:
    for config in made(environment, target).values():
        for key, value in config.items():
            assert isinstance(value, str)
            if re.search("password|jaas|secret", key):
                assert value == "${file:/s/mirror.properties:login}", key
        assert [key for key in config if key.endswith("sasl.jaas.config")]
        assert "name" not in config


@pytest.mark.parametrize("target", [EAST, WEST], ids=["into-east", "into-west"])
def test_records_are_fetched_from_the_other_side_and_written_beside_the_workers(target: Side) -> None:
    source = EAST if target is WEST else WEST
    config = made(PASSIVE, target)[f"{source.datacenter}-to-{target.datacenter}-records"]
    assert config["source.cluster.bootstrap.servers"] == source.bootstrap
    assert config["target.cluster.bootstrap.servers"] == target.bootstrap
    assert (config["source.cluster.alias"], config["target.cluster.alias"]) == (
        source.datacenter,
        target.datacenter,
    )


@pytest.mark.parametrize(
    ("environment", "policy"),
    [(PASSIVE, "IdentityReplicationPolicy"), (ACTIVE, "DefaultReplicationPolicy")],
)
def test_names_are_kept_or_prefixed_by_both_connectors_alike(environment: Environment, policy: str) -> None:
    found = made(environment)
    for name in ("east-to-west-records", "east-to-west-groups"):
        assert found[name]["replication.policy.class"] == f"org.apache.kafka.connect.mirror.{policy}"
        assert found[name]["offset-syncs.topic.location"] == "target"


@pytest.mark.parametrize(
    ("fields", "topics", "excluded"),
    [
        ({}, f".*,{CANARY}", f"{BACK},{OWN}"),
        (
            {"topics": ["orders", "pay.*"], "exclude_topics": ["pay.old*"]},
            rf"orders,pay\..*,{CANARY}",
            rf"pay\.old.*,{BACK},{OWN}",
        ),
        ({"topics": ["a-b_c*"]}, f"a-b_c.*,{CANARY}", f"{BACK},{OWN}"),
    ],
)
def test_topics_are_patterns_that_match_what_is_declared_and_never_its_own(
    fields: dict[str, object], topics: str, excluded: str
) -> None:
    config = made(mirroring(**fields))["east-to-west-records"]
    assert (config["topics"], config["topics.exclude"]) == (topics, excluded)


@pytest.mark.parametrize(
    ("topic", "is_"),
    [
        ("orders", True),
        ("kdeploy-drill-east_1", True),
        ("kdeploy-drill-west_1", False),
        ("kdeploy-drill-far-west_1", True),
        ("__consumer_offsets", False),
        ("__kdeploy-resources", False),
        ("mm2-offset-syncs.west.internal", False),
        ("west.checkpoints.internal", False),
        ("west.heartbeats", False),
        ("scratch", False),
        ("scratch-not", True),
    ],
)
def test_what_a_drill_mirrors_back_does_not_come_again(topic: str, is_: bool) -> None:
    config = made(mirroring(exclude_topics=["scratch"]))["east-to-west-records"]
    wanted, excluded = (
        [one for one in config[key].split(",") if re.fullmatch(one, topic)]
        for key in ("topics", "topics.exclude")
    )
    assert bool(wanted and not excluded) is is_


def test_groups_are_patterns_too_and_a_drill_has_one() -> None:
    config = made(mirroring(groups=["billing", "orders-*"], exclude_groups=["orders-tmp*"]))[
        "east-to-west-groups"
    ]
    assert config["groups"] == f"billing,orders-.*,{CANARY}"
    assert config["groups.exclude"] == "orders-tmp.*,__.*,connect-.*,console-consumer-.*"
    assert config["sync.group.offsets.enabled"] == "true"


def test_a_record_is_written_once_and_only_what_is_committed_is_read() -> None:
    config = made(PASSIVE)["east-to-west-records"]
    assert config["exactly.once.support"] == "required"
    assert config["source.consumer.isolation.level"] == "read_committed"
    assert config["sync.topic.acls.enabled"] == "false"
    assert config["tasks.max"] == "3"


@pytest.mark.parametrize(
    ("fields", "configs", "acls", "excluded"),
    [
        ({}, {"interval.seconds": "30"}, {"enabled": "false"}, OWN),
        ({"sync_topic_configs": False}, {"enabled": "false"}, {"enabled": "false"}, OWN),
        (
            {"sync_topic_acls": True},
            {"interval.seconds": "30"},
            {"enabled": "true", "interval.seconds": "30"},
            OWN,
        ),
        (
            {"sync_topic_acls": True, "naming": "prefixed"},
            {"interval.seconds": "30"},
            {"enabled": "true", "interval.seconds": "30"},
            rf"{OWN},\*",
        ),
    ],
)
def test_settings_and_access_lists_of_topics_follow_as_declared(
    fields: dict[str, object], configs: dict[str, str], acls: dict[str, str], excluded: str
) -> None:
    config = made(mirroring(**fields))["east-to-west-records"]
    for what, wanted in (("sync.topic.configs.", configs), ("sync.topic.acls.", acls)):
        assert {
            key.removeprefix(what): value for key, value in config.items() if key.startswith(what)
        } == wanted
    assert config["topics.exclude"] == f"{BACK},{excluded}"


def test_every_topic_that_mirrormaker_makes_has_as_many_copies_as_all_others() -> None:
    for config in made(PASSIVE).values():
        found = {value for key, value in config.items() if key.endswith("replication.factor")}
        assert found == {"2"}


@pytest.mark.parametrize(("codec", "value"), [("none", None), ("zstd", "zstd")])
def test_what_producers_compress_is_compressed_again(codec: str, value: str | None) -> None:
    workload = PASSIVE.workload.model_copy(update={"compression": codec})
    config = made(PASSIVE.model_copy(update={"workload": workload}))["east-to-west-records"]
    assert config.get("producer.override.compression.type") == value


def test_names_of_connectors_say_which_way_they_go() -> None:
    assert mirror.records("a", "b") == "a-to-b-records"
    assert mirror.groups("a", "b") == "a-to-b-groups"
    assert mirror.drill("a", "b") == "a-to-b-drill"
    assert mirror.heartbeats("a") == "a-heartbeats"


NORTH = Side("north", "n:1")


@pytest.mark.parametrize("version", ["3.9.2", "4.1.2", "4.3.1"])
def test_of_three_each_mirrors_what_others_wrote_themselves_and_passes_nothing_on(version: str) -> None:
    environment = ACTIVE.model_copy(update={"kafka": ACTIVE.kafka.model_copy(update={"version": version})})
    found = {one.name: one.config for one in connectors(environment, WEST, [EAST, NORTH], 3, "/s")}
    assert list(found) == [
        "east-to-west-groups",
        "east-to-west-records",
        "north-to-west-groups",
        "north-to-west-records",
        "west-heartbeats",
    ]
    config = found["east-to-west-records"]
    taken, left = (config[name].split(",") for name in ("topics", "topics.exclude"))

    def carries(topic: str) -> bool:
        return any(re.fullmatch(one, topic) for one in taken) and not any(
            re.fullmatch(one, topic) for one in left
        )

    assert carries("orders")
    assert carries("northern.orders")
    assert carries("heartbeats")
    assert not carries("north.orders")
    assert not carries("north.heartbeats")
    assert not carries("scratch")
    # What 3.9 does not know it would do all the same.
    assert config.get("heartbeats.replication.enabled") == (None if version == "3.9.2" else "false")


@pytest.mark.parametrize("version", ["3.9.2", "4.1.2", "4.3.1"])
@pytest.mark.parametrize(
    ("topic", "carries"),
    [
        ("orders", True),
        # Names stay what they are, so that these are an application's own.
        ("north.orders", True),
        ("west.orders", True),
        ("east.orders", True),
        ("north.scratch", True),
        ("scratch", False),
        ("heartbeats", True),
        ("north.heartbeats", False),
        ("west.heartbeats", False),
        ("east.north.heartbeats", False),
        ("north.checkpoints.internal", False),
        ("mm2-offset-syncs.north.internal", False),
        ("kdeploy-drill-east_1", True),
        # Mirrored to the one that is written to by a drill of the way back, and from there nowhere.
        ("kdeploy-drill-north_1", False),
        ("kdeploy-drill-west_1", False),
        ("kdeploy-drill-northern_1", True),
    ],
)
def test_of_three_of_which_one_is_written_to_each_takes_all_under_its_name(
    topic: str, carries: bool, version: str
) -> None:
    environment = mirroring(mode="active-passive", exclude_topics=["scratch"])
    kafka = environment.kafka.model_copy(update={"version": version})
    environment = environment.model_copy(update={"kafka": kafka})
    found = {one.name: one.config for one in connectors(environment, WEST, [EAST, NORTH], 3, "/s")}
    config = found["east-to-west-records"]
    taken, left = (
        any(re.fullmatch(one, topic) for one in config[name].split(","))
        for name in ("topics", "topics.exclude")
    )
    assert (taken and not left) is carries
    assert config["replication.policy.class"].endswith(".IdentityReplicationPolicy")
    # What goes past the filters: 3.9 knows nothing else, and stops at circles by itself.
    assert config.get("heartbeats.replication.enabled") == (None if version == "3.9.2" else "false")


def test_names_that_are_prefixed_say_whose_a_topic_is_whoever_is_written_to() -> None:
    environment = mirroring(mode="active-passive", naming="prefixed")
    found = {one.name: one.config for one in connectors(environment, WEST, [EAST, NORTH], 3, "/s")}
    excluded = found["east-to-west-records"]["topics.exclude"].split(",")
    assert r"north\..*" in excluded
    assert not any("kdeploy-drill-north" in one for one in excluded)


def test_of_two_nothing_is_said_of_heartbeats_or_of_others() -> None:
    config = made(ACTIVE)["east-to-west-records"]
    assert "heartbeats.replication.enabled" not in config
    assert "heartbeats" not in config["topics"]


def test_heartbeats_are_mirrored_also_where_few_topics_are() -> None:
    narrow = ACTIVE.mirroring and ACTIVE.mirroring.model_copy(update={"topics": ("orders",)})
    kafka = ACTIVE.kafka.model_copy(update={"version": "4.3.1", "coordination": "kraft"})
    environment = ACTIVE.model_copy(update={"mirroring": narrow, "kafka": kafka})
    found = {one.name: one.config for one in connectors(environment, WEST, [EAST, NORTH], 3, "/s")}
    assert "heartbeats" in found["east-to-west-records"]["topics"].split(",")


@given(st.floats(20e3, 1e10), st.integers(1, 60), st.integers(1, 40))
def test_answers_of_all_brokers_to_all_tasks_are_there_in_time_on_a_line_that_is_as_fast_as_stated(
    bandwidth: float, tasks: int, brokers: int
) -> None:
    answer = mirror.fetched(bandwidth, tasks * brokers)
    assert mirror.LEAST_FETCH <= answer <= mirror.FETCH
    if answer > mirror.LEAST_FETCH:
        assert answer * tasks * brokers <= bandwidth * mirror.ANSWER / 5
    assert mirror.fetched(bandwidth * 2, tasks * brokers) >= answer


def test_an_answer_is_as_large_as_the_stated_line_carries_in_good_time() -> None:
    links = [{"source": "east", "target": "west", "bandwidth": "400kB/s"}]
    records = made(mirroring(mode="active-passive", links=links), tasks=4)["east-to-west-records"]
    assert records["source.consumer.fetch.max.bytes"] == "500000"
    assert records["source.consumer.max.partition.fetch.bytes"] == "500000"
    assert records["source.consumer.request.timeout.ms"] == "60000"
    untold = made(mirroring(mode="active-passive"), tasks=4)["east-to-west-records"]
    assert untold["source.consumer.fetch.max.bytes"] == str(mirror.FETCH)
