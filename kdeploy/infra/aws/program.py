"""The Pulumi program of an environment: every resource that the Blueprint asks for, and what is known of them then.

Invariant: it decides nothing, asks AWS two things only (which account it is, which image is the latest where none was
chosen yet), and its outputs hold no secret: addresses, ids and types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from kdeploy.blueprint import Account, Blueprint, ClusterBlueprint, Node, Place
from kdeploy.infra.aws import first, site
from kdeploy.infra.aws.access import Access
from kdeploy.infra.aws.alarms import alarms
from kdeploy.infra.aws.balancer import LoadBalancer
from kdeploy.infra.aws.names import Names
from kdeploy.infra.aws.network import Network
from kdeploy.infra.aws.node import Instance, Surroundings, placement_groups
from kdeploy.infra.aws.peering import Peering, Side
from kdeploy.infra.aws.site import Site
from kdeploy.spec.model import Architecture


def program(blueprint: Blueprint, public_keys: Mapping[str, str] | None = None) -> Callable[[], None]:
    """The program for the Automation API (an inline program).

    Args:
        blueprint: What is to be made.
        public_keys: By datacenter, the public key of who logs in to its machines, as a line of authorized_keys.

    Returns:
        A function that declares everything. It exports `environment`: its id; `nodes`: by node key its address, instance, image,
        instance_type, subnet, zone, and volumes (ids in the order of the node's EBS disks); and `clusters`: by
        datacenter its vpc, account, zone_id, bucket, images by architecture, and what AWS calls its load balancer.
    """

    def declare() -> None:
        account = blueprint.aws
        if account is None:
            return
        clusters = [one for one in blueprint.clusters if one.place is not None]
        providers: dict[str, aws.Provider] = {}
        for one in clusters:
            region = _place(one).region
            if region not in providers:
                providers[region] = site.provider(
                    region, account.name, account.id, account.tags, account.account
                )
        made = {
            one.datacenter: _Made(
                one, _site(account, one, providers), (public_keys or {}).get(one.datacenter)
            )
            for one in clusters
        }
        for peering in account.peerings:
            Peering(made[peering.requester].side, made[peering.accepter].side, peering.by)
        pulumi.export("environment", {"id": account.id})
        pulumi.export("nodes", {key: node for one in made.values() for key, node in one.nodes.items()})
        pulumi.export("clusters", {name: one.exported for name, one in made.items()})

    return declare


def _place(cluster: ClusterBlueprint) -> Place:
    assert cluster.place is not None  # noqa: S101 - only clusters of AWS come here
    return cluster.place


def _site(account: Account, cluster: ClusterBlueprint, providers: Mapping[str, aws.Provider]) -> Site:
    region = _place(cluster).region
    return Site(account.name, cluster.datacenter, region, providers[region])


@dataclass(frozen=True)
class _Images:
    """Machine images by architecture; the latest is asked for once, and only where none was chosen."""

    site: Site
    found: dict[Architecture, pulumi.Input[str]]

    def of(self, architecture: Architecture, chosen: str | None) -> pulumi.Input[str]:
        if architecture not in self.found:
            self.found[architecture] = chosen or self._latest(architecture)
        return self.found[architecture]

    def _latest(self, architecture: Architecture) -> pulumi.Output[str]:
        answer = aws.ssm.get_parameter_output(name=first.parameter(architecture), opts=self.site.asking())
        found: pulumi.Output[str] = answer.value
        return found


class _Made:
    """One datacenter, declared."""

    def __init__(self, cluster: ClusterBlueprint, site: Site, public_key: str | None) -> None:
        place = _place(cluster)
        self._place, self._key = place, public_key
        self._images = _Images(site, {})
        network = Network(site, place)
        access = Access(site, place, list(dict.fromkeys(node.role for node in cluster.everything)), network)
        groups = placement_groups(site, [node.machine for node in cluster.everything if node.machine])
        self.nodes: dict[str, dict[str, Any]] = {}
        for node in cluster.everything:
            made = Instance(site, node, self._around(node, network, access, groups))
            self.nodes[node.key] = made.exported
            if place.alarms:
                alarms(site, node, made, place)
        addresses = {node.name: node.machine.address for node in cluster.everything if node.machine}
        names = Names(site, place.domain, addresses, place.bootstrap, network.vpc_id)
        self._balancer = (
            LoadBalancer(site, place.balancer, network, access.groups["broker"]) if place.balancer else None
        )
        self.side = Side(site, place.cidr, network, names.zone_id)
        self.exported = {
            "vpc": network.vpc_id,
            "account": aws.get_caller_identity_output(opts=site.asking()).account_id,
            "zone_id": names.zone_id,
            "bucket": access.bucket,
            "images": dict(self._images.found),
            "balancer": self._balancer.dns_name if self._balancer else None,
        }

    def _around(
        self, node: Node, network: Network, access: Access, groups: Mapping[str, pulumi.Output[str]]
    ) -> Surroundings:
        machine, place = node.machine, self._place
        assert machine is not None  # noqa: S101 - only nodes of AWS come here
        return Surroundings(
            subnet=network.subnets[node.rack],
            group=access.groups[node.role],
            profile=access.profile,
            image=self._images.of(machine.architecture, machine.image),
            placement=groups[machine.placement.group],
            user_data=first.user_data(place, machine.architecture, self._key),
            kms_key=place.kms_key,
            root_size=place.root_size,
            ready=(*network.ready[node.rack], *access.ready[node.role]),
        )
