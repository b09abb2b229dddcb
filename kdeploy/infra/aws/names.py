"""Names of nodes: a private zone of the datacenter with one for each node, and one for bootstrap.

Invariant: a name leads to an address that stays its node's for good, so nothing has to be looked up again when an
instance is replaced; the zone answers inside the VPCs it is tied to, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pulumi
import pulumi_aws as aws

from kdeploy.infra.aws.site import Site

TTL: Final = 60
"""Seconds that an answer is kept for. Addresses stay, so it is short for what `bootstrap` leads to alone."""


class Names(pulumi.ComponentResource):
    """The private zone of a datacenter.

    Attributes:
        zone_id: Its id.
    """

    def __init__(
        self,
        site: Site,
        domain: str,
        addresses: Mapping[str, str],
        bootstrap: Sequence[str],
        vpc_id: pulumi.Input[str],
    ) -> None:
        super().__init__("kdeploy:aws:Names", site.name("names"))
        self._site = site
        name = site.name("names")
        zone = aws.route53.Zone(
            name,
            name=domain,
            comment=f"Nodes of {site.environment} in {site.datacenter}",
            vpcs=[{"vpc_id": vpc_id, "vpc_region": site.region}],
            tags=site.tags(name),
            # The other datacenter's VPC is tied to it by a resource of its own.
            opts=site.below(self, ignore_changes=["vpcs"]),
        )
        self.zone_id: pulumi.Output[str] = zone.zone_id
        for node, address in addresses.items():
            self._record(node, f"{node}.{domain}", [address])
        self._record("bootstrap", f"bootstrap.{domain}", [addresses[node] for node in bootstrap])
        self.register_outputs({"zone": self.zone_id})

    def _record(self, name: str, full: str, addresses: list[str]) -> None:
        aws.route53.Record(
            self._site.name("name", name),
            zone_id=self.zone_id,
            name=full,
            type="A",
            ttl=TTL,
            records=addresses,
            opts=self._site.below(self, delete_before_replace=True),
        )
