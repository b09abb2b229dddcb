"""What an environment needs from its vault, and adding what is missing.

Invariant: completing never changes what is there, so a cluster that runs keeps the
secrets it runs with; completing twice is completing once. A certificate alone is made
anew, under the same authority, where clients outside reach its broker by another name.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError
from kdeploy.security.authority import issue, new_authority
from kdeploy.security.content import Vault
from kdeploy.spec.identity import MIRROR, administrator_subject, brokers_subject, host_name, node_subject

if TYPE_CHECKING:
    from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode
    from kdeploy.spec.model import Environment

PASSWORD_BYTES: Final = 24
"""Random bytes in a generated password: 192 bits, 32 URL-safe characters. SCRAM hands a salted hash of
it to whoever can read the cluster's metadata, so it has to withstand guessing offline: 160 bits at least."""


@dataclass(frozen=True)
class NodeRequirement:
    """One node that needs a certificate.

    Attributes:
        key: `DATACENTER/NODE`.
        subject: Its name, as `spec.identity` writes it.
        names: Host names it is reached by.
        addresses: IP addresses it is reached by.
        outside: Host names that clients outside its network reach it by. These come and go while the node stays, so a
            certificate that is not made out to them is lacking; of `names` that is said when a node is replaced.
    """

    key: str
    subject: str
    names: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def reached_by(self) -> frozenset[str]:
        """Every name and address that its certificate has to be made out to."""
        return frozenset((*self.names, *self.outside, *self.addresses))


@dataclass(frozen=True)
class Requirements:
    """All that an environment's vault has to hold.

    Attributes:
        environment: The environment's name.
        nodes: Every node.
        brokers: Datacenters whose brokers need their shared identity towards ZooKeeper.
        users: Users that need a password.
        certificate_days: How long a new certificate is valid.
        stack: Whether Pulumi keeps a state, whose passphrase it holds.
    """

    environment: str
    nodes: tuple[NodeRequirement, ...]
    brokers: tuple[str, ...]
    users: tuple[str, ...]
    certificate_days: int
    stack: bool = False


@dataclass(frozen=True)
class Expiry:
    """A certificate that ends.

    Attributes:
        name: As `Vault.identities` names it.
        not_after: When it ends (UTC).
    """

    name: str
    not_after: datetime


def requirements(environment: Environment, lock: Lock) -> Requirements:
    """What an environment, with the nodes its lock decided, needs."""
    outside = {
        one.name: one.network.load_balancer.name
        for one in environment.datacenters
        if one.network.load_balancer is not None
    }
    nodes = [
        _node(environment.name, datacenter, node, outside.get(datacenter.name))
        for datacenter in lock.datacenters
        for node in (*datacenter.nodes, *datacenter.mirrors)
    ]
    with_zookeeper = lock.kafka_coordination == "zookeeper"
    return Requirements(
        environment=environment.name,
        nodes=tuple(nodes),
        brokers=tuple(datacenter.name for datacenter in lock.datacenters) if with_zookeeper else (),
        users=(
            *(user.name for user in environment.users if user.credentials == "vault"),
            *([MIRROR] if environment.mirroring else []),
        ),
        certificate_days=environment.security.certificate_days,
        stack=any(datacenter.provider == "aws" for datacenter in lock.datacenters),
    )


def _node(
    environment: str, datacenter: LockedDatacenter, node: LockedNode, outside: str | None
) -> NodeRequirement:
    names, addresses = [node.name, f"{node.name}.{datacenter.name}"], []
    if datacenter.provider == "local":
        # ZooKeeper also checks the certificate of the peer that calls, by its address.
        names, addresses = ["localhost", *names], ["127.0.0.1"]
    else:
        host = host_name(environment, datacenter.name, datacenter.provider, node.name, node.host)
        (addresses if _is_address(host) else names).append(host)
        if node.address is not None:  # leads back to no name of ours: ZooKeeper checks who calls by address
            addresses.append(node.address)
    subject = node_subject(environment, datacenter.name, node.name)
    balanced = (outside,) if outside is not None and node.role == "broker" else ()
    return NodeRequirement(
        f"{datacenter.name}/{node.name}", subject, tuple(names), tuple(addresses), balanced
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def lacking(vault: Vault | None, requirements: Requirements) -> tuple[str, ...]:
    """What `complete` would add, in words; empty when nothing is missing.

    Raises:
        KdeployError: The vault is another environment's.
    """
    _refuse_other(vault, requirements)
    missing = [] if vault else ["the authorities of nodes and of clients", "the administrator's certificate"]
    missing += [_lacking(vault, node) for node in _new_nodes(vault, requirements)]
    missing += [f"the certificate that brokers of {name} share" for name in _new_brokers(vault, requirements)]
    missing += [f"the password of {user}" for user in _new_users(vault, requirements)]
    return tuple(
        missing + (["the passphrase of Pulumi's state"] if _lacks_stack(vault, requirements) else [])
    )


def _lacking(vault: Vault | None, node: NodeRequirement) -> str:
    said = f"the certificate of {node.key}"
    if vault is not None and node.key in vault.nodes:  # it has one, and clients outside would not believe it
        return f"{said} made out to {', '.join(node.outside)}"
    return said


def complete(vault: Vault | None, requirements: Requirements, now: datetime) -> Vault:
    """A vault with everything that is required: what was there, as it was, and what was missing, new.

    Args:
        vault: What there is; None at first.
        requirements: What there has to be.
        now: The present, with a time zone.

    Raises:
        KdeployError: The vault is another environment's, or its authority has ended.
    """
    _refuse_other(vault, requirements)
    name, days = requirements.environment, requirements.certificate_days
    new_nodes, new_brokers = _new_nodes(vault, requirements), _new_brokers(vault, requirements)
    new_users, stack = _new_users(vault, requirements), _lacks_stack(vault, requirements)
    vault = vault or _new_vault(name, now, days)
    authority = vault.nodes_authority
    nodes = {
        node.key: issue(
            authority, node.subject, "node", now, days, (*node.names, *node.outside), node.addresses
        )
        for node in new_nodes
    }
    brokers = {
        datacenter: issue(authority, brokers_subject(name, datacenter), "client", now, days)
        for datacenter in new_brokers
    }
    passwords = {user: new_password() for user in new_users}
    return replace(
        vault,
        nodes={**vault.nodes, **nodes},
        brokers={**brokers, **vault.brokers},
        passwords={**passwords, **vault.passwords},
        stack=new_password() if stack else vault.stack,
    )


def made_out_anew(vault: Vault, requirements: Requirements, key: str, now: datetime) -> Vault:
    """The vault with a new certificate for a node, where its present one is not made out to all it is reached by.

    Args:
        vault: What there is.
        requirements: What there has to be.
        key: The node, `DATACENTER/NODE`.
        now: The present, with a time zone.

    Returns:
        The same vault, where nothing is to be changed.

    Raises:
        KdeployError: The vault is another environment's, or its authority has ended.
    """
    node = next(one for one in requirements.nodes if one.key == key)
    present = vault.nodes.get(key)
    if present is not None and node.reached_by <= present.reached_by:
        return vault
    others = {name: identity for name, identity in vault.nodes.items() if name != key}
    return complete(replace(vault, nodes=others), requirements, now)


def new_password() -> str:
    """A new random password of URL-safe characters (see `PASSWORD_BYTES`)."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def expiring(vault: Vault, now: datetime, within: timedelta) -> tuple[Expiry, ...]:
    """Certificates that have ended or end within a time from now, the first to end first."""
    endings = (Expiry(name, identity.not_after) for name, identity in vault.identities().items())
    return tuple(
        sorted((one for one in endings if one.not_after <= now + within), key=lambda one: one.not_after)
    )


def _new_vault(environment: str, now: datetime, days: int) -> Vault:
    nodes = new_authority(f"CN=nodes,OU=authorities,O={environment}", now)
    clients = new_authority(f"CN=clients,OU=authorities,O={environment}", now)
    administrator = issue(clients, administrator_subject(environment), "client", now, days)
    return Vault(environment, nodes, clients, administrator)


def _new_nodes(vault: Vault | None, requirements: Requirements) -> tuple[NodeRequirement, ...]:
    """Nodes without a certificate, and those whose own is not made out to what clients outside call them."""
    return tuple(
        node
        for node in requirements.nodes
        if not vault or node.key not in vault.nodes or not {*node.outside} <= vault.nodes[node.key].reached_by
    )


def _new_brokers(vault: Vault | None, requirements: Requirements) -> tuple[str, ...]:
    return tuple(name for name in requirements.brokers if not vault or name not in vault.brokers)


def _lacks_stack(vault: Vault | None, requirements: Requirements) -> bool:
    return requirements.stack and (vault is None or vault.stack is None)


def _new_users(vault: Vault | None, requirements: Requirements) -> tuple[str, ...]:
    return tuple(user for user in requirements.users if not vault or user not in vault.passwords)


def _refuse_other(vault: Vault | None, requirements: Requirements) -> None:
    if vault is not None and vault.environment != requirements.environment:
        raise KdeployError(
            f"the vault belongs to the environment {vault.environment}, not to {requirements.environment}\n"
            "  a copied environment needs a vault of its own: delete the copy, then run `kdeploy vault create`"
        )
