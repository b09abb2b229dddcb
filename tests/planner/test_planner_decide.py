"""Who is who is decided once: growth adds nodes, and changes or reuses none."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.errors import KdeployError
from kdeploy.planner.decide import CONTROLLER_IDS, decide
from kdeploy.planner.result import (
    BrokerPlan,
    CoordinationPlan,
    Cost,
    DatacenterPlan,
    MirrorPlan,
    Plan,
    Volumes,
)
from kdeploy.spec.lock import Lock, LockedNode
from kdeploy.spec.model import Environment

RACKS = ("a", "b", "c")


def ids() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"id-{next(numbers):019d}"


def environment(
    coordination: str = "zookeeper", provider: str = "local", racks: tuple[str, ...] = RACKS
) -> Environment:
    version = "3.9.2" if coordination == "zookeeper" else "4.3.1"
    datacenter: dict[str, object] = {"provider": provider, "racks": list(racks)}
    if provider == "aws":
        datacenter["region"] = "eu-west-1"
    return Environment.model_validate(
        {
            "name": "trial",
            "kafka": {"version": version, "coordination": coordination},
            "datacenters": [datacenter],
        }
    )


def spread(count: int, racks: tuple[str, ...]) -> dict[str, int]:
    return {rack: count // len(racks) + (index < count % len(racks)) for index, rack in enumerate(racks)}


def plan(
    wanted: Environment, brokers: int, nodes: int = 3, size: float = 1e11, cost: Cost | None = None
) -> Plan:
    datacenter = wanted.datacenters[0]
    return Plan(
        wanted.name,
        True,
        (
            DatacenterPlan(
                name=datacenter.name,
                provider=datacenter.provider,
                region=datacenter.region,
                partitions=12 * brokers,
                brokers=BrokerPlan(
                    count=brokers,
                    per_rack=spread(brokers, datacenter.racks),
                    instance_type=None,
                    cores=2,
                    memory=2.0**30,
                    volumes=(Volumes("gp3", 1, size, 3000, 125e6),),
                    utilisation={},
                    bottleneck=None,
                    required={},
                ),
                coordination=CoordinationPlan(
                    wanted.kafka.coordination, nodes, spread(nodes, datacenter.racks), None, 1, 2.0**29
                ),
                cost=cost or Cost(None, {}),
            ),
        ),
    )


def nodes_of(lock: Lock, role: str = "broker") -> list[LockedNode]:
    return [node for node in lock.datacenters[0].nodes if node.role == role]


kinds = st.tuples(
    st.sampled_from(("zookeeper", "kraft")),
    st.sampled_from(("local", "aws")),
    st.integers(1, 5).map(lambda count: tuple("abcde"[:count])),
)
growths = st.lists(st.integers(1, 60), min_size=2, max_size=6).map(sorted)


@given(kinds, growths)
@settings(deadline=None)
def test_growth_keeps_every_node_as_it_was(kind: tuple[str, str, tuple[str, ...]], counts: list[int]) -> None:
    wanted = environment(*kind)
    lock: Lock | None = None
    new_id = ids()
    for count in counts:
        before = lock.datacenters[0].nodes if lock else ()
        cluster = lock.datacenters[0].cluster_id if lock else None
        lock = decide(wanted, plan(wanted, count), lock, new_id)
        after = lock.datacenters[0].nodes
        assert set(map(repr, before)) <= set(map(repr, after))
        assert len(nodes_of(lock)) == count
        assert cluster in (None, lock.datacenters[0].cluster_id)


@given(kinds, st.integers(1, 60))
@settings(deadline=None)
def test_racks_differ_by_at_most_one_broker(kind: tuple[str, str, tuple[str, ...]], count: int) -> None:
    wanted = environment(*kind)
    racks = [node.rack for node in nodes_of(decide(wanted, plan(wanted, count), None, ids()))]
    in_each = [racks.count(rack) for rack in wanted.datacenters[0].racks]
    assert max(in_each) - min(in_each) <= 1


@given(kinds, growths, st.sets(st.integers(1, 80), max_size=20))
@settings(deadline=None)
def test_an_id_is_never_given_twice_not_even_a_retired_one(
    kind: tuple[str, str, tuple[str, ...]], counts: list[int], retired: set[int]
) -> None:
    wanted = environment(*kind)
    lock = decide(wanted, plan(wanted, counts[0]), None, ids())
    datacenter = lock.datacenters[0]
    left = tuple(node for node in datacenter.nodes if node.id not in retired)
    shrunk = datacenter.model_copy(update={"nodes": left, "retired_ids": tuple(sorted(retired))})
    lock = decide(wanted, plan(wanted, counts[-1]), lock.model_copy(update={"datacenters": (shrunk,)}), ids())
    after = lock.datacenters[0].nodes
    assert not {node.id for node in after} & retired
    assert lock.datacenters[0].retired_ids == tuple(sorted(retired))
    assert len({node.name for node in after}) == len(after)
    for role in ("broker", "zookeeper", "controller"):
        numbers = [node.id for node in after if node.role == role]
        assert len(set(numbers)) == len(numbers)


@given(kinds, st.integers(1, 60))
@settings(deadline=None)
def test_local_nodes_have_ports_of_their_own(kind: tuple[str, str, tuple[str, ...]], count: int) -> None:
    wanted = environment(kind[0], "local", kind[2])
    lock = decide(wanted, plan(wanted, count), None, ids())
    ports = [port for node in lock.datacenters[0].nodes for port in node.ports.values()]
    assert len(ports) == len(set(ports))


@given(kinds, st.integers(1, 60))
@settings(deadline=None)
def test_the_same_input_decides_the_same(kind: tuple[str, str, tuple[str, ...]], count: int) -> None:
    wanted = environment(*kind)
    assert decide(wanted, plan(wanted, count), None, ids()) == decide(
        wanted, plan(wanted, count), None, ids()
    )


def test_nodes_are_named_by_role_and_id_and_spread_rack_by_rack() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 4), None, ids())
    assert [(node.name, node.rack) for node in lock.datacenters[0].nodes] == [
        ("zookeeper-1", "a"),
        ("zookeeper-2", "b"),
        ("zookeeper-3", "c"),
        ("broker-1", "a"),
        ("broker-2", "b"),
        ("broker-3", "c"),
        ("broker-4", "a"),
    ]


def test_ports_follow_the_base_port_and_the_ordinal() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 3), None, ids())
    assert nodes_of(lock)[1].ports == {"client": 19020, "internal": 19021, "admin": 19022}
    assert nodes_of(lock, "zookeeper")[2].ports == {"secure": 21030, "quorum": 21031, "election": 21032}
    kraft = environment("kraft")
    assert nodes_of(decide(kraft, plan(kraft, 3), None, ids()), "controller")[0].ports == {
        "controller": 22010
    }


def test_nodes_with_an_address_of_their_own_all_have_the_same_ports() -> None:
    wanted = environment(provider="aws")
    lock = decide(wanted, plan(wanted, 5), None, ids())
    assert {tuple(node.ports.items()) for node in nodes_of(lock)} == {
        (("client", 9092), ("internal", 9094), ("admin", 9095))
    }


def test_controllers_and_brokers_of_kraft_share_no_id_however_many_there_are() -> None:
    wanted = environment("kraft")
    lock = decide(wanted, plan(wanted, 1500, nodes=5), None, ids())
    brokers = {node.id for node in nodes_of(lock)}
    controllers = {node.id for node in nodes_of(lock, "controller")}
    assert controllers == {1001, 1002, 1003, 1004, 1005}
    assert not brokers & set(CONTROLLER_IDS)


def test_kraft_gets_its_cluster_and_directory_ids_beforehand_and_zookeeper_mode_none() -> None:
    kraft, zookeeper = environment("kraft"), environment()
    lock = decide(kraft, plan(kraft, 3), None, ids())
    directories = [node.directory_id for node in nodes_of(lock, "controller")]
    assert len(set(directories) | {lock.datacenters[0].cluster_id}) == 4
    assert [node.directory_id for node in nodes_of(lock)] == [None] * 3
    lock = decide(zookeeper, plan(zookeeper, 3), None, ids())
    assert lock.datacenters[0].cluster_id is None
    assert {node.directory_id for node in lock.datacenters[0].nodes} == {None}


def test_zookeeper_has_no_more_than_255_ids() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 3), None, ids())
    used = lock.datacenters[0].model_copy(update={"nodes": (), "retired_ids": tuple(range(1, 254))})
    with pytest.raises(KdeployError, match="no zookeeper id left"):
        decide(wanted, plan(wanted, 3), lock.model_copy(update={"datacenters": (used,)}), ids())


def test_a_load_balancer_leads_to_no_more_brokers_than_it_has_ports_for() -> None:
    from tests.tuning.places import KINDS
    from tests.tuning.places import decided as in_aws

    _, lock = in_aws(KINDS["public"], 49)
    assert lock.datacenters[0].balancer_port == 9200
    assert in_aws(KINDS["one"], 50)[1].datacenters[0].balancer_port is None
    with pytest.raises(KdeployError, match="50 brokers, and a load balancer leads to 49"):
        in_aws(KINDS["public"], 50)


def test_a_volume_never_shrinks_and_may_grow() -> None:
    wanted = environment(provider="aws")
    lock = decide(wanted, plan(wanted, 3, size=2e11), None, ids())
    for size, expected in ((1e11, 2e11), (3e11, 3e11)):
        changed = decide(wanted, plan(wanted, 3, size=size), lock, ids())
        assert [one.size for one in changed.datacenters[0].brokers.volumes] == [expected]


def test_a_plan_of_fewer_nodes_takes_none_away() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 6), None, ids())
    assert decide(wanted, plan(wanted, 3), lock, ids()).datacenters[0].nodes == lock.datacenters[0].nodes


def test_racks_in_another_order_move_nobody() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 4), None, ids())
    turned = environment(racks=("c", "b", "a"))
    grown = nodes_of(decide(turned, plan(turned, 5), lock, ids()))
    assert grown[:4] == nodes_of(lock)
    assert grown[4].rack == "c"


def test_a_new_rack_takes_the_new_brokers() -> None:
    wanted = environment()
    lock = decide(wanted, plan(wanted, 3), None, ids())
    wider = environment(racks=("a", "b", "c", "d"))
    assert [node.rack for node in nodes_of(decide(wider, plan(wider, 4), lock, ids()))] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_the_date_of_prices_is_kept_where_there_are_prices() -> None:
    wanted = environment(provider="aws")
    cost = Cost(100.0, {}, date="2026-07-20")
    assert decide(wanted, plan(wanted, 3, cost=cost), None, ids()).catalogue_date == "2026-07-20"
    assert decide(wanted, plan(wanted, 3), None, ids()).catalogue_date is None


class TestDeclaredHosts:
    """With provider hosts, a node is one machine for good."""

    @staticmethod
    def environment(brokers: str) -> Environment:
        hosts = [{"address": name, "rack": name[0], "role": "broker"} for name in brokers.split()]
        hosts += [{"address": f"z{rack}", "rack": rack, "role": "zookeeper"} for rack in RACKS]
        return Environment.model_validate(
            {"name": "trial", "datacenters": [{"provider": "hosts", "racks": RACKS, "hosts": hosts}]}
        )

    def test_each_node_gets_a_machine_in_its_rack(self) -> None:
        wanted = self.environment("a1 b1 c1")
        lock = decide(wanted, plan(wanted, 3), None, ids())
        assert [(node.host, node.rack) for node in nodes_of(lock)] == [("a1", "a"), ("b1", "b"), ("c1", "c")]

    def test_the_order_of_the_list_does_not_matter_afterwards(self) -> None:
        wanted = self.environment("a1 b1 c1")
        lock = decide(wanted, plan(wanted, 3), None, ids())
        grown = self.environment("a2 c1 b1 a1")
        assert [node.host for node in nodes_of(decide(grown, plan(grown, 4), lock, ids()))] == [
            "a1",
            "b1",
            "c1",
            "a2",
        ]

    def test_a_node_without_a_machine_is_refused(self) -> None:
        wanted = self.environment("a1 b1 c1")
        with pytest.raises(KdeployError, match="no host left for another broker in rack a"):
            decide(wanted, plan(wanted, 4), None, ids())


def mirrored(wanted: Environment, brokers: int, workers: int) -> Plan:
    found = plan(wanted, brokers)
    racks = wanted.datacenters[0].racks
    mirror = MirrorPlan(workers, spread(workers, racks), None, 2, 2.0**29)
    return replace(found, datacenters=(replace(found.datacenters[0], mirror=mirror),))


@given(kinds, growths, st.lists(st.integers(1, 20), min_size=2, max_size=4).map(sorted))
@settings(deadline=None)
def test_workers_are_beside_the_cluster_and_stay_as_they_were(
    kind: tuple[str, str, tuple[str, ...]], counts: list[int], workers: list[int]
) -> None:
    wanted = environment(*kind)
    lock: Lock | None = None
    for brokers, count in zip(counts, workers, strict=False):
        before = lock.datacenters[0].mirrors if lock else ()
        lock = decide(wanted, mirrored(wanted, brokers, count), lock, ids())
        found = lock.datacenters[0]
        assert found.mirrors[: len(before)] == before
        assert [node.name for node in found.mirrors] == [f"mirror-{at + 1}" for at in range(count)]
        assert {node.role for node in found.nodes} == {
            "broker",
            *([kind[0]] if kind[0] != "kraft" else ["controller"]),
        }
        everyone = (*found.nodes, *found.mirrors)
        if kind[1] == "aws":
            assert len({node.address for node in everyone}) == len(everyone)
        else:
            assert len({port for node in everyone for port in node.ports.values()}) == sum(
                len(node.ports) for node in everyone
            )


def test_without_mirroring_a_lock_has_no_workers() -> None:
    wanted = environment()
    found = decide(wanted, plan(wanted, 3), None, ids()).datacenters[0]
    assert (found.mirror, found.mirrors) == (None, ())
