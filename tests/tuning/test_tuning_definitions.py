"""Kafka's own definitions of its settings, and what they let pass."""

from __future__ import annotations

import pytest

from kdeploy.spec.versions import SUPPORTED
from kdeploy.tuning.definitions import Definition, definitions, nearest


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_version_has_its_own_definitions(version: str) -> None:
    known = definitions(version)
    assert known.broker["num.io.threads"].update == "cluster-wide"
    assert known.broker["listeners"].update == "per-broker"
    assert known.broker["log.dirs"].update == "read-only"
    assert known.topic["retention.ms"].default == "604800000"
    assert bool(known.zookeeper) == ("zookeeper" in SUPPORTED[version])


def test_settings_that_came_and_went_are_known_only_where_they_are() -> None:
    assert "zookeeper.connect" in definitions("3.9.2").broker
    assert "zookeeper.connect" not in definitions("4.1.2").broker
    assert "share.coordinator.state.topic.min.isr" in definitions("4.1.2").broker
    assert "share.coordinator.state.topic.min.isr" not in definitions("3.9.2").broker


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("num.io.threads", True),
        ("listener.name.client.ssl.client.auth", True),
        ("listener.name.client.scram-sha-512.sasl.jaas.config", True),
        ("listener.name.client.scram-sha-513.sasl.jaas.config", False),
        ("listener.name.client.ssl.client.auht", False),
        ("config.providers.file.class", True),
        ("config.providers.file.param.allowed.paths", True),
        ("super.users", True),
        ("num.io.thread", False),
    ],
)
def test_a_prefix_is_seen_through(name: str, known: bool) -> None:
    assert (definitions("4.3.1").broker_setting(name) is not None) == known


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("tickTime", True),
        ("snapCount", True),
        ("ssl.quorum.keyStore.location", True),
        ("4lw.commands.whitelist", True),
        ("server.1", True),
        ("server.one", False),
        ("tickTimes", False),
    ],
)
def test_zookeepers_keys_are_known(name: str, known: bool) -> None:
    assert (definitions("3.9.2").zookeeper_setting(name) is not None) == known


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("num.io.threads", "8", None),
        ("num.io.threads", "0", "it is at least 1"),
        ("num.io.threads", "8x", "it is a whole number without a unit"),
        ("num.io.threads", "1.5", "it is a whole number without a unit"),
        ("num.io.threads", "1_000", "it is a whole number without a unit"),
        ("num.io.threads", "\u0668", "it is a whole number without a unit"),
        ("num.io.threads", " 8 ", None),
        ("num.io.threads", "+8", None),
        ("num.io.threads", str(2**31), "it is at most 2147483647"),
        ("log.cleaner.min.cleanable.ratio", "0_5", "it is a number"),
        ("log.cleaner.min.cleanable.ratio", "nan", "it is a number"),
        ("log.cleaner.min.cleanable.ratio", "5e-1", None),
        ("log.cleaner.enable", "yes", "it is true or false"),
        ("log.cleaner.enable", "TRUE", None),
        ("log.cleaner.min.cleanable.ratio", "1.5", "it is at most 1"),
        ("compression.type", "zstd", None),
        ("log.cleanup.policy", "compact, delete", None),
        ("log.cleanup.policy", "compact,remove", "it is one or more of: compact, delete"),
    ],
)
def test_a_value_is_judged_by_type_bounds_and_choices(name: str, value: str, problem: str | None) -> None:
    assert definitions("3.9.2").broker[name].problem(value) == problem


def test_a_choice_is_compared_as_kafka_compares_it() -> None:
    strict = Definition("x", "string", choices=("gzip",))
    lenient = Definition("x", "string", choices=("gzip",), any_case=True)
    assert strict.problem("GZIP") == "it is one of: gzip"
    assert lenient.problem("GZIP") is None


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_default_of_kafka_is_valid_by_its_definition(version: str) -> None:
    known = definitions(version)
    for definition in (*known.broker.values(), *known.topic.values()):
        if definition.default:
            assert definition.problem(definition.default) is None, definition


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("num.io.thread", "num.io.threads"),
        ("log.retention.milliseconds", "log.retention.minutes"),
        ("Ticktime", "tickTime"),
        ("qqqq", None),
    ],
)
def test_the_nearest_name_is_found(name: str, meant: str | None) -> None:
    known = [*definitions("3.9.2").broker, *definitions("3.9.2").zookeeper]
    assert nearest(name, known) == meant
