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
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from kdeploy.planner import choice, limits
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.choice import SPACE, Choice, Field, Rows
from kdeploy.planner.demand import Demand, rank
from kdeploy.planner.ebs import Bought
from kdeploy.planner.limits import COLUMNS, LIMIT_OF
from kdeploy.planner.result import LIMITS
from kdeploy.planner.samples import Booleans, Loads, Sampled
from kdeploy.units import HOURS_PER_MONTH

CENT: Final = 0.01
"""Prices this close are equal: the first by name is taken, as in the certain choice."""

BOUGHT: Final = [COLUMNS.index(name) for name in ("disk_throughput", "disk_iops", "disk_space")]
"""Columns that volumes are bought for."""

Family = tuple[str, bool]
"""A family of shapes, and whether data lies on the instance's own disks."""

Waiting = tuple[float, int, int, bool]
"""US dollars a month that a candidate costs at least, its row, a position, and whether it holds there."""

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


class Best:
    """The cheapest of each family that was settled, of which so many families beside the first are shown."""

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._found: dict[Family, Settled] = {}
        self.bound = np.inf

    def add(self, family: Family, one: Settled) -> None:
        """A candidate, which counts where it is its family's cheapest."""
        if family not in self._found or one.order < self._found[family].order:
            self._found[family] = one
            prices = sorted(one.price for one in self._found.values())
            self.bound = prices[self._shown] if len(prices) > self._shown else np.inf

    def top(self, family: Family) -> float:
        """What a candidate of a family may cost at most to be shown."""
        mine = self._found[family].price if family in self._found else np.inf
        return min(self.bound, mine) + CENT

    def ordered(self) -> list[Settled]:
        """The cheapest first, no more than are shown."""
        return sorted(self._found.values(), key=lambda one: one.order)[: self._shown + 1]


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
    _each: Floats = field(init=False)
    _fixed: Floats = field(init=False)
    _level: int = field(init=False)
    _floors: dict[tuple[int, float], tuple[Floats, float]] = field(init=False, default_factory=dict)
    _least_stored: dict[int, Floats] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.space = replace(self.space, traffic=choice.crossing(self.demand))
        self.usable = self.space.candidates.capacity * self.space.ceilings * (1 + 1e-12)
        self.loads = Loads(self.space.demand, self.demand, self.confidence)
        hourly = self.space.candidates.catalogue.usd_per_hour
        self._each = hourly * (HOURS_PER_MONTH * (1 - self.space.discount))
        self._level = rank(self.confidence, self.loads.samples) - 1

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
        under = int(np.count_nonzero(loads.under(self.usable[row])))
        return bool((loads.enough <= self.usable[row]).all()) and under >= loads.missing

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
        space, best = self.space, Best(shown)
        rows = np.flatnonzero(space.feasible())
        self._fixed = self._floor_of_all()
        bounds = self._fixed[rows] + space.counts[space.first[rows]] * self._each[rows]
        columns = (bounds.tolist(), rows.tolist(), space.first[rows].tolist(), [False] * len(rows))
        waiting: list[Waiting] = list(zip(*columns, strict=True))
        heapq.heapify(waiting)
        while waiting and waiting[0][0] <= best.bound + CENT:
            one = heapq.heappop(waiting)
            if one[0] <= best.top(self.family(one[1])):
                for more in self._go_on(one, best, waiting[0][0] if waiting else np.inf):
                    heapq.heappush(waiting, more)
        return best.ordered()

    def _go_on(self, one: Waiting, best: Best, following: float) -> Iterator[Waiting]:
        """One step with a candidate: what of it has to wait again.

        Args:
            one: What it costs at least from a position on, or at it, where it is known to hold there.
            best: What was settled; the candidate is added where it is settled.
            following: What the next that waits costs at least.
        """
        _, row, position, known = one
        holds = known
        if not known:
            position, holds = self._reach(row, position)
        if not holds:
            if position < self.space.allowed[self.space.disk_row[row]]:
                least = float(self._fixed[row] + self.space.counts[position] * self._each[row])
                yield least, row, position, False
            return
        self.of(row, position)
        least, family = float(self._least(row, np.array([position]))[0]), self.family(row)
        if known and least > following:
            yield least, row, position, True
            return
        if least <= best.top(family):
            best.add(family, self.settle(row, position))
        if not known:
            yield from self._more(row, position, best.top(family))

    def _more(self, row: int, position: int, top: float) -> Iterator[Waiting]:
        """A candidate that holds, with more brokers, where that could cost less: see `choice.greater_counts`."""
        space = self.space
        most = (top - self._fixed[row]) / self._each[row]
        last = min(
            int(np.searchsorted(space.counts, most, side="right")), int(space.allowed[space.disk_row[row]])
        )
        positions = np.arange(position + 1, last)
        if space.demand.copies > 1:
            positions = positions[space.counts[positions] % space.demand.racks == 0]
        if len(positions):
            prices = self._least(row, positions)
            for i in np.flatnonzero(prices <= top).tolist():
                yield float(prices[i]), row, int(positions[i]), True

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

    def first(self, row: int, position: int) -> int | None:
        """The first position from one on at which a candidate holds; None where it holds at none."""
        holds = False
        while not holds and position < self.space.allowed[self.space.disk_row[row]]:
            position, holds = self._reach(row, position)
        return position if holds else None

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

    def _least(self, row: int, positions: Rows) -> Floats:
        """What a candidate costs at least at positions, by what enough samples need with as many brokers or more."""
        disks, wanted = self.disks(row), self.space.counts[positions]
        counts, _ = self.loads.known(disks)
        if wanted[-1] > counts[-1]:
            self.loads.at(disks, min(_step(float(wanted[-1])), float(self.space.counts[-1])))
            counts, _ = self.loads.known(disks)
        rows = np.full(len(positions), row)
        following = counts[np.searchsorted(counts, wanted)].tolist()
        floors = [self._floor(row, brokers) for brokers in following]
        load = np.stack([load for load, _ in floors], axis=1)
        price = choice.monthly_price(self.space, rows, positions, choice.buy_for(self.space, load, rows))
        return np.asarray(
            np.maximum(price, np.array([floor for _, floor in floors]) + wanted * self._each[row])
        )

    def _floor(self, row: int, brokers: float) -> tuple[Floats, float]:
        """What is bought at least for each volume of a candidate with so many brokers or fewer, as a load,
        and what it costs at least beside instances.

        Volumes hold every sample in which the plan holds, and it holds in none in which as many brokers,
        with the most that can be bought, do not.
        """
        place = (row, brokers)
        if place not in self._floors:
            loads, disk = self.loads.at(self.disks(row), brokers), int(self.space.disk_row[row])
            under = loads.under(self.usable[row])
            stored, load = 0.0, loads.enough
            if not self.space.candidates.local[row]:
                load = loads.least(under, BOUGHT)
                every = self._stored(disk).copy()
                every[loads.rows[~under]] = np.inf
                stored = float(np.partition(every, self._level)[self._level])
            self._floors[place] = load, float(choice.floor_price(self.space, np.array([row]), stored)[0])
        return self._floors[place]

    def _stored(self, disk: int) -> Floats:
        """Bytes that all brokers together have to have at least, by sample.

        A broker holds at least its even share of the copies, and all bytes grow no faster than the
        partitions: with the fewest of these they are at least as much less.
        """
        if disk not in self._least_stored:
            space = self.space
            partitions, even = space.partitions[disk], space.counts % space.demand.racks == 0
            at = int(np.where(even | ~even.any(), partitions, np.inf).argmin())
            whole = self.loads.matrix(float(space.disks[disk]), float(space.counts[at]))[SPACE]
            whole = whole / (space.share.held[disk, at] * space.share.disk_skew[disk, at])
            copies = min(space.demand.partition_copies, float(space.counts[0])) / space.ceilings[SPACE]
            self._least_stored[disk] = whole * (copies * partitions.min() / partitions[at])
        return self._least_stored[disk]

    def _floor_of_all(self) -> Floats:
        """What candidates cost at least beside instances, with the space that enough samples need."""
        space, ebs = self.space, ~self.space.candidates.local
        stored = np.zeros(len(space.disks))
        for disk in sorted(set(space.disk_row[ebs].tolist())):
            stored[disk] = np.partition(self._stored(disk), self._level)[self._level]
        return choice.floor_price(space, np.arange(len(ebs)), stored[space.disk_row])

    def family(self, row: int) -> Family:
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
                load_from_one=settled.load[None, :, None],
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
        holds = np.asarray(~self._broken(chosen.row, chosen.position, bought).any(axis=0))
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


def _step(brokers: float) -> float:
    """The next of numbers of brokers that grow by a quarter: few enough for every candidate to look at the same."""
    return float(math.ceil(1.25 ** math.ceil(math.log(brokers, 1.25) - 1e-9)))


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
