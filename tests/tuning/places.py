"""Small environments in AWS, planned by hand: what a place and its machines are drawn from in tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdeploy.blueprint import Blueprint, draw
from kdeploy.planner.decide import decide
from kdeploy.planner.result import Plan, Volumes
from kdeploy.spec.lock import Lock
from kdeploy.spec.model import Environment
from tests.tuning import builders

GIB = 2.0**30


def aws(**fields: Any) -> dict[str, Any]:
    """A datacenter in AWS."""
    return {"name": "dc1", "provider": "aws", "region": "eu-west-1", "racks": ["a", "b", "c"], **fields}


def planned(environment: Environment, brokers: int, coordinators: int = 3, disks: int = 1) -> Plan:
    """A plan with instance types and volumes."""
    plan = builders.plan(environment, brokers, coordinators)
    data = (Volumes("gp3", disks, 100 * GIB, 6000.0, 250 * 2.0**20),)
    places = tuple(
        replace(
            one,
            brokers=replace(one.brokers, instance_type="m7g.large", volumes=data),
            coordination=replace(
                one.coordination,
                instance_type="m6i.large",
                volumes=(Volumes("gp3", 1, 20 * GIB, None, None),),
            ),
        )
        for one in plan.datacenters
    )
    return replace(plan, datacenters=places)


def decided(
    datacenters: list[dict[str, Any]], brokers: int = 3, previous: Lock | None = None, **sizes: int
) -> tuple[Blueprint, Lock]:
    """A small environment drawn, with the lock it was drawn from."""
    kraft = sizes.pop("kraft", 0)
    kafka = {"version": "4.3.1", "coordination": "kraft"} if kraft else {"version": "3.9.2"}
    environment = builders.environment(kafka=kafka, datacenters=datacenters)
    plan = planned(environment, brokers, **sizes)
    lock = decide(environment, plan, previous, builders.fixed_ids())
    return draw(environment, plan, lock), lock


def small(brokers: int = 3, **fields: Any) -> Blueprint:
    return decided([aws(**fields)], brokers)[0]


TWO = [
    aws(name="one", network={"cidr": "10.1.0.0/16"}),
    aws(name="two", region="us-east-1", network={"cidr": "10.2.0.0/16"}),
]
KINDS: dict[str, list[dict[str, Any]]] = {
    "one": [aws()],
    "two": TWO,
    "by hand": [
        aws(
            network={"operators": ["192.0.2.0/24"], "clients": ["198.51.100.0/24"], "egress": "none"},
            ssh={"through": "direct", "user": "deploy"},
            firewall={"also": [{"port": 9100, "sources": ["203.0.113.0/24"]}], "ssh_ports": [22, 2222]},
            machine={"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/k", "bucket": True, "alarms": True},
        )
    ],
    "outside": [
        aws(
            network={
                "load_balancer": {
                    "name": "kafka.example.com",
                    "zone": "Z0123456789ABC",
                    "sources": ["198.51.100.0/24", "203.0.113.0/24"],
                }
            }
        )
    ],
    "public": [
        aws(
            network={
                "load_balancer": {
                    "name": "kafka.example.com",
                    "scheme": "internet-facing",
                    "everyone": True,
                    "port": 9200,
                }
            }
        )
    ],
    "there": [
        aws(
            network={
                "vpc": "vpc-01234567",
                "cidr": "172.31.0.0/16",
                "subnets": {
                    rack: {"id": f"subnet-0123456{at}", "cidr": f"172.31.{16 * at}.0/20", "first": 64}
                    for at, rack in enumerate("abc")
                },
            }
        )
    ],
}
