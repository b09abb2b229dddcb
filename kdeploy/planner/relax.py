"""No plan: which limit binds, and the nearest change of the environment that would fit.

Invariant: what is named was planned and fits; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kdeploy.planner.cloud import Shortfall, Sized
from kdeploy.planner.result import Infeasible
from kdeploy.spec.model import Datacenter, Environment, Host
from kdeploy.units import format_duration, format_rate, format_usd

Attempt = Callable[[Environment, Datacenter], Sized]
WISHES: Final = ("instance_family", "architecture", "storage", "volume_type")
"""Settings of brokers that leave fewer types to choose from."""

STEPS: Final = 14
"""Halvings when looking for the greatest value that fits: four digits."""


@dataclass(frozen=True)
class Knob:
    """A quantity of the workload that could be less.

    Attributes:
        name: What it is called.
        value: What is asked for.
        changed: The environment with the quantity times a factor.
        show: Prints a value.
    """

    name: str
    value: float
    changed: Callable[[float], Environment]
    show: Callable[[float], str]


def explain(
    environment: Environment, datacenter: Datacenter, shortfall: Shortfall, attempt: Attempt
) -> Infeasible:
    """Say why nothing fits, and the nearest relaxation.

    First what was fixed by hand (number of brokers, instance type, declared hosts, too few partitions),
    since lifting that takes nothing away from the workload; then less retention, fewer partitions or less throughput,
    whichever has to give way least.
    """
    lifted = _lifted(environment, datacenter, attempt)
    nearest = lifted or _reduced(environment, datacenter, attempt)
    if nearest is None:
        nearest = "no single change of retention, partitions or throughput fits: split it over clusters"
    return Infeasible(datacenter.name, shortfall.limit, shortfall.by, nearest)


def _lifted(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> str | None:
    if datacenter.provider == "hosts":
        return _more_hosts(environment, datacenter, attempt)
    brokers = datacenter.brokers
    for stated, freed in (
        (brokers.count, brokers.model_copy(update={"count": None})),
        (brokers.instance_type, brokers.model_copy(update={"instance_type": None})),
        (
            brokers.count and brokers.instance_type,
            brokers.model_copy(update={"count": None, "instance_type": None}),
        ),
        (any(getattr(brokers, name) for name in WISHES), brokers.model_copy(update=dict.fromkeys(WISHES))),
    ):
        if stated:
            sized = attempt(environment, datacenter.model_copy(update={"brokers": freed}))
            if sized.plan is not None:
                plan = sized.plan
                return f"{plan.brokers.count} × {plan.brokers.instance_type} fit{_price(sized)}"
    return _more_partitions(environment, datacenter, attempt)


def _more_partitions(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> str | None:
    """Few partitions cannot be spread: left to the planner they are as many as the peak needs."""
    stated = environment.workload.partitions
    if stated is None:
        return None
    freed = environment.workload.model_copy(update={"partitions": None})
    sized = attempt(environment.model_copy(update={"workload": freed}), datacenter)
    if sized.plan is None or sized.plan.partitions <= stated:
        return None
    return f"{sized.plan.partitions:,} partitions in place of {stated:,} fit{_price(sized)}"


def _more_hosts(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> str | None:
    brokers = [host for host in datacenter.hosts if host.role == "broker"]
    if not brokers:
        return None
    for times in (2, 3, 4, 6, 8, 12, 16):
        added: tuple[Host, ...] = tuple(brokers) * (times - 1)
        larger = datacenter.model_copy(update={"hosts": datacenter.hosts + added})
        if attempt(environment, larger).plan is not None:
            return f"{len(brokers) * times} brokers in place of {len(brokers)}, of the same hardware, fit"
    return None


def _reduced(environment: Environment, datacenter: Datacenter, attempt: Attempt) -> str | None:
    best: tuple[float, str] | None = None
    for knob in _knobs(environment):
        factor = _greatest(lambda f, knob=knob: attempt(knob.changed(f), datacenter).plan is not None)  # type: ignore[misc]
        if factor and (best is None or factor > best[0]):
            sized = attempt(knob.changed(factor), datacenter)
            less = f"{knob.name} of {knob.show(knob.value * factor)} in place of {knob.show(knob.value)}"
            best = factor, f"{less} fits{_price(sized)}"
    return best[1] if best else None


def _knobs(environment: Environment) -> list[Knob]:
    workload = environment.workload

    def less(name: str, whole: bool = False) -> Callable[[float], Environment]:
        def changed(factor: float) -> Environment:
            value = getattr(workload, name) * factor
            update = {name: max(1, int(value)) if whole else value}
            return environment.model_copy(update={"workload": workload.model_copy(update=update)})

        return changed

    knobs = [
        Knob("retention", workload.retention, less("retention"), format_duration),
        Knob("a produce rate", workload.throughput, less("throughput"), format_rate),
    ]
    if workload.partitions is not None:
        knobs.append(
            Knob(
                "a number of partitions",
                workload.partitions,
                less("partitions", whole=True),
                lambda n: f"{int(n):,}",
            )
        )
    return knobs


def _greatest(fits: Callable[[float], bool]) -> float | None:
    """The greatest factor below 1 that fits, None when not even a millionth does."""
    low, high = 1e-6, 1.0
    if not fits(low):
        return None
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _price(sized: Sized) -> str:
    price = sized.plan.cost.monthly_usd if sized.plan else None
    return "" if price is None else f", for {format_usd(price)} a month"
