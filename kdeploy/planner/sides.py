"""Other kinds of clusters side by side where quantities are ranges: the cheapest of each that is as sure.

Invariant: each one holds in the middle of every range and in as many samples as are asked for; few
large and many small are taken at the first number of brokers that does, as for certain quantities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import others
from kdeploy.planner.choice import floor_price
from kdeploy.planner.result import Alternative
from kdeploy.planner.uncertainty import CENT, Settled, Trials, regrets
from kdeploy.spec.model import Datacenter
from kdeploy.units import HOURS_PER_MONTH

Mask = NDArray[np.bool_]


def comparison(trials: Trials, best: Settled, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """The cheapest of each kind.

    Args:
        trials: Samples against every candidate.
        best: What was chosen.
        datacenter: Where.

    Returns:
        In the order of the kinds, without those that nothing of holds; the reason of each is its kind.
    """
    found = list(_kinds(trials))
    costs = regrets([best, *(one for _, one in found)])[1:]
    shown: list[Alternative] = []
    for (kind, one), regret in zip(found, costs, strict=True):
        alone, choice = trials.alone(one)
        (as_shown,) = others.described(alone, datacenter, [others.Other(choice, kind)])
        shown.append(replace(as_shown, fits=one.fits, regret_usd=round(regret, 2)))
    return tuple(shown)


def _kinds(trials: Trials) -> Iterator[tuple[str, Settled]]:
    chosen = trials.space.candidates
    graviton = chosen.catalogue.architecture == "arm64"
    kinds = {"local disks": chosen.local, "EBS": ~chosen.local, "Graviton": graviton, "x86": ~graviton}
    for name, one in (("few large", _few_large(trials)), ("many small", _many_small(trials))):
        if one is not None:
            yield name, one
    for name, mask in kinds.items():
        cheapest = _among(trials, mask).cheapest(0)
        if cheapest:
            yield name, cheapest[0]


def _among(trials: Trials, mask: Mask) -> Trials:
    """The same samples against some of the candidates; loads that are known stay known."""
    space = trials.space
    needed = np.where(mask[:, None], space.needed, len(space.counts))
    narrowed = Trials(replace(space, needed=needed), trials.demand, trials.confidence)
    narrowed.loads = trials.loads
    return narrowed


def _few_large(trials: Trials) -> Settled | None:
    """The cheapest with the fewest brokers that are enough for any type."""
    space = trials.space
    rows = np.flatnonzero(space.feasible())
    each = space.candidates.catalogue.usd_per_hour[rows] * HOURS_PER_MONTH * (1 - space.discount)
    floor = floor_price(space, rows) if len(rows) else each
    for position in range(len(space.counts)):
        able = (space.first[rows] <= position) & (position < space.allowed[space.disk_row[rows]])
        least = floor + space.counts[position] * each
        best: Settled | None = None
        for i in np.flatnonzero(able)[np.argsort(least[able], kind="stable")].tolist():
            if best is not None and least[i] > best.price + CENT:
                break
            if trials.enough(int(rows[i]), position):
                one = trials.settle(int(rows[i]), position)
                if best is None or one.order < best.order:
                    best = one
        if best is not None:
            return best
    return None


def _many_small(trials: Trials) -> Settled | None:
    """The cheapest of the types with the fewest processors of which any number is enough."""
    space = trials.space
    rows = np.flatnonzero(space.feasible())
    vcpus = space.candidates.catalogue.vcpus[rows]
    for few in np.unique(vcpus).tolist():
        best: Settled | None = None
        for row in rows[vcpus == few].tolist():
            first = trials.first(row, int(space.first[row]))
            one = None if first is None else trials.settle(row, first)
            if one is not None and (best is None or one.order < best.order):
                best = one
        if best is not None:
            return best
    return None
