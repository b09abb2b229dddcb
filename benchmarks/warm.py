"""A warm, certain plan over the whole catalogue, against one empty pass over a matrix of its size.

The empty pass compares a load with a capacity once for every type, limit and number of brokers and
takes each type's first number that holds: what a planner that did nothing else would do.

Invariant: both run in turn in one process; the ratio of the medians does not depend on how busy the
machine is, the milliseconds do.

    python -m benchmarks.warm
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from kdeploy import planner
from kdeploy.cli.workload import environment_of
from kdeploy.planner import catalogue
from kdeploy.planner.limits import MOST_BROKERS
from kdeploy.planner.result import LIMITS

ROUNDS: Final = 50
AIM: Final = 5.0
"""Milliseconds that a plan should take at most."""


def empty_pass() -> Callable[[], object]:
    """Loads and capacities of the planner's sizes, and the one pass over them."""
    generator = np.random.default_rng(1)
    types = len(catalogue.load("us-east-1").names)
    load = 1 / np.arange(1.0, MOST_BROKERS + 1) * generator.random((len(LIMITS), 1))
    capacity = generator.random((types, len(LIMITS)))

    def run() -> object:
        return (load <= capacity[:, :, None]).all(axis=1).argmax(axis=1)

    return run


def milliseconds(work: Callable[[], object]) -> float:
    """Wall-clock milliseconds of one call."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of both in milliseconds, and their ratio."""
    environment = environment_of({"throughput": "200MB/s"})
    passed = empty_pass()

    def plan() -> object:
        return planner.plan(environment)

    plan(), passed()
    pairs = [(milliseconds(plan), milliseconds(passed)) for _ in range(rounds)]
    ours, empty = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"plan": ours, "empty": empty, "ratio": ours / empty}


def main() -> dict[str, float]:
    """Measure and print one line."""
    result = measure()
    print(
        f"a plan over the whole catalogue, warm: {result['plan']:.1f} ms (aim: at most {AIM:g}), "
        f"an empty pass over a matrix of its size {result['empty']:.1f} ms, ratio {result['ratio']:.2f}"
    )
    return result


if __name__ == "__main__":
    main()
