"""What is to be carried between datacenters, and what workers carry: values that plans of mirroring are made of.

Rates are of records, as brokers count them, at the horizon's end. Invariant: pure; more machines or tasks never carry less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdeploy.planner import figures, mirror_figures
from kdeploy.planner.demand import quantile
from kdeploy.planner.ebs import Floats
from kdeploy.planner.exchange import of_one_link

if TYPE_CHECKING:
    from kdeploy.planner.demand import Demand
    from kdeploy.planner.result import DatacenterPlan
    from kdeploy.spec.model import Environment


@dataclass(frozen=True)
class Load:
    """What a direction has to carry.

    Attributes:
        live: Bytes per second of records on average.
        peak: The same in the busiest minutes; of three and more that are all written to, with a lost one's clients at the
            source.
        partitions: Partitions at the source.
        brokers: Brokers at the source.
        encrypted: Whether it travels over TLS.
        usual: Bytes per second in the busiest minutes with no datacenter lost; None where it is `peak`.
        alone: Whether workers read nowhere else meanwhile: one datacenter is written to at a time (active-passive).
    """

    live: float
    peak: float
    partitions: int
    brokers: int
    encrypted: bool
    usual: float | None = None
    alone: bool = False

    @property
    def busy(self) -> float:
        """Bytes per second in the busiest minutes with no datacenter lost."""
        return self.peak if self.usual is None else self.usual

    @property
    def wire(self) -> float:
        """Bytes on the network for each of a record."""
        tls = figures.TLS_OVERHEAD.value if self.encrypted else 1.0
        return figures.PROTOCOL_OVERHEAD.value * tls


@dataclass(frozen=True, eq=False)
class Fleet:
    """Kinds of machines with numbers of workers: arrays that go together, or one of each."""

    cores: Floats
    network: Floats
    count: Floats

    def carried(self, load: Load, tasks: Floats, *, lost: bool = False) -> Floats:
        """Most bytes per second of records that workers carry, whatever the link.

        The least of: tasks × 30 MB/s, no more tasks than partitions; processors ÷ 33 s per GB; and what machines
        take from the network and send to it.

        Args:
            load: What is to be carried.
            tasks: Tasks of all workers.
            lost: Whether one of several workers is lost.
        """
        return np.minimum(self.worked(load, lost=lost), by_tasks(load, tasks))

    def worked(self, load: Load, *, lost: bool = False) -> Floats:
        """Most bytes per second of records that machines carry, whatever tasks there are; arguments as `carried`."""
        running = np.where(self.count > 1, self.count - 1, self.count) if lost else self.count
        each = np.minimum(self.cores / mirror_figures.CPU.value, self.network / load.wire)
        return running * each

    def enough(self, loads: Sequence[Load], tasks: Floats) -> NDArray[np.bool_]:
        """Whether so many tasks of each direction, and machines for all directions, carry it with one worker lost."""
        ceiling = mirror_figures.CEILING.value
        found = self.worked(loads[0], lost=True) * ceiling >= busy(loads) * (1 - 1e-12)
        for load in loads:
            found = found & (by_tasks(load, tasks) * ceiling >= load.peak * (1 - 1e-12))
        return found

    def used(self, loads: Sequence[Load], tasks: float) -> float:
        """The most of what machines and the tasks of a direction carry that is used at the peak, with one worker lost."""
        worked = float(self.worked(loads[0], lost=True))
        parts = [(busy(loads), worked)]
        parts += [(load.peak, float(by_tasks(load, np.array(tasks)))) for load in loads]
        return max(asked / carried if carried else 0.0 for asked, carried in parts)


def by_tasks(load: Load, tasks: Floats) -> Floats:
    """Most bytes per second of records that the tasks of a direction carry: 30 MB/s each, no more tasks than partitions."""
    return np.minimum(tasks, load.partitions) * mirror_figures.TASK.value


def busy(loads: Sequence[Load]) -> float:
    """Bytes per second of records in the busiest minutes: from all sources, or from whichever is written to.

    With one of several sources lost, another one has at most all of its clients and no more comes in all.
    """
    alone = max((load.busy for load in loads if load.alone), default=0.0)
    return max(alone, sum(load.busy for load in loads if not load.alone))


def beside(load: Load, loads: Sequence[Load]) -> float:
    """Bytes per second of records that workers carry from other sources at the same time, in the busiest minutes."""
    return 0.0 if load.alone else busy([one for one in loads if one is not load])


def load_of(environment: Environment, demand: Demand, source: DatacenterPlan) -> Load:
    """What one other datacenter reads out of a datacenter, at the horizon's end.

    Args:
        environment: With `mirroring`; of samples, it is no more than that in the share of `planner.confidence`.
        demand: Of that datacenter; in samples where quantities are ranges.
        source: Its plan.
    """
    confidence = environment.planner.confidence
    live, peak = (
        quantile(np.ravel(np.asarray(amount, dtype=float)), confidence)
        for amount in (demand.mirrored_out, demand.mirrored_peak)
    )
    usual, most = of_one_link(environment)
    counts = (source.partitions, source.brokers.count, demand.clients_encrypt)
    mirroring = environment.mirroring
    return Load(
        live * usual,
        peak * most,
        *counts,
        usual=None if usual == most else peak * usual,
        alone=mirroring is not None and mirroring.mode == "active-passive",
    )
