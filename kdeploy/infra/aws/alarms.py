"""What watches a machine: AWS's own checks of it, and what is done when one fails.

Invariant: an alarm never touches a disk. Recovery moves the same instance to other hardware, with its address and its
volumes; where data lies on the machine's own disks it would be lost, so there it is only told.
"""

from __future__ import annotations

from typing import Final

import pulumi_aws as aws

from kdeploy.blueprint import Node
from kdeploy.infra.aws.node import Instance
from kdeploy.infra.aws.site import Site

PERIOD, TIMES = 60, 2
"""Seconds between checks, and how many have to fail (Amazon EC2 User Guide, "Create alarms that stop, terminate, reboot,
or recover an instance": two of one minute)."""

CHECKS: Final = {
    "system": ("StatusCheckFailed_System", "the hardware beneath it fails"),
    "instance": ("StatusCheckFailed_Instance", "it does not answer"),
}
"""AWS's checks of a machine, with what it means when one fails."""


def alarms(site: Site, node: Node, instance: Instance, topic: str | None) -> None:
    """Declare the alarms of a machine.

    Args:
        site: Where they belong.
        node: Whose machine it is.
        instance: The machine.
        topic: SNS topic that they are told to; None tells CloudWatch alone.
    """
    for check, (metric, meaning) in CHECKS.items():
        name = site.name(node.name, check)
        actions = [topic] if topic else []
        if check == "system" and not node.loses_data_on_stop:
            actions.append(f"arn:{site.partition}:automate:{site.region}:ec2:recover")
        aws.cloudwatch.MetricAlarm(
            name,
            name=site.outside(node.name, check),
            alarm_description=f"{node.key} of {site.environment}: {meaning}",
            namespace="AWS/EC2",
            metric_name=metric,
            dimensions={"InstanceId": instance.exported["instance"]},
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=PERIOD,
            evaluation_periods=TIMES,
            alarm_actions=actions,
            tags=site.tags(name, node=node.key, role=node.role),
            opts=site.below(instance),
        )
