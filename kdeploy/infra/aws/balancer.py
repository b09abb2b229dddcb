"""What clients outside the network connect to: a network load balancer, a port of it for each broker, and its name.

Invariant: TLS goes through it to the brokers, so it has no certificate and sees no record. It leads to addresses, which
stay when a machine is replaced; it is let in by the declared networks alone, and brokers let in what comes through it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from kdeploy.blueprint import Balancer
from kdeploy.infra.aws.network import Network
from kdeploy.infra.aws.policy import BALANCER, let_in_name
from kdeploy.infra.aws.site import Site

NAMES: Final = 32
"""Characters of the names of load balancers and target groups (Elastic Load Balancing API Reference, CreateLoadBalancer
and CreateTargetGroup, 2026-11); letters, digits and single hyphens."""

INTERVAL, TIMES = 10, 3
"""Seconds between two looks at a broker, and how many in a row decide: half a minute, in which a restart is not yet over.
A client that knows the brokers asks the next one long before."""

LEAVES: Final = 60
"""Seconds that connections to a broker which is taken away go on: clients ask another one as soon as they know."""

BOOTSTRAP: Final = "bootstrap"


class LoadBalancer(pulumi.ComponentResource):
    """The load balancer of a datacenter.

    Attributes:
        dns_name: What AWS calls it.
    """

    def __init__(self, site: Site, balancer: Balancer, network: Network, brokers: pulumi.Input[str]) -> None:
        super().__init__("kdeploy:aws:LoadBalancer", site.name(BALANCER))
        self._site, self._balancer, self._network = site, balancer, network
        group = self._guarded(brokers)
        made = self._made(group)
        self.dns_name: pulumi.Output[str] = made.dns_name
        self._lead(made, BOOTSTRAP, balancer.port, {one.broker: one.address for one in balancer.outlets})
        for one in balancer.outlets:
            self._lead(made, one.broker, one.port, {one.broker: one.address})
        if balancer.zone is not None:
            self._called(made, balancer.zone)
        self.register_outputs({"dns_name": self.dns_name})

    def _of(self, *parts: str) -> dict[str, Any]:
        name = self._site.name(*parts)
        return {"resource_name": name, "tags": self._site.tags(name)}

    def _below(self, **options: Any) -> pulumi.ResourceOptions:  # noqa: ANN401
        return self._site.below(self, **options)

    def _known_as(self, *parts: str) -> str:
        """A name in AWS of a load balancer or of what it leads to: no two hyphens stand beside each other."""
        return re.sub("-+", "-", self._site.outside(*parts, most=NAMES))

    def _guarded(self, brokers: pulumi.Input[str]) -> pulumi.Output[str]:
        """Its security group: it can be given one only when it is made, so it always has one."""
        site, balancer = self._site, self._balancer
        group = aws.ec2.SecurityGroup(
            **self._of(BALANCER),
            name=site.outside(BALANCER),
            description=f"load balancer of {site.environment} in {site.datacenter}",
            vpc_id=self._network.vpc_id,
            revoke_rules_on_delete=True,
            opts=self._below(),
        )
        for port in (balancer.port, *(one.port for one in balancer.outlets)):
            for source in balancer.sources:
                name = let_in_name(site.datacenter, port, source)
                aws.vpc.SecurityGroupIngressRule(
                    name,
                    tags=site.tags(name),
                    security_group_id=group.id,
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ipv4=source,
                    description="clients outside",
                    opts=self._below(),
                )
        through: dict[str, Any] = {
            "ip_protocol": "tcp",
            "from_port": balancer.target,
            "to_port": balancer.target,
            "description": "clients outside come through the load balancer",
        }
        aws.vpc.SecurityGroupEgressRule(
            **self._of(BALANCER, "tcp", str(balancer.target), "to", "broker"),
            security_group_id=group.id,
            referenced_security_group_id=brokers,
            **through,
            opts=self._below(),
        )
        # By the balancer's group brokers let in its clients too, whose addresses they see (Elastic Load Balancing,
        # Update the security groups for your Network Load Balancer, read 2026-11-27).
        aws.vpc.SecurityGroupIngressRule(
            **self._of("broker", "tcp", str(balancer.target), "from", BALANCER),
            security_group_id=brokers,
            referenced_security_group_id=group.id,
            **through,
            opts=self._below(),
        )
        found: pulumi.Output[str] = group.id
        return found

    def _made(self, group: pulumi.Output[str]) -> aws.lb.LoadBalancer:
        network, public = self._network, self._balancer.public
        subnets = network.open_subnets if public else network.subnets
        return aws.lb.LoadBalancer(
            **self._of(BALANCER),
            name=self._known_as(BALANCER),
            load_balancer_type="network",
            internal=not public,
            subnets=list(subnets.values()),
            security_groups=[group],
            # A broker is in one zone. Where each zone of the balancer leads to its own alone, its addresses in the
            # others lead to nobody, and AWS takes addresses out of its name that lack any target (Elastic Load
            # Balancing, Target groups, cross-zone load balancing, read 2026-11-27).
            enable_cross_zone_load_balancing=True,
            # Its name in AWS is its own: another one can have it only when this one is gone.
            opts=self._below(
                delete_before_replace=True, depends_on=list(network.open_routes) if public else []
            ),
        )

    def _lead(self, made: aws.lb.LoadBalancer, to: str, port: int, addresses: dict[str, str]) -> None:
        """Have a port lead to some brokers."""
        balancer = self._balancer
        group = aws.lb.TargetGroup(
            **self._of(BALANCER, to),
            name=self._known_as("to", to),
            port=balancer.target,
            protocol="TCP",
            target_type="ip",
            vpc_id=self._network.vpc_id,
            deregistration_delay=LEAVES,
            # Quotas and access lists of Kafka go by a client's address; left out, brokers would see the balancer's.
            preserve_client_ip="true",
            health_check={
                "protocol": "TCP",
                "port": "traffic-port",
                "interval": INTERVAL,
                "healthy_threshold": TIMES,
                "unhealthy_threshold": TIMES,
            },
            opts=self._below(),
        )
        for broker, address in addresses.items():
            aws.lb.TargetGroupAttachment(
                self._site.name(BALANCER, to, *([broker] if to != broker else [])),
                target_group_arn=group.arn,
                target_id=address,
                port=balancer.target,
                opts=self._below(),
            )
        aws.lb.Listener(
            **self._of(BALANCER, to),
            load_balancer_arn=made.arn,
            port=port,
            protocol="TCP",
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
            opts=self._below(),
        )

    def _called(self, made: aws.lb.LoadBalancer, zone: str) -> None:
        """Its name in a zone that somebody else made: an alias, which costs nothing to ask for."""
        aws.route53.Record(
            self._site.name(BALANCER, "name"),
            zone_id=zone,
            name=self._balancer.name,
            type="A",
            aliases=[{"name": made.dns_name, "zone_id": made.zone_id, "evaluate_target_health": False}],
            opts=self._below(delete_before_replace=True),
        )
