"""What no single field can judge: whether the settings of an environment fit each other.

Invariant: pure. `check` finds everything at once, each with the setting to change;
what only a Kafka version's own definitions can judge is judged in `kdeploy.tuning`,
what is legal but risky in `kdeploy.spec.risks`.
"""

from __future__ import annotations

from kdeploy.spec.check import (
    access,
    aws,
    datacenters,
    durability,
    grants,
    kafka,
    mirroring,
    outside,
    policies,
    quotas,
    topics,
)
from kdeploy.spec.check.finding import Finding, gathered
from kdeploy.spec.model import Environment

__all__ = ["Finding", "check", "gathered"]


PARTS = (kafka, durability, datacenters, aws, outside, mirroring, topics, access, grants, quotas, policies)
"""What is checked, in the order in which it is said."""


def check(environment: Environment) -> tuple[Finding, ...]:
    """Everything in an environment that does not fit; empty when all is well."""
    return tuple(finding for part in PARTS for finding in part.check(environment))
