"""Sizing one datacenter in EC2: shapes are chosen, priced, and the ones not taken explained.

Invariant: what the lock holds is kept. A shape stays unless a reshape is asked
for, its kind and number of disks always stay, volumes never shrink and the
number of brokers never falls by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from kdeploy.errors import InvalidSetting
from kdeploy.planner import catalogue, ensemble, storage
from kdeploy.planner.catalogue import Catalogue
from kdeploy.planner.choice import (
    Choice,
    Field,
    Terms,
    buy_at,
    choose,
    coordinators_at,
    field,
    least_price,
    monthly_price,
    price_parts,
    ratios,
    rebuild_time,
    replicas_at,
    required,
    traffic_parts,
    utilisations,
)
from kdeploy.planner.demand import Demand
from kdeploy.planner.limits import LIMIT_OF, MOST_BROKERS, completed, in_words
from kdeploy.planner.result import (
    LIMITS,
    Alternative,
    BrokerPlan,
    CoordinationPlan,
    Cost,
    DatacenterPlan,
)
from kdeploy.planner.storage import NOTHING, Bought
from kdeploy.spec.model import Datacenter, Planner
from kdeploy.units import format_usd

if TYPE_CHECKING:
    from kdeploy.spec.lock import LockedDatacenter

WINDOW: Final = 120
"""Numbers of brokers looked at first; all of them only where more could change what is shown."""

SHOWN: Final = 4
"""How many alternatives, and how many rejected shapes, a plan names."""


@dataclass(frozen=True)
class Shortfall:
    """The limit that binds where nothing fits, and its load over what the best candidate may use."""

    limit: str
    by: float


@dataclass(frozen=True)
class Sized:
    """A datacenter's plan with what was not taken, or why there is none."""

    plan: DatacenterPlan | None
    alternatives: tuple[Alternative, ...] = ()
    rejected: tuple[Alternative, ...] = ()
    shortfall: Shortfall | None = None


def size(
    demand: Demand,
    settings: Planner,
    datacenter: Datacenter,
    position: int,
    before: LockedDatacenter | None,
    reshape: bool,
) -> Sized:
    """Choose brokers and coordination nodes.

    Args:
        demand: What to carry.
        settings: How to decide.
        datacenter: Where.
        position: The datacenter's position in the environment, for messages.
        before: What the lock holds.
        reshape: Whether running brokers may change their shape.

    Raises:
        InvalidSetting: An unknown region or instance type, or one that the lock forbids.
    """
    build, counts = _field(demand, settings, datacenter, position, before, reshape)
    for most in (WINDOW, len(counts)):
        space = build(counts[:most])
        choice = choose(space)
        if choice is not None:
            sized = _sized(space, choice, datacenter, position)
            if most >= len(counts) or not _beyond(space, sized):
                return sized
    return sized if choice is not None else Sized(None, shortfall=_shortfall(space))


def _beyond(space: Field, sized: Sized) -> bool:
    """Whether more brokers than were looked at could change anything that is shown."""
    if len(sized.alternatives) < SHOWN or any("it takes" not in one.reason for one in sized.rejected):
        return True
    dearest = max(one.monthly_usd for one in sized.alternatives)
    return bool(least_price(space, space.counts[-1] + 1).min() <= dearest)


def _sized(space: Field, choice: Choice, datacenter: Datacenter, position: int) -> Sized:
    coordinators = int(coordinators_at(space, np.array([choice.position]))[0])
    per_rack = ensemble.spread(coordinators, datacenter.racks)
    stated = datacenter.coordination.count is not None
    ensemble.refuse_lost_majority(per_rack, space.demand.survive, position, stated)
    plan = _plan(space, choice, datacenter, per_rack)
    return Sized(plan, _alternatives(space, choice, datacenter), _rejected(space, choice, datacenter))


def _field(
    demand: Demand,
    settings: Planner,
    datacenter: Datacenter,
    position: int,
    before: LockedDatacenter | None,
    reshape: bool,
) -> tuple[Callable[[catalogue.Floats], Field], catalogue.Floats]:
    """What the choice is made from, for some of the numbers of brokers, and all of these."""
    shapes = _shapes(datacenter, position)
    if before is not None and not reshape:
        _refuse_unknown(shapes, before, position)
    wanted = _instance_type(datacenter, position, before, reshape)
    locked = before.brokers.volumes[0] if before and before.brokers.volumes else None
    candidates = _candidates(shapes.region, wanted, (locked.type, locked.count) if locked else None)
    floor = NOTHING
    if locked:
        floor = Bought(*(np.array([part or 0.0]) for part in (locked.size, locked.iops, locked.throughput)))
    coordinator_type = datacenter.coordination.instance_type
    coordinators = datacenter.coordination.count
    if before is not None:
        coordinator_type = before.coordination.instance_type if not reshape else coordinator_type
        coordinators = coordinators or sum(node.role != "broker" for node in before.nodes)
    held = before.coordination.volumes if before else ()
    terms = Terms(
        coordinators=coordinators,
        before=floor,
        coordinator_size=max((one.size for one in held), default=0.0),
        discount=settings.price_discount,
    )
    market = _market(shapes.region, coordinator_type)

    def build(counts: catalogue.Floats) -> Field:
        return field(demand, candidates, market, counts, terms)

    return build, _counts(demand, settings, datacenter, before)


@lru_cache(maxsize=32)
def _candidates(region: str, instance_type: str | None, layout: tuple[str, int] | None) -> storage.Candidates:
    """Shapes of a region with their disks; they depend on no demand."""
    shapes = catalogue.load(region)
    brokers = shapes.only(_named(shapes, instance_type) if instance_type else shapes.offered)
    found = storage.candidates(brokers, layout)
    kept = found.catalogue
    return replace(found, capacity=completed(found.capacity, kept.vcpus, kept.memory, found.local))


@lru_cache(maxsize=32)
def _market(region: str, instance_type: str | None) -> ensemble.Market:
    return ensemble.Market.of(catalogue.load(region), instance_type)


def _counts(
    demand: Demand, settings: Planner, datacenter: Datacenter, before: LockedDatacenter | None
) -> catalogue.Floats:
    if datacenter.brokers.count is not None:
        return np.array([float(datacenter.brokers.count)])
    fewest = demand.fewest_brokers
    if before is not None:
        fewest = max(fewest, sum(node.role == "broker" for node in before.nodes))
    return np.arange(float(fewest), max(fewest, settings.max_brokers or MOST_BROKERS) + 1.0)


def _shapes(datacenter: Datacenter, position: int) -> Catalogue:
    path = ("datacenters", position)
    if datacenter.region is None:
        right = f"name one of {', '.join(catalogue.regions())}"
        raise InvalidSetting((*path, "region"), "provider aws needs a region", right)
    if datacenter.region not in catalogue.regions():
        nearest = _nearest(datacenter.region, catalogue.regions())
        raise InvalidSetting(
            (*path, "region"),
            f"there are no prices for a region called {datacenter.region}",
            f"did you mean {nearest}? known: {', '.join(catalogue.regions())}",
        )
    shapes = catalogue.load(datacenter.region)
    for role, name in (
        ("brokers", datacenter.brokers.instance_type),
        ("coordination", datacenter.coordination.instance_type),
    ):
        if name is not None and name not in shapes.names:
            raise InvalidSetting(
                (*path, role, "instance_type"),
                f"{name} is not in the catalogue for {datacenter.region}",
                f"did you mean {_nearest(name, shapes.names)}? or leave it out, and the planner decides",
            )
    return shapes


def _refuse_unknown(shapes: Catalogue, before: LockedDatacenter, position: int) -> None:
    for role, held in (("brokers", before.brokers), ("coordination", before.coordination)):
        if held.instance_type not in shapes.names:
            raise InvalidSetting(
                ("datacenters", position, role),
                f"the lock has type {held.instance_type}, which is not in the catalogue for {shapes.region}",
                "plan with --reshape to choose another",
            )


def _instance_type(
    datacenter: Datacenter, position: int, before: LockedDatacenter | None, reshape: bool
) -> str | None:
    stated = datacenter.brokers.instance_type
    if before is None or reshape:
        return stated
    held = before.brokers.instance_type
    if stated is not None and stated != held:
        raise InvalidSetting(
            ("datacenters", position, "brokers", "instance_type"),
            f"the lock has brokers of type {held}, the environment asks for {stated}",
            "plan with --reshape to change the shape of running brokers",
        )
    return held


def _named(shapes: Catalogue, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([one == name for one in shapes.names])


def _nearest(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    return (get_close_matches(name, known, n=1, cutoff=0.0) or known)[0]


def _shortfall(space: Field) -> Shortfall:
    """The best candidate is the one whose worst limit is exceeded least, with the most brokers allowed."""
    last = int(space.allowed.max()) - 1
    if last < 0:
        from kdeploy.planner.figures import REPLICAS_PER_CLUSTER

        replicas = space.partitions.min() * space.demand.partition_copies
        return Shortfall("partitions", float(replicas / REPLICAS_PER_CLUSTER[space.demand.coordination]))
    excess = ratios(space, last)
    best = int(excess.max(axis=1).argmin())
    limit = int(excess[best].argmax())
    return Shortfall(LIMIT_OF[limit], float(excess[best, limit]))


def _plan(
    space: Field, choice: Choice, datacenter: Datacenter, coordinators: dict[str, int]
) -> DatacenterPlan:
    rows, positions = np.array([choice.row]), np.array([choice.position])
    shapes = space.candidates.catalogue
    count = int(space.counts[choice.position])
    replicas = float(replicas_at(space, rows, positions)[0])
    bought = buy_at(space, rows, positions)
    priced = price_parts(space, rows, positions, bought)
    parts = {name: round(float(value[0]), 2) for name, value in priced.items()}
    needs = required(space, choice)
    coordinator = int(space.market.rows(np.array([replicas]))[0])
    return DatacenterPlan(
        name=datacenter.name,
        provider=datacenter.provider,
        region=datacenter.region,
        partitions=round(float(space.partitions[space.disk_row[choice.row], choice.position])),
        brokers=BrokerPlan(
            count=count,
            per_rack=ensemble.spread(count, datacenter.racks),
            instance_type=shapes.names[choice.row],
            cores=int(shapes.vcpus[choice.row]),
            memory=float(shapes.memory[choice.row]),
            volumes=(storage.volumes(space.candidates, choice.row, bought, 0),),
            utilisation=utilisations(space, rows, positions, bought)[0],
            bottleneck=_bottleneck(space, choice, needs),
            required=needs,
            ceilings=dict(zip(LIMITS, space.demand.ceilings, strict=True)),
            rebuild_time=_rebuild_time(space, choice),
        ),
        coordination=CoordinationPlan(
            kind=space.demand.coordination,
            nodes=sum(coordinators.values()),
            per_rack=coordinators,
            instance_type=space.market.names[coordinator],
            cores=int(space.market.vcpus[coordinator]),
            memory=float(space.market.memory[coordinator]),
            volumes=ensemble.volumes(shapes, replicas, space.coordinator_size),
        ),
        cost=Cost(
            round(sum(parts.values()), 2),
            parts,
            shapes.date,
            shapes.exact,
            yearly_usd=round(sum(parts.values()) * 12, 2),
            discount=space.discount,
            cross_zone_traffic={part: round(price, 2) for part, price in traffic_parts(space).items()},
        ),
    )


def _rebuild_time(space: Field, choice: Choice) -> float | None:
    """Seconds to fill local disks again; None where volumes are reattached or nothing has to be rebuilt."""
    if not space.candidates.local[choice.row] or space.demand.survive == "none" or space.demand.copies == 1:
        return None
    return float(rebuild_time(space, np.array([choice.row]), np.array([choice.position]))[0])


def _bottleneck(space: Field, choice: Choice, needs: dict[str, int]) -> str:
    """The limit that needs the most brokers; among equals the fullest, with all a volume can be bought with."""
    excess: dict[str, float] = {}
    for limit, ratio in zip(LIMIT_OF, ratios(space, choice.position)[choice.row].tolist(), strict=True):
        excess[limit] = max(ratio, excess.get(limit, 0.0))
    return max(needs, key=lambda limit: (needs[limit], excess[limit]))


def _family(space: Field, row: int) -> tuple[str, bool]:
    return space.candidates.catalogue.names[row].partition(".")[0], bool(space.candidates.local[row])


@dataclass(frozen=True)
class _Other:
    """A candidate that was not taken: why, in a sentence, and the limit it breaks."""

    choice: Choice
    reason: str
    limit: str | None = None


def _described(space: Field, datacenter: Datacenter, others: list[_Other]) -> tuple[Alternative, ...]:
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


def _alternatives(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """The cheapest of the next families, each at the first count that holds."""
    rows = np.flatnonzero(space.feasible())
    positions = space.first[rows]
    prices = monthly_price(space, rows, positions)
    chosen = float(monthly_price(space, np.array([choice.row]), np.array([choice.position]))[0])
    seen: set[tuple[str, bool]] = {_family(space, choice.row)}
    found: list[_Other] = []
    for i in np.lexsort((rows, np.round(prices, 2))).tolist():
        family = _family(space, int(rows[i]))
        if family not in seen:
            seen.add(family)
            reason = f"{format_usd(max(float(prices[i]) - chosen, 0.0))} more a month"
            found.append(_Other(Choice(int(rows[i]), int(positions[i])), reason))
        if len(found) == SHOWN:
            break
    return _described(space, datacenter, found)


def _rejected(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
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
    return _described(space, datacenter, _refused(space, picked))


def _refused(space: Field, picked: list[Choice]) -> list[_Other]:
    """Why candidates were not taken; those that would hold are left out."""
    if not picked:
        return []
    rows = np.array([one.row for one in picked])
    first = space.first[rows]
    enough = first < space.allowed[space.disk_row[rows]]
    prices = monthly_price(space, rows, np.where(enough, first, 0))
    found: list[_Other] = []
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
        found.append(_Other(one, reason, limit))
    return found
