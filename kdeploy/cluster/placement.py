"""Which brokers get a new copy of a partition, and which of its copies goes.

    raise   what is there stays, in its order; each new copy goes to a rack that has none of the partition
            yet (or fewest), there to the broker with fewest copies
    lower   copies out of sync go first, then those whose rack has another, then those that do not lead,
            of brokers with many copies before few; a copy in sync is never given up for one that is not

Invariant: pure, and minimal: raising keeps every copy, lowering makes none. The first replica is the
preferred leader, and it stays unless its copy is the one to go: so leaders stay spread as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from kdeploy.cluster.state import Partition


class Placement:
    """Decides where copies go, one topic after the other, so that many of them spread as one does.

    Args:
        racks: Each registered broker with its rack.
        everything: All partitions of the cluster: their copies are a broker's load.
    """

    def __init__(self, racks: Mapping[int, str | None], everything: Iterable[Partition] = ()) -> None:
        self._racks = racks
        self._load = Counter(broker for one in everything for broker in one.replicas)

    def targets(self, partitions: Iterable[Partition], copies: int) -> dict[int, tuple[int, ...]]:
        """The replicas that partitions of a topic are to have, by number; those that have them are left out.

        Args:
            partitions: The topic's partitions.
            copies: How many they are to have; at most as many as there are brokers.
        """
        found = {}
        for partition in sorted(partitions):
            replicas = partition.replicas
            while len(replicas) < copies:
                new = self._newcomer(replicas)
                self._load[new] += 1
                replicas = (*replicas, new)
            while len(replicas) > copies:
                gone = self._leaver(partition, replicas)
                self._load[gone] -= 1
                replicas = tuple(one for one in replicas if one != gone)
            if replicas != partition.replicas:
                found[partition.index] = replicas
        return found

    def _newcomer(self, replicas: tuple[int, ...]) -> int:
        held = Counter(self._racks.get(one) for one in replicas)
        free = [broker for broker in self._racks if broker not in replicas]
        return min(free, key=lambda broker: (held[self._racks[broker]], self._load[broker], broker))

    def _leaver(self, partition: Partition, replicas: tuple[int, ...]) -> int:
        """Who goes. One that is not registered holds no copy in sync, whatever the last leader counted."""
        held = Counter(self._racks.get(one) for one in replicas)

        def worth(broker: int) -> tuple[bool, bool, bool, int, int]:
            in_sync = broker in partition.isr and broker in self._racks
            alone = held[self._racks.get(broker)] == 1
            leads = broker in (partition.leader, partition.replicas[0])
            return in_sync, alone, leads, -self._load[broker], -broker

        return min(replicas, key=worth)
