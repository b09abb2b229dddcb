"""The jars that kdeploy trusts: pinned for every supported version, whole and consistent."""

from __future__ import annotations

import re

import pytest

from kdeploy.infra.artefacts import maven
from kdeploy.infra.artefacts.contents import Refused, check_kafka_jars, is_runtime_jar
from kdeploy.spec.versions import SUPPORTED


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_version_has_pins_with_a_broker_and_a_logging_binding(version: str) -> None:
    names = [jar.name for jar in maven.pins(version)]
    check_kafka_jars(names, version)
    assert f"kafka-tools-{version}.jar" in names
    binding = "slf4j-reload4j" if version.startswith("3.") else "log4j-slf4j-impl"
    assert [name for name in names if name.startswith(binding)]
    assert ("zookeeper-3.8.4.jar" in names) == ("zookeeper" in SUPPORTED[version])


@pytest.mark.parametrize("version", SUPPORTED)
def test_pins_name_each_jar_once_with_a_whole_hash(version: str) -> None:
    jars = maven.pins(version)
    assert len({jar.name for jar in jars}) == len(jars)
    assert list(jars) == sorted(jars, key=lambda jar: jar.coordinate)
    for jar in jars:
        assert re.fullmatch(r"[0-9a-f]{64}", jar.sha256)
        assert jar.size > 0
        assert jar.coordinate.count(":") == 2


@pytest.mark.parametrize("version", [one for one in SUPPORTED if one.startswith("4.")])
def test_the_logging_binding_of_kafka_4_has_the_version_of_its_core(version: str) -> None:
    versions = {
        jar.coordinate.rpartition(":")[2]
        for jar in maven.pins(version)
        if jar.coordinate.startswith("org.apache.logging.log4j:")
    }
    assert len(versions) == 1


def test_a_version_without_pins_is_refused() -> None:
    with pytest.raises(Refused, match=r"no jars are pinned for Kafka 2\.8\.0"):
        maven.pins("2.8.0")


NEEDED = ("kafka_2.13-3.9.2.jar", "kafka-clients-3.9.2.jar", "connect-mirror-3.9.2.jar")


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        ("kafka-clients-3.8.0.jar", "kafka-clients-3.8.0.jar"),
        ("kafka-streams-scala_2.13-3.9.1.jar", "kafka-streams-scala_2.13-3.9.1.jar"),
        ("connect-api-4.0.0.jar", "connect-api-4.0.0.jar"),
        ("trogdor-3.9.1.jar", "trogdor-3.9.1.jar"),
        ("kafka_2.13-3.9.2-rc1.jar", "kafka_2.13-3.9.2-rc1.jar"),
    ],
)
def test_a_kafka_jar_of_another_version_is_refused(strange: str, said: str) -> None:
    good = [*NEEDED, "connect-api-3.9.2.jar", "zookeeper-3.8.4.jar"]
    check_kafka_jars(good, "3.9.2")
    with pytest.raises(Refused, match=re.escape(said)):
        check_kafka_jars([*good, strange], "3.9.2")


@pytest.mark.parametrize("lacking", NEEDED)
def test_a_distribution_without_broker_clients_or_mirrormaker_is_refused(lacking: str) -> None:
    names = set(NEEDED) - {lacking}
    with pytest.raises(Refused, match=f"lacks {re.escape(lacking)}"):
        check_kafka_jars(names, "3.9.2")


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("kafka_2.13-3.9.2.jar", True),
        ("kafka-clients-3.9.2-test.jar", False),
        ("kafka_2.13-3.9.2-sources.jar", False),
        ("kafka_2.13-3.9.2.jar.asc", False),
        ("latest.txt", False),
    ],
)
def test_only_jars_that_kafkas_own_script_takes_are_on_the_class_path(name: str, belongs: bool) -> None:
    assert is_runtime_jar(name) is belongs
