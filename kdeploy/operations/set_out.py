"""Where the mirror of records from one datacenter to another begins, by what was decided, before it runs.

Invariant: a connector that has come further by itself is never set back, and one that runs is not touched: what is there
already is not copied once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kdeploy.operations.killpoint import kill_point
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.cluster.connect import Connect
    from kdeploy.cluster.connectors import ConnectorState
    from kdeploy.cluster.direction import Direction, Offsets
    from kdeploy.operations.site import Site

STARTS_WITHIN: Final = 180.0
"""Seconds for workers to serve and connectors to run, on a machine that is slow: a worker reads its topics to their
ends first, and a rebalance waits for it."""


def from_decision(
    here: Site,
    client: Connect,
    found: Mapping[str, ConnectorState],
    runs: Mapping[str, bool],
    direction: Direction | None,
) -> list[str]:
    """Let a connector of records that does not run yet go on from where its source was when it was taken over.

    What was there before came from the other side: copied back it would be there twice.

    Args:
        here: The datacenter whose workers run it.
        client: These workers.
        found: Connectors that they have.
        runs: Those that are to run.
        direction: What was decided.

    Returns:
        What was changed, a line each.
    """
    from kdeploy.cluster import connectors

    said: list[str] = []
    mirror = here.cluster.mirror
    if direction is None or mirror is None:
        return said
    for one in mirror.connectors:
        at_rest = one.name not in found or found[one.name].state == "STOPPED"
        if not (runs[one.name] and at_rest and one.name.endswith(named.RECORDS)):
            continue
        if not (begin := _begin(here, str(one.source), direction)):
            continue
        if one.name not in found:
            client.create(one.name, one.config, stopped=True)
        _rest(client, one.name)
        reached = connectors.positions(client.offsets(one.name), str(one.source))
        behind = {
            topic: {
                partition: offset
                for partition, offset in partitions.items()
                if reached.get(topic, {}).get(partition, 0) < offset
            }
            for topic, partitions in begin.items()
        }
        if any(behind.values()):
            client.set_offsets(one.name, connectors.entries(behind, str(one.source)))
            where = f"{one.source} was taken over"
            if direction.gathers:
                where = f"{here.cluster.datacenter} lacks what {one.source} has"
            said.append(f"connector {one.name} goes on from where {where}")
            here.progress.step("mirror", said[-1])
        kill_point("mirror-set-out")
    return said


def _begin(here: Site, source: str, direction: Direction) -> Offsets:
    """Where the mirror from a source begins; nothing of partitions that are to come whole, as those that nothing was ever
    written to here: of three datacenters and more, one may have come since it was decided.
    """
    found = direction.begin(source, here.cluster.datacenter)
    if not found or direction.gathers or len(here.datacenters) < 3:
        return found
    from kdeploy.operations import readiness

    with readiness.connected(here) as admin:
        there = {(one.topic, one.index) for one in admin.metadata().partitions}
        spans = admin.spans(there & {(topic, one) for topic, some in found.items() for one in some})
    # A partition that nobody leads now has no span, and is not empty for that.
    holds = there - {place for place, (_, end) in spans.items() if not end}
    return {
        topic: {one: offset for one, offset in some.items() if (topic, one) in holds}
        for topic, some in found.items()
    }


def _rest(client: Connect, name: str) -> None:
    """Wait until a connector has no task any more."""

    def rests(found: Mapping[str, ConnectorState]) -> bool:
        return name in found and found[name].rests

    client.wait(f"connector {name} rests", rests, STARTS_WITHIN)
