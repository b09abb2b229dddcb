"""Ranges in place of numbers: the cheapest plan that holds with the probability that is asked for.

Every range is drawn from jointly, and the samples go through the same loads as the certain plan, as
more rows (`samples`). A plan is a shape, a number of brokers and volumes that are bought once; it
holds in a sample when every load is under its ceiling there. Invariant: the answer is exact over the
samples, whatever is left out on the way: candidates are tried from the least that they could cost,
and none is left that could cost less than the best. Where both ends of every range are the same it
is the certain plan.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from kdeploy.planner import choice, limits
from kdeploy.planner.catalogue import GIB, Floats
from kdeploy.planner.choice import SPACE, Choice, Field
from kdeploy.planner.demand import Demand
from kdeploy.planner.ebs import Bought
from kdeploy.planner.limits import COLUMNS, LIMIT_OF
from kdeploy.planner.result import LIMITS
from kdeploy.planner.samples import Booleans, Loads, Sampled
from kdeploy.units import HOURS_PER_MONTH

CENT: Final = 0.01
"""Prices this close are equal: the first by name is taken, as in the certain choice."""

BOUGHT: Final = [COLUMNS.index(name) for name in ("disk_throughput", "disk_iops", "disk_space")]
"""Columns that volumes are bought for."""

LEVELS: Final = 512
"""Levels of what volumes are bought for that are tried at once."""


@dataclass(frozen=True, eq=False)
class Settled:
    """A candidate with volumes that are enough.

    Attributes:
        row: The candidate.
        position: Its position in the counts.
        price: US dollars a month.
        bought: Its volumes.
        load: (columns,) what is exceeded in no more samples than is allowed.
        holds: By sample, whether every limit holds.
    """

    row: int
    position: int
    price: float
    bought: Bought
    load: Floats
    holds: Booleans

    @property
    def fits(self) -> float:
        """Share of the samples in which it holds."""
        return float(self.holds.mean())

    @property
    def order(self) -> tuple[float, int, int]:
        """The cheapest first, ties by name, as in the certain choice."""
        return round(self.price, 2), self.row, self.position


@dataclass(eq=False)
class Trials:
    """Samples of a demand against the candidates of a field.

    Attributes:
        space: The field of the middle; its traffic is the samples' average.
        demand: The samples.
        confidence: Share of the samples that a plan has to hold in.
        loads: Loads of the samples.
        usable: What may be used of each candidate at most, (candidates, columns).
    """

    space: Field
    demand: Demand
    confidence: float
    loads: Loads = field(init=False)
    usable: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.space = replace(self.space, traffic=choice.crossing(self.demand))
        self.loads = Loads(self.space.demand, self.demand, self.confidence)
        self.usable = self.space.candidates.capacity * self.space.ceilings * (1 + 1e-12)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.loads.samples

    def of(self, row: int, position: int) -> Sampled:
        """Loads of a candidate in the samples."""
        return self.loads.at(self.disks(row), float(self.space.counts[position]))

    def disks(self, row: int) -> float:
        """Disks per broker of a candidate."""
        return float(self.space.candidates.disks[row])

    def enough(self, row: int, position: int) -> bool:
        """Whether a candidate holds with the most that can be bought for its volumes."""
        loads = self.of(row, position)
        if (loads.enough > self.usable[row]).any():
            return False
        return np.count_nonzero(loads.under(self.usable[row])) >= loads.missing

    def settle(self, row: int, position: int) -> Settled:
        """A candidate that holds, with the smallest volumes with which it does.

        Volumes are bought for the loads that so many samples do not exceed, as few samples as are asked
        for; where limits are not broken by the same samples, for those of more of them.
        """
        loads = self.of(row, position)
        under = loads.under(self.usable[row])
        if self.space.candidates.local[row]:
            load = loads.enough
        else:
            load, under = self._enough_volumes(row, position, loads, under)
        bought = choice.buy_for(self.space, load[:, None], np.array([row]))
        return self._settled(row, position, load, loads.spread(under), bought)

    def _enough_volumes(
        self, row: int, position: int, loads: Sampled, under: Booleans
    ) -> tuple[Floats, Booleans]:
        """The least level of loads at which so bought volumes hold often enough, and what then holds.

        Many levels are tried at once: each sample has a first of them at which it holds. Volumes that
        would be too small for the middle are bought for the middle.
        """
        space, middle = self.space, self.space.load[self.space.disk_row[row], BOUGHT, position]
        tops = np.stack([loads.beyond(column) for column in BOUGHT])
        low, high = 0, tops.shape[1] - 1
        while True:
            tried = np.unique(np.linspace(low, high, LEVELS).astype(np.intp))
            rows = np.full(len(tried), row)
            wanted = np.repeat(loads.enough[:, None], len(tried), axis=1)
            wanted[BOUGHT] = np.maximum(tops[:, tried], middle[:, None])
            bought = choice.buy_for(space, wanted, rows)
            capacity = choice.capacity_at(space, rows, np.full(len(tried), position), bought)
            usable = (capacity * space.ceilings * (1 + 1e-9)).T
            first = np.where(under, 0, len(tried))
            for column in BOUGHT:
                np.maximum(first, np.searchsorted(usable[column], loads.values[column]), out=first)
            least = int(np.partition(first, loads.missing - 1)[loads.missing - 1]) if loads.missing > 0 else 0
            least = min(least, len(tried) - 1)
            if least == 0 or tried[least] == tried[least - 1] + 1:
                return wanted[:, least], first <= least
            low, high = int(tried[least - 1]) + 1, int(tried[least])

    def _settled(self, row: int, position: int, load: Floats, holds: Booleans, bought: Bought) -> Settled:
        rows, positions = np.array([row]), np.array([position])
        price = float(choice.monthly_price(self.space, rows, positions, bought)[0])
        return Settled(row, position, price, bought, load, holds)

    def cheapest(self, shown: int) -> list[Settled]:
        """The cheapest candidate that holds, then the cheapest of so many other families.

        Always goes on with the candidate that could still cost least: what it has to have is narrowed
        down by one more number of brokers, or it is settled, and more brokers of it are looked at.

        Returns:
            Nothing where none holds.
        """
        space = self.space
        rows = np.flatnonzero(space.feasible())
        each = space.candidates.catalogue.usd_per_hour * (HOURS_PER_MONTH * (1 - space.discount))
        floor = self._floor()
        bounds = floor[rows] + space.counts[space.first[rows]] * each[rows]
        waiting = [
            (bound, row, position, False)
            for bound, row, position in zip(
                bounds.tolist(), rows.tolist(), space.first[rows].tolist(), strict=True
            )
        ]
        heapq.heapify(waiting)
        best: dict[tuple[str, bool], Settled] = {}
        bound = np.inf
        while waiting and waiting[0][0] <= bound + CENT:
            least, row, position, holds = heapq.heappop(waiting)
            family = self.family(row)
            top = (bound if family not in best else min(bound, best[family].price)) + CENT
            if least > top:
                continue
            following = position
            if not holds:
                following, holds = self._reach(row, position)
            if holds:
                position = following
                if self._least(row, position) <= top:
                    one = self.settle(row, position)
                    if family not in best or one.order < best[family].order:
                        best[family] = one
                        prices = sorted(one.price for one in best.values())
                        bound = prices[shown] if len(prices) > shown else np.inf
                following = self._more(position)
            if following < space.allowed[space.disk_row[row]]:
                least = float(floor[row] + space.counts[following] * each[row])
                heapq.heappush(waiting, (least, row, following, holds))
        return sorted(best.values(), key=lambda one: one.order)[: shown + 1]

    def _more(self, position: int) -> int:
        """The next position that could cost less than one that holds: see `choice.greater_counts`."""
        space = self.space
        if space.demand.copies == 1:
            return position + 1
        racks = space.demand.racks
        return position + racks - int(space.counts[position]) % racks

    def _reach(self, row: int, position: int) -> tuple[int, bool]:
        """The first position from one on that is not known to fail, and whether it holds.

        Loads never rise with brokers: what fails with some fails with fewer, what holds, with more.
        At most one more number of brokers is looked at.
        """
        space, disks = self.space, self.disks(row)
        counts, enough = self.loads.known(disks)
        fails = (enough > self.usable[row]).any(axis=1)
        known = int(np.count_nonzero(fails))
        if known:
            position = max(position, int(np.searchsorted(space.counts, counts[known - 1], side="right")))
        last = int(space.allowed[space.disk_row[row]]) - 1
        if position > last:
            return position, False
        if known < len(counts) and counts[known] <= space.counts[position]:
            holds = self.enough(row, position)
            return position + (not holds), holds
        if known < len(counts):
            last = int(np.searchsorted(space.counts, counts[known])) - 1
        self.loads.at(disks, float(space.counts[min(max(self._guess(row, position), position), last)]))
        return position, False

    def _guess(self, row: int, position: int) -> int:
        """Where a candidate should be enough, if its loads change with brokers as those of the middle do."""
        space, disk = self.space, int(self.space.disk_row[row])
        counts, enough = self.loads.known(float(space.disks[disk]))
        within = counts >= space.counts[0]
        if not within.any():
            return position
        nearest = int(np.abs(counts[within] - space.counts[position]).argmin())
        at = int(np.searchsorted(space.counts, counts[within][nearest]))
        middle = space.load[disk, :, at]
        ratio = np.divide(enough[within][nearest], middle, out=np.ones_like(middle), where=middle > 0)
        load = space.load[disk] * np.where(np.isfinite(ratio), ratio, 1.0)[:, None]
        return int(limits.required(load, self.usable[[row]], np.ones(len(COLUMNS))).max())

    def _least(self, row: int, position: int) -> float:
        """What a candidate costs at least at a position, by what enough samples need with as many brokers or more."""
        counts, enough = self.loads.known(self.disks(row))
        following = int(np.searchsorted(counts, self.space.counts[position]))
        if following == len(counts):
            return 0.0
        rows = np.array([row])
        bought = choice.buy_for(self.space, enough[following][:, None], rows)
        return float(choice.monthly_price(self.space, rows, np.array([position]), bought)[0])

    def _floor(self) -> Floats:
        """What candidates cost at least beside instances, with the space that enough samples need.

        Bytes of the whole cluster grow no faster than its partitions, so with the fewest of these they
        are at least as much less.
        """
        space, ebs = self.space, ~self.space.candidates.local
        floor = choice.floor_price(space, np.arange(len(ebs)))
        copies = min(space.demand.partition_copies, float(space.counts[0]))
        more = np.zeros(len(space.disks))
        for i in np.unique(space.disk_row[ebs]).tolist():
            needed = self.loads.at(float(space.disks[i]), float(space.counts[0])).enough[SPACE]
            whole = needed / (space.share.held[i, 0] * space.share.disk_skew[i, 0])
            whole *= space.partitions[i].min() / space.partitions[i, 0]
            more[i] = whole * copies / space.ceilings[SPACE]
        saved = np.maximum(more - choice.least_space(space), 0.0)[space.disk_row]
        per_byte = space.candidates.kind.usd_per_gib * (1 - space.discount) / GIB
        return np.asarray(floor + np.where(ebs, saved * per_byte, 0.0))

    def family(self, row: int) -> tuple[str, bool]:
        """The family of a candidate's shape, and whether its data lies on the instance's own disks."""
        chosen = self.space.candidates
        return chosen.catalogue.names[row].partition(".")[0], bool(chosen.local[row])

    def required(self, row: int) -> dict[str, int]:
        """The least brokers with which each limit alone holds in enough samples; see `choice.required`."""
        found: dict[str, int] = {}
        for column, limit in enumerate(LIMIT_OF):
            usable = float(self.usable[row, column])
            if np.isfinite(usable):
                least = self.loads.least(self.disks(row), column, usable, float(self.space.counts[-1]))
                if least is not None:
                    found[limit] = max(found.get(limit, 0), least)
        return found

    def alone(self, settled: Settled) -> tuple[Field, Choice]:
        """A field with one candidate at one count, loaded as enough samples load it."""
        space, chosen = self.space, self.space.candidates
        kept = np.arange(len(chosen.disks)) == settled.row
        only = replace(
            chosen,
            catalogue=chosen.catalogue.only(kept),
            local=chosen.local[kept],
            disks=chosen.disks[kept],
            capacity=chosen.capacity[kept],
        )
        disk = int(space.disk_row[settled.row])
        share = type(space.share)(*(value[disk : disk + 1] for value in vars(space.share).values()))
        return (
            replace(
                space,
                candidates=only,
                counts=space.counts[[settled.position]],
                disks=space.disks[[disk]],
                disk_row=np.zeros(1, dtype=np.intp),
                load=settled.load[None, :, None],
                share=share.part(settled.position),
                allowed=np.ones(1, dtype=np.intp),
                needed=np.zeros((1, len(COLUMNS)), dtype=np.intp),
            ),
            Choice(0, 0),
        )

    def bought_for_the_middle(self, chosen: Choice) -> Settled:
        """The certain choice for the middle of every range, with its own volumes, in the samples."""
        rows, positions = np.array([chosen.row]), np.array([chosen.position])
        bought = choice.buy_at(self.space, rows, positions)
        holds = ~self._broken(chosen.row, chosen.position, bought).any(axis=0)
        load = choice.load_at(self.space, rows, positions)[:, 0]
        return self._settled(chosen.row, chosen.position, load, holds, bought)

    def _broken(self, row: int, position: int, bought: Bought) -> Booleans:
        """Which limits are exceeded in which samples, (columns, samples)."""
        space = self.space
        capacity = choice.capacity_at(space, np.array([row]), np.array([position]), bought)[0]
        matrix = self.loads.matrix(self.disks(row), float(space.counts[position]))
        return np.asarray(matrix > (capacity * space.ceilings * (1 + 1e-9))[:, None])

    def weakest(self, settled: Settled) -> str:
        """The limit that is exceeded in most samples."""
        broken = self._broken(settled.row, settled.position, settled.bought).sum(axis=1)
        return LIMIT_OF[int(broken.argmax())] if broken.any() else LIMITS[0]

    def excess(self, position: int) -> tuple[str, float]:
        """The limit that binds the best candidate at a count, and by how much, at what enough samples need."""
        space = self.space
        loads = [self.loads.at(float(d), float(space.counts[position])).enough for d in space.disks]
        excess = np.stack(loads)[space.disk_row] / (space.candidates.capacity * space.ceilings)
        row = int(excess.max(axis=1).argmin())
        column = int(excess[row].argmax())
        return LIMIT_OF[column], max(float(excess[row, column]), 1 + 1e-9)


def regrets(settled: list[Settled]) -> list[float]:
    """What each plan costs above the cheapest of them that holds, on average over the samples it holds in.

    A plan that holds in more samples than another is dearer in those in which both hold: that is the
    price of being sure, in US dollars a month.
    """
    prices = np.array([one.price for one in settled])
    holds = np.stack([one.holds for one in settled])
    cheapest = np.where(holds, prices[:, None], np.inf).min(axis=0)
    found = []
    for i, one in enumerate(settled):
        mine = holds[i]
        found.append(float((one.price - cheapest[mine]).mean()) if mine.any() else 0.0)
    return found
