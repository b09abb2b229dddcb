"""What watches a machine: AWS's own checks of it, how full its disks are, and what is done about either.

Invariant: an alarm never touches a disk. Recovery moves the same instance to other hardware, with its address and its
volumes; where data lies on the machine's own disks it would be lost, so there it is only told. What a disk's alarm looks
at is named as the machine sends it, never by instance: whatever instance the node has, it is the same alarm.
"""

from __future__ import annotations

from typing import Final

import pulumi_aws as aws

from kdeploy.blueprint import Node, Place
from kdeploy.infra.aws.node import Instance
from kdeploy.infra.aws.site import Site
from kdeploy.spec.aws import DISK_USE, METRICS

PERIOD, TIMES = 60, 2
"""Seconds between checks, and how many have to fail (Amazon EC2 User Guide, "Create alarms that stop, terminate, reboot,
or recover an instance": two of one minute)."""

CHECKS: Final = {
    "system": ("StatusCheckFailed_System", "the hardware beneath it fails"),
    "instance": ("StatusCheckFailed_Instance", "it does not answer"),
}
"""AWS's checks of a machine, with what it means when one fails."""


MINUTES: Final = 5
"""For how long a disk has to be too full: not for a moment, as while a topic's old segments wait for their deletion
(Kafka 3.9 documentation, file.delete.delay.ms, one minute)."""


def alarms(site: Site, node: Node, instance: Instance, place: Place) -> None:
    """Declare the alarms of a machine.

    Args:
        site: Where they belong.
        node: Whose machine it is.
        instance: The machine.
        place: Who they are told to, beside CloudWatch, and when a disk is too full.
    """
    _checks(site, node, instance, place.alarm_topic)
    _disks(site, node, instance, place)


def _checks(site: Site, node: Node, instance: Instance, topic: str | None) -> None:
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


def _disks(site: Site, node: Node, instance: Instance, place: Place) -> None:
    """An alarm for each file system that the machine tells of.

    One of which nothing is heard is called neither full nor fine (`missing`): its alarm goes to INSUFFICIENT_DATA, which
    the topic is told too. Were silence taken for a breach, every alarm would go off in the minutes between the making of
    a machine and its first word, and each time that a machine is replaced.
    """
    told = [place.alarm_topic] if place.alarm_topic else []
    for one in node.machine.watched if node.machine else ():
        parts = ("full", one.mount.strip("/").replace("/", "-") or "root")
        name = site.name(node.name, *parts)
        aws.cloudwatch.MetricAlarm(
            name,
            name=site.outside(node.name, *parts),
            alarm_description=f"{node.key} of {site.environment}: {one.mount} is more than {place.alarm_percent} % full",
            namespace=METRICS,
            metric_name=DISK_USE,
            dimensions=one.dimensions,
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=place.alarm_percent,
            period=PERIOD,
            evaluation_periods=MINUTES,
            treat_missing_data="missing",
            alarm_actions=told,
            insufficient_data_actions=told,
            tags=site.tags(name, node=node.key, role=node.role),
            opts=site.below(instance),
        )
