"""What a state has beside brokers and coordination is counted as it was declared."""

from __future__ import annotations

import pytest

from kdeploy.infra.aws.changes import Resource, State
from kdeploy.operations import aws_costs
from kdeploy.planner.costs import Beside, beside, data_disks
from tests.infra.aws.recorded import record
from tests.tuning import builders
from tests.tuning.places import KINDS, decided

WAYS = {
    "per zone": [{**KINDS["one"][0], "network": {"egress": "nat-per-zone"}}],
    "watched without a way out": [
        {**KINDS["one"][0], "network": {"egress": "none"}, "machine": {"alarms": True}}
    ],
}


@pytest.mark.parametrize("kind", [*KINDS, *WAYS])
def test_what_a_program_declares_is_counted_as_the_environment_says(kind: str) -> None:
    places = (KINDS | WAYS)[kind]
    blueprint, lock = decided(places, 4)
    made = tuple(
        Resource(f"urn:pulumi:some::kdeploy::{one.type}::{one.name}", one.type, one.name, one.inputs)
        for one in record(blueprint).resources
    )
    wanted = builders.environment(kafka={"version": "3.9.2"}, datacenters=places).datacenters
    locked = {one.name: one for one in lock.datacenters}
    declared = {
        one.name: beside(one, len(locked[one.name].nodes), data_disks(locked[one.name])) for one in wanted
    }
    assert aws_costs.beside(State(resources=made)) == declared
    assert all(one != Beside() for one in declared.values())


def test_nothing_is_there_before_anything_is_made() -> None:
    begun = Resource("urn:x", "aws:ec2/natGateway:NatGateway", "", {"tags": {"kdeploy:datacenter": "dc1"}})
    assert aws_costs.beside(None) == aws_costs.beside(State(resources=(begun,))) == {}
