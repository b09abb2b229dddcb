"""What a stack's state has, beside brokers and coordination, that costs by being there.

Invariant: pure; it counts what was made, whatever the environment's files say by now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from kdeploy.planner.costs import Beside
from kdeploy.spec.aws import METRICS

if TYPE_CHECKING:
    from kdeploy.infra.aws.changes import State

DATACENTER: Final = "kdeploy:datacenter"
"""The tag that says whose it is (`infra.aws.site`, which loads Pulumi)."""


def _endpoints(given: Mapping[str, Any]) -> int:
    is_interface = given.get("vpcEndpointType") == "Interface"
    return len(given.get("subnetIds") or ()) if is_interface else 0


def _metrics(given: Mapping[str, Any]) -> int:
    """Whether an alarm is on a metric of one's own, which is paid for: each has one."""
    return int(given.get("namespace") == METRICS)


def _telling(given: Mapping[str, Any]) -> int:
    """Whether it is on that of an operating system's disk, of which each machine that sends any has one."""
    return int(_metrics(given) and (given.get("dimensions") or {}).get("mount") == "/")


COUNTED: Final[Mapping[str, Mapping[str, Callable[[Mapping[str, Any]], int]]]] = {
    "aws:ec2/instance:Instance": {
        "root_disks": lambda given: int((given.get("rootBlockDevice") or {}).get("volumeSize") or 0)
    },
    "aws:ec2/natGateway:NatGateway": {"nat_gateways": lambda _: 1},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"endpoints": _endpoints},
    "aws:lb/loadBalancer:LoadBalancer": {
        "load_balancers": lambda _: 1,
        "addresses": lambda given: 0 if given.get("internal") else len(given.get("subnets") or ()),
    },
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "alarms": lambda _: 1,
        "metrics": _metrics,
        "telling": _telling,
    },
}
"""What is counted, by a resource's type: from its inputs, as pulumi-aws names them."""


def beside(state: State | None) -> dict[str, Beside]:
    """What there is, by datacenter; those without anything are left out."""
    found: dict[str, dict[str, int]] = {}
    for one in state.resources if state else ():
        whose = (one.inputs.get("tags") or {}).get(DATACENTER)
        if one.id and whose and one.type in COUNTED:
            counts = found.setdefault(whose, asdict(Beside()))
            for name, count in COUNTED[one.type].items():
                counts[name] += count(one.inputs)
    return {whose: Beside(**counts) for whose, counts in found.items()}
