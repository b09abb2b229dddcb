"""Nodes that are down and left out: which may be, and what is left of the cluster to work on."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.blueprint import ClusterBlueprint, Mirror
from kdeploy.errors import KdeployError, UsageError
from kdeploy.infra import NodeState
from kdeploy.operations import site
from kdeploy.operations.site import Manner, Site
from tests.infra.nodes import node

NODES = tuple(node(name) for name in ("broker-1", "broker-2", "zookeeper-1"))


class Provider:
    """One where the named nodes run."""

    def __init__(self, *running: str) -> None:
        self.running = running

    def observe(self, nodes: Any) -> dict[str, NodeState]:
        return {one.key: NodeState(True, one.name in self.running, None, None, "") for one in nodes}


def sites(without: tuple[str, ...], *running: str) -> tuple[Site, ...]:
    cluster = ClusterBlueprint("here", "hosts", "zookeeper", "3.9.2", None, NODES)
    anything: Any = None
    return (
        Site(
            anything,
            cluster,
            Provider(*running),  # type: ignore[arg-type]
            anything,
            anything,
            anything,
            manner=Manner(without=without),
        ),
    )


def test_a_node_that_is_down_is_left_out_of_everything_that_is_waited_for() -> None:
    (left,) = site.leave_out(sites(("broker-2",), "broker-1", "zookeeper-1"))
    assert [one.name for one in left.cluster.nodes] == ["broker-1", "zookeeper-1"]
    assert [one.name for one in left.cluster.brokers] == ["broker-1"]


def test_with_nothing_left_out_the_cluster_is_whole() -> None:
    (whole,) = site.leave_out(sites(()))
    assert whole.cluster.nodes == NODES


def test_a_node_that_runs_is_not_left_out() -> None:
    with pytest.raises(KdeployError, match="broker-1 runs, and only a node that is down can be left out"):
        site.leave_out(sites(("broker-1",), "broker-1"))


def test_a_node_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"(?s)no node 'broker-9'.*broker-1, broker-2, zookeeper-1"):
        site.leave_out(sites(("broker-9",)))


class Broken:
    """Stands for what nothing here may touch."""


def two(without: tuple[str, ...], *running: str) -> tuple[Site, ...]:
    """Two datacenters, each with a broker, a controller and a worker of MirrorMaker."""
    found = []
    for name in ("east", "west"):
        own = [node(one, datacenter=name) for one in ("controller-1", "broker-1", "mirror-1")]
        cluster = ClusterBlueprint(
            name, "hosts", "kraft", "4.3.1", None, tuple(own[:2]), mirror=Mirror((own[2],), ())
        )
        anything: Any = Broken()
        provider: Any = Provider(*running)
        manner = Manner(without=without)
        found.append(Site(anything, cluster, provider, anything, anything, anything, manner=manner))
    return tuple(found)


def test_a_datacenter_is_left_out_as_a_whole_and_the_other_one_lacks_nothing() -> None:
    east, west = site.leave_out(two(("west",)))
    assert [one.name for one in east.cluster.everything] == ["controller-1", "broker-1", "mirror-1"]
    assert (east.manner.without, west.cluster.everything) == ((), ())
    assert east.absent == west.absent == ("west/broker-1", "west/controller-1", "west/mirror-1")
    assert west.manner.without == ("controller-1", "broker-1", "mirror-1")


def test_a_worker_is_left_out_like_a_broker() -> None:
    east, west = site.leave_out(two(("west/mirror-1",)))
    assert [one.name for one in west.cluster.everything] == ["controller-1", "broker-1"]
    assert len(east.cluster.everything) == 3


def test_of_two_nodes_of_one_name_the_one_that_is_meant_has_to_be_said() -> None:
    with pytest.raises(UsageError, match=r"more than one datacenter has a broker-1\n  write east/broker-1"):
        site.leave_out(two(("broker-1",)))


def test_a_datacenter_of_which_something_runs_is_not_left_out() -> None:
    with pytest.raises(KdeployError, match=r"mirror-1 runs, and only a node that is down can be left out"):
        site.leave_out(two(("west",), "mirror-1"))


def test_everything_cannot_be_left_out() -> None:
    with pytest.raises(UsageError, match="every node would be left out"):
        site.leave_out(two(("east", "west")))
