"""Whether a load balancer for clients outside fits: who may connect, where it stands, how many brokers it leads to.

Invariant: pure, as all of `kdeploy.spec.check`. Every address there is may connect only where a person says so by
name, and nobody ever without a password over TLS.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from kdeploy.spec.aws import MOST_LISTENERS, LoadBalancer, cut
from kdeploy.spec.check.finding import Finding, duplicates
from kdeploy.spec.check.networks import SMALLEST, unsound
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_

WIDEST: Final = 8
"""Shortest prefix of a network that may connect: the largest private one, 10.0.0.0/8 (RFC 1918). Wider ones are the
internet in two or more pieces."""

BY_NAME: Final = (
    "write the networks that clients come from, or everyone: true in their place, if that is meant"
)


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about the load balancer of every datacenter in AWS, and about two together."""
    names = []
    for index, datacenter in enumerate(environment.datacenters):
        wanted = datacenter.network.load_balancer
        if datacenter.provider != "aws" or wanted is None:
            continue
        place: Path_ = ("datacenters", index, "network", "load_balancer")
        names.append(((*place, "name"), wanted.name))
        yield from _who(place, wanted)
        yield from _where(place, datacenter, wanted)
        yield from _count(place, datacenter)
        if environment.security.client_listener == "PLAINTEXT":
            wrong = "clients inside are let in without a password, and have none to connect from outside with"
            right = "remove it, or write security: {client_listener: SASL_SSL}"
            yield Finding(place, wrong, right, (("security", "client_listener"),))
    yield from duplicates("load balancer's name", names, "give each datacenter's its own")


def _who(place: Path_, wanted: LoadBalancer) -> Iterator[Finding]:
    for at, text in enumerate(wanted.sources):
        path: Path_ = (*place, "sources", at)
        found = tuple(unsound(path, text))
        yield from found
        if found:
            continue
        if IPv4Network(text).prefixlen == 0:
            yield Finding(path, "that is every address there is", BY_NAME)
        elif IPv4Network(text).prefixlen < WIDEST:
            yield Finding(path, f"{text} is wider than any private network", BY_NAME)
    if not wanted.sources and not wanted.everyone:
        wrong = "nobody may connect: no network is named that clients come from"
        yield Finding((*place, "sources"), wrong, BY_NAME, (place,))
    if wanted.sources and wanted.everyone:
        wrong = "every address may connect, so the networks named beside it mean nothing"
        yield Finding((*place, "everyone"), wrong, "remove it, or remove sources")
    if wanted.everyone and wanted.scheme == "internal":
        wrong = "no address of the internet reaches it: it has private addresses alone"
        right = "write sources: the networks that clients come from, or scheme: internet-facing"
        yield Finding((*place, "everyone"), wrong, right, ((*place, "scheme"),))


def _where(place: Path_, datacenter: Datacenter, wanted: LoadBalancer) -> Iterator[Finding]:
    """Public subnets are kdeploy's own: a /28 for each rack, as gateways have."""
    if wanted.scheme == "internal":
        return
    path, network = (*place, "scheme"), datacenter.network
    if network.vpc is not None:
        wrong = (
            f"it would stand in public subnets, and none are made in {network.vpc}, which is there already"
        )
        yield Finding(path, wrong, "write internal, or leave vpc and subnets out, so that a VPC is made")
        return
    try:
        prefix, _ = cut(network.cidr, len(datacenter.racks))
    except ValueError:
        return  # no network: said by the check of networks
    if prefix <= SMALLEST and len(datacenter.racks) > 2 ** (SMALLEST - prefix):
        wrong = f"{network.cidr} has no room for a public subnet in each of {len(datacenter.racks)} zones"
        yield Finding(path, wrong, "write internal, or a larger range as network.cidr")


def _count(place: Path_, datacenter: Datacenter) -> Iterator[Finding]:
    count = datacenter.brokers.count or 0
    if count >= MOST_LISTENERS:
        wrong = f"it leads to {MOST_LISTENERS - 1} brokers at most, and {count} are asked for"
        right = "ask for fewer brokers of a larger type, or remove it"
        yield Finding(place, wrong, right, ((*place[:2], "brokers", "count"),))
