"""Who is who: the names in certificates, which Kafka and ZooKeeper authorise by.

`tuning` writes them into `super.users`, `security` into certificates; both take
them from here. Invariant: no SCRAM user can be called like one of these, because
a user's name has no comma and no equals sign (`spec.model.UserName`).

Each is the RFC 2253 form that Java's `X500Principal.getName()` gives back, so the
certificate's own (DER) order is the reverse: O, OU, CN.
"""

from __future__ import annotations


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
