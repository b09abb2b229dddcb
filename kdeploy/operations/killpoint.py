"""Named moments at which a test may kill kdeploy, to prove that running it again finishes.

Invariant: does nothing at all unless KDEPLOY_KILL_AT names the moment.
"""

from __future__ import annotations

import os
import signal
from typing import Final

KILL_POINTS: Final = (
    "lease-taken",
    "environment-edited",
    "lock-written",
    "vault-completed",
    "vault-written",
    "engine-begun",
    "machines-made",
    "provisioned",
    "first-node-applied",
    "nodes-applied",
    "coordination-started",
    "coordination-ready",
    "first-broker-started",
    "brokers-started",
    "brokers-ready",
    "broker-stopped-in-roll",
    "broker-applied-in-roll",
    "machine-remade",
    "broker-started-in-roll",
    "coordinator-stopped-in-roll",
    "reconcile-begun",
    "record-begun",
    "first-change-applied",
    "topics-created",
    "partitions-added",
    "topics-configured",
    "users-created",
    "passwords-set",
    "acls-created",
    "acls-deleted",
    "quotas-set",
    "quotas-deleted",
    "moving-recorded",
    "min-insync-relaxed",
    "throttled",
    "reassignment-started",
    "reassigned",  # each topic has its min.insync.replicas back
    "throttle-removed",
    "users-shut-out",
    "topics-deleted",
    "record-completed",
    "reconciled",
    "mirrors-started",
    "mirror-stopped-in-roll",
    "mirror-set-out",
    "connector-changed",
    "failback-fenced",
    "failback-exported",
    "failback-readmitted",
    "failback-mirrored",
    "failover-fenced",
    "failover-drained",
    "failover-translated",
    "failover-mirror-stopped",
    "failover-decided",
    "failover-opened",
    "drill-begun",
    "drill-written",
    "drill-back",
    "mirrors-stopped",
    "brokers-stopped",
    "coordination-stopped",
    "first-node-deleted",
)
"""Every named moment, in the order of the flow."""


def kill_point(name: str) -> None:
    """End this process by SIGKILL where KDEPLOY_KILL_AT says so.

    Args:
        name: One of `KILL_POINTS`.
    """
    if os.environ.get("KDEPLOY_KILL_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
