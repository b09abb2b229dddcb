"""Samples: how ranges are drawn from, and that what is kept of their loads says what all of them say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kdeploy.planner import limits, samples
from kdeploy.planner.demand import demand_of, ranges, rank
from kdeploy.planner.limits import COLUMNS
from kdeploy.planner.spread import Fleet
from kdeploy.units import Range
from tests.planner.workloads import aws

UNSURE = {"throughput": "40MB/s..120MB/s", "retention": "12h..3d", "fan_out": "1..4"}


def loads(count: int, confidence: float) -> tuple[samples.Loads, np.ndarray]:
    """Loads, and those of 3 to 12 brokers worked out all at once: (samples, columns, counts)."""
    environment = aws(workload=UNSURE)
    datacenter = environment.datacenters[0]
    sampled = demand_of(environment, datacenter, 0, samples.draw(ranges(environment.workload), count, 1))
    middle = replace(demand_of(environment, datacenter), partitions=sampled.partitions)
    fleet = Fleet.even(np.arange(3.0, 13.0), middle.racks)
    table = limits.loads(sampled, fleet, np.array([2.0]))[:, 0]
    return samples.Loads(middle, sampled, confidence), table


def test_samples_cover_every_part_of_a_range_alike_and_half_are_below_the_middle() -> None:
    ends = Range(10.0, 1000.0)
    drawn = np.ravel(samples.draw({("throughput",): ends}, 1000, 1)[("throughput",)])
    assert ((drawn >= 10) & (drawn <= 1000)).all()
    assert np.count_nonzero(drawn < float(ends)) == 500
    parts = np.floor(np.log(drawn / 10) / np.log(100) * 1000)
    assert len(set(parts.tolist())) >= 999, "one sample in each part, but for rounding"


@pytest.mark.parametrize("chunk", [7, 100, 8192])
def test_loads_are_those_of_all_samples_and_counts_at_once_in_whatever_order_they_are_asked_for(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "CHUNK", chunk)
    of, table = loads(100, 0.95)
    for count in (9, 8, 7, 4, 5, 6, 3, 7):
        np.testing.assert_array_equal(of.matrix(2.0, float(count)), table[:, :, count - 3].T)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 1.0])
def test_the_kept_samples_decide_as_all_of_them_would(confidence: float) -> None:
    of, table = loads(400, confidence)
    values, one = table[:, :, 2], of.at(2.0, 5.0)
    ordered = np.sort(values, axis=0)
    np.testing.assert_array_equal(one.enough, ordered[rank(confidence, 400) - 1])
    for usable in (one.enough, one.enough * 1.1, one.most):
        np.testing.assert_array_equal(one.spread(one.under(usable)), (values <= usable).all(axis=1))
    for column in range(len(COLUMNS)):
        np.testing.assert_array_equal(one.beyond(column), ordered[rank(confidence, 400) - 1 :, column])


@pytest.mark.parametrize("kept", [0, 2**30])
def test_what_is_no_longer_kept_is_worked_out_again_alike(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "KEPT", kept)
    of, _ = loads(200, 0.9)
    first = of.at(2.0, 6.0)
    of.at(2.0, 5.0)
    again = of.at(2.0, 6.0)
    assert (again is first) == bool(kept)
    np.testing.assert_array_equal(again.values, first.values)
    assert of.known(2.0)[0].tolist() == [5.0, 6.0]


def test_the_least_brokers_for_a_limit_are_those_that_trying_every_number_finds() -> None:
    of, _ = loads(300, 0.95)
    for column in range(len(COLUMNS)):
        for share in (0.2, 0.5, 0.9):
            usable = float(of.at(2.0, 4.0).enough[column]) * share
            every = [count for count in range(1, 61) if of.at(2.0, float(count)).enough[column] <= usable]
            assert of.least(2.0, column, usable, 60.0) == (every[0] if every else None)
