"""The firewall of a host: which ports it lets in from whom, as rules of nftables.

Invariant: pure. Kafka's own ports are open to exactly those who need them, SSH to operators, and what
no rule lets in is refused; all is in one table of kdeploy's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final

from kdeploy.spec.firewall import Firewall
from kdeploy.spec.lock import Role
from kdeploy.tuning.situation import Situation

FILE: Final = "/etc/kdeploy/firewall.nft"
UNIT: Final = "kdeploy-firewall.service"
TABLE: Final = "inet kdeploy"
LOADED: Final = "/run/kdeploy/firewall"
"""On a host: the table as nft listed it when it was loaded, so that a later change by hand is seen."""

NFT: Final = "/usr/sbin/nft"
"""In all systems that kdeploy knows (their package lists, 2026-11)."""

BROKERS, ENSEMBLE, CLIENTS, OPERATORS = "brokers", "ensemble", "clients", "operators"

WHO: Final[Mapping[Role, Mapping[str, tuple[str, ...]]]] = {
    "broker": {"client": (CLIENTS, OPERATORS), "internal": (BROKERS,), "admin": (OPERATORS,)},
    "zookeeper": {"secure": (BROKERS, OPERATORS), "quorum": (ENSEMBLE,), "election": (ENSEMBLE,)},
    "controller": {"controller": (BROKERS, ENSEMBLE, OPERATORS)},
}
"""Who needs each port (Kafka 3.9 documentation, listeners and KRaft; ZooKeeper 3.8 Administrator's Guide).
Operators, because kdeploy asks each node itself, and `verify` is a client."""

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


def for_peers_alone(role: Role, purpose: str) -> bool:
    """Whether a port is closed to clients and operators."""
    return not {CLIENTS, OPERATORS} & set(WHO[role][purpose])


def settings(situation: Situation) -> Firewall | None:
    """What a person wants of it; None where there is none to set up."""
    cluster = situation.cluster
    if cluster.provider != "hosts":
        return None
    wanted = next(one for one in cluster.environment.datacenters if one.name == cluster.datacenter).firewall
    return wanted if wanted.enabled else None


def ruleset(situation: Situation, wanted: Firewall) -> Ruleset:
    """The rules of a host."""
    member = situation.member
    groups = _groups(situation, wanted)
    rules = list(FIRST)
    for port in sorted(set(wanted.ssh_ports)):
        rules += _accept("tcp", port, wanted.operators)
    for purpose, who in WHO[member.role].items():
        sources = [source for group in who for source in groups[group]]
        rules += _accept("tcp", member.ports[purpose], sources)
    for opening in wanted.also:
        rules += _accept(opening.protocol, opening.port, opening.sources)
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
    return {
        BROKERS: tuple(one.host for one in members if one.role == "broker"),
        ENSEMBLE: tuple(one.host for one in members if one.role != "broker"),
        CLIENTS: wanted.clients,
        OPERATORS: wanted.operators,
    }


def _accept(protocol: str, port: int, sources: Iterable[str]) -> Iterator[str]:
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


def _network(source: str) -> IPv4Network | IPv6Network | None:
    """An address or a network; None for a name."""
    try:
        return ip_network(source, strict=False)
    except ValueError:
        return None
