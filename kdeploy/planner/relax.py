"""No plan: which limit binds, and the nearest change of the environment that would fit.

Invariant: what is named was planned and fits; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from kdeploy.planner.cloud import Shortfall, Sized
from kdeploy.planner.result import Infeasible, Relaxation
from kdeploy.planner.shortlist import WISHES
from kdeploy.spec.model import Datacenter, Environment, Host
from kdeploy.units import Range, format_duration, format_range, format_rate, format_usd

Attempt = Callable[[Environment, Datacenter], Sized]
SAMPLES: Final = 500
"""Samples that a change is tried with where quantities are ranges: it is planned some fifty times."""

MOST_ZONES: Final = 6
"""Zones of the largest region (us-east-1)."""

STEPS: Final = 14
"""Halvings when looking for the greatest value that fits: four digits."""


@dataclass(frozen=True)
class Knob:
    """A quantity of the workload that could be less.

    Attributes:
        words: What fits, with `{less}` and `{asked}` for the quantities.
        value: What is asked for.
        changed: The environment with the quantity times a factor.
        show: Prints a value.
    """

    words: str
    value: float
    changed: Callable[[float], Environment]
    show: Callable[[float], str]

    def fits(self, factor: float) -> str:
        """The change that fits, as a sentence without its end."""
        less, asked = (format_range(_scaled(self.value, part), self.show) for part in (factor, 1.0))
        return self.words.format(less=less, asked=asked)


def explain(
    environment: Environment,
    datacenter: Datacenter,
    shortfall: Shortfall,
    attempt: Attempt,
    new: bool = True,
) -> Infeasible:
    """Say why nothing fits, and every single change that would.

    First what was fixed by hand (number of brokers, instance type, declared hosts, too few partitions),
    since lifting that takes nothing away from the workload; then KRaft in place of ZooKeeper, where nothing
    runs yet, and more zones; then less retention, fewer partitions or clients or less throughput, whichever
    has to give way least.
    """
    settings = environment.planner
    fewer = min(settings.samples, SAMPLES)
    environment = environment.model_copy(update={"planner": settings.model_copy(update={"samples": fewer})})
    found = [
        *_lifted(environment, datacenter, attempt),
        *(_kraft(environment, datacenter, attempt) if new else ()),
        *_more_zones(environment, datacenter, attempt),
        *_reduced(environment, datacenter, attempt),
    ]
    nearest = "no single change of retention, partitions or throughput fits: split it over clusters"
    if found:
        nearest = found[0].change + _price(found[0])
    return Infeasible(datacenter.name, shortfall.limit, shortfall.by, nearest, tuple(found))


def _fits(change: str, sized: Sized) -> Relaxation:
    return Relaxation(change, sized.plan.cost.monthly_usd if sized.plan else None)


def _lifted(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> Iterator[Relaxation]:
    if datacenter.provider == "hosts":
        yield from _more_hosts(environment, datacenter, attempt)
        return
    brokers = datacenter.brokers
    both = brokers.count and brokers.instance_type
    for stated, freed in (
        (brokers.count, brokers.model_copy(update={"count": None})),
        (brokers.instance_type, brokers.model_copy(update={"instance_type": None})),
        (both, brokers.model_copy(update={"count": None, "instance_type": None})),
        (any(getattr(brokers, name) for name in WISHES), brokers.model_copy(update=dict.fromkeys(WISHES))),
    ):
        if stated:
            sized = attempt(environment, datacenter.model_copy(update={"brokers": freed}))
            if sized.plan is not None:
                plan = sized.plan
                yield _fits(f"{plan.brokers.count} × {plan.brokers.instance_type} fit", sized)
    if environment.planner.max_brokers is not None:
        settings = environment.planner.model_copy(update={"max_brokers": None})
        sized = attempt(environment.model_copy(update={"planner": settings}), datacenter)
        if sized.plan is not None:
            yield _fits(f"{sized.plan.brokers.count} × {sized.plan.brokers.instance_type} fit", sized)
    yield from _more_consumers(environment, datacenter, attempt)
    yield from _more_partitions(environment, datacenter, attempt)


def _more_consumers(
    environment: Environment, datacenter: Datacenter, attempt: Attempt
) -> Iterator[Relaxation]:
    """Few mirroring consumers make brokers of what they lack in connections."""
    workload = environment.workload
    if workload.mirror_consumers is None or not workload.mirrored_out:
        return
    freed = workload.model_copy(update={"mirror_consumers": None})
    sized = attempt(environment.model_copy(update={"workload": freed}), datacenter)
    if sized.plan is not None:
        asked, enough = workload.mirror_consumers, sized.plan.mirror_consumers
        yield _fits(f"{enough:,} mirroring consumers in place of {asked:,} fit", sized)


def _more_partitions(
    environment: Environment, datacenter: Datacenter, attempt: Attempt
) -> Iterator[Relaxation]:
    """Few partitions cannot be spread: left to the planner they are as many as the peak needs."""
    stated = environment.workload.partitions
    if stated is None:
        return
    freed = environment.workload.model_copy(update={"partitions": None})
    sized = attempt(environment.model_copy(update={"workload": freed}), datacenter)
    if sized.plan is not None and sized.plan.partitions > stated:
        yield _fits(f"{sized.plan.partitions:,} partitions in place of {stated:,} fit", sized)


def _kraft(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> Iterator[Relaxation]:
    """KRaft has room for ten times the replicas; what has to run it is declared for provider hosts."""
    if environment.kafka.coordination == "kraft" or datacenter.provider != "aws":
        return
    other = environment.kafka.model_copy(update={"coordination": "kraft"})
    sized = attempt(environment.model_copy(update={"kafka": other}), datacenter)
    if sized.plan is not None:
        yield _fits("KRaft controllers in place of ZooKeeper fit", sized)


def _more_hosts(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> Iterator[Relaxation]:
    brokers = [host for host in datacenter.hosts if host.role == "broker"]
    for times in (2, 3, 4, 6, 8, 12, 16) if brokers else ():
        added: tuple[Host, ...] = tuple(brokers) * (times - 1)
        larger = datacenter.model_copy(update={"hosts": datacenter.hosts + added})
        sized = attempt(environment, larger)
        if sized.plan is not None:
            more = f"{len(brokers) * times} brokers in place of {len(brokers)}, of the same hardware, fit"
            yield _fits(more, sized)
            return


def _more_zones(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> Iterator[Relaxation]:
    """The loss of a zone is easier where a zone is a smaller part; only EC2 has zones to choose from."""
    if datacenter.provider != "aws" or environment.durability.survive != "zone":
        return
    racks = list(datacenter.racks)
    for letter in "abcdef":
        if letter in racks or len(racks) >= MOST_ZONES:
            continue
        racks.append(letter)
        sized = attempt(environment, datacenter.model_copy(update={"racks": tuple(racks)}))
        if sized.plan is not None:
            yield _fits(f"{len(racks)} zones in place of {len(datacenter.racks)} fit", sized)
            return


def _reduced(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> list[Relaxation]:
    found: list[tuple[float, Relaxation]] = []
    for knob in _knobs(environment):

        def fits(factor: float, knob: Knob = knob) -> bool:
            return attempt(knob.changed(factor), datacenter).plan is not None

        factor = _greatest(fits)
        if factor:
            sized = attempt(knob.changed(factor), datacenter)
            found.append((factor, _fits(knob.fits(factor), sized)))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def _scaled(value: float, factor: float) -> float:
    """A quantity, or both ends of a range, times a factor."""
    return Range(value.low * factor, value.high * factor) if isinstance(value, Range) else value * factor


def _knobs(environment: Environment) -> list[Knob]:
    workload = environment.workload

    def less(name: str, whole: bool = False) -> Callable[[float], Environment]:
        def changed(factor: float) -> Environment:
            value = _scaled(getattr(workload, name), factor)
            update = {name: max(1, int(value)) if whole else value}
            return environment.model_copy(update={"workload": workload.model_copy(update=update)})

        return changed

    def of_topics(factor: float) -> Environment:
        topics = tuple(
            topic.model_copy(update={"throughput": _scaled(topic.throughput, factor)})
            for topic in workload.topics
        )
        return environment.model_copy(update={"workload": workload.model_copy(update={"topics": topics})})

    knobs = [
        Knob(
            "retention of {less} in place of {asked} fits",
            workload.retention,
            less("retention"),
            format_duration,
        ),
        Knob(
            "a produce rate of {less} in place of {asked} fits",
            workload.produced,
            of_topics if workload.topics else less("throughput"),
            format_rate,
        ),
        Knob("{less} clients in place of {asked} fit", workload.clients, less("clients", whole=True), _count),
    ]
    if workload.partitions is not None:
        knobs.append(
            Knob(
                "{less} partitions in place of {asked} fit",
                workload.partitions,
                less("partitions", whole=True),
                _count,
            )
        )
    for name, what in (("mirrored_in", "mirrored in"), ("mirrored_out", "mirrored out")):
        if getattr(workload, name):
            words = f"{{less}} {what} in place of {{asked}} fits"
            knobs.append(Knob(words, getattr(workload, name), less(name), format_rate))
    return knobs


def _count(number: float) -> str:
    return f"{int(number):,}"


def _greatest(fits: Callable[[float], bool]) -> float | None:
    """The greatest factor below 1 that fits, None when not even a millionth does."""
    low, high = 1e-6, 1.0
    if not fits(low):
        return None
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _price(relaxation: Relaxation) -> str:
    price = relaxation.monthly_usd
    return "" if price is None else f", for {format_usd(price)} a month"
