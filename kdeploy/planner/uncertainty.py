"""Ranges in place of numbers: the cheapest plan that holds with the probability that is asked for.

Every range is drawn from jointly, and the samples go through the same loads as the certain
plan, as more rows. A plan is a shape, a number of brokers and volumes that are bought once; it
holds in a sample when every load is under its ceiling there. Invariant: the answer is exact over
the samples, whatever is left out on the way: candidates are tried from the least that they could
cost, and none is left that could cost less than the best. Where both ends of every range are the
same it is the certain plan. Memory is bounded by the number of loads that are kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import choice, limits
from kdeploy.planner.catalogue import GIB, Floats
from kdeploy.planner.choice import SPACE, Choice, Field
from kdeploy.planner.demand import Demand, Place, rank
from kdeploy.planner.ebs import Bought
from kdeploy.planner.limits import COLUMNS, LIMIT_OF, Fleet
from kdeploy.planner.result import LIMITS
from kdeploy.units import HOURS_PER_MONTH, Range

Booleans = NDArray[np.bool_]

KEPT: Final = 40
"""Loads of a number of brokers that are kept: of 10,000 samples some 1.5 MB each."""

CENT: Final = 0.01
"""Prices this close are equal: the first by name is taken, as in the certain choice."""

BOUGHT: Final = tuple(COLUMNS.index(name) for name in ("disk_throughput", "disk_iops", "disk_space"))
"""Columns that volumes are bought for."""


def draw(ranges: Mapping[Place, Range], samples: int, seed: int) -> dict[Place, Floats]:
    """Samples (samples, 1, 1) of every range, jointly, by a Latin hypercube.

    Each range is cut into as many parts of equal probability as there are samples, and every part is
    drawn from once (McKay, Beckman, Conover, 1979). Log-uniform between the ends: half of the samples
    are below the geometric mean; uniform where the lower end is 0.

    Args:
        ranges: By place.
        samples: How many.
        seed: The same seed gives the same samples.
    """
    lots = np.random.default_rng(seed)
    drawn: dict[Place, Floats] = {}
    for place, ends in ranges.items():
        parts = (lots.permutation(samples) + lots.random(samples)) / samples
        if ends.low > 0:
            values = ends.low * (ends.high / ends.low) ** parts
        else:
            values = ends.low + (ends.high - ends.low) * parts
        drawn[place] = values[:, None, None]
    return drawn


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
        samples: How many samples there are.
    """

    space: Field
    demand: Demand
    confidence: float
    samples: int = field(init=False)
    _loads: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.space = replace(self.space, traffic=choice.crossing(self.demand))
        self.samples = max(np.size(value) for value in vars(self.demand).values() if value is not None)
        self._loads = lru_cache(maxsize=KEPT)(self._compute)

    def loads(self, disks: float, brokers: float) -> Sampled:
        """Loads of a number of brokers in every sample."""
        found: Sampled = self._loads(disks, brokers)
        return found

    def _compute(self, disks: float, brokers: float) -> Sampled:
        """As `limits.loads` has it: the greatest of the counts up to racks that are even again."""
        racks = self.space.demand.racks
        group = np.arange(brokers, -(-brokers // racks) * racks + 1)
        share = limits.shares(self.space.demand, Fleet.even(group, racks), np.array([disks]))
        table = limits.table_of(self.demand, share)
        values = np.empty((len(COLUMNS), self.samples))
        for column, name in enumerate(COLUMNS):
            load = table[name].reshape(-1, len(group))
            values[column] = reduce(np.maximum, load.T)  # few columns: faster than along the axis
        if np.isnan(share.led_after).any():
            values[:] = np.inf
        return Sampled(values, self.confidence)

    def enough(self, row: int, position: int) -> bool:
        """Whether a candidate holds with the most that can be bought for its volumes."""
        return self._most(row, position) is not None

    def _most(self, row: int, position: int) -> Booleans | None:
        """The samples in which a candidate holds at most; None where they are too few."""
        space = self.space
        loads = self.loads(float(space.disks[space.disk_row[row]]), float(space.counts[position]))
        usable = space.candidates.capacity[row] * space.ceilings * (1 + 1e-12)
        if (loads.enough > usable).any():
            return None
        holds = loads.under(usable, range(len(COLUMNS)))
        return holds if np.count_nonzero(holds) >= rank(self.confidence, len(holds)) else None

    def settle(self, row: int, position: int) -> Settled | None:
        """A candidate with the smallest volumes with which it holds; None where no volumes are enough.

        Volumes are bought for the loads that so many samples do not exceed, as few samples as are asked
        for; where limits are not broken by the same samples, for those of more of them.
        """
        space = self.space
        holds = self._most(row, position)
        if holds is None:
            return None
        loads = self.loads(float(space.disks[space.disk_row[row]]), float(space.counts[position]))
        if space.candidates.local[row]:
            return self._settled(row, position, loads.enough, holds)
        low, high = rank(self.confidence, len(holds)) - 1, len(holds)
        step, least = 1, low + 1
        while low + step < high:  # nearly always the first is enough, so from there on in growing steps
            if np.count_nonzero(self._buy(row, position, loads, low + step, holds)[2]) >= least:
                high = low + step
            else:
                low, step = low + step, step * 2
        while high - low > 1:
            middle = (low + high) // 2
            if np.count_nonzero(self._buy(row, position, loads, middle, holds)[2]) >= least:
                high = middle
            else:
                low = middle
        bought, load, under = self._buy(row, position, loads, high, holds)
        if np.count_nonzero(under) < least:
            return None
        return self._settled(row, position, load, under, bought)

    def _buy(
        self, row: int, position: int, loads: Sampled, level: int, holds: Booleans
    ) -> tuple[Bought, Floats, Booleans]:
        """Volumes for what so many samples do not exceed, those loads, and the samples that then hold."""
        space = self.space
        wanted = loads.enough.copy()
        for column in BOUGHT:
            wanted[column] = loads.at(column, level)
        rows = np.array([row])
        bought = choice.buy_for(space, wanted[:, None], rows)
        capacity = choice.capacity_at(space, rows, np.array([position]), bought)[0]
        return bought, wanted, holds & loads.under(capacity * space.ceilings * (1 + 1e-9), BOUGHT)

    def _settled(
        self,
        row: int,
        position: int,
        load: Floats,
        holds: Booleans,
        bought: Bought | None = None,
    ) -> Settled:
        rows, positions = np.array([row]), np.array([position])
        if bought is None:
            bought = choice.buy_for(self.space, load[:, None], rows)
        price = float(choice.monthly_price(self.space, rows, positions, bought)[0])
        return Settled(row, position, price, bought, load, holds)

    def first(self, row: int, start: int, most: float) -> Settled | None:
        """A candidate with the fewest brokers that are enough, from a position on; None above a number of brokers.

        More brokers hold wherever fewer do, so it is found by halving.
        """
        space = self.space
        last = int(space.allowed[space.disk_row[row]]) - 1
        last = min(last, int(np.searchsorted(space.counts, most, side="right")) - 1)
        low, step, high = start - 1, 1, start
        while high <= last and not self.enough(row, high):
            low, high, step = high, min(high + step, last) if high < last else last + 1, step * 2
        if high > last:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.enough(row, middle):
                high = middle
            else:
                low = middle
        return self.settle(row, high)

    def cheapest(self, shown: int) -> list[Settled]:
        """The cheapest candidate that holds, then the cheapest of so many other families.

        Returns:
            Nothing where none holds.
        """
        space = self.space
        rows = np.flatnonzero(space.feasible())
        each = space.candidates.catalogue.usd_per_hour * HOURS_PER_MONTH * (1 - space.discount)
        floor = self._floor()
        bounds = floor[rows] + space.counts[space.first[rows]] * each[rows]
        waiting = list(zip(bounds.tolist(), rows.tolist(), strict=True))
        heapq.heapify(waiting)
        best: dict[tuple[str, bool], Settled] = {}
        bound = np.inf
        while waiting:
            least, row = heapq.heappop(waiting)
            if least > bound + CENT:
                break
            family = self.family(row)
            top = (bound if family not in best else min(bound, best[family].price)) + CENT
            for one in self._of_row(row, floor[row], each[row], top):
                if family not in best or one.order < best[family].order:
                    best[family] = one
            prices = sorted(one.price for one in best.values())
            bound = prices[shown] if len(prices) > shown else np.inf
        return sorted(best.values(), key=lambda one: one.order)[: shown + 1]

    def _of_row(self, row: int, floor: float, each: float, top: float) -> Iterator[Settled]:
        """A shape with the fewest brokers, and with more of them as long as it could cost less."""
        space = self.space
        first = self.first(row, int(space.first[row]), (top - floor) / each)
        if first is None:
            return
        yield first
        top = min(top, first.price + CENT)
        for position in range(first.position + 1, int(space.allowed[space.disk_row[row]])):
            if floor + space.counts[position] * each > top:
                return
            if space.demand.copies > 1 and space.counts[position] % space.demand.racks:
                continue
            more = self.settle(row, position)
            if more is not None:
                top = min(top, more.price + CENT)
                yield more

    def _floor(self) -> Floats:
        """What candidates cost at least beside instances, with the space that enough samples need."""
        space = self.space
        rows = np.arange(len(space.candidates.disks))
        floor = choice.floor_price(space, rows)
        copies = min(space.demand.partition_copies, float(space.counts[0]))
        more = np.zeros(len(space.disks))
        for i, disks in enumerate(space.disks):
            needed = self.loads(float(disks), float(space.counts[0])).enough[SPACE]
            whole = needed / (space.share.held[i, 0] * space.share.disk_skew[i, 0])
            more[i] = whole * copies / space.ceilings[SPACE]
        saved = np.maximum(more - choice.least_space(space), 0.0)[space.disk_row]
        per_byte = space.candidates.kind.usd_per_gib * (1 - space.discount) / GIB
        return np.asarray(floor + np.where(space.candidates.local, 0.0, saved * per_byte))

    def family(self, row: int) -> tuple[str, bool]:
        """The family of a candidate's shape, and whether its data lies on the instance's own disks."""
        chosen = self.space.candidates
        return chosen.catalogue.names[row].partition(".")[0], bool(chosen.local[row])

    def required(self, row: int) -> dict[str, int]:
        """The least brokers with which each limit alone holds in enough samples; see `choice.required`."""
        space = self.space
        disks = float(space.disks[space.disk_row[row]])
        usable = space.candidates.capacity[row] * space.ceilings * (1 + 1e-12)
        found: dict[str, int] = {}
        for column, limit in enumerate(LIMIT_OF):
            if not np.isfinite(usable[column]):
                continue
            low, high = 0, int(space.counts[-1])
            if self.loads(disks, float(high)).enough[column] > usable[column]:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if self.loads(disks, float(middle)).enough[column] <= usable[column]:
                    high = middle
                else:
                    low = middle
            found[limit] = max(found.get(limit, 0), high)
        return found

    def alone(self, settled: Settled) -> tuple[Field, Choice]:
        """A field with one candidate at one count, loaded as enough samples load it."""
        space = self.space
        kept = np.zeros(len(space.candidates.disks), dtype=bool)
        kept[settled.row] = True
        chosen = space.candidates
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
        space = self.space
        rows, positions = np.array([chosen.row]), np.array([chosen.position])
        bought = choice.buy_at(space, rows, positions)
        capacity = choice.capacity_at(space, rows, positions, bought)[0] * space.ceilings * (1 + 1e-9)
        loads = self.loads(
            float(space.disks[space.disk_row[chosen.row]]), float(space.counts[chosen.position])
        )
        holds = loads.under(capacity, range(len(COLUMNS)))
        return self._settled(
            chosen.row, chosen.position, choice.load_at(space, rows, positions)[:, 0], holds, bought
        )

    def excess(self, position: int) -> tuple[str, float]:
        """The limit that binds the best candidate at a count, and by how much, at what enough samples need."""
        space = self.space
        usable = space.candidates.capacity * space.ceilings
        loads = np.stack([self.loads(float(d), float(space.counts[position])).enough for d in space.disks])
        excess = loads[space.disk_row] / usable
        row = int(excess.max(axis=1).argmin())
        column = int(excess[row].argmax())
        return LIMIT_OF[column], max(float(excess[row, column]), 1 + 1e-9)


class Sampled:
    """Loads in every sample, (columns, samples), with what is worked out of them once."""

    def __init__(self, values: Floats, confidence: float) -> None:
        level = rank(confidence, values.shape[1])
        self.values = values
        self.most = values.max(axis=1)
        varies = values.min(axis=1) < self.most
        self.enough = self.most.copy()
        self._level = level
        for column in np.flatnonzero(varies):
            self.enough[column] = np.partition(values[column], level - 1)[level - 1]
        self._sorted: dict[int, Floats] = {}

    def at(self, column: int, level: int) -> float:
        """The load that so many samples do not exceed."""
        if level == self._level:
            return float(self.enough[column])
        if column not in self._sorted:
            self._sorted[column] = np.sort(self.values[column])
        return float(self._sorted[column][level - 1])

    def under(self, usable: Floats, columns: Any) -> Booleans:  # noqa: ANN401
        """By sample, whether all of some columns are under what may be used."""
        holds = np.ones(self.values.shape[1], dtype=bool)
        for column in columns:
            if self.most[column] > usable[column]:
                holds &= self.values[column] <= usable[column]
        return holds


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


def weakest(trials: Trials, settled: Settled) -> str:
    """The limit that is exceeded in most samples."""
    space, disks = trials.space, float(trials.space.disks[trials.space.disk_row[settled.row]])
    values = trials.loads(disks, float(space.counts[settled.position])).values
    capacity = choice.capacity_at(
        space, np.array([settled.row]), np.array([settled.position]), settled.bought
    )[0]
    broken = (values > (capacity * space.ceilings * (1 + 1e-9))[:, None]).sum(axis=1)
    return LIMIT_OF[int(broken.argmax())] if broken.any() else LIMITS[0]
