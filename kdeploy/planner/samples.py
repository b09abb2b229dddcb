"""Samples of a demand: drawn from ranges, and what each loads a number of brokers with.

Loads are worked out for one number of brokers at a time, in chunks of samples that a processor's
cache holds, into one matrix (columns, samples) that is used again. Of it only those samples are kept
that a plan can hinge on. Invariant: memory is the samples, that matrix and KEPT bytes, however many
candidates and numbers of brokers are looked at.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import limits, spread
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.demand import Demand, Place, rank
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.spread import Fleet, Shares
from kdeploy.units import Range

Booleans = NDArray[np.bool_]

CHUNK: Final = 8192
"""Samples at once: their loads, some 60 numbers on the way, are worked out within 2 MB or so of cache."""

KEPT: Final = 64 * 2**20
"""Bytes of loads that are kept: of 10,000 samples some 0.3 MB for a number of brokers."""


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


class Sampled:
    """Loads of a number of brokers in the samples.

    A sample that exceeds in no column what enough samples do not exceed holds wherever those hold. So
    the others alone decide whether a candidate holds often enough, and only they are kept.

    Attributes:
        enough: (columns,) what enough samples do not exceed.
        most: (columns,) what none exceeds.
        rows: The samples that exceed `enough` in a column.
        values: Their loads, (columns, rows).
        missing: How many of them have to hold.
    """

    def __init__(self, matrix: Floats, confidence: float) -> None:
        """Of all loads, (columns, samples), and the share of samples that has to hold."""
        self._samples = matrix.shape[1]
        self._level = rank(confidence, self._samples)
        self.most = matrix.max(axis=1)
        self.enough = self.most.copy()
        exceeds = np.zeros(self._samples, dtype=bool)
        for column in np.flatnonzero(matrix.min(axis=1) < self.most).tolist():
            self.enough[column] = np.partition(matrix[column], self._level - 1)[self._level - 1]
            exceeds |= matrix[column] > self.enough[column]
        self.rows = np.flatnonzero(exceeds)
        self.values = matrix[:, self.rows]
        self.missing = self._level - (self._samples - len(self.rows))

    def under(self, usable: Floats) -> Booleans:
        """By kept sample, whether every column is under what may be used."""
        columns = np.flatnonzero(self.most > usable)
        return np.asarray((self.values[columns] <= usable[columns, None]).all(axis=0))

    def spread(self, holds: Booleans) -> Booleans:
        """By sample, what is by kept sample: the others hold."""
        every = np.ones(self._samples, dtype=bool)
        every[self.rows] = holds
        return every

    def least(self, under: Booleans, columns: list[int]) -> Floats:
        """As `enough`, with what enough of some samples do not exceed in some columns."""
        found: Floats = self.enough.copy()
        for column in columns:
            values = self.values[column][under]
            if self.missing > len(values):
                found[column] = np.inf
            elif self.missing > 0:
                least = np.partition(values, self.missing - 1)[self.missing - 1]
                found[column] = max(found[column], least)
        return found

    def beyond(self, column: int) -> Floats:
        """What so many samples do not exceed, from as many as have to hold up to all of them."""
        enough, values = self.enough[column], self.values[column]
        found = np.full(self._samples - self._level + 1, enough)
        above = np.sort(values[values > enough])
        if len(above):
            found[-len(above) :] = above
        return found


class Loads:
    """Loads of the samples by number of disks and of brokers, worked out when they are asked for.

    Attributes:
        samples: How many samples there are.
    """

    def __init__(self, middle: Demand, demand: Demand, confidence: float) -> None:
        """Of samples.

        Args:
            middle: With every range at its middle: how it is spread is the samples' too.
            demand: The samples.
            confidence: The share of them that has to hold.
        """
        self._middle, self._confidence = middle, confidence
        drawn = {name: np.ravel(value) for name, value in vars(demand).items() if np.ndim(value) == 3}
        self.samples = max((len(value) for value in drawn.values()), default=1)
        self._chunks = [
            (slice(start, start + CHUNK), _part(demand, drawn, slice(start, start + CHUNK)))
            for start in range(0, self.samples, CHUNK)
        ]
        self._matrix = np.empty((len(COLUMNS), 1, self.samples))
        self._in_matrix = (0.0, 0.0)
        self._kept: OrderedDict[tuple[float, float], Sampled] = OrderedDict()
        self._known: dict[float, list[tuple[float, Floats]]] = {}

    def matrix(self, disks: float, brokers: float) -> Floats:
        """Loads (columns, samples) as `limits.loads` has them, until the next ones are asked for.

        They are the greatest of the numbers of brokers up to racks that are even again.
        """
        racks = self._middle.racks
        first = -(-brokers // racks) * racks
        there_disks, there = self._in_matrix
        started = there_disks == disks and brokers <= there <= first
        first = there - 1 if started else first
        for count in np.arange(first, brokers - 1, -1.0):
            fleet = Fleet.even(np.array([count]), racks)
            self._fill(spread.shares(self._middle, fleet, np.array([disks])), started)
            started = True
        self._in_matrix = (disks, brokers)
        return self._matrix[:, 0]

    def _fill(self, share: Shares, started: bool) -> None:
        """Put the loads of one number of brokers into the matrix, or what of them is greater."""
        if np.isnan(share.led_after).any():
            self._matrix[:] = np.inf
            return
        for chunk, demand in self._chunks:
            table = limits.table_of(demand, share)
            for part, name in zip(self._matrix[..., chunk], COLUMNS, strict=True):
                if started:
                    np.maximum(part, table[name], out=part)
                else:
                    part[:] = table[name]

    def at(self, disks: float, brokers: float) -> Sampled:
        """Loads of a number of brokers; the latest that were used are kept."""
        place = (disks, brokers)
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        found = Sampled(self.matrix(*place), self._confidence)
        known = self._known.setdefault(disks, [])
        if brokers not in (count for count, _ in known):
            insort(known, (brokers, found.enough), key=lambda one: one[0])
        self._kept[place] = found
        size = sum(one.values.nbytes for one in self._kept.values())
        while size > KEPT and len(self._kept) > 1:
            size -= self._kept.popitem(last=False)[1].values.nbytes
        return found

    def known(self, disks: float) -> tuple[Floats, Floats]:
        """Numbers of brokers that were looked at, rising, and what enough samples do not exceed, (counts, columns)."""
        known = self._known.get(disks, [])
        counts = np.array([count for count, _ in known])
        return counts, np.array([enough for _, enough in known]).reshape(-1, len(COLUMNS))

    def least(self, disks: float, column: int, usable: float, most: float) -> int | None:
        """The least brokers with which enough samples do not exceed a load; None where most do not do.

        Loads nearly follow 1 ÷ brokers, so what is tried comes from there, and every other time it halves.
        """
        if self.at(disks, most).enough[column] > usable:
            return None
        for halve in _alternating():
            counts, enough = self.known(disks)
            fails = int(np.count_nonzero(enough[:, column] > usable))
            low = float(counts[fails - 1]) if fails else 0.0
            high = float(counts[fails])
            if high - low <= 1:
                return int(high)
            guess = (low + high) // 2
            if not halve:
                guess = math.ceil(high * float(enough[fails, column]) / usable)
            self.at(disks, min(max(guess, low + 1), high - 1))
        raise AssertionError


def _alternating() -> Iterator[bool]:
    while True:
        yield False
        yield True


def _part(demand: Demand, drawn: dict[str, Floats], chunk: slice) -> Demand:
    """A demand with some of its samples, (samples,): beside them loads have one row of disks and counts."""
    part: dict[str, Any] = {name: value[chunk] for name, value in drawn.items()}
    return replace(demand, **part)
