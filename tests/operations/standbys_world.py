"""Three datacenters of which one is written to, in memory, with a mirror that copies what it is set out to.

Invariant: what is written where, and what came to be there twice or never, is told by the records themselves: each has a
number of its own as its value.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from kdeploy.cluster import connectors
from kdeploy.cluster.state import LogRecord, Place
from tests.operations.two_sides_world import NOW, TwoSides

PLACES = ("north", "east", "west")
NAME = "local-three-dc-passive"
PLACE: Place = ("orders", 0)


class Standbys(TwoSides):
    """North, east and west, after a first `up`: north is written to, and mirrored to both others."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(root, NAME, patch)
        self.numbers = count()

    def stand_in(self, patch: pytest.MonkeyPatch) -> Standbys:
        super().stand_in(patch)
        self.numbers = count()
        # Whoever waits, waits for MirrorMaker.
        patch.setattr("kdeploy.operations.switching.time.sleep", lambda _: self.mirror())
        patch.setattr("kdeploy.operations.standbys.LEVEL_WITHIN", 0.05)
        return self

    @property
    def state(self) -> Path:
        """The folder of what kdeploy keeps on this machine."""
        return self._root / "state"

    def write(self, datacenter: str, count: int, topic: str = "orders", age: float = 0.0) -> None:
        """Records at the end of a topic's first partition, each with a number of its own."""
        del topic, age
        self._append(datacenter, PLACE, [(str(next(self.numbers)).encode(), NOW) for _ in range(count)])

    def _append(self, datacenter: str, place: Place, values: list[tuple[bytes | None, float]]) -> None:
        side = self.sides[datacenter]
        log = side.logs.setdefault(place, [])
        start = side.ends.get(place, log[-1].offset + 1 if log else 0)
        log += [
            LogRecord(*place, start + number, stamp, value=value)
            for number, (value, stamp) in enumerate(values)
        ]
        # The mark that ends a transaction of MirrorMaker's: offsets of copies are not those of originals.
        side.ends[place] = start + len(values) + (1 if values else 0)

    def mirror(self, most: int | None = None, only: tuple[str, str] | None = None) -> None:
        """Have every connector that runs copy what it has not, so many records at most, or only from one to another."""
        for target, connect in self.connects.items():
            for name, state in list(connect.found.items()):
                source = state.config["source.cluster.alias"]
                way = (source, target)
                if not name.endswith("-records") or state.state != "RUNNING" or {*way} & self.down:
                    continue
                if only is not None and way != only:
                    continue
                self._copy(name, source, target, most)

    def _copy(self, name: str, source: str, target: str, most: int | None) -> None:
        connect = self.connects[target]
        reached = connectors.positions(connect.kept.get(name, {}).values(), source)
        for place in [place for place in self.sides[source].logs if place[0] in ("orders",)]:
            at = reached.get(place[0], {}).get(place[1], 0)
            new = [one for one in self.sides[source].logs[place] if one.offset >= at][:most]
            if not new:
                continue
            self._append(target, place, [(one.value, one.timestamp) for one in new])
            wanted = {place[0]: {place[1]: new[-1].offset + 1}}
            for key, held in list(connect.kept.get(name, {}).items()):
                if (held[0]["topic"], held[0]["partition"]) == place:
                    del connect.kept[name][key]
            (entry,) = connectors.entries(wanted, source)
            connect.kept.setdefault(name, {})[f"{place[0]}-{place[1]}"] = entry

    def values(self, datacenter: str) -> list[int]:
        """What a datacenter has, in its order."""
        return [int(one.value or b"-1") for one in self.sides[datacenter].logs.get(PLACE, [])]

    def once(self, datacenter: str) -> bool:
        """Whether every record is there once at most."""
        return max(Counter(self.values(datacenter)).values(), default=1) == 1
