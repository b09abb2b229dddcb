"""Who proves what to whom: the TLS, SASL and authoriser settings of Kafka's nodes.

Invariant: a listener that nodes use trusts the nodes' authority alone and asks for a
certificate; the administrator's trusts the clients' authority alone and asks for one; what
clients use takes a password over TLS, or, only where a person asked for it by name, nothing.
Names are whole distinguished names (no ssl.principal.mapping.rules), so none can be shortened
into another's.
"""

from __future__ import annotations

from typing import Final

from kdeploy.spec.identity import administrator_subject, node_subject
from kdeploy.tuning.outside import LISTENER
from kdeploy.tuning.overrides import Settings
from kdeploy.tuning.situation import Cluster, Layout, Situation

AUTHORIZERS: Final = {
    "zookeeper": "kafka.security.authorizer.AclAuthorizer",
    "kraft": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
}
"""Each coordination's authorizer (Kafka 3.9 documentation, 7.5 Authorization and ACLs)."""


def node_tls(layout: Layout) -> Settings:
    """Every listener's and client's default: the node's own identity, and trust in nodes alone.

    PEM files are the same for all components (KIP-651, Kafka 2.7); keys in them are not encrypted:
    they are the node's own 0600 files, so no password stands in any configuration.
    """
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{layout.secrets}/identity.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{layout.secrets}/nodes-authority.pem",
    }


def mutual(listener: str) -> Settings:
    """A listener that asks for a certificate."""
    return {f"listener.name.{listener}.ssl.client.auth": "required"}


def administrator_listener(layout: Layout) -> Settings:
    """The listener kdeploy uses: it trusts the clients' authority alone."""
    return mutual("admin") | {
        "listener.name.admin.ssl.truststore.type": "PEM",
        "listener.name.admin.ssl.truststore.location": f"{layout.secrets}/clients-authority.pem",
    }


OUTSIDE: Final = "SASL_SSL"
"""What clients outside the network speak, whatever those inside do."""


def client_listeners(situation: Situation) -> Settings:
    """The listeners clients use: SCRAM-SHA-512 over TLS (RFC 7677, Kafka 3.9 documentation, 7.4)."""
    protocols = {"client": situation.environment.security.client_listener}
    if situation.member.outside is not None:
        protocols[LISTENER] = OUTSIDE
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    found: Settings = {}
    for name, protocol in protocols.items():
        if protocol == "SASL_SSL":
            found[f"listener.name.{name}.sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
            found[f"listener.name.{name}.scram-sha-512.sasl.jaas.config"] = login
    return found


def zookeeper_client(layout: Layout) -> Settings:
    """A broker's connection to ZooKeeper: mutual TLS with the one name all brokers share.

    ZooKeeper's access lists (zookeeper.set.acl) hold the whole name of who wrote a node: with a
    name each, brokers would lock each other out (Kafka 3.9 documentation, 7.7 ZooKeeper Authentication,
    on the names of brokers' certificates).
    """
    return {
        "zookeeper.ssl.client.enable": "true",
        "zookeeper.clientCnxnSocket": "org.apache.zookeeper.ClientCnxnSocketNetty",
        "zookeeper.ssl.keystore.type": "PEM",
        "zookeeper.ssl.keystore.location": f"{layout.secrets}/broker-zookeeper.pem",
        "zookeeper.ssl.truststore.type": "PEM",
        "zookeeper.ssl.truststore.location": f"{layout.secrets}/nodes-authority.pem",
        "zookeeper.set.acl": "true",
    }


def authorizer(situation: Situation) -> Settings:
    """Who may do what: what no ACL allows is denied; nodes and the administrator are super users.

    KRaft controllers need the same before their first start: they authorise what brokers forward.
    """
    cluster = situation.cluster
    if not cluster.environment.security.authorization:
        return {}
    return {
        "authorizer.class.name": AUTHORIZERS[cluster.coordination],
        "super.users": ";".join(f"User:{name}" for name in super_users(cluster)),
    }


def super_users(cluster: Cluster) -> tuple[str, ...]:
    """Names of Kafka's nodes and of the administrator: by certificate only, never by password."""
    environment = cluster.environment.name
    nodes = (*cluster.of("controller"), *cluster.of("broker"))
    names = (node_subject(environment, cluster.datacenter, node.name) for node in nodes)
    return (*names, administrator_subject(environment))
