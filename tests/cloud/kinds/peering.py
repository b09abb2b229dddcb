"""Networks joined: peerings, who accepts them, and zones of names that another network may ask."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import (
    Aws,
    Kind,
    Refused,
    Values,
    given,
    gone_is_none,
    retag,
    specification,
    tag_map,
)

MISSING = "InvalidVpcPeeringConnectionID.NotFound"
DEAD = ("deleted", "deleting", "rejected", "expired", "failed")


def connection(aws: Aws, identity: str) -> Any:
    """A peering as EC2 describes it; None when there is none, or none any more."""
    found = gone_is_none(
        lambda: aws.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[identity]), MISSING
    )
    alive = [
        one for one in (found or {}).get("VpcPeeringConnections", []) if one["Status"]["Code"] not in DEAD
    ]
    return alive[0] if alive else None


def described(aws: Aws, one: Any) -> Values:
    """What both ends say of a peering; each region has tags of its own on it, where moto shows the asking one's."""
    asked = [{"Name": "resource-id", "Values": [one["VpcPeeringConnectionId"]]}]
    return {
        "acceptStatus": one["Status"]["Code"],
        "vpcId": one["RequesterVpcInfo"]["VpcId"],
        "peerVpcId": one["AccepterVpcInfo"]["VpcId"],
        "peerOwnerId": one["AccepterVpcInfo"]["OwnerId"],
        "peerRegion": one["AccepterVpcInfo"]["Region"],
        "tags": tag_map(aws.ec2.describe_tags(Filters=asked)["Tags"]),
    }


class VpcPeeringConnection(Kind):
    type = "aws:ec2/vpcPeeringConnection:VpcPeeringConnection"
    noun = "EC2 VPC Peering Connection"
    required = ("peerVpcId", "vpcId")
    inputs = ("peerRegion",)
    computed = frozenset({"peerRegion", "peerOwnerId"})
    changes = frozenset({"autoAccept", "tags"})

    def create(self, aws: Aws, inputs: Values) -> str:
        made = aws.ec2.create_vpc_peering_connection(
            VpcId=inputs["vpcId"],
            PeerVpcId=inputs["peerVpcId"],
            **given(PeerRegion=inputs.get("peerRegion"), PeerOwnerId=inputs.get("peerOwnerId")),
            **specification("vpc-peering-connection", inputs.get("tags")),
        )
        return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        if inputs.get("autoAccept"):
            if inputs.get("peerRegion") not in (None, aws.region):
                raise Refused("`peer_region` cannot be set whilst `auto_accept` is `true`")
            aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=identity)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = connection(aws, identity)
        kept = {"autoAccept": state["autoAccept"]} if "autoAccept" in state else {}
        return {**described(aws, one), **kept} if one else None

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=identity),
            MISSING,
            "InvalidStateTransition",
        )


class VpcPeeringConnectionAccepter(Kind):
    type = "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter"
    noun = "EC2 VPC Peering Connection Accepter"
    required = ("vpcPeeringConnectionId",)
    changes = frozenset({"autoAccept", "tags"})

    def create(self, aws: Aws, inputs: Values) -> str:
        return str(inputs["vpcPeeringConnectionId"])

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        one = connection(aws, identity)
        if one is None:
            raise Refused(f"EC2 VPC Peering Connection ({identity}) not found")
        if inputs.get("autoAccept") and one["Status"]["Code"] == "pending-acceptance":
            aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=identity)
        retag(aws, identity, {}, inputs)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        one = connection(aws, identity)
        if one is None:
            return None
        seen = described(aws, one)
        # Seen from the other end.
        seen["vpcId"], seen["peerVpcId"] = seen["peerVpcId"], seen["vpcId"]
        kept = {"autoAccept": state["autoAccept"]} if "autoAccept" in state else {}
        return {**seen, **kept, "vpcPeeringConnectionId": identity}

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.complete(aws, identity, new)
        retag(aws, identity, old, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        """Nothing: who asked for the peering ends it, as with the real provider."""
