"""Whole nodes: what must hold for every file of every node, whatever the environment."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kdeploy.blueprint import Blueprint, Node, draw
from kdeploy.spec.model import Environment
from kdeploy.spec.versions import SUPPORTED
from kdeploy.tuning import broker
from kdeploy.tuning.definitions import definitions
from kdeploy.tuning.render import parse_properties
from tests.tuning.builders import environment, kraft, lock, plan

MODES = [(version, kind) for version, kinds in SUPPORTED.items() for kind in kinds]
PROVIDERS: list[dict[str, Any]] = [
    {"provider": "local"},
    {"provider": "aws", "region": "eu-west-1"},
    {
        "provider": "hosts",
        "hosts": [
            {
                "address": f"10.0.{index}.{number}",
                "rack": rack,
                "role": role,
                "hardware": {"cores": 16, "memory": "64GiB", "disks": ["/dev/a", "/dev/b"]},
            }
            for index, role in enumerate(("broker", "zookeeper", "controller"))
            for number, rack in enumerate("abc", 1)
        ],
    },
]


def drawn(wanted: Environment, **sizes: int) -> Blueprint:
    planned = plan(wanted, **sizes)
    return draw(wanted, planned, lock(wanted, planned))


def settings(node: Node) -> dict[str, str]:
    name = "zoo.cfg" if node.role == "zookeeper" else "server.properties"
    return parse_properties(next(file.text for file in node.files if file.path.endswith(name)))


def text(node: Node, ending: str) -> str:
    return next(file.text for file in node.files if file.path.endswith(ending))


ALL = [
    pytest.param(version, kind, provider, id=f"{version}-{kind}-{provider['provider']}")
    for (version, kind), provider in itertools.product(MODES, PROVIDERS)
]


@pytest.mark.parametrize(("version", "kind", "provider"), ALL)
def test_every_setting_that_is_rendered_is_known_and_valid(
    version: str, kind: str, provider: dict[str, Any]
) -> None:
    wanted = environment(kafka={"version": version, "coordination": kind}, datacenters=[provider])
    known = definitions(version)
    for node in drawn(wanted).nodes:
        look_up = known.zookeeper_setting if node.role == "zookeeper" else known.broker_setting
        for name, value in settings(node).items():
            definition = look_up(name)
            assert definition is not None, f"{node.name}: {name}"
            assert definition.problem(value) is None, f"{node.name}: {name}={value}"


@pytest.mark.parametrize(("version", "kind", "provider"), ALL)
def test_paths_are_relative_on_this_machine_and_absolute_elsewhere(
    version: str, kind: str, provider: dict[str, Any]
) -> None:
    wanted = environment(kafka={"version": version, "coordination": kind}, datacenters=[provider])
    is_local = provider["provider"] == "local"
    for node in drawn(wanted).nodes:
        paths = [file.path for file in node.files] + [file.path for file in node.secrets]
        paths += [*node.data_directories, *node.arguments]
        assert all(path.startswith("/") != is_local for path in paths)
        assert len(set(paths)) == len(node.files) + len(node.secrets) + len(node.data_directories)
        assert any("systemd" in path for path in paths) != is_local


def test_brokers_are_closed_to_everyone_they_do_not_know() -> None:
    for node in drawn(environment()).clusters[0].brokers:
        found = settings(node)
        assert found["listener.security.protocol.map"] == "INTERNAL:SSL,CLIENT:SASL_SSL,ADMIN:SSL"
        assert found["listener.name.internal.ssl.client.auth"] == "required"
        assert found["listener.name.admin.ssl.client.auth"] == "required"
        assert found["ssl.truststore.location"] == "secrets/nodes-authority.pem"
        assert found["listener.name.admin.ssl.truststore.location"] == "secrets/clients-authority.pem"
        assert found["zookeeper.set.acl"] == "true"
        assert "allow.everyone.if.no.acl.found" not in found
        assert found["super.users"] == ";".join(
            [f"User:CN=broker-{number}.dc1,OU=nodes,O=test" for number in (1, 2, 3)]
            + ["User:CN=admin,OU=operators,O=test"]
        )


def test_zookeeper_says_nothing_in_plain_text() -> None:
    for node in drawn(environment()).clusters[0].coordinators:
        found = settings(node)
        assert "clientPort" not in found
        assert found["sslQuorum"] == "true"
        assert found["ssl.clientAuth"] == found["ssl.quorum.clientAuth"] == "need"
        assert found["admin.enableServer"] == "false"
        assert text(node, "myid") == f"{node.id}\n"


def test_controllers_hold_what_topics_inherit_and_who_may_do_what() -> None:
    cluster = drawn(kraft()).clusters[0]
    one, other = settings(cluster.coordinators[0]), settings(cluster.brokers[0])
    for name in ("min.insync.replicas", "unclean.leader.election.enable", "log.retention.ms"):
        assert one[name] == other[name]
    assert (one["num.partitions"], one["default.replication.factor"]) == ("6", "3")
    assert one["super.users"] == other["super.users"]
    assert one["authorizer.class.name"] == other["authorizer.class.name"]
    assert one["super.users"].count("controller-") == 3


def test_storage_is_formatted_with_the_ids_of_the_lock() -> None:
    wanted = kraft()
    decided = lock(wanted, plan(wanted)).datacenters[0]
    cluster = drawn(wanted).clusters[0]
    assert decided.cluster_id is not None
    for node in cluster.nodes:
        assert node.format_arguments[:2] == ("format", "--ignore-formatted")
        assert decided.cluster_id in node.format_arguments
    voters = cluster.coordinators[0].format_arguments[-1].split(",")
    controllers = [node for node in decided.nodes if node.role == "controller"]
    assert voters == [
        f"{node.id}@localhost:{node.ports['controller']}:{node.directory_id}" for node in controllers
    ]
    assert cluster.brokers[0].format_arguments[-1] == "--no-initial-controllers"


def test_zookeeper_mode_formats_nothing() -> None:
    assert not any(node.format_arguments for node in drawn(environment()).nodes)


def test_plain_text_is_there_for_those_who_ask_for_it_and_only_for_clients() -> None:
    wanted = environment(security={"client_listener": "PLAINTEXT", "authorization": False})
    found = settings(drawn(wanted).clusters[0].brokers[0])
    assert found["listener.security.protocol.map"] == "INTERNAL:SSL,CLIENT:PLAINTEXT,ADMIN:SSL"
    assert not any("sasl" in name for name in found)
    assert "authorizer.class.name" not in found
    assert "super.users" not in found


def test_a_host_is_reached_as_it_was_declared_and_tuned_for_what_it_has() -> None:
    node = drawn(environment(datacenters=[PROVIDERS[2]])).clusters[0].brokers[0]
    found = settings(node)
    assert node.host == "10.0.0.1"
    assert (node.cores, node.memory) == (16, 64 * 2.0**30)
    assert found["log.dirs"] == "/var/lib/kafka/data/0,/var/lib/kafka/data/1"
    assert found["num.io.threads"] == "32"
    assert "-Xmx6144m" in node.java_options


def test_a_zookeeper_host_with_two_disks_gives_its_log_the_second() -> None:
    node = drawn(environment(datacenters=[PROVIDERS[2]])).clusters[0].coordinators[0]
    assert settings(node)["dataDir"] == "/var/lib/zookeeper/data/0"
    assert settings(node)["dataLogDir"] == "/var/lib/zookeeper/data/1"


def test_kernel_settings_take_no_restart_and_the_unit_does() -> None:
    node = drawn(environment(datacenters=[PROVIDERS[1]])).nodes[0]
    restart = {file.path: file.restart for file in node.files}
    assert not restart["/etc/sysctl.d/90-kdeploy.conf"]
    assert restart["/etc/systemd/system/zookeeper.service"]


def test_an_override_of_the_kernel_is_rendered() -> None:
    wanted = environment(datacenters=[PROVIDERS[1]], overrides={"kernel": {"vm.swappiness": 10}})
    assert "vm.swappiness = 10\n" in text(drawn(wanted).nodes[0], "sysctl.d/90-kdeploy.conf")


def test_internal_topics_have_as_many_copies_as_everything_else() -> None:
    wanted = environment(durability={"replication_factor": 1, "min_insync_replicas": 1, "survive": "none"})
    found = settings(drawn(wanted, brokers=1).clusters[0].brokers[0])
    assert found["offsets.topic.replication.factor"] == "1"
    assert found["transaction.state.log.min.isr"] == "1"


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_log_is_bounded_and_nothing_goes_to_the_output(version: str) -> None:
    wanted = environment(kafka={"version": version, "coordination": SUPPORTED[version][0]})
    for node in drawn(wanted).nodes:
        written = text(node, "log4j.properties" if version.startswith("3.") else "log4j2.properties")
        assert "Console" not in written
        assert "logs/server.log" in written
        assert "50MB" in written


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_log_level_changes_the_logs_of_its_role_alone_and_takes_its_restart(version: str) -> None:
    kafka = {"version": version, "coordination": SUPPORTED[version][0]}
    levels = {"root": "WARN", "kafka.controller": "DEBUG", "kafka.server.KafkaApis": "TRACE"}
    before = drawn(environment(kafka=kafka)).nodes
    after = drawn(environment(kafka=kafka, overrides={"logs": {"broker": levels}})).nodes
    for old, new in zip(before, after, strict=True):
        assert (old.fingerprint != new.fingerprint) == (new.role == "broker")
    (_, *_, node) = [node for node in after if node.role == "broker"]
    found = parse_properties(
        text(node, "log4j.properties" if version.startswith("3.") else "log4j2.properties")
    )
    if version.startswith("3."):
        assert found["log4j.rootLogger"] == "WARN, server"
        assert found["log4j.logger.kafka.controller"] == "DEBUG, controller"
        assert found["log4j.logger.kafka.server.KafkaApis"] == "TRACE"
    else:
        assert found["rootLogger.level"] == "WARN"
        named = [
            key.removesuffix(".name") for key in found if key.startswith("logger.") and key.endswith(".name")
        ]
        by_name = {found[f"{key}.name"]: found[f"{key}.level"] for key in named}
        assert by_name["kafka.controller"] == "DEBUG"
        assert by_name["kafka.server.KafkaApis"] == "TRACE"
        assert by_name["kafka.authorizer.logger"] == "INFO"


@pytest.mark.parametrize(
    ("cores", "disks", "network", "io", "fetchers", "recovery"),
    [(1, 1, 3, 8, 1, 2), (8, 1, 8, 16, 2, 8), (16, 4, 16, 32, 4, 4), (96, 24, 16, 64, 4, 4)],
)
def test_threads_follow_cores_and_disks_within_bounds(
    cores: int, disks: int, network: int, io: int, fetchers: int, recovery: int
) -> None:
    assert broker.threads(cores, disks) == {
        "num.network.threads": str(network),
        "num.io.threads": str(io),
        "num.replica.fetchers": str(fetchers),
        "num.recovery.threads.per.data.dir": str(recovery),
    }


def test_an_ipv6_address_stands_in_brackets() -> None:
    hosts = [
        {"address": f"fd00::{index}{number}", "rack": rack, "role": role}
        for index, role in enumerate(("broker", "zookeeper"), 1)
        for number, rack in enumerate("abc", 1)
    ]
    cluster = drawn(environment(datacenters=[{"provider": "hosts", "hosts": hosts}])).clusters[0]
    found = settings(cluster.brokers[0])
    assert found["advertised.listeners"].startswith("INTERNAL://[fd00::11]:9094,")
    assert found["listeners"].startswith("INTERNAL://[::]:9094,")
    assert found["zookeeper.connect"].startswith("[fd00::21]:2182,")
    assert settings(cluster.coordinators[0])["server.1"] == "[fd00::21]:2888:3888"
    assert cluster.bootstrap("client").startswith("[fd00::11]:9092,")


@pytest.mark.parametrize(("version", "kind"), MODES)
def test_what_kafka_takes_while_it_runs_is_no_reason_to_restart_and_all_else_is(
    version: str, kind: str
) -> None:
    def brokers(**settings: Any) -> list[Node]:
        wanted = environment(
            kafka={"version": version, "coordination": kind},
            overrides={"broker": {"num.io.threads": 8, **settings}},
        )
        return [node for node in drawn(wanted).nodes if node.role == "broker"]

    before, live, static = (
        brokers(),
        brokers(**{"num.io.threads": 24}),
        brokers(**{"queued.max.requests": 400}),
    )
    assert [node.fingerprint for node in before] == [node.fingerprint for node in live]
    assert not {node.fingerprint for node in before} & {node.fingerprint for node in static}
    assert {node.live["num.io.threads"] for node in live} == {"24"}


@pytest.mark.parametrize(("version", "kind", "provider"), ALL)
def test_only_brokers_take_settings_while_they_run_and_none_that_their_protection_rests_on(
    version: str, kind: str, provider: dict[str, Any]
) -> None:
    wanted = environment(
        kafka={"version": version, "coordination": kind}, datacenters=[{"name": "dc1", **provider}]
    )
    for node in drawn(wanted).nodes:
        assert bool(node.live) == (node.role == "broker")
        known = definitions(version).broker
        assert {known[name].update for name in node.live} <= {"cluster-wide"}
        assert not [
            name for name in node.live if name.startswith(("ssl.", "sasl.", "listener", "min.insync"))
        ]
        assert settings(node).items() >= node.live.items()


@pytest.mark.parametrize("kraft", [0, 1])
def test_brokers_listen_for_clients_outside_on_a_port_of_its_own_and_tell_them_the_balancers_name(
    kraft: int,
) -> None:
    from tests.tuning.places import KINDS, decided

    blueprint, _ = decided(KINDS["outside"], 3, kraft=kraft)
    for node in blueprint.clusters[0].brokers:
        (text,) = (file.text for file in node.files if file.path.endswith("server.properties"))
        settings = parse_properties(text)
        advertised = dict(one.split("://") for one in settings["advertised.listeners"].split(","))
        listens = dict(one.split("://") for one in settings["listeners"].split(","))
        protocols = dict(one.split(":") for one in settings["listener.security.protocol.map"].split(","))
        assert advertised["EXTERNAL"] == f"kafka.example.com:{9092 + node.id}"
        assert advertised["CLIENT"] == f"{node.host}:9092", "clients inside go straight to it as before"
        assert listens["EXTERNAL"] == "0.0.0.0:9096"
        assert protocols["EXTERNAL"] == protocols["CLIENT"] == "SASL_SSL"
        for name in ("sasl.enabled.mechanisms", "scram-sha-512.sasl.jaas.config"):
            assert settings[f"listener.name.external.{name}"] == settings[f"listener.name.client.{name}"]
    for node in decided(KINDS["one"], 3, kraft=kraft)[0].clusters[0].brokers:
        assert not any("external" in file.text.lower() for file in node.files)
