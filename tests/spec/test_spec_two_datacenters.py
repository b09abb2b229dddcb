"""Two datacenters on one machine share no port, and what is said to be right is; mirrored names never meet others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.spec.check import check
from kdeploy.spec.identity import MIRROR, OWN
from kdeploy.spec.lock import Role
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.spec.ports import MOST_LOCAL_NODES, local_blocks, local_ports

bases = st.integers(1024, 60_000)
names = st.text("ab.-", min_size=1, max_size=6)


def two(
    first: int = 24000, second: int = 29000, coordination: str = "zookeeper", **parts: Any
) -> Environment:
    version = "3.9.2" if coordination == "zookeeper" else "4.3.1"
    return Environment.model_validate(
        {
            "name": "trial",
            "kafka": {"version": version, "coordination": coordination},
            "datacenters": [{"name": "a", "base_port": first}, {"name": "b", "base_port": second}],
            **parts,
        }
    )


def ports(environment: Environment, base: int) -> set[int]:
    """Every port that nodes of a datacenter could ever get."""
    roles: list[Role] = [
        "broker",
        "zookeeper" if environment.kafka.coordination == "zookeeper" else "controller",
    ]
    roles += ["mirror"] if environment.mirroring else []
    return {
        port
        for role in roles
        for ordinal in range(1, MOST_LOCAL_NODES + 1)
        for port in local_ports(role, base, ordinal).values()
    }


@given(bases, bases, st.sampled_from(("zookeeper", "kraft")), st.booleans())
@settings(deadline=None)
def test_two_datacenters_share_no_port_or_are_told_one_with_which_they_do_not(
    first: int, second: int, coordination: str, mirrored: bool
) -> None:
    mirroring: dict[str, Any] | None = {} if mirrored else None
    environment = two(first, second, coordination, mirroring=mirroring)
    found = [one for one in check(environment) if one.path[-1] == "base_port"]
    if not found:
        assert not ports(environment, first) & ports(environment, second)
        return
    (told,) = found
    fits = re.fullmatch(r"write (\d+)", told.right)
    assert fits is not None
    mended = two(first, int(fits.group(1)), coordination, mirroring=mirroring)
    assert check(mended) == ()
    assert not ports(mended, first) & ports(mended, int(fits.group(1)))


@given(bases, st.booleans())
def test_a_block_of_ports_has_room_for_every_node_of_its_role(base: int, mirrored: bool) -> None:
    environment = two(mirroring={} if mirrored else None)
    room = local_blocks(environment, base)
    assert len(room) == 2 + mirrored
    assert all(any(port in block for block in room) for port in ports(environment, base))


@given(st.lists(names, min_size=1, max_size=4, unique=True), st.sampled_from(("identity", "prefixed")))
@settings(deadline=None, max_examples=200)
def test_no_topic_is_called_like_one_that_is_mirrored_from_the_other_side(
    topics: list[str], naming: str
) -> None:
    environment = two(mirroring={"naming": naming}, topics=[{"name": name} for name in topics])
    if any(one.path[0] == "topics" for one in check(environment)):
        return
    own = {topic.name for topic in environment.topics}
    carried = {f"{place.name}.{name}" for place in environment.datacenters for name in own}
    assert naming == "identity" or not own & carried


@pytest.mark.parametrize(
    ("topics", "excluded", "name", "mirrored"),
    [
        (["*"], [], "orders", True),
        (["*"], ["orders"], "orders", False),
        (["*"], ["ord*"], "orders", False),
        (["orders"], [], "orders", True),
        (["orders"], [], "orders-eu", False),
        (["orders*"], ["orders-eu"], "orders-us", True),
        (["orders*"], ["orders-eu"], "orders-eu", False),
        (["payments", "orders-*"], [], "orders", False),
    ],
)
def test_a_topic_is_mirrored_where_a_name_has_it_and_no_other_takes_it_out(
    topics: list[str], excluded: list[str], name: str, mirrored: bool
) -> None:
    assert Mirroring(topics=tuple(topics), exclude_topics=tuple(excluded)).mirrors(name) is mirrored


def test_names_are_as_the_mode_has_them_unless_they_are_said() -> None:
    assert Mirroring().names == "identity"
    assert Mirroring(mode="active-active").names == "prefixed"
    assert Mirroring(naming="prefixed").names == "prefixed"


def test_a_link_that_was_not_said_has_the_defaults() -> None:
    wanted = Mirroring.model_validate({"links": [{"source": "a", "target": "b", "round_trip": "5ms"}]})
    assert wanted.link("a", "b").round_trip == 0.005
    assert (wanted.link("b", "a").round_trip, wanted.link("b", "a").bandwidth) == (0.08, None)


def test_the_mirror_s_own_name_is_among_those_that_are_kept_for_kdeploy() -> None:
    assert MIRROR.startswith(OWN)
