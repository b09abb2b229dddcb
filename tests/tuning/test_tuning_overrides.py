"""A person's overrides: taken where Kafka would take them, refused with their place and a remedy elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.blueprint import draw
from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from kdeploy.tuning.render import parse_properties
from tests.tuning.builders import environment, kraft, lock, plan


def properties(wanted: Environment, node: str) -> dict[str, str]:
    planned = plan(wanted)
    blueprint = draw(wanted, planned, lock(wanted, planned))
    (found,) = (one for one in blueprint.nodes if one.name == node)
    name = "zoo.cfg" if found.role == "zookeeper" else "server.properties"
    return parse_properties(next(file.text for file in found.files if file.path.endswith(name)))


def refused(wanted: Environment) -> InvalidSetting:
    planned = plan(wanted)
    with pytest.raises(InvalidSetting) as caught:
        draw(wanted, planned, lock(wanted, planned))
    return caught.value


def test_an_override_takes_the_place_of_what_was_decided() -> None:
    wanted = environment(overrides={"broker": {"num.io.threads": 24, "log.cleaner.enable": False}})
    settings = properties(wanted, "broker-2")
    assert settings["num.io.threads"] == "24"
    assert settings["log.cleaner.enable"] == "false"


def test_an_override_of_what_topics_inherit_holds_on_controllers_too() -> None:
    wanted = kraft(
        overrides={"broker": {"log.segment.bytes": 2**28, "num.partitions": 12, "num.io.threads": 9}}
    )
    settings = properties(wanted, "controller-1001")
    assert settings["log.segment.bytes"] == str(2**28)
    assert settings["num.partitions"] == "12"
    assert "num.io.threads" not in settings


@pytest.mark.parametrize(
    ("overrides", "path", "wrong", "right"),
    [
        (
            {"broker": {"num.io.thread": 8}},
            ("overrides", "broker", "num.io.thread"),
            "Kafka 3.9.2 has no broker setting num.io.thread",
            "did you mean num.io.threads?",
        ),
        (
            {"broker": {"num.io.threads": "many"}},
            ("overrides", "broker", "num.io.threads"),
            "'many' is not a value of num.io.threads (int)",
            "it is a whole number without a unit",
        ),
        (
            {"zookeeper": {"tickTimes": 1}},
            ("overrides", "zookeeper", "tickTimes"),
            "Kafka 3.9.2 has no ZooKeeper setting tickTimes",
            "did you mean tickTime?",
        ),
        (
            {"kernel": {"swappiness": 1}},
            ("overrides", "kernel", "swappiness"),
            "swappiness is not a name of sysctl",
            "write it like vm.swappiness",
        ),
        (
            {"jvm": {"broker": ["-cp"]}},
            ("overrides", "jvm", "broker", 0),
            "-cp would replace what kdeploy starts",
            "give options of the machine, no class path",
        ),
    ],
)
def test_a_wrong_override_is_refused_with_its_path_and_remedy(
    overrides: dict[str, Any], path: tuple[str | int, ...], wrong: str, right: str
) -> None:
    error = refused(environment(overrides=overrides))
    assert (error.path, error.wrong, error.right) == (path, wrong, right)


@pytest.mark.parametrize(
    "name",
    [
        "broker.id",
        "node.id",
        "process.roles",
        "broker.rack",
        "listeners",
        "advertised.listeners",
        "log.dirs",
        "log.dir",
        "metadata.log.dir",
        "zookeeper.connect",
        "zookeeper.set.acl",
        "zookeeper.ssl.keystore.location",
        "ssl.keystore.location",
        "ssl.truststore.location",
        "ssl.client.auth",
        "ssl.principal.mapping.rules",
        "ssl.endpoint.identification.algorithm",
        "listener.name.internal.ssl.client.auth",
        "listener.name.client.scram-sha-512.sasl.jaas.config",
        "listener.security.protocol.map",
        "authorizer.class.name",
        "super.users",
        "allow.everyone.if.no.acl.found",
        "controller.quorum.voters",
        "default.replication.factor",
        "min.insync.replicas",
        "log.retention.ms",
    ],
)
def test_what_identity_and_safety_rest_on_is_refused(name: str) -> None:
    error = refused(environment(overrides={"broker": {name: "1"}}))
    assert error.path == ("overrides", "broker", name)
    assert f"{name} is kdeploy's to set" in error.wrong


@pytest.mark.parametrize(
    "name",
    [
        "server.1",
        "dataDir",
        "clientPort",
        "ssl.clientAuth",
        "sslQuorum",
        "skipACL",
        "admin.enableServer",
        "forceSync",
    ],
)
def test_the_same_of_zookeeper_is_refused(name: str) -> None:
    assert "kdeploy's to set" in refused(environment(overrides={"zookeeper": {name: "1"}})).wrong


def test_a_misspelt_topic_setting_is_refused_with_its_path() -> None:
    error = refused(environment(topics=[{"name": "a"}, {"name": "b", "config": {"retention.mss": 1}}]))
    assert error.path == ("topics", 1, "config", "retention.mss")
    assert error.right == "did you mean retention.ms?"
