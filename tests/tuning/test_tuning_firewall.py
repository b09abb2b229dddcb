"""The firewall lets in who needs a port, and nobody else: judged as the kernel would, rule by rule."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.blueprint import Blueprint, Node
from kdeploy.tuning import firewall
from tests.tuning.builders import environment
from tests.tuning.test_tuning_nodes import PROVIDERS, drawn, text

BROKERS, ZOOKEEPERS, CONTROLLERS = "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.1.1 10.0.1.2", "10.0.2.1 10.0.2.2"
STRANGER, CLIENT, OPERATOR = "192.0.2.7", "172.16.0.5", "172.31.0.5"
CLOSED = {"clients": ["172.16.0.0/24"], "operators": ["172.31.0.0/24", "fd00::/64"]}


def hosts(kind: str = "zookeeper", names: dict[str, str] | None = None, **wanted: Any) -> Blueprint:
    """Three brokers and three coordinators, declared by address unless named."""
    version = "3.9.2" if kind == "zookeeper" else "4.3.1"
    datacenter = {**PROVIDERS[2], "firewall": wanted}
    role = "zookeeper" if kind == "zookeeper" else "controller"
    datacenter["hosts"] = [
        {**one, "address": (names or {}).get(one["address"], one["address"])}
        for one in PROVIDERS[2]["hosts"]
        if one["role"] in ("broker", role)
    ]
    return drawn(environment(kafka={"version": version, "coordination": kind}, datacenters=[datacenter]))


def node(found: Blueprint, name: str) -> Node:
    return next(one for one in found.nodes if one.name == name)


def lets_in(one: Node, source: str, port: int, protocol: str = "tcp") -> bool:
    """Whether a new connection is accepted by a rule of the file."""
    family = "ip" if ip_address(source).version == 4 else "ip6"
    for line in text(one, "firewall.nft").splitlines():
        rule = line.strip()
        if not rule.endswith(f"{protocol} dport {port} accept"):
            continue
        condition = rule.removesuffix(f"{protocol} dport {port} accept").strip()
        if condition in ("", f"meta nfproto ipv{ip_address(source).version}"):
            return True
        found = re.fullmatch(r"(ip6?) saddr (?:\{ (.*) \}|(\S+))", condition)
        assert found, rule
        if found[1] == family and any(
            ip_address(source) in ip_network(part) for part in (found[2] or found[3]).split(", ")
        ):
            return True
    return False


@pytest.mark.parametrize(
    ("kind", "name", "port", "who", "others"),
    [
        ("zookeeper", "broker-1", 9092, f"{CLIENT} {OPERATOR}", f"{STRANGER} {BROKERS} {ZOOKEEPERS}"),
        ("zookeeper", "broker-1", 9094, BROKERS, f"{STRANGER} {CLIENT} {OPERATOR} {ZOOKEEPERS}"),
        ("zookeeper", "broker-1", 9095, OPERATOR, f"{STRANGER} {CLIENT} {BROKERS} {ZOOKEEPERS}"),
        ("zookeeper", "broker-1", 2182, "", f"{STRANGER} {CLIENT} {OPERATOR} {BROKERS}"),
        ("zookeeper", "zookeeper-1", 2182, f"{BROKERS} {OPERATOR}", f"{STRANGER} {CLIENT} {ZOOKEEPERS}"),
        ("zookeeper", "zookeeper-1", 2888, ZOOKEEPERS, f"{STRANGER} {CLIENT} {OPERATOR} {BROKERS}"),
        ("zookeeper", "zookeeper-1", 3888, ZOOKEEPERS, f"{STRANGER} {CLIENT} {OPERATOR} {BROKERS}"),
        ("zookeeper", "zookeeper-1", 9092, "", f"{STRANGER} {CLIENT} {OPERATOR} {BROKERS}"),
        ("kraft", "controller-1001", 9093, f"{BROKERS} {CONTROLLERS} {OPERATOR}", f"{STRANGER} {CLIENT}"),
        ("kraft", "broker-1", 9094, BROKERS, f"{STRANGER} {CLIENT} {OPERATOR} {CONTROLLERS}"),
        ("zookeeper", "broker-1", 22, f"{OPERATOR} fd00::9", f"{STRANGER} {CLIENT} {BROKERS} 2001:db8::1"),
    ],
)
def test_a_port_is_open_to_those_who_need_it_alone(
    kind: str, name: str, port: int, who: str, others: str
) -> None:
    one = node(hosts(kind, **CLOSED), name)
    assert [source for source in who.split() if not lets_in(one, source, port)] == []
    assert [source for source in others.split() if lets_in(one, source, port)] == []


def test_left_alone_clients_and_operators_may_come_from_anywhere_and_peers_not() -> None:
    one = node(hosts(), "broker-1")
    for source in (STRANGER, "2001:db8::1"):
        assert all(lets_in(one, source, port) for port in (22, 9092, 9095))
        assert not lets_in(one, source, 9094)


def test_what_is_let_in_besides_is_open_to_its_sources() -> None:
    also = [{"port": 9100, "sources": ["10.9.0.0/16"]}, {"port": 161, "protocol": "udp"}]
    one = node(hosts(also=also, ssh_ports=[2222]), "broker-1")
    assert lets_in(one, "10.9.1.1", 9100)
    assert not lets_in(one, STRANGER, 9100)
    assert lets_in(one, STRANGER, 161, "udp")
    assert not lets_in(one, STRANGER, 161)
    assert lets_in(one, STRANGER, 2222)
    assert not lets_in(one, STRANGER, 22)


def test_all_else_is_refused_and_the_table_is_replaced_at_once() -> None:
    lines = text(node(hosts(), "broker-1"), "firewall.nft").splitlines()
    assert lines[2:5] == ["table inet kdeploy", "delete table inet kdeploy", "table inet kdeploy {"]
    assert "        type filter hook input priority filter; policy drop;" in lines
    assert lines[-3].strip() == "meta l4proto 6 reject with tcp reset", "after all that let in"
    assert not any("flush" in line for line in lines), "other tables are not ours"


def test_what_stands_for_the_rules_is_in_a_comment_among_them_and_changes_with_them() -> None:
    one, other = node(hosts(), "broker-1"), node(hosts(**CLOSED), "broker-1")
    assert one.firewall
    assert other.firewall
    assert one.firewall.digest != other.firewall.digest
    assert f'counter comment "kdeploy {one.firewall.digest}"' in text(one, "firewall.nft")
    assert (other.firewall.operators, other.firewall.ssh_ports) == (tuple(CLOSED["operators"]), (22,))


def test_no_firewall_no_file_and_no_restart_either_way() -> None:
    off, on = node(hosts(enabled=False), "broker-1"), node(hosts(), "broker-1")
    assert off.firewall is None
    assert not any("firewall" in file.path for file in off.files)
    assert off.fingerprint == on.fingerprint


def test_peers_by_name_are_looked_up_when_the_network_is_there() -> None:
    named = hosts(names={"10.0.0.2": "kafka-2.example", "10.0.0.3": "kafka-3.example"})
    one = node(named, "broker-1")
    rules = text(one, "firewall.nft")
    assert "ip saddr kafka-2.example tcp dport 9094 accept" in rules
    assert "ip saddr { 10.0.0.1 } tcp dport 9094 accept" in rules
    assert "After=nftables.service network-online.target nss-lookup.target" in text(one, "firewall.service")
    assert "Before=network-pre.target" in text(node(hosts(), "broker-1"), "firewall.service")


networks = st.builds(
    lambda number, length: f"{ip_address(number >> (32 - length) << (32 - length))}/{length}",
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(st.lists(networks, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_however_networks_overlap_the_rules_let_in_their_union(sources: list[str], number: int) -> None:
    one = node(hosts(operators=sources), "broker-1")
    for address in (ip_address(number), *(ip_network(source)[0] for source in sources)):
        inside = any(address in ip_network(source) for source in sources)
        assert lets_in(one, str(address), 9095) == inside
    for line in text(one, "firewall.nft").splitlines():
        found = re.search(r"saddr \{ (.*) \}", line)
        parts = [ip_network(part) for part in found[1].split(", ")] if found else []
        assert not any(a.overlaps(b) for a in parts for b in parts if a is not b), "nft refuses such a set"


def test_every_purpose_of_every_port_has_somebody_who_needs_it() -> None:
    from kdeploy.spec.ports import STANDARD

    assert {role: set(who) for role, who in firewall.WHO.items()} == {
        role: set(ports) | ({"external"} if role == "broker" else set()) for role, ports in STANDARD.items()
    }
