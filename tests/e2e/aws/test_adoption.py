"""What exists already is taken in by its id, whatever kind it is; then nothing is to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloud.cloud import Cloud
from tests.e2e.aws.engine import Stack
from tests.e2e.aws.programs import Machines

pytestmark = pytest.mark.cloud

ONE = Machines(zones="a", cidr="10.60.0.0/16")

SPELLED = {
    "aws:ec2/volumeAttachment:VolumeAttachment": "{deviceName}:{volumeId}:{instanceId}",
    "aws:ec2/route:Route": "{routeTableId}_{destinationCidrBlock}",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "{subnetId}/{routeTableId}",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "{role}/{policyArn}",
}
"""Kinds that are imported by another id than the one that the state has, as the real provider documents them."""


def test_a_stack_that_was_forgotten_is_taken_in_again_by_ids(cloud: Cloud, tmp_path: Path) -> None:
    first = Stack(cloud, tmp_path / "first", ONE, name="first")
    first.run()
    ids = {
        (one["type"], one["urn"].rpartition("::")[2]): SPELLED.get(one["type"], "{}").format(
            one["id"], **one["inputs"]
        )
        for one in first.state()
        if one["type"].startswith("aws:")
    }

    def adopting() -> None:
        import pulumi

        def adopt(given: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
            found = ids.get((given.type_, given.name))
            options = pulumi.ResourceOptions.merge(given.opts, pulumi.ResourceOptions(import_=found))
            return pulumi.ResourceTransformResult(given.props, options)

        pulumi.runtime.register_resource_transform(adopt)
        ONE()

    cloud.calls(forget=True)
    second = Stack(cloud, tmp_path / "second", adopting, name="second")
    assert second.run()["import"] == len(ids)
    assert not [name for name in cloud.calls() if name.partition(":")[2].startswith(("Create", "Run"))]
    assert set(second.run(ONE)) == {"same"}
    second.stack.destroy()
