"""Names: private zones, their records, and the networks that may ask them."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, tag_list, tag_map

MISSING = "NoSuchHostedZone"


def zone_of(aws: Aws, identity: str) -> Any:
    """A zone as Route 53 describes it; None when there is none."""
    return gone_is_none(lambda: aws.client("route53").get_hosted_zone(Id=identity), MISSING)


class Zone(Kind):
    type = "aws:route53/zone:Zone"
    noun = "Route 53 Hosted Zone"
    required = ("name",)
    changes = frozenset({"comment", "forceDestroy", "tags", "vpcs"})
    defaults = {"comment": "Managed by Pulumi", "forceDestroy": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        import uuid

        networks = inputs.get("vpcs") or []
        first = _network(aws, networks[0]) if networks else None
        made = aws.client("route53").create_hosted_zone(
            Name=inputs["name"],
            CallerReference=uuid.uuid4().hex,
            HostedZoneConfig={"Comment": inputs["comment"], "PrivateZone": bool(networks)},
            **given(VPC=first),
        )
        return made["HostedZone"]["Id"].rpartition("/")[2]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        for network in (inputs.get("vpcs") or [])[1:]:
            aws.client("route53").associate_vpc_with_hosted_zone(
                HostedZoneId=identity, VPC=_network(aws, network)
            )
        self._tag(aws, identity, {}, inputs.get("tags") or {})

    @staticmethod
    def _tag(aws: Aws, identity: str, old: dict[str, str], new: dict[str, str]) -> None:
        dropped = [key for key in old if key not in new]
        if dropped or new != old:
            aws.client("route53").change_tags_for_resource(
                ResourceType="hostedzone",
                ResourceId=identity,
                **given(AddTags=tag_list(new) or None, RemoveTagKeys=dropped or None),
            )

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = zone_of(aws, identity)
        if not found:
            return None
        zone = found["HostedZone"]
        tags = aws.client("route53").list_tags_for_resource(ResourceType="hostedzone", ResourceId=identity)
        servers = found.get("DelegationSet", {}).get("NameServers", [])
        ours = {one.get("vpcId") for one in state.get("vpcs") or []}
        attached = [one for one in found.get("VPCs", []) if not ours or one["VPCId"] in ours]
        return {
            "arn": f"arn:aws:route53:::hostedzone/{identity}",
            "zoneId": identity,
            "name": zone["Name"].rstrip("."),
            "comment": zone["Config"].get("Comment", ""),
            "forceDestroy": state.get("forceDestroy", False),
            "vpcs": [{"vpcId": one["VPCId"], "vpcRegion": one["VPCRegion"]} for one in attached],
            "nameServers": servers,
            "primaryNameServer": servers[0] if servers else "",
            "tags": tag_map(tags["ResourceTagSet"].get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        client = aws.client("route53")
        if "comment" in changed:
            client.update_hosted_zone_comment(Id=identity, Comment=new["comment"])
        before = {one["vpcId"]: one for one in old.get("vpcs") or []}
        after = {one["vpcId"]: one for one in new.get("vpcs") or []}
        for name in after.keys() - before.keys():
            client.associate_vpc_with_hosted_zone(HostedZoneId=identity, VPC=_network(aws, after[name]))
        for name in before.keys() - after.keys():
            client.disassociate_vpc_from_hosted_zone(HostedZoneId=identity, VPC=_network(aws, before[name]))
        self._tag(aws, identity, old.get("tags") or {}, new.get("tags") or {})

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if state.get("forceDestroy"):
            self._empty(aws, identity)
        gone_is_none(lambda: aws.client("route53").delete_hosted_zone(Id=identity), MISSING)

    @staticmethod
    def _empty(aws: Aws, identity: str) -> None:
        client = aws.client("route53")
        listed = gone_is_none(lambda: client.list_resource_record_sets(HostedZoneId=identity), MISSING)
        records = listed["ResourceRecordSets"] if listed else []
        changes = [
            {"Action": "DELETE", "ResourceRecordSet": one}
            for one in records
            if one["Type"] not in ("NS", "SOA")
        ]
        if changes:
            client.change_resource_record_sets(HostedZoneId=identity, ChangeBatch={"Changes": changes})


def _network(aws: Aws, network: Values) -> dict[str, str]:
    return {"VPCId": network["vpcId"], "VPCRegion": network.get("vpcRegion") or aws.region}


class Record(Kind):
    type = "aws:route53/record:Record"
    noun = "Route 53 Record"
    required = ("name", "type", "zoneId")
    changes = frozenset({"records", "ttl", "aliases", "allowOverwrite"})
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        self._change(aws, "UPSERT" if inputs.get("allowOverwrite") else "CREATE", inputs)
        return f"{inputs['zoneId']}_{inputs['name']}_{inputs['type']}"

    @staticmethod
    def _change(aws: Aws, action: str, inputs: Values) -> None:
        record: Values = {"Name": inputs["name"], "Type": str(inputs["type"])}
        if inputs.get("aliases"):
            (alias,) = inputs["aliases"]
            record["AliasTarget"] = {
                "DNSName": alias["name"],
                "HostedZoneId": alias["zoneId"],
                "EvaluateTargetHealth": alias["evaluateTargetHealth"],
            }
        else:
            record["TTL"] = inputs["ttl"]
            record["ResourceRecords"] = [{"Value": value} for value in inputs["records"]]
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        aws.client("route53").change_resource_record_sets(HostedZoneId=inputs["zoneId"], ChangeBatch=batch)

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        zone, name, kind = (state.get(key) for key in ("zoneId", "name", "type"))
        if not zone:
            zone, _, rest = identity.partition("_")
            name, _, kind = rest.rpartition("_")
        listed = gone_is_none(
            lambda: aws.client("route53").list_resource_record_sets(
                HostedZoneId=zone, StartRecordName=name, StartRecordType=kind, MaxItems="1"
            ),
            MISSING,
        )
        for one in listed["ResourceRecordSets"] if listed else []:
            if one["Name"].rstrip(".") == name.rstrip(".") and one["Type"] == kind:
                return {
                    "zoneId": zone,
                    "name": name,
                    "fqdn": name.rstrip("."),
                    "type": kind,
                    "ttl": one.get("TTL"),
                    "records": [value["Value"] for value in one.get("ResourceRecords", [])],
                    "aliases": _aliases(one),
                    **{key: state[key] for key in ("allowOverwrite",) if key in state},
                }
        return None

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self._change(aws, "UPSERT", new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        now = self.read(aws, identity, state)
        if now:
            self._change(aws, "DELETE", now)


def _aliases(one: Any) -> list[Values]:
    target = one.get("AliasTarget")
    if not target:
        return []
    return [
        {
            "name": target["DNSName"].rstrip("."),
            "zoneId": target["HostedZoneId"],
            "evaluateTargetHealth": target["EvaluateTargetHealth"],
        }
    ]


class ZoneAssociation(Kind):
    type = "aws:route53/zoneAssociation:ZoneAssociation"
    noun = "Route 53 Hosted Zone Association"
    required = ("vpcId", "zoneId")
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.client("route53").associate_vpc_with_hosted_zone(
            HostedZoneId=inputs["zoneId"], VPC=_network(aws, inputs)
        )
        return f"{inputs['zoneId']}:{inputs['vpcId']}"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        zone, network = identity.split(":")[:2]
        found = zone_of(aws, zone)
        for one in found.get("VPCs", []) if found else []:
            if one["VPCId"] == network:
                return {
                    "zoneId": zone,
                    "vpcId": network,
                    "vpcRegion": one["VPCRegion"],
                    "owningAccount": aws.account,
                }
        return None

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.client("route53").disassociate_vpc_from_hosted_zone(
                HostedZoneId=state["zoneId"], VPC=_network(aws, state)
            ),
            MISSING,
            "VPCAssociationNotFound",
        )
