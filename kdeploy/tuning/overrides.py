"""A person's overrides, checked and put in the place of what kdeploy decided.

Invariant: an override that passes has a name that the deployed version knows and a value
that it would parse, and none touches what a node's identity or the cluster's safety rests
on; each refusal names the path in the environment and what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from kdeploy.errors import InvalidSetting
from kdeploy.spec.lock import Role
from kdeploy.spec.resources import Setting, setting_text
from kdeploy.tuning.definitions import Definition, Definitions, nearest

Settings = dict[str, str]
"""Settings by name, with the text that a file holds for each."""

_IDENTITY = (
    "it is the node's identity, which the lock keeps",
    "leave it to kdeploy; ids are never chosen by hand",
)
_PLACE = ("every other node and file rests on it", "say it by the datacenter's hosts, disks or base_port")
_ACCESS = (
    "the cluster's protection rests on it, and all nodes must agree",
    "say it under security, or leave it to kdeploy",
)
_COPIES = ("the plan rests on it", "say it under durability")

OWNED: Final[Mapping[str, tuple[str, str]]] = {
    r"(broker|node)\.id(\.generation\.enable)?": _IDENTITY,
    r"reserved\.broker\.max\.id": _IDENTITY,
    r"process\.roles": _IDENTITY,
    r"broker\.rack": ("the plan spreads copies by it", "say it by the datacenter's racks or the host's rack"),
    r"(log|metadata\.log)\.dirs?": _PLACE,
    r"(advertised\.|control\.plane\.)?listeners?(\.name)?": _PLACE,
    r"controller\.(quorum\.(voters|bootstrap\.servers)|listener\.names)": _PLACE,
    r"zookeeper\.connect": _PLACE,
    r"zookeeper\.(set\.acl|clientCnxnSocket|ssl\..*)": _ACCESS,
    r"listener\.security\.protocol\.map|security\.inter\.broker\.protocol|inter\.broker\.listener\.name": _ACCESS,
    r"(listener\.name\..*\.)?ssl\.(keystore|truststore|key|client\.auth|principal|endpoint).*": _ACCESS,
    r"(listener\.name\..*\.)?sasl\.(enabled\.mechanisms|jaas\.config|mechanism\..*)": _ACCESS,
    r"(listener\.name\..*\.)?principal\.builder\.class": _ACCESS,
    r"super\.users|authorizer\.class\.name|early\.start\.listeners": _ACCESS,
    r"allow\.everyone\.if\.no\.acl\.found": _ACCESS,
    r"default\.replication\.factor|min\.insync\.replicas": _COPIES,
    r"log\.retention\.(ms|minutes|hours|bytes)": ("the disks are sized by it", "say it under workload"),
    r"inter\.broker\.protocol\.version|zookeeper\.metadata\.migration\.enable": (
        "it belongs to a change of version or coordination",
        "say it by kafka.version and kafka.coordination",
    ),
}
"""Broker and controller settings that kdeploy itself answers for: pattern, why, and where to say it instead."""

NOT_WHILE_RUNNING: Final = r"min\.insync\.replicas|metric\.reporters|config\.providers"
"""Broker settings that Kafka would take while it runs, and that kdeploy changes by a restart all the same:
with eligible leader replicas (KIP-966) brokers refuse the first, and the others load classes."""

OWNED_BY_ZOOKEEPER: Final[Mapping[str, tuple[str, str]]] = {
    r"(server|group|weight)\.\d+": _IDENTITY,
    r"data(Log)?Dir|dynamicConfigFile": _PLACE,
    r"(secureC|c)lientPort(Address)?|(client\.)?portUnification": _PLACE,
    r"ssl(Quorum|\..*)|serverCnxnFactory|authProvider\..*|skipACL|admin\.enableServer": _ACCESS,
    r"(x509AuthenticationProvider|DigestAuthenticationProvider|SASLAuthenticationProvider)\.super.*|superUser": _ACCESS,
    r"reconfigEnabled|standaloneEnabled": ("a joining node could change the ensemble", "leave it off"),
    r"forceSync": ("without it a crash of the ensemble loses what it acknowledged", "leave it on"),
}
"""The same of zoo.cfg."""


def override(
    role: Role, decided: Mapping[str, str], wanted: Mapping[str, Setting], known: Definitions
) -> Settings:
    """What kdeploy decided, with a person's overrides in its place.

    Args:
        role: Whose settings they are.
        decided: Settings by name.
        wanted: Overrides by name, as YAML read them.
        known: The deployed version's definitions.

    Raises:
        InvalidSetting: A name is unknown or kdeploy's own, or a value is not valid.
    """
    for mistake in mistakes_of(role, wanted, known):
        raise mistake
    return {**decided, **{name: setting_text(value) for name, value in wanted.items()}}


def mistakes_of_topic(
    path: tuple[str | int, ...], config: Mapping[str, Setting], known: Definitions
) -> Iterator[InvalidSetting]:
    """What is wrong with a topic's settings.

    Args:
        path: Where they stand in the environment, for example `("topics", 0, "config")`.
        config: Settings by name, as YAML read them.
        known: The deployed version's definitions.
    """
    for name, value in config.items():
        yield from _mistake((*path, name), known.topic_setting(name), known.topic, setting_text(value), known)


def mistakes_of(role: Role, wanted: Mapping[str, Setting], known: Definitions) -> Iterator[InvalidSetting]:
    """What is wrong with the overrides of one role; arguments as `override`."""
    is_zookeeper = role == "zookeeper"
    owned = OWNED_BY_ZOOKEEPER if is_zookeeper else OWNED
    for name, value in wanted.items():
        path = ("overrides", role, name)
        definition = known.zookeeper_setting(name) if is_zookeeper else known.broker_setting(name)
        ours = next((said for pattern, said in owned.items() if re.fullmatch(pattern, name)), None)
        if definition is not None and ours is not None:
            yield InvalidSetting(path, f"{name} is kdeploy's to set: {ours[0]}", ours[1])
        else:
            names = known.zookeeper if is_zookeeper else known.broker
            yield from _mistake(path, definition, names, setting_text(value), known)


def taken_while_running(settings: Mapping[str, str], known: Definitions) -> tuple[str, ...]:
    """Names of those of a broker's settings whose new value it takes while it runs, sorted.

    What Kafka can change for one broker alone (listeners, TLS, SASL) is left to restarts: there a mistake
    would close the door through which it could be mended.
    """
    return tuple(sorted(changeable(known) & settings.keys()))


def changeable(known: Definitions) -> frozenset[str]:
    """Every broker setting of a version that kdeploy changes without a restart."""
    return frozenset(
        name
        for name, one in known.broker.items()
        if one.update == "cluster-wide"
        and one.type not in ("password", "class")
        and not re.fullmatch(NOT_WHILE_RUNNING, name)
    )


def _mistake(
    path: tuple[str | int, ...],
    definition: Definition | None,
    names: Mapping[str, Definition],
    value: str,
    known: Definitions,
) -> Iterator[InvalidSetting]:
    if definition is None:
        yield _unknown(path, str(path[-1]), names, known.version)
    elif (problem := definition.problem(value)) is not None:
        yield InvalidSetting(path, f"{value!r} is not a value of {path[-1]} ({definition.type})", problem)


def _unknown(
    path: tuple[str | int, ...], name: str, known: Mapping[str, Definition], version: str
) -> InvalidSetting:
    suggestion = nearest(name, known)
    right = f"did you mean {suggestion}?" if suggestion else "names are those of Kafka's own documentation"
    of_whom = {"topics": "topic", "zookeeper": "ZooKeeper"}
    what = next((word for key, word in of_whom.items() if key in path[:2]), "broker")
    return InvalidSetting(path, f"Kafka {version} has no {what} setting {name}", right)
