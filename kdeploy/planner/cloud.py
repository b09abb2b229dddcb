"""Sizing one datacenter in EC2: shapes are chosen, priced, and the ones not taken explained.

Invariant: what the lock holds is kept. A shape stays unless a reshape is asked
for, its kind and number of disks always stay, volumes never shrink and the
number of brokers never falls by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from kdeploy.errors import InvalidSetting
from kdeploy.planner import catalogue, ensemble, storage
from kdeploy.planner.catalogue import Catalogue
from kdeploy.planner.choice import (
    Choice,
    Field,
    buy_at,
    choose,
    coordinators_at,
    field,
    monthly_price,
    price_parts,
    ratios,
    replicas_at,
    required,
    utilisation,
)
from kdeploy.planner.demand import Demand
from kdeploy.planner.ebs import NOTHING, Bought
from kdeploy.planner.limits import CEILINGS, MOST_BROKERS, in_words
from kdeploy.planner.result import (
    LIMITS,
    Alternative,
    BrokerPlan,
    CoordinationPlan,
    Cost,
    DatacenterPlan,
)
from kdeploy.planner.shortlist import refuse_other_disks, shortlist
from kdeploy.spec.model import Datacenter
from kdeploy.units import format_usd

if TYPE_CHECKING:
    from kdeploy.spec.lock import LockedDatacenter

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
    demand: Demand, datacenter: Datacenter, position: int, before: LockedDatacenter | None, reshape: bool
) -> Sized:
    """Choose brokers and coordination nodes.

    Args:
        demand: What to carry.
        datacenter: Where.
        position: The datacenter's position in the environment, for messages.
        before: What the lock holds.
        reshape: Whether running brokers may change their shape.

    Raises:
        InvalidSetting: An unknown region or instance type, or one that the lock forbids.
    """
    space = _field(demand, datacenter, position, before, reshape)
    choice = choose(space)
    if choice is None:
        return Sized(None, shortfall=_shortfall(space))
    coordinators = int(coordinators_at(space, np.array([choice.position]))[0])
    per_rack = ensemble.spread(coordinators, datacenter.racks)
    stated = datacenter.coordination.count is not None
    ensemble.refuse_lost_majority(per_rack, demand.survive, position, stated)
    plan = _plan(space, choice, datacenter, per_rack)
    return Sized(plan, _alternatives(space, choice, datacenter), _rejected(space, choice, datacenter))


def _field(
    demand: Demand, datacenter: Datacenter, position: int, before: LockedDatacenter | None, reshape: bool
) -> Field:
    shapes = _shapes(datacenter, position)
    if before is not None and not reshape:
        _refuse_unknown(shapes, before, position)
    wanted = _instance_type(datacenter, position, before, reshape)
    stated = datacenter.brokers
    if before is not None:
        refuse_other_disks(stated, before.brokers, position)
    brokers = shortlist(shapes, stated, wanted, position)
    locked = before.brokers.volumes[0] if before and before.brokers.volumes else None
    layout = (locked.type, locked.count) if locked else None
    candidates = storage.candidates(brokers, layout, stated.storage, stated.volume_type)
    floor = NOTHING
    if locked:
        floor = Bought(*(np.array([part or 0.0]) for part in (locked.size, locked.iops, locked.throughput)))
    coordinator_type = datacenter.coordination.instance_type
    coordinators = datacenter.coordination.count
    if before is not None:
        coordinator_type = before.coordination.instance_type if not reshape else coordinator_type
        coordinators = coordinators or sum(node.role != "broker" for node in before.nodes)
    market = ensemble.Market.of(shapes, coordinator_type)
    space = field(demand, candidates, market, coordinators, _counts(demand, datacenter, before), floor)
    held = before.coordination.volumes if before else ()
    return replace(space, coordinator_size=max((one.size for one in held), default=0.0))


def _counts(demand: Demand, datacenter: Datacenter, before: LockedDatacenter | None) -> catalogue.Floats:
    if datacenter.brokers.count is not None:
        return np.array([float(datacenter.brokers.count)])
    fewest = demand.fewest_brokers
    if before is not None:
        fewest = max(fewest, sum(node.role == "broker" for node in before.nodes))
    return np.arange(float(fewest), max(fewest, MOST_BROKERS) + 1.0)


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


def _nearest(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    return (get_close_matches(name, known, n=1, cutoff=0.0) or known)[0]


def _shortfall(space: Field) -> Shortfall:
    """The best candidate is the one whose worst limit is exceeded least, with the most brokers allowed."""
    last = int(space.allowed.max()) - 1
    if last < 0:
        from kdeploy.planner.figures import REPLICAS_PER_CLUSTER

        replicas = space.partitions.min() * space.demand.copies
        return Shortfall("partitions", float(replicas / REPLICAS_PER_CLUSTER[space.demand.coordination]))
    excess = ratios(space, last)
    best = int(excess.max(axis=1).argmin())
    limit = int(excess[best].argmax())
    return Shortfall(LIMITS[limit], float(excess[best, limit]))


def _plan(
    space: Field, choice: Choice, datacenter: Datacenter, coordinators: dict[str, int]
) -> DatacenterPlan:
    rows, positions = np.array([choice.row]), np.array([choice.position])
    shapes = space.candidates.catalogue
    count = int(space.counts[choice.position])
    replicas = float(replicas_at(space, rows, positions)[0])
    parts = {name: round(float(value[0]), 2) for name, value in price_parts(space, rows, positions).items()}
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
            volumes=(storage.volumes(space.candidates, choice.row, buy_at(space, rows, positions), 0),),
            utilisation=utilisation(space, choice),
            bottleneck=_bottleneck(space, choice, needs),
            required=needs,
            ceilings=dict(zip(LIMITS, CEILINGS.tolist(), strict=True)),
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
        cost=Cost(round(sum(parts.values()), 2), parts, shapes.date, shapes.exact, shapes.origin),
    )


def _bottleneck(space: Field, choice: Choice, needs: dict[str, int]) -> str:
    """The limit that needs the most brokers; among equals the fullest, with all a volume can be bought with."""
    excess: dict[str, float] = dict(
        zip(LIMITS, ratios(space, choice.position)[choice.row].tolist(), strict=True)
    )
    return max(needs, key=lambda limit: (needs[limit], excess[limit]))


def _alternative(
    space: Field, choice: Choice, datacenter: Datacenter, reason: str, limit: str | None
) -> Alternative:
    rows, positions = np.array([choice.row]), np.array([choice.position])
    return Alternative(
        datacenter=datacenter.name,
        instance_type=space.candidates.catalogue.names[choice.row],
        volumes=(storage.volumes(space.candidates, choice.row, buy_at(space, rows, positions), 0),),
        count=int(space.counts[choice.position]),
        monthly_usd=round(float(monthly_price(space, rows, positions)[0]), 2),
        reason=reason,
        limit=limit,
        utilisation=utilisation(space, choice),
    )


def _family(space: Field, row: int) -> tuple[str, bool]:
    return space.candidates.catalogue.names[row].partition(".")[0], bool(space.candidates.local[row])


def _alternatives(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """The cheapest of the next families, each at the first count that holds."""
    rows = np.flatnonzero(space.feasible())
    positions = space.first[rows]
    prices = monthly_price(space, rows, positions)
    chosen = float(monthly_price(space, np.array([choice.row]), np.array([choice.position]))[0])
    seen, found = {_family(space, choice.row)}, []
    for i in np.lexsort((rows, np.round(prices, 2))).tolist():
        family = _family(space, int(rows[i]))
        if family not in seen:
            seen.add(family)
            reason = f"{format_usd(max(float(prices[i]) - chosen, 0.0))} more a month"
            found.append(
                _alternative(space, Choice(int(rows[i]), int(positions[i])), datacenter, reason, None)
            )
        if len(found) == SHOWN:
            break
    return tuple(found)


def _rejected(space: Field, choice: Choice, datacenter: Datacenter) -> tuple[Alternative, ...]:
    """One rack step fewer brokers of the same shape, and the next cheaper shapes at the same count."""
    found = []
    excess = ratios(space, choice.position).max(axis=1)
    rows = np.arange(len(excess))
    positions = np.full(len(rows), choice.position)
    prices = monthly_price(space, rows, positions)
    step = space.demand.racks if space.demand.copies > 1 else 1
    if choice.position >= step:
        fewer = _refused(space, Choice(choice.row, choice.position - step), datacenter)
        if fewer.monthly_usd < prices[choice.row]:
            found.append(fewer)
    cheaper = (prices < prices[choice.row]) & (excess > 1)
    seen = {_family(space, choice.row)}
    for i in np.lexsort((rows, -np.round(prices, 2))).tolist():
        if cheaper[i] and _family(space, i) not in seen:
            seen.add(_family(space, i))
            found.append(_refused(space, Choice(i, choice.position), datacenter))
        if len(found) == SHOWN:
            break
    return tuple(one for one in found if one.limit is not None)


def _refused(space: Field, choice: Choice, datacenter: Datacenter) -> Alternative:
    excess = ratios(space, choice.position)[choice.row]
    limit = LIMITS[int(excess.argmax())]
    if excess.max() <= 1:
        return _alternative(space, choice, datacenter, "it would hold", None)
    reason = f"{in_words(limit)}: the load is {excess.max():.2f} times what may be used"
    first = int(space.first[choice.row])
    if first < int(space.allowed[space.disk_row[choice.row]]):
        row, position = np.array([choice.row]), np.array([first])
        price = float(monthly_price(space, row, position)[0])
        reason += f"; it takes {int(space.counts[first])}, {format_usd(price)}"
    return _alternative(space, choice, datacenter, reason, limit)
