"""Which ports are open to whom: one table, behind the firewall of a host (nftables) and AWS's security groups.

Invariant: pure. Kafka's own ports are open to exactly those who need them, SSH to operators, and what
no rule lets in is refused; all is in one table of kdeploy's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final

from kdeploy.spec.firewall import Firewall
from kdeploy.spec.lock import Role
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.tuning.situation import Situation

FILE: Final = "/etc/kdeploy/firewall.nft"
UNIT: Final = "kdeploy-firewall.service"
TABLE: Final = "inet kdeploy"
LOADED: Final = "/run/kdeploy/firewall"
"""On a host: the table as nft listed it when it was loaded, so that a later change by hand is seen."""

NFT: Final = "/usr/sbin/nft"
"""In all systems that kdeploy knows (their package lists, 2026-11)."""

BROKERS, ENSEMBLE, MIRRORS, FAR = "brokers", "ensemble", "mirrors", "far mirrors"
CLIENTS, OPERATORS, LOGIN = "clients", "operators", "login"
BALANCED = "balanced"
"""Clients outside, whose addresses brokers see through the load balancer, and the balancer itself."""

WHO: Final[Mapping[Role, Mapping[str, tuple[str, ...]]]] = {
    "broker": {
        "client": (CLIENTS, OPERATORS, MIRRORS, FAR),
        "internal": (BROKERS,),
        "admin": (OPERATORS,),
        "external": (BALANCED, OPERATORS),
    },
    "zookeeper": {"secure": (BROKERS, OPERATORS), "quorum": (ENSEMBLE,), "election": (ENSEMBLE,)},
    "controller": {"controller": (BROKERS, ENSEMBLE, OPERATORS)},
    "mirror": {"rest": (MIRRORS, OPERATORS)},
}
"""Who needs each port (Kafka 3.9 documentation, listeners and KRaft; ZooKeeper 3.8 Administrator's Guide).
Operators, because kdeploy asks each node itself, and `verify` is a client; far mirrors are the workers of the other
datacenter, which fetch here."""

WHY: Final[Mapping[str, str]] = {
    "client": "clients produce and fetch",
    "internal": "brokers replicate",
    "admin": "kdeploy administers",
    "external": "clients outside come through the load balancer",
    "secure": "brokers keep their metadata in ZooKeeper",
    "quorum": "ZooKeeper nodes follow their leader",
    "election": "ZooKeeper nodes elect a leader",
    "rest": "kdeploy and workers of MirrorMaker set up connectors",
    "controller": "brokers and controllers speak to the quorum",
    "ssh": "operators log in",
    "also": "the environment asks for it",
}
"""What each port is open for, in words that AWS takes as a description."""

ICMP, TCP, ICMP_IPV6 = 1, 6, 58
"""By number (IANA, protocol numbers): nft looks names up in /etc/protocols, which a minimal system lacks."""

FIRST: Final = (
    "ct state established,related accept",
    'iif "lo" accept',
    # Without it neither paths with small packets (RFC 1191) nor neighbours in IPv6 (RFC 4861) are found.
    f"meta l4proto {{ {ICMP}, {ICMP_IPV6} }} accept",
    # Answers of DHCP may come from another address than the question went to (RFC 2131, RFC 8415).
    "udp sport 67 udp dport 68 accept",
    "ip6 saddr fe80::/10 udp dport 546 accept",
)
"""What every host needs, whatever runs on it."""


@dataclass(frozen=True)
class Ruleset:
    """The rules of one host, and what stands for them.

    Attributes:
        rules: Each a line of nftables, in their order.
        digest: Hash of those that let in; it stands in a comment, so that it is seen which are loaded.
        names: Whether a rule has a name in it, that nft looks up when it loads them.
    """

    rules: tuple[str, ...]
    digest: str
    names: bool


@dataclass(frozen=True)
class Opened:
    """A port of a node and who needs it.

    Attributes:
        port: Its number.
        protocol: tcp or udp.
        purpose: What it is for: as in the node's ports, or ssh, or also.
        groups: Who needs it, as in `WHO`; LOGIN who log in.
        networks: Networks that a person opened it to.
    """

    port: int
    protocol: str
    purpose: str
    groups: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def opened(role: Role, ports: Mapping[str, int], wanted: Firewall) -> tuple[Opened, ...]:
    """Every port of a node that is open, each with who needs it; none other is."""
    return (
        *(Opened(port, "tcp", "ssh", (LOGIN,)) for port in sorted(set(wanted.ssh_ports))),
        *(
            Opened(ports[purpose], "tcp", purpose, who)
            for purpose, who in WHO[role].items()
            if purpose in ports
        ),
        *(Opened(one.port, one.protocol, "also", (), one.sources) for one in wanted.also),
    )


def for_peers_alone(role: Role, purpose: str) -> bool:
    """Whether a port is closed to clients and operators."""
    return not {CLIENTS, OPERATORS} & set(WHO[role][purpose])


def settings(situation: Situation) -> Firewall | None:
    """What a person wants of it; None where there is none to set up."""
    cluster = situation.cluster
    if cluster.provider == "local":
        return None
    datacenter = next(one for one in cluster.environment.datacenters if one.name == cluster.datacenter)
    wanted = datacenter.firewall
    if cluster.provider == "aws":
        wanted = in_aws(cluster.environment, datacenter)
    return wanted if wanted.enabled else None


def in_aws(environment: Environment, datacenter: Datacenter) -> Firewall:
    """What is wanted where the network says who clients and operators are.

    The other datacenter is always among the clients: what is mirrored is fetched from there, and clients move there.
    """
    network = datacenter.network
    others = (one for one in environment.datacenters if one.name != datacenter.name)
    peers = (one.network.cidr for one in others if one.provider == "aws")
    clients = (*(network.clients or (network.cidr,)), *peers)
    return datacenter.firewall.model_copy(
        update={"clients": tuple(dict.fromkeys(clients)), "operators": network.operators}
    )


def ruleset(situation: Situation, wanted: Firewall) -> Ruleset:
    """The rules of a host."""
    member = situation.member
    groups = _groups(situation, wanted)
    rules = list(FIRST)
    for one in opened(member.role, member.ports, wanted):
        sources = [source for group in one.groups for source in groups[group]]
        rules += _accepted(one.protocol, one.port, (*sources, *one.networks))
    rules = list(dict.fromkeys(rules))
    digest = hashlib.sha256("\n".join(rules).encode()).hexdigest()[:16]
    named = any(_network(source) is None for group in groups.values() for source in group)
    # Counted, as the first thing to look at when somebody cannot connect; and told so at once, since a client
    # or a peer that hears nothing waits minutes (RFC 9293, section 3.10.7.1). All but TCP is dropped.
    counted = f'counter comment "kdeploy {digest}"'
    return Ruleset((*rules, counted, f"meta l4proto {TCP} reject with tcp reset"), digest, named)


def unit(*, names: bool) -> dict[str, dict[str, str]]:
    """The unit that loads it at boot (systemd.unit(5), version 252; systemd.special(7), network-pre.target).

    Before any network is up; with names among the rules, as soon as they can be looked up.
    """
    early = {
        "After": "nftables.service",  # whose own file begins by emptying every table, in Debian
        "Before": "network-pre.target shutdown.target",
        "Wants": "network-pre.target",
        "Conflicts": "shutdown.target",
        "DefaultDependencies": "no",
    }
    late = {
        "After": "nftables.service network-online.target nss-lookup.target",
        "Wants": "network-online.target",
    }
    load = f"{NFT} -f {FILE} && mkdir -p -m 0700 /run/kdeploy && {NFT} -s -n list table {TABLE} > {LOADED}"
    return {
        "Unit": {"Description": "Firewall of a Kafka host", **(late if names else early)},
        "Service": {
            "Type": "oneshot",
            "RemainAfterExit": "yes",
            "UMask": "0077",
            "ExecStart": f"/bin/sh -c '{load}'",
            "ExecReload": f"/bin/sh -c '{load}'",
            "ExecStop": f"{NFT} delete table {TABLE}",
        },
        "Install": {"WantedBy": "multi-user.target" if names else "sysinit.target"},
    }


def _groups(situation: Situation, wanted: Firewall) -> dict[str, tuple[str, ...]]:
    members = situation.cluster.members
    brokers = tuple(one.address or one.host for one in members if one.role == "broker")
    ensemble = tuple(one.address or one.host for one in members if one.role in ("controller", "zookeeper"))
    mirrors = tuple(one.address or one.host for one in members if one.role == "mirror")
    # In AWS kdeploy speaks to each node through the SSH of one of them.
    through = (*brokers, *ensemble) if situation.cluster.provider == "aws" else ()
    balancer = situation.cluster.balancer
    return {
        BROKERS: brokers,
        ENSEMBLE: ensemble,
        MIRRORS: mirrors,
        FAR: situation.cluster.far_mirrors,
        CLIENTS: wanted.clients,
        BALANCED: (*balancer.sources, *balancer.ranges) if balancer else (),
        OPERATORS: (*wanted.operators, *through),
        LOGIN: wanted.operators,
    }


@lru_cache(maxsize=256)
def _accepted(protocol: str, port: int, sources: tuple[str, ...]) -> tuple[str, ...]:
    """The same rules for every node of a role: of hundreds that let each other in, each is made once."""
    return tuple(_accept(protocol, port, sources))


def _accept(protocol: str, port: int, sources: tuple[str, ...]) -> Iterator[str]:
    """Rules that let a port in from networks, addresses and names."""
    networks = {source: _network(source) for source in sources}
    known = [one for one in networks.values() if one is not None]
    families = (
        ("ip", "ipv4", [one for one in known if isinstance(one, IPv4Network)]),
        ("ip6", "ipv6", [one for one in known if isinstance(one, IPv6Network)]),
    )
    opened = f"{protocol} dport {port} accept"
    if all(any(one.prefixlen == 0 for one in of_family) for _, _, of_family in families):
        yield opened
        return
    for family, name, of_family in families:
        # Sets of nft must not overlap (nft(8), sets).
        merged = [str(one).removesuffix(f"/{one.max_prefixlen}") for one in _collapsed(of_family)]
        if any(one.prefixlen == 0 for one in of_family):
            yield f"meta nfproto {name} {opened}"
        elif merged:
            yield f"{family} saddr {{ {', '.join(merged)} }} {opened}"
    for source, network in networks.items():
        if network is None:
            yield f"ip saddr {source} {opened}"


def _collapsed(networks: Iterable[IPv4Network | IPv6Network]) -> list[IPv4Network | IPv6Network]:
    return list(collapse_addresses(networks))  # type: ignore[type-var]


@lru_cache(maxsize=65536)
def _network(source: str) -> IPv4Network | IPv6Network | None:
    """An address or a network; None for a name."""
    try:
        return ip_network(source, strict=False)
    except ValueError:
        return None
