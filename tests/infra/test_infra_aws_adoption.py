"""What is in AWS and in no state is found by its tags or its name; what is another's, or gone, is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto")

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from kdeploy.infra.aws import adoption, ownership
from kdeploy.infra.aws.failure import CloudError
from kdeploy.infra.aws.policy import Planned

VPC, VOLUME, ROLE = "aws:ec2/vpc:Vpc", "aws:ebs/volume:Volume", "aws:iam/role:Role"
ZONE, PROFILE = "aws:route53/zone:Zone", "aws:iam/instanceProfile:InstanceProfile"
REGIONS = ("eu-west-1", "us-east-1")
OWN, ANOTHER = "AAAAAAAAAAAAAAAAAA0001", "AAAAAAAAAAAAAAAAAA0002"


def clients(service: str, region: str) -> Any:
    return boto3.client(
        service, region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with mock_aws():
        yield


def tags(kind: str, name: str, environment: str = "prod", identity: str = OWN) -> list[dict[str, Any]]:
    own = {adoption.TAG: name, ownership.ENVIRONMENT: environment, ownership.IDENTITY: identity}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in own.items()]}]


def found(*planned: Planned, known: Any = ()) -> dict[tuple[str, str], str]:
    return adoption.found(planned, known, "prod", OWN, REGIONS, clients)


def test_a_resource_is_known_by_its_name_and_its_environment_in_whichever_region() -> None:
    ec2 = clients("ec2", "us-east-1")
    mine = ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=tags("vpc", "east-vpc"))["Vpc"]["VpcId"]
    ec2.create_vpc(CidrBlock="10.2.0.0/16", TagSpecifications=tags("vpc", "east-vpc", "other"))
    ec2.create_vpc(CidrBlock="10.3.0.0/16", TagSpecifications=tags("vpc", "east-vpc-2"))
    ec2.create_vpc(CidrBlock="10.4.0.0/16", TagSpecifications=tags("vpc", "west-vpc", identity=ANOTHER))
    assert found(Planned(VPC, "east-vpc"), Planned(VPC, "west-vpc")) == {(VPC, "east-vpc"): mine}
    assert found(Planned(VPC, "east-vpc"), known={(VPC, mine)}) == {}


def test_two_kinds_of_one_name_are_told_apart_and_what_is_deleted_is_not_found() -> None:
    ec2 = clients("ec2", "eu-west-1")
    zone = {"AvailabilityZone": "eu-west-1a", "Size": 1}
    volume = ec2.create_volume(**zone, TagSpecifications=tags("volume", "one"))["VolumeId"]
    gone = ec2.create_volume(**zone, TagSpecifications=tags("volume", "two"))["VolumeId"]
    ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=tags("vpc", "one"))
    ec2.delete_volume(VolumeId=gone)
    assert found(Planned(VOLUME, "one"), Planned(VOLUME, "two")) == {(VOLUME, "one"): volume}


def test_a_gateway_and_what_is_attached_to_it_are_told_apart_though_both_have_one_name() -> None:
    ec2 = clients("ec2", "eu-west-1")
    gateway = ec2.create_transit_gateway(TagSpecifications=tags("transit-gateway", "transit"))
    mine = gateway["TransitGateway"]["TransitGatewayId"]
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    attached = ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=mine,
        VpcId=vpc,
        SubnetIds=[ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]],
    )["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]
    (given,) = tags("transit-gateway-attachment", "transit")
    ec2.create_tags(Resources=[attached], Tags=given["Tags"])
    kinds = (
        "aws:ec2transitgateway/transitGateway:TransitGateway",
        "aws:ec2transitgateway/vpcAttachment:VpcAttachment",
    )
    assert found(*(Planned(kind, "transit") for kind in kinds)) == {
        (kinds[0], "transit"): mine,
        (kinds[1], "transit"): attached,
    }


def test_what_has_a_name_that_nothing_else_can_have_is_known_by_that() -> None:
    iam = clients("iam", "eu-west-1")
    iam.create_role(RoleName="kdeploy-prod", AssumeRolePolicyDocument="{}")
    planned = [
        Planned(ROLE, "machine", {"name": "kdeploy-prod"}),
        Planned(PROFILE, "machine", {"name": "kdeploy-prod"}),
    ]
    assert found(*planned) == {(ROLE, "machine"): "kdeploy-prod"}
    zone = clients("route53", "eu-west-1").create_hosted_zone(Name="dc.prod", CallerReference="x")[
        "HostedZone"
    ]["Id"]
    assert found(Planned(ZONE, "names", {"name": "dc.prod"})) == {(ZONE, "names"): zone.rpartition("/")[2]}
    assert found(Planned(ZONE, "names", {"name": "dc.other"})) == {}


def test_in_an_empty_account_nothing_is_taken_over() -> None:
    kinds = [*adoption.TAGGED, *adoption.OTHERWISE]
    kinds.remove("aws:ec2/placementGroup:PlacementGroup")  # moto has none; the engine's tests have
    said = {
        **dict.fromkeys(("name", "role", "bucketPrefix"), "one"),
        "destinationCidrBlock": "10.9.0.0/16",
        "type": "A",
        "zoneId": "Z0123456789",
        "vpcId": "vpc-0",
        "routeTableId": "rtb-0123456789",
        "subnetId": "subnet-01234567",
        "bucket": "no-such-bucket",
        "transitGatewayRouteTableId": "tgw-rtb-0123456789",
        "loadBalancerArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/one/0",
        "port": 9092,
    }
    assert found(*(Planned(kind, "one", said) for kind in kinds)) == {}
    assert found(*(Planned(kind, "one", {"name": "one"}) for kind in kinds)) == {}, "what is known later"


ROUTE, ASSOCIATION = "aws:ec2/route:Route", "aws:ec2/routeTableAssociation:RouteTableAssociation"
BUCKET, ALARM = "aws:s3/bucket:Bucket", "aws:cloudwatch/metricAlarm:MetricAlarm"


def test_a_route_and_a_subnets_table_are_known_by_what_they_join_once_that_is_known() -> None:
    ec2 = clients("ec2", "us-east-1")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    planned = [
        Planned(ROUTE, "out", {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0"}),
        Planned(ROUTE, "other", {"routeTableId": table, "destinationCidrBlock": "10.9.0.0/16"}),
        Planned(ASSOCIATION, "a", {"routeTableId": table, "subnetId": subnet}),
    ]
    assert found(*planned) == {}
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert found(*planned) == {(ROUTE, "out"): f"{table}_0.0.0.0/0", (ASSOCIATION, "a"): f"{subnet}/{table}"}
    unknown = {"destinationCidrBlock": "0.0.0.0/0"}
    assert found(Planned(ROUTE, "out", unknown), Planned(ASSOCIATION, "a", {"subnetId": subnet})) == {}


def test_a_bucket_is_known_by_its_tag_whatever_the_end_of_its_name_and_its_settings_by_it() -> None:
    s3 = clients("s3", "us-east-1")
    lot = "20271127093000000000000001"
    for name, tag in (
        (f"kdeploy-prod-{lot}", "dc-backups"),
        (f"kdeploy-prod-{lot[:-1]}2", "other"),
        (f"kdeploy-prod-west-{lot}", "dc-backups"),
        ("kdeploy-prod-by-hand", None),
        (f"kdeploy-stage-{lot}", None),  # killed before it had its tags
    ):
        s3.create_bucket(Bucket=name)
        if tag:
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": adoption.TAG, "Value": tag}]})
    assert found(Planned(BUCKET, "dc-backups", {"bucketPrefix": "kdeploy-prod-"})) == {
        (BUCKET, "dc-backups"): f"kdeploy-prod-{lot}"
    }
    assert found(Planned(BUCKET, "dc-backups", {"bucketPrefix": "kdeploy-stage-"})) == {
        (BUCKET, "dc-backups"): f"kdeploy-stage-{lot}"
    }
    assert found(Planned(BUCKET, "dc-backups", {"bucketPrefix": "kdeploy-prod-eu-"})) == {}
    kinds = [kind for kind in adoption.OTHERWISE if "s3/bucket" in kind and kind != BUCKET]
    settings = [Planned(kind, "dc-backups", {"bucket": f"kdeploy-prod-{lot}"}) for kind in kinds]
    before = set(found(*settings))
    s3.put_public_access_block(
        Bucket=f"kdeploy-prod-{lot}", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    s3.put_bucket_versioning(Bucket=f"kdeploy-prod-{lot}", VersioningConfiguration={"Status": "Enabled"})
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(
        Bucket=f"kdeploy-prod-{lot}", ServerSideEncryptionConfiguration={"Rules": [default]}
    )
    after = found(*settings)
    assert len(after) == 3
    assert set(after.values()) == {f"kdeploy-prod-{lot}"}
    assert len(before) < 3, "what was never set is not there"


def alarm(name: str, tags: list[dict[str, str]] | None = None) -> None:
    clients("cloudwatch", "us-east-1").put_metric_alarm(
        AlarmName=name,
        MetricName="m",
        Namespace="AWS/EC2",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=2,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        Tags=tags or [],
    )


def test_an_alarm_is_known_by_its_name_in_whichever_region() -> None:
    alarm("kdeploy-prod-dc-broker-1-system")
    name = {"name": "kdeploy-prod-dc-broker-1-system"}
    assert found(Planned(ALARM, "dc-broker-1-system", name)) == {(ALARM, "dc-broker-1-system"): name["name"]}


def test_every_kind_that_is_made_is_found_again() -> None:
    """But for who accepts a peering, which does nothing where that is accepted already, and for who is led to, which
    AWS has once however often it is said.
    """
    golden = Path(__file__).parents[1] / "golden" / "aws"
    made = {
        line.split()[0]
        for file in golden.glob("*.txt")
        for line in file.read_text().splitlines()
        if line.startswith("aws:")
    }
    found = {*adoption.TAGGED, *adoption.OTHERWISE, adoption.ATTACHMENT}
    twice = "aws:lb/targetGroupAttachment:TargetGroupAttachment"
    assert {one for one in made - found if "Accepter" not in one} == {twice}


def whose(identity: str | None) -> list[dict[str, str]]:
    """Tags of an environment called prod; without an id, of one from before there were any."""
    own = {ownership.ENVIRONMENT: "prod", adoption.TAG: "machine"}
    own |= {ownership.IDENTITY: identity} if identity else {}
    return [{"Key": key, "Value": value} for key, value in own.items()]


@pytest.mark.parametrize("identity", [ANOTHER, None])
@pytest.mark.parametrize("kind", [ROLE, PROFILE, ALARM])
def test_a_name_that_another_environment_of_the_same_name_gave_is_refused_in_plain_words(
    kind: str, identity: str | None
) -> None:
    iam = clients("iam", "eu-west-1")
    iam.create_role(RoleName="kdeploy-prod", AssumeRolePolicyDocument="{}", Tags=whose(identity))
    iam.create_instance_profile(InstanceProfileName="kdeploy-prod", Tags=whose(identity))
    alarm("kdeploy-prod", whose(identity))
    with pytest.raises(
        CloudError, match=r"kdeploy-prod .* belongs to another environment, called prod too"
    ) as told:
        found(Planned(kind, "machine", {"name": "kdeploy-prod"}))
    assert "another name" in str(told.value)
    assert ("put `id: AAAAAAAAAAAAAAAAAA0002` back" in str(told.value)) == (identity is not None)


def test_what_is_ones_own_by_its_id_or_was_not_tagged_yet_is_taken_over() -> None:
    iam = clients("iam", "eu-west-1")
    iam.create_role(RoleName="kdeploy-prod", AssumeRolePolicyDocument="{}", Tags=whose(OWN))
    iam.create_instance_profile(InstanceProfileName="kdeploy-prod")
    planned = [Planned(kind, "machine", {"name": "kdeploy-prod"}) for kind in (ROLE, PROFILE)]
    assert set(found(*planned)) == {(ROLE, "machine"), (PROFILE, "machine")}


def test_a_zone_of_another_environment_is_left_and_stands_beside_ones_own() -> None:
    route53 = clients("route53", "eu-west-1")
    zone = route53.create_hosted_zone(Name="dc.prod", CallerReference="x")["HostedZone"]["Id"]
    name = zone.rpartition("/")[2]
    route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=name, AddTags=whose(ANOTHER))
    assert found(Planned(ZONE, "names", {"name": "dc.prod"})) == {}


def test_a_state_that_another_environment_wrote_is_refused_and_one_without_an_id_is_not() -> None:
    ownership.refuse_another(None, OWN, "prod", "s3://states")
    ownership.refuse_another(OWN, OWN, "prod", "s3://states")
    with pytest.raises(CloudError, match="s3://states is that of another environment called prod") as told:
        ownership.refuse_another(ANOTHER, OWN, "prod", "s3://states")
    assert f"put `id: {ANOTHER}` back" in str(told.value)


def test_what_aws_does_not_say_is_told_in_one_message_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AuthFailure", "Message": "not valid"}}, "DescribeTags")

    monkeypatch.setattr(adoption, "_by_tag", refused)
    with pytest.raises(CloudError, match="AWS does not know these credentials"):
        found(Planned(VPC, "east-vpc"))


BALANCER, TARGETS = "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup"
LISTENER, RECORD = "aws:lb/listener:Listener", "aws:route53/record:Record"


def balancer(name: str, identity: str = OWN) -> str:
    """A load balancer in the second of the regions, by ARN."""
    ec2, elb = (clients(one, "us-east-1") for one in ("ec2", "elbv2"))
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    (given,) = tags("x", "east-balancer", identity=identity)
    made = elb.create_load_balancer(Name=name, Type="network", Subnets=[subnet], Tags=given["Tags"])
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def test_a_load_balancer_and_its_targets_are_known_by_their_names_and_its_listeners_by_their_ports() -> None:
    elb, arn = clients("elbv2", "us-east-1"), balancer("kdeploy-prod-east-balancer")
    vpc = elb.describe_load_balancers()["LoadBalancers"][0]["VpcId"]
    group = elb.create_target_group(
        Name="kdeploy-prod-east-to-broker-1", Protocol="TCP", Port=9096, VpcId=vpc, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    action = {"Type": "forward", "TargetGroupArn": group}
    listener = elb.create_listener(LoadBalancerArn=arn, Port=9093, Protocol="TCP", DefaultActions=[action])
    planned = (
        Planned(BALANCER, "balancer", {"name": "kdeploy-prod-east-balancer"}),
        Planned(TARGETS, "to", {"name": "kdeploy-prod-east-to-broker-1"}),
        Planned(LISTENER, "bootstrap", {"loadBalancerArn": arn, "port": 9092.0}),
        Planned(LISTENER, "broker-1", {"loadBalancerArn": arn, "port": 9093.0}),
    )
    assert found(*planned) == {
        (BALANCER, "balancer"): arn,
        (TARGETS, "to"): group,
        (LISTENER, "broker-1"): listener["Listeners"][0]["ListenerArn"],
    }


def test_a_load_balancer_of_another_environment_of_this_name_is_refused() -> None:
    balancer("kdeploy-prod-east-balancer", ANOTHER)
    with pytest.raises(CloudError, match="belongs to another environment, called prod too"):
        found(Planned(BALANCER, "balancer", {"name": "kdeploy-prod-east-balancer"}))


@pytest.mark.parametrize(("leads", "taken"), [("own.elb.amazonaws.com", True), ("else.example.com", False)])
def test_an_alias_in_a_zone_of_somebodys_is_taken_over_only_where_it_leads_to_the_balancer(
    leads: str, taken: bool
) -> None:
    route53 = clients("route53", "eu-west-1")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"]
    target = {"DNSName": leads, "HostedZoneId": "Z0123", "EvaluateTargetHealth": False}
    record = {"Name": "kafka.example.com", "Type": "A", "AliasTarget": target}
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    own = zone.rpartition("/")[2]
    said = {"zoneId": own, "name": "kafka.example.com", "type": "A"}
    asked = Planned(RECORD, "name", {**said, "aliases": [{"name": "own.elb.amazonaws.com"}]})
    assert (found(asked) == {(RECORD, "name"): f"{own}_kafka.example.com_A"}) == taken
    assert found(Planned(RECORD, "name", {**said, "aliases": [{"zoneId": "Z0123"}]})) == {}, "known later"
