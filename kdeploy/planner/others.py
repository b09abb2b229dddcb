"""What was not taken: the next families, the best of other kinds, and what is cheaper and breaks a limit.

Invariant: nothing here chooses; every candidate shown was priced and loaded like the one that was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kdeploy.planner import storage
from kdeploy.planner.catalogue import Floats
from kdeploy.planner.choice import (
    Choice,
    Field,
    Rows,
    buy_at,
    monthly_price,
    price_parts,
    ratios,
    utilisations,
)
from kdeploy.planner.ebs import Bought
from kdeploy.planner.limits import LIMIT_OF, in_words
from kdeploy.planner.result import Alternative, Volumes
from kdeploy.spec.model import Datacenter
from kdeploy.units import format_usd

SHOWN: Final = 4
"""How many alternatives, and how many rejected shapes, a plan names."""


def _family(space: Field, row: int) -> tuple[str, bool]:
    return space.candidates.catalogue.names[row].partition(".")[0], bool(space.candidates.local[row])


@dataclass(frozen=True)
class Other:
    """A candidate that was not taken: why, in a sentence, and the limit it breaks."""

    choice: Choice
    reason: str
    limit: str | None = None


@dataclass(frozen=True)
class Looked:
    """Candidates looked at closely, all together, since each array operation costs alike.

    Attributes:
        bought: What each EBS volume is bought with.
        parts: US dollars a month, by part.
        used: Utilisation of each.
    """

    space: Field
    choices: list[Choice]
    bought: Bought
    parts: dict[str, Floats]
    used: list[dict[str, float]]

    @classmethod
    def at(cls, space: Field, choices: list[Choice]) -> Looked:
        """Buy, price and load candidates."""
        rows = np.array([one.row for one in choices])
        positions = np.array([one.position for one in choices])
        bought = buy_at(space, rows, positions)
        parts = price_parts(space, rows, positions, bought)
        return cls(space, choices, bought, parts, utilisations(space, rows, positions, bought))

    def price(self, index: int) -> float:
        """US dollars a month of one of them."""
        return sum((float(part[index]) for part in self.parts.values()), 0.0)

    def volumes(self, index: int) -> Volumes:
        """Its data disks."""
        return storage.volumes(self.space.candidates, self.choices[index].row, self.bought, index)

    def others(self, datacenter: Datacenter, others: list[Other], start: int = 0) -> tuple[Alternative, ...]:
        """Those from one on as the plan shows what was not taken."""
        return tuple(
            Alternative(
                datacenter=datacenter.name,
                instance_type=self.space.candidates.catalogue.names[other.choice.row],
                volumes=(self.volumes(i),),
                count=int(self.space.counts[other.choice.position]),
                monthly_usd=round(self.price(i), 2),
                reason=other.reason,
                limit=other.limit,
                utilisation=self.used[i],
            )
            for i, other in enumerate(others, start)
        )


def described(space: Field, datacenter: Datacenter, others: list[Other]) -> tuple[Alternative, ...]:
    """Candidates as the plan shows them."""
    if not others:
        return ()
    return Looked.at(space, [other.choice for other in others]).others(datacenter, others)


def alternatives(space: Field, choice: Choice, price: float) -> list[Other]:
    """The cheapest of the next families, each at the first count that holds.

    Args:
        space: What was chosen from.
        choice: What was taken.
        price: US dollars a month that it costs.
    """
    rows, positions, prices = space.firsts
    seen: set[tuple[str, bool]] = {_family(space, choice.row)}
    found: list[Other] = []
    for i in np.lexsort((rows, np.round(prices, 2))).tolist():
        family = _family(space, int(rows[i]))
        if family not in seen:
            seen.add(family)
            reason = f"{format_usd(max(float(prices[i]) - price, 0.0))} more a month"
            found.append(Other(Choice(int(rows[i]), int(positions[i])), reason))
        if len(found) == SHOWN:
            break
    return found


def comparison(space: Field, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """The cheapest of each kind, at the first count that holds."""
    rows, positions, prices = space.firsts
    prices = np.round(prices, 2)
    shapes, counts = space.candidates.catalogue, space.counts[positions]
    graviton = shapes.architecture[rows] == "arm64"
    kinds = {
        "few large": counts == counts.min(initial=np.inf),
        "many small": shapes.vcpus[rows] == shapes.vcpus[rows].min(initial=np.inf),
        "local disks": space.candidates.local[rows],
        "EBS": ~space.candidates.local[rows],
        "Graviton": graviton,
        "x86": ~graviton,
    }
    found: list[Other] = []
    for kind, mine in kinds.items():
        if mine.any():
            at = np.flatnonzero(mine)
            best = at[np.lexsort((rows[at], prices[at]))[0]]
            found.append(Other(Choice(int(rows[best]), int(positions[best])), kind))
    return described(space, datacenter, found)


def rejected(space: Field, choice: Choice, prices: Floats, fewer: Choice | None) -> list[Other]:
    """One rack step fewer brokers of the same shape, and the next cheaper shapes at the same count.

    Args:
        space: What was chosen from.
        choice: What was taken.
        prices: US dollars a month of every candidate at that count.
        fewer: The same shape with fewer brokers, where that is cheaper.
    """
    picked = [] if fewer is None else [fewer]
    cheaper = np.flatnonzero(prices < prices[choice.row])
    cheaper = cheaper[ratios(space, choice.position, cheaper).max(axis=1, initial=0.0) > 1]
    seen = {_family(space, choice.row)}
    for i in cheaper[np.lexsort((cheaper, -np.round(prices[cheaper], 2)))].tolist():
        if _family(space, i) not in seen:
            seen.add(_family(space, i))
            picked.append(Choice(i, choice.position))
        if len(picked) == SHOWN:
            break
    return _refused(space, picked)


def at_the_same_count(space: Field, choice: Choice) -> tuple[Floats, Choice | None]:
    """Prices of all candidates at a choice's count, and its shape with one rack step fewer, if cheaper."""
    everyone = np.arange(len(space.candidates.disks))
    step = space.demand.racks if space.demand.copies > 1 else 1
    position = max(choice.position - step, 0)
    rows: Rows = np.append(everyone, choice.row)
    positions = np.full(len(rows), choice.position)
    positions[-1] = position
    prices = monthly_price(space, rows, positions)
    less = choice.position >= step and prices[-1] < prices[choice.row]
    return prices[:-1], Choice(choice.row, position) if less else None


def _refused(space: Field, picked: list[Choice]) -> list[Other]:
    """Why candidates were not taken; those that would hold are left out."""
    rows, positions, prices = space.firsts
    found: list[Other] = []
    for one in picked:
        excess = space.load[space.disk_row[one.row], :, one.position] / (
            space.candidates.capacity[one.row] * space.ceilings
        )
        most = float(excess.max())
        if most <= 1:
            continue
        limit = LIMIT_OF[int(excess.argmax())]
        reason = f"{in_words(limit)}: the load is {most:.2f} times what may be used"
        at = int(rows.searchsorted(one.row))
        if at < len(rows) and rows[at] == one.row:
            reason += f"; it takes {int(space.counts[positions[at]])}, {format_usd(float(prices[at]))}"
        found.append(Other(one, reason, limit))
    return found
