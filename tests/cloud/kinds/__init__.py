"""The resources that the provider knows, a module for each service."""

from __future__ import annotations

from tests.cloud.kinds import (
    addresses,
    alarms,
    balancers,
    buckets,
    empty,
    endpoints,
    groups,
    identity,
    machines,
    names,
    network,
    peering,
    transit,
    volumes,
)
from tests.cloud.kinds.base import KINDS, Aws, Kind, Refused

__all__ = [
    "KINDS",
    "Aws",
    "Kind",
    "Refused",
    "addresses",
    "alarms",
    "balancers",
    "buckets",
    "empty",
    "endpoints",
    "groups",
    "identity",
    "machines",
    "names",
    "network",
    "peering",
    "transit",
    "volumes",
]
