"""The stage that verify plays on: a topic with a partition led by each broker, and two users.

One user may use the topic, as clients do, by SCRAM on the client listener; the other may
do nothing. Invariant: everything on it is named by `temporary.Names`, so that it can be
removed by name alone; the passwords exist in this process only.
"""

from __future__ import annotations

import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kdeploy.blueprint import ClusterBlueprint, Node
from kdeploy.cluster import Access
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.failure import ClusterError, TimedOut
from kdeploy.cluster.login import MECHANISM, topic_error
from kdeploy.cluster.state import Binding, NewTopic, Partition
from kdeploy.cluster.temporary import CLIENT, STRANGER, Names
from kdeploy.cluster.wire import context
from kdeploy.spec.model import Environment

READY_FOR: Final = 45.0
"""Seconds that topics, users and access lists have to reach every broker."""

NOT_ALLOWED: Final = 29
"""TOPIC_AUTHORIZATION_FAILED (Kafka protocol guide, error codes)."""


@dataclass(frozen=True)
class Stage:
    """What was put up.

    Attributes:
        access: How the cluster is reached.
        names: What is called what.
        brokers: Brokers that are alive; the topic's partition n is led by the nth of them.
        plaintext: Whether clients come in plaintext, without a user.
        acls: Whether access lists are enforced.
        passwords: The two users' passwords; never shown.
    """

    access: Access
    names: Names
    brokers: tuple[Node, ...]
    plaintext: bool
    acls: bool
    passwords: dict[str, str] = field(repr=False)

    def client(self, node: Node, user: str) -> dict[str, str]:
        """Settings for librdkafka of a client that enters at one broker."""
        entry = {"bootstrap.servers": f"{node.host}:{node.ports['client']}"}
        if self.plaintext:
            return entry
        return {
            **entry,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.access.authority),
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self.passwords[user],
        }

    def tls(self) -> ssl.SSLContext:
        """TLS as a client that shows no certificate."""
        return context(self.access.authority)


def put_up(
    admin: Admin, access: Access, environment: Environment, cluster: ClusterBlueprint, names: Names
) -> Stage:
    """Create the topics, the users and the access list, and wait until every broker knows them.

    Raises:
        ClusterError: The cluster refused one, or was too slow.
    """
    alive = {broker.id for broker in admin.metadata().brokers}
    brokers = tuple(node for node in cluster.brokers if node.id in alive)
    if not brokers:
        raise ClusterError("none of the brokers is registered")
    passwords = {user: password_of(user, access) for user in (CLIENT, STRANGER)}
    security = environment.security
    stage = Stage(
        access,
        names,
        brokers,
        security.client_listener == "PLAINTEXT",
        security.authorization,
        passwords,
    )
    copies = min(environment.durability.replication_factor, len(brokers))
    admin.create_topics([NewTopic(names.records, assignment=_led_by_each(brokers, copies))])
    if not stage.plaintext:
        existing = admin.users()
        accepted = admin.logins({user: passwords[user] for user in passwords if user in existing})
        admin.set_passwords({user: passwords[user] for user in passwords if not accepted.get(user)})
    if stage.acls:
        admin.create_bindings(_bindings(names, "ANONYMOUS" if stage.plaintext else CLIENT))
    wait(lambda: _missing(admin, stage))
    return stage


def password_of(user: str, access: Access) -> str:
    """The password of one of verify's users: whoever has the administrator's key can do all of it anyway."""
    return hmac.new(access.certificate.read_bytes(), user.encode(), "sha256").hexdigest()


def _led_by_each(brokers: tuple[Node, ...], copies: int) -> tuple[tuple[int, ...], ...]:
    """One partition for each broker, with that broker as its preferred leader."""
    ids = [node.id for node in brokers]
    return tuple(tuple((ids[n:] + ids[:n])[:copies]) for n in range(len(ids)))


def _bindings(names: Names, user: str) -> list[Binding]:
    return [
        Binding(user, "topic", names.records, "literal", "all", "allow", "*"),
        Binding(user, "group", names.records, "literal", "read", "allow", "*"),
    ]


def _missing(admin: Admin, stage: Stage) -> str | None:
    """What some broker does not know yet; None when all know all."""
    topic = stage.names.records
    if (unled := leaderless(topic, partitions_of(admin, topic))) is not None:
        return unled
    if stage.plaintext:
        return None
    tls = stage.tls()
    expected = {CLIENT: 0, STRANGER: NOT_ALLOWED if stage.acls else 0}
    for node in stage.brokers:
        for user, code in expected.items():
            said = topic_error(
                node.host,
                node.ports["client"],
                tls,
                user,
                stage.passwords[user],
                stage.names.records,
                proxy=stage.access.proxy,
            )
            if said is None:
                return f"{node.name} does not accept the password of a new user"
            if said != code:
                return f"{node.name} answers {user} with error {said} in place of {code}"
    return None


def partitions_of(admin: Admin, topic: str) -> list[Partition]:
    """A topic's partitions as the broker that answers knows them; none where it does not know the topic yet."""
    return [one for one in admin.metadata().partitions if one.topic == topic]


def leaderless(topic: str, found: Sequence[Partition]) -> str | None:
    """Why a new topic cannot be used yet; None when it is known and every partition has a leader."""
    if not found or any(one.leader is None for one in found):
        return f"topic {topic} has partitions without a leader"
    return None


def wait(missing: Callable[[], str | None]) -> None:
    """Wait until nothing is missing.

    Raises:
        TimedOut: Something still is; says what.
    """
    deadline = time.monotonic() + READY_FOR
    while (lacking := missing()) is not None:
        if time.monotonic() > deadline:
            raise TimedOut(f"not ready after {READY_FOR:g} s: {lacking}")
        time.sleep(0.05)
