"""server.properties of a KRaft controller, and how storage is formatted before the first start.

Invariant: a controller renders what topics inherit, the authoriser and the super users
exactly as brokers do, because topics are made and requests authorised here.
"""

from __future__ import annotations

from kdeploy.spec.identity import endpoint
from kdeploy.tuning import tls
from kdeploy.tuning.broker import quorum
from kdeploy.tuning.overrides import Settings, override
from kdeploy.tuning.situation import Situation
from kdeploy.tuning.topics import internal_topics, is_inherited, topic_defaults


def settings(situation: Situation) -> Settings:
    """All settings of one controller, a person's overrides included.

    An override under `broker` that topics inherit holds here too.

    Raises:
        InvalidSetting: An override is unknown, invalid, or kdeploy's own to set.
    """
    cluster, overrides = situation.cluster, situation.environment.overrides
    decided = (
        identity(situation)
        | tls.node_tls(situation.layout)
        | tls.mutual("controller")
        | tls.authorizer(situation)
        | quorum(situation)
        | topic_defaults(cluster)
        | internal_topics(cluster)
    )
    inherited = {
        name: value for name, value in overrides.broker.items() if is_inherited(name, cluster.definitions)
    }
    decided = override("broker", decided, inherited, cluster.definitions)
    return override("controller", decided, overrides.controller, cluster.definitions)


def identity(situation: Situation) -> Settings:
    """Who it is, where it listens, where its data is."""
    member = situation.member
    port = member.ports["controller"]
    return {
        "node.id": str(member.id),
        "process.roles": "controller",
        "listeners": f"CONTROLLER://{endpoint(member.bind, port)}",
        "advertised.listeners": f"CONTROLLER://{member.at('controller')}",
        "listener.security.protocol.map": "CONTROLLER:SSL",
        "log.dirs": ",".join(situation.layout.data),
    }


def format_arguments(situation: Situation, configuration: str) -> tuple[str, ...]:
    """Arguments of StorageTool that format a KRaft node's storage (KIP-853, Kafka 3.9).

    Storage that is formatted already is left as it is, so that a killed first start can be repeated.

    Args:
        situation: The node.
        configuration: Path of its server.properties.
    """
    cluster = situation.cluster
    if cluster.coordination != "kraft" or cluster.cluster_id is None:
        return ()
    command = ("format", "--ignore-formatted", "--config", configuration, "--cluster-id", cluster.cluster_id)
    if situation.member.role == "broker":
        return (*command, "--no-initial-controllers")
    voters = (
        f"{voter.id}@{voter.at('controller')}:{voter.directory_id}" for voter in cluster.of("controller")
    )
    return (*command, "--initial-controllers", ",".join(voters))
