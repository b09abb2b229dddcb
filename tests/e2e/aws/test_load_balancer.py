"""A load balancer for clients outside, made by a real engine: who is led where, what stays, and that all of it goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdeploy.operations import aws
from kdeploy.security import issue
from tests.cloud import rights
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.verbs import ENVIRONMENT
from tests.e2e.aws.world import World, written

pytestmark = pytest.mark.cloud

TEXT = """\
kafka: {version: "3.9.2", coordination: zookeeper}
datacenters:
  - name: eu-west-1
    provider: aws
    region: eu-west-1
    racks: [a, b]
    ssh: {user: root, key: KEY, through: direct}
    network:
      operators: [10.20.0.0/16]
      load_balancer: {name: kafka.example.com, zone: ZONE, scheme: internal, sources: [198.51.100.0/24]}
    brokers: {count: 2}
    coordination: {count: 1}
workload: {throughput: 1MB/s, retention: 1h, partitions: 4}
durability: {replication_factor: 2, min_insync_replicas: 1, survive: none}
"""
CHANGES = r":(Run|Create|Attach|Modify|Delete|Stop|Register|Deregister|Set|Add|ChangeResource)"


class Outside(World):
    """The same, seen from outside."""

    def leads(self) -> dict[int, set[tuple[str, int]]]:
        """Addresses and ports that each port of the load balancer leads to."""
        client, found = self.cloud.client("elbv2"), {}
        for balancer in client.describe_load_balancers()["LoadBalancers"]:
            listeners = client.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
            for one in listeners:
                (action,) = one["DefaultActions"]
                told = client.describe_target_health(TargetGroupArn=action["TargetGroupArn"])
                targets = (each["Target"] for each in told["TargetHealthDescriptions"])
                found[one["Port"]] = {(each["Id"], each["Port"]) for each in targets}
        return found

    def balancer(self) -> Any:
        (found,) = self.cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]
        return found

    def aliases(self) -> dict[str, str]:
        """Aliases in the zone that somebody had before, with where each leads."""
        client = self.cloud.client("route53")
        (zone,) = (one for one in client.list_hosted_zones()["HostedZones"] if one["Name"] == "example.com.")
        records = client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        return {one["Name"]: one["AliasTarget"]["DNSName"] for one in records if "AliasTarget" in one}

    def advertised(self) -> dict[int, set[tuple[str, int]]]:
        """Where brokers tell clients outside to find them, with where they listen for those."""
        found = {}
        for node in self.design().blueprint.clusters[0].brokers:
            (text,) = (file.text for file in node.files if file.path.endswith("server.properties"))
            (port,) = re.findall(r"EXTERNAL://kafka\.example\.com:(\d+)", text)
            assert node.machine
            found[int(port)] = {(node.machine.address, node.ports["external"])}
        return found

    def is_across_zones(self, arn: str) -> bool:
        """Whether a load balancer leads from each zone to brokers of all."""
        told = self.cloud.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        return {one["Key"]: one["Value"] for one in told}["load_balancing.cross_zone.enabled"] == "true"

    def cut_short(self, arn: str) -> None:
        """Leave of a load balancer what there is when a kill comes right after its creation."""
        client, route53 = self.cloud.client("elbv2"), self.cloud.client("route53")
        for one in client.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
            client.delete_listener(ListenerArn=one["ListenerArn"])
        off = [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}]
        client.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=off)
        for zone in route53.list_hosted_zones()["HostedZones"]:
            for one in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
                if "AliasTarget" in one:
                    batch = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": one}]}
                    route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)
        self.lose(
            *("aws:lb/listener:Listener", "aws:lb/loadBalancer:LoadBalancer", "aws:route53/record:Record")
        )

    def is_gone(self) -> None:
        """Nothing is left but the zone, which was there before."""
        client = self.cloud.client("elbv2")
        assert client.describe_load_balancers()["LoadBalancers"] == []
        assert client.describe_target_groups()["TargetGroups"] == []
        assert self.aliases() == {}
        assert everything(self.cloud) == {"zones": 1}

    def lose(self, *kinds: str) -> None:
        """Take resources out of the state, as a kill leaves them in AWS that came before they were written down."""
        stack = aws.stack_of(self.design(), self.vault(), self.progress)
        exported = stack._run(lambda engine: engine.export_stack(), "up")
        kept = [one for one in exported.deployment["resources"] if one["type"] not in kinds]
        assert len(kept) < len(exported.deployment["resources"])
        exported.deployment["resources"] = kept
        stack._run(lambda engine: engine.import_stack(exported), "up")


@pytest.fixture
def outside(cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    made = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="x")
    zone = made["HostedZone"]["Id"].rpartition("/")[2]
    world = Outside(folder, cloud, written(folder, cloud, TEXT.replace("ZONE", zone)))
    world.decide(monkeypatch)
    yield world
    cloud.client("route53").delete_hosted_zone(Id=zone)


def test_clients_outside_are_led_to_the_broker_they_were_told_of_and_nothing_of_it_is_left_behind(
    outside: Outside,
) -> None:
    assert outside.outlook().checks
    outside.make()
    wanted = outside.advertised()
    assert len(wanted) == 2
    assert outside.leads() == {**wanted, 9092: set().union(*wanted.values())}
    first = outside.balancer()
    assert (first["Scheme"], first["Type"]) == ("internal", "network")
    assert outside.aliases() == {"kafka.example.com.": first["DNSName"]}

    outside.cloud.calls(forget=True)
    assert outside.outlook().changes == ()
    outside.make()
    assert [name for name in outside.cloud.calls() if re.search(CHANGES, name)] == []
    assert outside.drifted() == []
    outside.destroy()
    needed = outside.cloud.needed()
    outside.is_gone()
    assert "elasticloadbalancing:CreateListener" in needed
    assert rights.refused(needed) == set()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_load_balancer_grows_is_taken_over_and_is_made_anew_for_the_internet(outside: Outside) -> None:
    outside.make()
    first = outside.balancer()

    # A broker more is a port more, and nobody else's changes.
    outside.edit("brokers: {count: 2}", "brokers: {count: 3}", "--reshape")
    assert outside.kdeploy("vault", "create", ENVIRONMENT).returncode == 0
    kept = outside.leads()
    outside.make()
    more = outside.leads()
    assert {port: more[port] for port in kept if port != 9092} == {
        port: to for port, to in kept.items() if port != 9092
    }
    assert more == {**outside.advertised(), 9092: set().union(*outside.advertised().values())}
    assert len(more) == 4

    # What a killed engine made and did not write down is taken over, not made twice.
    before = everything(outside.cloud)
    outside.lose(
        *("aws:lb/listener:Listener", "aws:lb/targetGroup:TargetGroup", "aws:route53/record:Record"),
        "aws:lb/targetGroupAttachment:TargetGroupAttachment",
    )
    outside.make()
    assert outside.leads() == more
    assert everything(outside.cloud) == before
    assert outside.outlook().changes == ()

    # Also where it was half made: a load balancer without its attributes, and nothing that stands on it.
    outside.cut_short(first["LoadBalancerArn"])
    outside.make()
    assert outside.balancer()["LoadBalancerArn"] == first["LoadBalancerArn"]
    assert outside.leads() == more
    assert outside.aliases() == {"kafka.example.com.": first["DNSName"]}
    assert (everything(outside.cloud), outside.outlook().changes) == (before, ())
    assert outside.is_across_zones(first["LoadBalancerArn"])

    # The internet is asked for by name; the load balancer is another one then, of the same name.
    outside.edit("scheme: internal", "scheme: internet-facing", "--reshape")
    outside.make()
    facing = outside.balancer()
    assert facing["Scheme"] == "internet-facing"
    assert facing["LoadBalancerArn"] != first["LoadBalancerArn"]
    assert outside.leads() == more
    assert outside.aliases() == {"kafka.example.com.": facing["DNSName"]}
    assert outside.outlook().changes == ()

    outside.destroy()
    outside.is_gone()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_load_balancer_comes_to_what_runs_already_with_certificates_anew_and_goes_again(
    outside: Outside,
) -> None:
    """Its name is in no certificate yet: `up` refuses until `vault create` has made them out to it."""
    file = outside.environment / "environment.yaml"
    with_it = file.read_text()
    without = re.sub(r"\n +load_balancer:[^\n]*", "", with_it)
    file.write_text(without)
    assert outside.kdeploy("plan", ENVIRONMENT, "--lock").returncode == 0
    (outside.environment / "vault.yaml").unlink()
    assert outside.kdeploy("vault", "create", ENVIRONMENT).returncode == 0
    outside.make()
    there, machines = everything(outside.cloud), outside.machines()
    assert outside.leads() == {}

    file.write_text(with_it)
    assert outside.kdeploy("plan", ENVIRONMENT, "--lock").returncode == 0
    refused = outside.kdeploy("up", ENVIRONMENT)
    assert refused.returncode == 1, refused.stderr
    assert "the certificate of eu-west-1/broker-1 made out to kafka.example.com" in refused.stderr
    assert outside.leads() == {}, "nothing was changed"
    done = outside.kdeploy("vault", "create", ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    design = outside.design()
    assert issue.lacking(outside.vault(), issue.requirements(design.loaded.environment, design.lock)) == ()

    outside.hosts.running = {node.key for node in design.blueprint.nodes}
    assert outside.outlook().disturbed == {}, "no machine waits for its turn, and none is stopped"
    outside.make()
    assert set(outside.leads()) == {9092, 9093, 9094}
    same = {key: one["InstanceId"] for key, one in machines.items()}
    assert {key: one["InstanceId"] for key, one in outside.machines().items()} == same

    file.write_text(without)
    assert outside.kdeploy("plan", ENVIRONMENT, "--lock").returncode == 0
    outside.make()
    assert everything(outside.cloud) == there
    assert (outside.leads(), outside.aliases()) == ({}, {})
    assert json.loads(outside.exported())["resources"], "the cluster is still there"
    outside.destroy()
