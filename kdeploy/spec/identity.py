"""Who is who: the names in certificates, which Kafka and ZooKeeper authorise by.

`tuning` writes them into `super.users`, `security` into certificates; both take
them from here. Invariant: no SCRAM user can be called like one of these, because
a user's name has no comma and no equals sign (`spec.model.UserName`).

Each is the RFC 2253 form that Java's `X500Principal.getName()` gives back, so the
certificate's own (DER) order is the reverse: O, OU, CN.
"""

from __future__ import annotations

from typing import Final

from kdeploy.spec.model import Provider

OWN: Final = "__kdeploy-"
"""What names of topics and users begin with that are kdeploy's own: its records of what it made, and verify's."""

MIRROR: Final = "__kdeploy-mirror"
"""What MirrorMaker is called: its user in both clusters, its workers' group, and, with a hyphen, what the names of
their topics and transactional ids begin with."""

DRILL: Final = "kdeploy-drill-"
"""What names of a drill's canary topics and groups begin with, then the datacenter they are made in and an underscore,
which no datacenter's name has. No two underscores in front: MirrorMaker mirrors nothing that begins with those, whatever
its filters say (ReplicationPolicy.isInternalTopic, Kafka 3.9 to 4.3). Whatever is called so may be removed by any drill."""

RESERVED: Final = "__kdeploy-verify-"
"""What names of verify's own topics and users begin with. Whatever is called so may be removed by any verify."""


def node_subject(environment: str, datacenter: str, node: str) -> str:
    """The name of one node: brokers are super users by it on the internal listener."""
    return f"CN={node}.{datacenter},OU=nodes,O={environment}"


def brokers_subject(environment: str, datacenter: str) -> str:
    """The one name that all brokers of a datacenter share towards ZooKeeper.

    ZooKeeper's access lists hold a whole distinguished name: with a name each, brokers
    would lock each other out of what they write (`zookeeper.set.acl`).
    """
    return f"CN=brokers.{datacenter},OU=nodes,O={environment}"


def administrator_subject(environment: str) -> str:
    """The name of kdeploy itself on the admin listener: a super user, by certificate only."""
    return f"CN=admin,OU=operators,O={environment}"


def host_name(environment: str, datacenter: str, provider: Provider, node: str, declared: str | None) -> str:
    """The name or address by which nodes and clients reach a node; certificates are made out to it.

    Provider local has one machine; hosts are reached as they were declared, which clients can
    resolve already; AWS gets a private zone of its own, because addresses are known only late.

    Args:
        environment: The environment's name.
        datacenter: The datacenter's name.
        provider: Where the node comes from.
        node: The node's name.
        declared: The address of a declared machine (provider hosts), None elsewhere.
    """
    if provider == "local":
        return "localhost"
    return declared or f"{node}.{datacenter}.{environment}.kdeploy.internal"


def endpoint(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
