"""Small environments, plans and locks for tests that need a blueprint without the planner."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from kdeploy.planner.decide import decide
from kdeploy.planner.result import BrokerPlan, CoordinationPlan, Cost, DatacenterPlan, Plan, Volumes
from kdeploy.spec.lock import Lock
from kdeploy.spec.model import Environment

GIB = 2.0**30


def environment(**fields: Any) -> Environment:
    """An environment with the defaults, but what is given."""
    return Environment.model_validate({"name": "test", **fields})


def kraft(version: str = "4.3.1", **fields: Any) -> Environment:
    """The same, coordinated by KRaft."""
    return environment(kafka={"version": version, "coordination": "kraft"}, **fields)


def plan(wanted: Environment, brokers: int = 3, coordinators: int = 3, disks: int = 1) -> Plan:
    """A plan of so many nodes, spread over the racks."""
    return Plan(
        environment=wanted.name,
        feasible=True,
        datacenters=tuple(
            DatacenterPlan(
                name=one.name,
                provider=one.provider,
                region=one.region,
                partitions=36,
                brokers=BrokerPlan(
                    count=brokers,
                    per_rack=spread(one.racks, brokers),
                    instance_type=None,
                    cores=2,
                    memory=GIB,
                    volumes=(Volumes("disk", disks, 100 * GIB, None, None),),
                    utilisation={},
                    bottleneck=None,
                    required={},
                ),
                coordination=CoordinationPlan(
                    kind=wanted.kafka.coordination,
                    nodes=coordinators,
                    per_rack=spread(one.racks, coordinators),
                    instance_type=None,
                    cores=2,
                    memory=GIB / 2,
                ),
                cost=Cost(None, {}),
            )
            for one in wanted.datacenters
        ),
    )


def spread(racks: tuple[str, ...], nodes: int) -> dict[str, int]:
    """So many nodes over the racks, the first ones first."""
    return {rack: len(range(index, nodes, len(racks))) for index, rack in enumerate(racks)}


def fixed_ids() -> Callable[[], str]:
    """Kafka UUIDs that count up, so that the same input gives the same bytes."""
    numbers = count(1)
    return lambda: f"AAAAAAAAAAAAAAAAAA{next(numbers):04d}"


def lock(wanted: Environment, planned: Plan) -> Lock:
    """What was decided, with fixed ids."""
    return decide(wanted, planned, None, fixed_ids())
