"""Sizing one datacenter in EC2: shapes are chosen, priced, and the ones not taken explained.

Invariant: what the lock holds is kept. A shape stays unless a reshape is asked
for, its kind and number of disks always stay, volumes never shrink and the
number of brokers never falls by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as field_of
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from kdeploy.errors import InvalidSetting
from kdeploy.planner import catalogue, ensemble, others, storage
from kdeploy.planner.catalogue import Catalogue
from kdeploy.planner.choice import (
    MIRROR,
    Choice,
    Field,
    Terms,
    choose,
    coordinators_at,
    field,
    least_price,
    ratios,
    rebuild_time,
    replicas_at,
    required,
)
from kdeploy.planner.demand import Demand
from kdeploy.planner.ebs import NOTHING, Bought
from kdeploy.planner.hardware import completed
from kdeploy.planner.limits import LIMIT_OF, MOST_BROKERS
from kdeploy.planner.result import (
    LIMITS,
    Alternative,
    BrokerPlan,
    Confidence,
    CoordinationPlan,
    Cost,
    DatacenterPlan,
)
from kdeploy.planner.shortlist import WISHES, refuse_other_disks, shortlist
from kdeploy.spec.model import Brokers, Datacenter
from kdeploy.spec.planning import Planner
from kdeploy.units import Range, format_usd

if TYPE_CHECKING:
    from kdeploy.planner.uncertainty import Settled, Trials
    from kdeploy.spec.lock import LockedDatacenter

WINDOW: Final = 120
"""Numbers of brokers looked at first; all of them only where more could change what is shown."""


@dataclass(frozen=True)
class Shortfall:
    """The limit that binds where nothing fits, and its load over what the best candidate may use."""

    limit: str
    by: float


@dataclass(frozen=True)
class Wanted:
    """What a datacenter has to carry, and how unsure that is.

    Attributes:
        demand: With every range at its middle.
        sampled: With every range drawn from; None where there is none.
        ranges: The ranges, by their place in the workload as a person writes it.
    """

    demand: Demand
    sampled: Demand | None = None
    ranges: Mapping[str, Range] = field_of(default_factory=dict)

    @property
    def samples(self) -> Demand:
        """The samples, where there are some."""
        assert self.sampled is not None  # noqa: S101
        return self.sampled


@dataclass(frozen=True)
class Sized:
    """A datacenter's plan with what was not taken, or why there is none."""

    plan: DatacenterPlan | None
    alternatives: tuple[Alternative, ...] = ()
    rejected: tuple[Alternative, ...] = ()
    shortfall: Shortfall | None = None
    comparison: tuple[Alternative, ...] = ()


def size(
    wanted: Wanted,
    settings: Planner,
    datacenter: Datacenter,
    position: int,
    before: LockedDatacenter | None,
    reshape: bool,
    compare: bool = False,
) -> Sized:
    """Choose brokers and coordination nodes.

    Args:
        wanted: What to carry.
        settings: How to decide.
        datacenter: Where.
        position: The datacenter's position in the environment, for messages.
        before: What the lock holds.
        reshape: Whether running brokers may change their shape.
        compare: Whether the best of other kinds is worked out too.

    Raises:
        InvalidSetting: An unknown region or instance type, or one that the lock forbids.
    """
    demand = wanted.demand
    build, counts = _field(demand, settings, datacenter, position, before, reshape)
    if wanted.sampled is not None:
        return _unsure(build(counts), wanted, settings, datacenter, position, compare)
    for most in (WINDOW, len(counts)):
        space = build(counts[:most])
        choice = choose(space)
        if choice is not None:
            sized = _sized(space, choice, datacenter, position, compare)
            if most >= len(counts) or not (compare or _beyond(space, sized)):
                return sized
    return sized if choice is not None else Sized(None, shortfall=_shortfall(space))


def _unsure(
    space: Field,
    wanted: Wanted,
    settings: Planner,
    datacenter: Datacenter,
    position: int,
    compare: bool = False,
) -> Sized:
    """The cheapest that holds with the asked probability, and beside it what is less sure or dearer."""
    from kdeploy.planner.uncertainty import Trials, regrets

    trials = Trials(space, wanted.samples, settings.confidence)
    best = trials.cheapest(others.SHOWN)
    if not best:
        most = int(space.allowed.max()) - 1
        return Sized(None, shortfall=_shortfall(space) if most < 0 else Shortfall(*trials.excess(most)))
    alone, choice = trials.alone(best[0])
    per_rack = _coordinators(alone, choice, datacenter, position)
    needs = trials.required(best[0].row)
    plan = _plan(others.Looked.at(alone, [choice]), datacenter, per_rack, needs)
    middle = _at_the_middle(trials, best[0])
    every = [*best, *([middle] if middle else [])]
    regret = regrets(every)
    described = [others.described(*_reason(trials, one, best[0], datacenter))[0] for one in every[1:]]
    shown = [
        replace(other, fits=one.fits, regret_usd=round(cost, 2))
        for other, one, cost in zip(described, every[1:], regret[1:], strict=True)
    ]
    refused: list[Alternative] = []
    if middle:
        less = shown.pop()
        reason = f"it holds in {middle.fits:.0%} of the samples: enough for the middle alone"
        refused = [replace(less, reason=reason, limit=trials.weakest(middle))]
    confidence = Confidence(
        settings.confidence,
        best[0].fits,
        settings.samples,
        settings.seed,
        round(regret[0], 2),
        {place: (ends.low, ends.high) for place, ends in wanted.ranges.items()},
    )
    comparison: tuple[Alternative, ...] = ()
    if compare:
        from kdeploy.planner.sides import comparison as sides

        comparison = sides(trials, best[0], datacenter)
    return Sized(replace(plan, confidence=confidence), tuple(shown), tuple(refused), comparison=comparison)


def _reason(
    trials: Trials, one: Settled, best: Settled, datacenter: Datacenter
) -> tuple[Field, Datacenter, list[others.Other]]:
    alone, choice = trials.alone(one)
    more = max(one.price - best.price, 0.0)
    return (
        alone,
        datacenter,
        [others.Other(choice, f"{format_usd(more)} more a month, holds in {one.fits:.1%}")],
    )


def _at_the_middle(trials: Trials, best: Settled) -> Settled | None:
    """The certain plan for the middle of every range, where that is cheaper and less sure."""
    middle = choose(trials.space)
    if middle is None:
        return None
    found = trials.bought_for_the_middle(middle)
    return found if found.price < best.price and found.fits < trials.confidence else None


def _beyond(space: Field, sized: Sized) -> bool:
    """Whether more brokers than were looked at could change anything that is shown."""
    if len(sized.alternatives) < others.SHOWN or any("it takes" not in one.reason for one in sized.rejected):
        return True
    dearest = max(one.monthly_usd for one in sized.alternatives)
    return bool(least_price(space, space.counts[-1] + 1).min() <= dearest)


def _sized(
    space: Field, choice: Choice, datacenter: Datacenter, position: int, compare: bool = False
) -> Sized:
    per_rack = _coordinators(space, choice, datacenter, position)
    prices, fewer = others.at_the_same_count(space, choice)
    dearer = others.alternatives(space, choice, float(prices[choice.row]))
    refused = others.rejected(space, choice, prices, fewer)
    looked = others.Looked.at(space, [choice, *(other.choice for other in (*dearer, *refused))])
    return Sized(
        _plan(looked, datacenter, per_rack, required(space, choice)),
        looked.others(datacenter, dearer, 1),
        looked.others(datacenter, refused, 1 + len(dearer)),
        comparison=others.comparison(space, datacenter) if compare else (),
    )


def _coordinators(space: Field, choice: Choice, datacenter: Datacenter, position: int) -> dict[str, int]:
    """Coordination nodes by rack, which keep their majority when the declared failure happens."""
    count = int(coordinators_at(space, np.array([choice.position]))[0])
    per_rack = ensemble.spread(count, datacenter.racks)
    stated = datacenter.coordination.count is not None
    ensemble.refuse_lost_majority(per_rack, space.demand.survive, position, stated)
    return per_rack


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
    stated = datacenter.brokers
    if before is not None:
        refuse_other_disks(stated, before.brokers, position)
    locked = before.brokers.volumes[0] if before and before.brokers.volumes else None
    layout = (locked.type, locked.count) if locked else None
    wishes = tuple(getattr(stated, name) for name in WISHES)
    candidates = _candidates(shapes, wishes, wanted, layout, position)
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
    market = _market(shapes, coordinator_type)

    def build(counts: catalogue.Floats) -> Field:
        return field(demand, candidates, market, counts, terms)

    return build, _counts(demand, settings, datacenter, before)


@lru_cache(maxsize=32)
def _candidates(
    shapes: Catalogue,
    wishes: tuple[str | None, ...],
    instance_type: str | None,
    layout: tuple[str, int] | None,
    position: int,
) -> storage.Candidates:
    """Shapes of a region with their disks, as the wishes leave them; they depend on no demand.

    A catalogue that was refreshed is another object, so that nothing of the former one is kept.
    """
    wanted = Brokers.default().model_copy(update=dict(zip(WISHES, wishes, strict=True)))
    left = shortlist(shapes, wanted, instance_type, position)
    found = storage.candidates(left, layout, wanted.storage, wanted.volume_type)
    kept = found.catalogue
    return replace(found, capacity=completed(found.capacity, kept.vcpus, kept.memory, found.local))


@lru_cache(maxsize=32)
def _market(shapes: Catalogue, instance_type: str | None) -> ensemble.Market:
    return ensemble.Market.of(shapes, instance_type)


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
    try:
        shapes = catalogue.load(datacenter.region)
    except KeyError:
        nearest = _nearest(datacenter.region, catalogue.regions())
        raise InvalidSetting(
            (*path, "region"),
            f"there are no prices for a region called {datacenter.region}",
            f"did you mean {nearest}? known: {', '.join(catalogue.regions())}",
        ) from None
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

        replicas = space.partitions.min() * space.demand.partition_copies
        return Shortfall("partitions", float(replicas / REPLICAS_PER_CLUSTER[space.demand.coordination]))
    excess = ratios(space, last)
    best = int(excess.max(axis=1).argmin())
    limit = int(excess[best].argmax())
    return Shortfall(LIMIT_OF[limit], float(excess[best, limit]))


def _plan(
    looked: others.Looked, datacenter: Datacenter, coordinators: dict[str, int], needs: dict[str, int]
) -> DatacenterPlan:
    """The plan for the first candidate that was looked at."""
    space, choice = looked.space, looked.choices[0]
    shapes = space.candidates.catalogue
    count = int(space.counts[choice.position])
    replicas = float(replicas_at(space, np.array([choice.row]), np.array([choice.position]))[0])
    parts = {name: round(float(value[0]), 2) for name, value in looked.parts.items()}
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
            volumes=(looked.volumes(0),),
            utilisation=looked.used[0],
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
            catalogue=shapes.origin,
            discount=space.discount,
            cross_zone_traffic={
                part: round(price, 2) for part, price in space.traffic_parts.items() if part != MIRROR
            },
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
    mine = ratios(space, choice.position, np.array([choice.row]))
    for limit, ratio in zip(LIMIT_OF, mine[0].tolist(), strict=True):
        excess[limit] = max(ratio, excess.get(limit, 0.0))
    return max(needs, key=lambda limit: (needs[limit], excess[limit]))
