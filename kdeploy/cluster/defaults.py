"""What a topic made from the cluster's defaults is promised to be.

Invariant: pure. The promise is what was rendered for the brokers, overrides included,
so a default that Kafka takes from somewhere else shows: from 4.1 topics take
min.insync.replicas from the controllers, not from the brokers.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from kdeploy.blueprint import ClusterBlueprint
from kdeploy.cluster.reconcile import same
from kdeploy.spec.model import Environment

PARTITIONS, COPIES = "num.partitions", "default.replication.factor"
"""Broker settings for what is not a topic setting (Kafka documentation, broker configurations)."""

RETENTION_UNITS: Final[Mapping[str, int]] = {
    "log.retention.ms": 1,
    "log.retention.minutes": 60_000,
    "log.retention.hours": 3_600_000,
}
"""Broker settings for retention.ms, the first that is set counting, and milliseconds in each
(Kafka documentation, log.retention.ms)."""

SAME_NAME: Final = ("min.insync.replicas", "unclean.leader.election.enable")
"""Topic settings whose broker default has the same name."""


def promised(environment: Environment, cluster: ClusterBlueprint) -> dict[str, str]:
    """Setting to value: topic settings, and `num.partitions` and `default.replication.factor`."""
    rendered = _rendered(cluster)
    found = {
        COPIES: str(environment.durability.replication_factor),
        "min.insync.replicas": str(environment.durability.min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }
    found |= {key: rendered[key] for key in (PARTITIONS, COPIES, *SAME_NAME) if key in rendered}
    for key, factor in RETENTION_UNITS.items():
        if key in rendered:
            found["retention.ms"] = str(int(Decimal(rendered[key]) * factor))
            break
    return found


def broken(promise: Mapping[str, str], effective: Mapping[str, str]) -> tuple[str, ...]:
    """Each promise that does not hold, in words."""
    return tuple(
        f"{key} is {effective.get(key, 'unset')}, and {value} was promised"
        for key, value in sorted(promise.items())
        if key not in effective or not same(value, effective[key])
    )


def _rendered(cluster: ClusterBlueprint) -> dict[str, str]:
    """The settings of a controller, which creates topics in KRaft mode, and of a broker, which keeps them."""
    controllers = [node for node in cluster.coordinators if node.role == "controller"]
    found: dict[str, str] = {}
    for node in (*controllers[:1], *cluster.brokers[:1]):
        for file in node.files:
            if file.path in node.arguments:
                lines = (line.partition("=") for line in file.text.splitlines() if not line.startswith("#"))
                found |= {key.strip(): value.strip() for key, mark, value in lines if mark}
    return found
