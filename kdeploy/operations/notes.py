"""What a preview says beside the changes: how copies are moved, and what rights name that is nowhere.

Invariant: pure; a sentence each, with file, line and path where a file says it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from kdeploy.units import format_rate

if TYPE_CHECKING:
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.spec.load import Loaded


def of(loaded: Loaded, plan: Plan, topics: Collection[str], move_rate: float | None = None) -> Iterator[str]:
    """The notes to a plan.

    Args:
        loaded: The environment.
        plan: What is to be done.
        topics: Names of the topics that are there.
        move_rate: Bytes per second for each broker at which copies are moved, in place of the environment's.
    """
    from kdeploy.cluster.change import AlterReplication
    from kdeploy.spec.unmatched import told

    if any(isinstance(one, AlterReplication) and one.before <= one.after for one in plan.changes):
        rate = format_rate(move_rate or loaded.environment.moving.rate)
        why = "--move-rate" if move_rate else "moving.rate; --move-rate of up and apply outranks it"
        yield f"copies are moved at {rate} for each broker ({why})"
    if "unknown-topic" not in loaded.environment.accept_risks:
        for path, wrong in told(loaded.environment, "that is declared or in the cluster", topics):
            found = loaded.source.problem(path, wrong, "")
            yield f"{found.file}:{found.line}: {found.path}: {found.wrong}"
