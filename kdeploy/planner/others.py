"""What was not taken: the next families, the best of other kinds, and what is cheaper and breaks a limit.

Invariant: nothing here chooses; every candidate shown was priced and loaded like the one that was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kdeploy.planner import storage
from kdeploy.planner.choice import Choice, Field, buy_at, monthly_price, ratios, utilisations
from kdeploy.planner.limits import LIMIT_OF, in_words
from kdeploy.planner.result import Alternative
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


def described(space: Field, datacenter: Datacenter, others: list[Other]) -> tuple[Alternative, ...]:
    """Candidates as the plan shows them; worked out together, since each array operation costs alike."""
    if not others:
        return ()
    rows = np.array([other.choice.row for other in others])
    positions = np.array([other.choice.position for other in others])
    bought = buy_at(space, rows, positions)
    prices = monthly_price(space, rows, positions, bought)
    used = utilisations(space, rows, positions, bought)
    return tuple(
        Alternative(
            datacenter=datacenter.name,
            instance_type=space.candidates.catalogue.names[other.choice.row],
            volumes=(storage.volumes(space.candidates, other.choice.row, bought, i),),
            count=int(space.counts[other.choice.position]),
            monthly_usd=round(float(prices[i]), 2),
            reason=other.reason,
            limit=other.limit,
            utilisation=used[i],
        )
        for i, other in enumerate(others)
    )


def alternatives(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """The cheapest of the next families, each at the first count that holds."""
    rows, positions, prices = space.firsts
    chosen = float(monthly_price(space, np.array([choice.row]), np.array([choice.position]))[0])
    seen: set[tuple[str, bool]] = {_family(space, choice.row)}
    found: list[Other] = []
    for i in np.lexsort((rows, np.round(prices, 2))).tolist():
        family = _family(space, int(rows[i]))
        if family not in seen:
            seen.add(family)
            reason = f"{format_usd(max(float(prices[i]) - chosen, 0.0))} more a month"
            found.append(Other(Choice(int(rows[i]), int(positions[i])), reason))
        if len(found) == SHOWN:
            break
    return described(space, datacenter, found)


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


def rejected(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """One rack step fewer brokers of the same shape, and the next cheaper shapes at the same count."""
    rows = np.arange(len(space.candidates.disks))
    prices = monthly_price(space, rows, np.full(len(rows), choice.position))
    excess = ratios(space, choice.position).max(axis=1)
    picked: list[Choice] = []
    step = space.demand.racks if space.demand.copies > 1 else 1
    if choice.position >= step:
        fewer = Choice(choice.row, choice.position - step)
        price = monthly_price(space, np.array([fewer.row]), np.array([fewer.position]))[0]
        if price < prices[choice.row]:
            picked.append(fewer)
    cheaper = np.flatnonzero((prices < prices[choice.row]) & (excess > 1))
    seen = {_family(space, choice.row)}
    for i in cheaper[np.lexsort((cheaper, -np.round(prices[cheaper], 2)))].tolist():
        if _family(space, i) not in seen:
            seen.add(_family(space, i))
            picked.append(Choice(i, choice.position))
        if len(picked) == SHOWN:
            break
    return described(space, datacenter, _refused(space, picked))


def _refused(space: Field, picked: list[Choice]) -> list[Other]:
    """Why candidates were not taken; those that would hold are left out."""
    if not picked:
        return []
    rows = np.array([one.row for one in picked])
    first = space.first[rows]
    enough = first < space.allowed[space.disk_row[rows]]
    prices = monthly_price(space, rows, np.where(enough, first, 0))
    found: list[Other] = []
    for i, one in enumerate(picked):
        excess = space.load[space.disk_row[one.row], :, one.position] / (
            space.candidates.capacity[one.row] * space.ceilings
        )
        if excess.max() <= 1:
            continue
        limit = LIMIT_OF[int(excess.argmax())]
        reason = f"{in_words(limit)}: the load is {excess.max():.2f} times what may be used"
        if enough[i]:
            reason += f"; it takes {int(space.counts[first[i]])}, {format_usd(float(prices[i]))}"
        found.append(Other(one, reason, limit))
    return found
