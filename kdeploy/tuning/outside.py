"""What clients outside the network connect to: the load balancer of a datacenter, with a port for each broker.

Invariant: pure. A client is told of each broker by the balancer's own name and that broker's port, so the port is
the broker's for good, and leads to that broker alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdeploy.spec.aws import LoadBalancer
from kdeploy.spec.firewall import EVERYONE
from kdeploy.spec.identity import endpoint
from kdeploy.spec.lock import LockedDatacenter
from kdeploy.spec.model import Environment
from kdeploy.spec.ports import OUTSIDE, outside_port

LISTENER = "external"
"""Purpose of the brokers' port that the balancer leads to; in capitals Kafka's name of the listener."""


@dataclass(frozen=True)
class Outlet:
    """A broker as the balancer leads to it.

    Attributes:
        broker: Its name.
        port: Its port at the balancer.
        address: Its private address, which it keeps whatever machine it is on.
    """

    broker: str
    port: int
    address: str


@dataclass(frozen=True)
class Balancer:
    """The load balancer of a datacenter.

    Attributes:
        name: What clients call it.
        port: Its port for bootstrap, which leads to every broker.
        target: Port of the brokers that it leads to.
        public: Whether it has public addresses.
        sources: Networks that may connect to it.
        zone: Hosted zone that its name is put into; None where that is somebody else's to do.
        outlets: The brokers, by id.
        ranges: Of the subnets that it stands in: what it asks brokers itself comes from there.
    """

    name: str
    port: int
    target: int
    public: bool
    sources: tuple[str, ...]
    zone: str | None
    outlets: tuple[Outlet, ...]
    ranges: tuple[str, ...]

    @property
    def bootstrap(self) -> str:
        """What clients are given to connect to."""
        return endpoint(self.name, self.port)


def wanted(environment: Environment, datacenter: str) -> LoadBalancer | None:
    """The load balancer that a datacenter is to have; None where it is to have none."""
    found = next((one for one in environment.datacenters if one.name == datacenter), None)
    return found.network.load_balancer if found is not None and found.provider == "aws" else None


def advertised(environment: Environment, datacenter: str, broker: int) -> str | None:
    """Where clients outside find a broker, `NAME:PORT`; None where there is nothing for them.

    Args:
        environment: What is wanted.
        datacenter: The datacenter's name.
        broker: The broker's id.
    """
    asked = wanted(environment, datacenter)
    return endpoint(asked.name, outside_port(asked.port, broker)) if asked else None


def balancer(
    environment: Environment, locked: LockedDatacenter, public_ranges: tuple[str, ...]
) -> Balancer | None:
    """The load balancer of a datacenter; None where it has none.

    Args:
        environment: What is wanted.
        locked: What was decided for the datacenter.
        public_ranges: Of its subnets that the internet reaches, one a rack; where the balancer stands if it is public.
    """
    asked = wanted(environment, locked.name)
    if asked is None:
        return None
    public = asked.scheme == "internet-facing"
    brokers = sorted((node for node in locked.nodes if node.role == "broker"), key=lambda node: node.id)
    return Balancer(
        name=asked.name,
        port=asked.port,
        target=OUTSIDE,
        public=public,
        sources=(EVERYONE[0],) if asked.everyone else tuple(dict.fromkeys(asked.sources)),
        zone=asked.zone,
        outlets=tuple(
            Outlet(node.name, outside_port(asked.port, node.id), str(node.address)) for node in brokers
        ),
        ranges=public_ranges if public else tuple(sorted((locked.subnets or {}).values())),
    )
