"""Subnets and addresses in AWS: given once, inside their network, and never to two."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.errors import KdeployError
from kdeploy.planner import addresses
from kdeploy.spec.aws import cut
from kdeploy.spec.lock import LockedDatacenter, LockedNode, LockedShape
from kdeploy.spec.model import Datacenter

SHAPE = LockedShape(cores=2, memory=2.0**33)


def datacenter(racks: str = "abc", **network: Any) -> Datacenter:
    return Datacenter.model_validate(
        {"name": "dc1", "provider": "aws", "region": "eu-west-1", "racks": list(racks), "network": network}
    )


def locked(subnets: dict[str, str]) -> LockedDatacenter:
    return LockedDatacenter(
        name="dc1",
        provider="aws",
        brokers=SHAPE,
        coordination=SHAPE,
        partitions=1,
        nodes=(),
        subnets=subnets,
    )


def nodes(racks: str) -> list[LockedNode]:
    return [
        LockedNode(id=at, name=f"broker-{at}", role="broker", rack=rack, ordinal=at, ports={})
        for at, rack in enumerate(racks, 1)
    ]


@pytest.mark.parametrize(
    ("cidr", "racks", "prefix", "parts"),
    [
        ("10.0.0.0/16", 1, 20, 15),
        ("10.0.0.0/16", 3, 20, 15),
        ("10.0.0.0/16", 15, 20, 15),
        ("10.0.0.0/16", 16, 21, 31),
        ("10.0.0.0/20", 3, 24, 15),
        ("10.0.0.0/21", 3, 23, 3),
        ("10.0.0.0/24", 3, 26, 3),
        ("10.0.0.0/24", 1, 25, 1),
    ],
)
def test_a_network_is_cut_into_parts_for_racks_and_one_for_gateways(
    cidr: str, racks: int, prefix: int, parts: int
) -> None:
    assert cut(cidr, racks) == (prefix, parts)


@given(st.integers(16, 24), st.integers(1, 15))
def test_subnets_and_gateways_lie_in_the_network_and_apart_from_each_other(length: int, racks: int) -> None:
    cidr = str(ip_network((10 << 24, length)))
    prefix, _ = cut(cidr, racks)
    names = "abcdefghijklmno"[:racks]
    found = addresses.subnets(datacenter(names, cidr=cidr), None)
    assert found
    parts = [ip_network(one) for one in found.values()]
    if racks <= 2 ** max(0, 28 - prefix):
        parts += [ip_network(addresses.gateway_subnet(cidr, one)) for one in found.values()]
    assert all(one.subnet_of(ip_network(cidr)) for one in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)


def test_a_rack_more_takes_the_next_part_and_leaves_the_others_theirs() -> None:
    first = addresses.subnets(datacenter("abc"), None)
    assert first == {"a": "10.20.0.0/20", "b": "10.20.16.0/20", "c": "10.20.32.0/20"}
    more = addresses.subnets(datacenter("xabc"), locked(first))
    assert more == {**first, "x": "10.20.48.0/20"}


def test_a_rack_for_which_there_is_no_part_is_refused() -> None:
    first = addresses.subnets(datacenter("abc", cidr="10.0.0.0/24"), None)
    assert first
    with pytest.raises(KdeployError, match=r"no room for rack d: 10\.0\.0\.0/24 was cut into 3 subnets"):
        addresses.subnets(datacenter("abcd", cidr="10.0.0.0/24"), locked(first))


def test_addresses_begin_after_those_that_are_kept_and_go_on_above_the_highest() -> None:
    wanted, ranges = datacenter("ab"), {"a": "10.20.0.0/20", "b": "10.20.16.0/20"}
    given_once = addresses.addressed(wanted, nodes("abab"), ranges)
    assert [one.address for one in given_once] == ["10.20.0.16", "10.20.16.16", "10.20.0.17", "10.20.16.17"]
    # The first of rack a is gone, and its address is given to nobody.
    again = addresses.addressed(wanted, [*given_once[1:], *nodes("a")], ranges)
    assert [one.address for one in again] == ["10.20.16.16", "10.20.0.17", "10.20.16.17", "10.20.0.18"]


def test_where_addresses_begin_in_a_subnet_of_somebody_s_is_theirs_to_say() -> None:
    subnet = {"id": "subnet-01234567", "cidr": "10.20.0.0/24", "first": 100}
    wanted = datacenter("a", vpc="vpc-01234567", subnets={"a": subnet})
    ranges = addresses.subnets(wanted, None)
    assert ranges == {"a": "10.20.0.0/24"}
    assert addresses.addressed(wanted, nodes("a"), ranges)[0].address == "10.20.0.100"


def test_a_subnet_that_is_full_is_refused_with_the_node_that_has_no_address() -> None:
    with pytest.raises(KdeployError, match="subnet of rack a, has no address left for broker-48"):
        addresses.addressed(datacenter("a"), nodes("a" * 48), {"a": "10.0.0.0/26"})


def test_elsewhere_there_are_no_subnets_and_no_addresses() -> None:
    local = Datacenter()
    assert addresses.network(local) is None
    assert addresses.subnets(local, None) is None
    assert all(one.address is None for one in addresses.addressed(local, nodes("abc"), None))
