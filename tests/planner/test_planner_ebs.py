"""Every kind of volume is bought by the rules of the Amazon EBS User Guide, and never less for more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.planner import catalogue, storage
from kdeploy.planner.ebs import GIB, KINDS, MIB, Bought, Kind
from kdeploy.planner.figures import CEILINGS
from kdeploy.planner.result import LIMITS

TIB = 1024.0


def kind(name: str) -> Kind:
    return catalogue.load("us-east-1").volumes[name]


def buy(name: str, gib: float = 0, iops: float = 0, mib_s: float = 0) -> tuple[float, float, float, float]:
    """What is bought for a need: GiB, operations, MiB/s, US dollars a month."""
    bought = kind(name).buy(np.array([gib * GIB]), np.array([float(iops)]), np.array([mib_s * MIB]))
    usd = float(kind(name).monthly_usd(bought)[0])
    return float(bought.size[0] / GIB), float(bought.iops[0]), float(bought.throughput[0] / MIB), usd


@pytest.mark.parametrize(
    ("name", "need", "bought", "usd"),
    [
        # gp3: 3,000 and 125 MiB/s are free; 500 operations a GiB, 0.25 MiB/s an operation
        ("gp3", {}, (6, 3000, 125), 6 * 0.08),
        ("gp3", {"gib": 1000}, (1000, 3000, 125), 80.0),
        ("gp3", {"gib": 999.5, "mib_s": 250}, (1000, 3000, 250), 80 + 125 * 0.04),
        ("gp3", {"gib": 1000, "iops": 10000}, (1000, 10000, 125), 80 + 7000 * 0.005),
        ("gp3", {"mib_s": 1000}, (8, 4000, 1000), 8 * 0.08 + 1000 * 0.005 + 875 * 0.04),
        ("gp3", {"iops": 16000}, (32, 16000, 125), 32 * 0.08 + 13000 * 0.005),
        ("gp3", {"mib_s": 2000}, (16, 8000, 2000), 16 * 0.08 + 5000 * 0.005 + 1875 * 0.04),
        # gp2: 3 operations a GiB, at least 100, at most 16,000 (5,334 GiB); 250 MiB/s from 334 GiB on
        ("gp2", {}, (1, 100, 25), 0.10),
        ("gp2", {"gib": 33}, (33, 100, 25), 3.30),
        ("gp2", {"gib": 170}, (170, 510, 127.5), 17.0),
        ("gp2", {"gib": 334}, (334, 1002, 250), 33.4),
        ("gp2", {"mib_s": 250}, (334, 1002, 250), 33.4),
        ("gp2", {"iops": 16000}, (5334, 16000, 250), 533.4),
        ("gp2", {"gib": 10000}, (10000, 16000, 250), 1000.0),
        # io2: 1,000 operations a GiB, 0.256 MiB/s an operation up to 4,000 MiB/s; a price in three tiers
        ("io2", {}, (4, 100, 25.6), 4 * 0.125 + 100 * 0.065),
        ("io2", {"gib": 1000, "iops": 10000}, (1000, 10000, 2560), 125 + 10000 * 0.065),
        ("io2", {"mib_s": 1000}, (4, 3907, 1000.192), 4 * 0.125 + 3907 * 0.065),
        ("io2", {"mib_s": 4000}, (16, 15625, 4000), 16 * 0.125 + 15625 * 0.065),
        (
            "io2",
            {"iops": 100000},
            (100, 100000, 4000),
            100 * 0.125 + 32000 * 0.065 + 32000 * 0.046 + 36000 * 0.032,
        ),
        ("io2", {"iops": 256000}, (256, 256000, 4000), 32 + 2080 + 1472 + 192000 * 0.032),
        # st1: 40 MiB/s a TiB up to 500, at least 125 GiB, operations of 1 MiB
        ("st1", {}, (125, 4, 125 * 40 / 1024), 125 * 0.045),
        ("st1", {"gib": 2 * TIB}, (2048, 80, 80), 2048 * 0.045),
        ("st1", {"mib_s": 100}, (2560, 100, 100), 2560 * 0.045),
        ("st1", {"mib_s": 500}, (12800, 500, 500), 12800 * 0.045),
        ("st1", {"gib": 16 * TIB}, (16384, 500, 500), 16384 * 0.045),
        ("st1", {"gib": 1000, "iops": 4000}, (1000, 39, 1000 * 40 / 1024), 45.0),
    ],
)
def test_a_volume_is_bought_by_its_kind_s_rules(
    name: str, need: dict[str, float], bought: tuple[float, float, float], usd: float
) -> None:
    found = buy(name, **need)
    assert found[:3] == pytest.approx(bought)
    assert found[3] == pytest.approx(usd)


NEEDS = st.tuples(st.floats(0, 70000), st.floats(0, 300000), st.floats(0, 5000))


@given(st.sampled_from(KINDS), NEEDS, NEEDS)
def test_a_greater_need_never_buys_less_and_never_costs_less(
    name: str, one: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    more = tuple(max(pair) for pair in zip(one, other, strict=True))
    for before, after in zip(buy(name, *one), buy(name, *more), strict=True):
        assert after >= before * (1 - 1e-12)


@given(st.sampled_from(KINDS), NEEDS)
def test_what_is_bought_holds_the_need_as_far_as_the_kind_can(
    name: str, need: tuple[float, float, float]
) -> None:
    gib, iops, mib_s = need
    one = kind(name)
    size, operations, speed, _ = buy(name, *need)
    assert size >= min(gib, one.most_size / GIB) * (1 - 1e-9)
    assert speed >= min(mib_s, one.most_throughput / MIB) * (1 - 1e-6)
    assert one.sequential or operations >= min(iops, one.most_iops) * (1 - 1e-9)
    assert one.least_size / GIB <= size <= one.most_size / GIB
    assert operations <= one.most_iops
    assert speed <= one.most_throughput / MIB


@given(st.sampled_from(KINDS), NEEDS)
def test_what_is_bought_is_enough_for_itself(name: str, need: tuple[float, float, float]) -> None:
    size, operations, speed, usd = buy(name, *need)
    iops = 0 if kind(name).sequential else operations
    assert buy(name, size, iops, speed if name == "gp3" else 0)[3] == pytest.approx(usd)


@given(
    st.sampled_from(("gp2", "io2")), st.tuples(st.floats(0, 16384), st.floats(0, 16000), st.floats(0, 250))
)
def test_gp3_never_costs_more_than_gp2_or_io2_for_the_same(
    name: str, need: tuple[float, float, float]
) -> None:
    assert buy("gp3", *need)[3] <= buy(name, *need)[3] * (1 + 1e-9) + 6 * 0.08


def test_a_hard_disk_costs_less_than_gp3_where_much_is_kept_and_little_moves() -> None:
    assert buy("st1", 10000, 500, 60)[3] < 0.6 * buy("gp3", 10000, 500, 60)[3]


def test_volumes_never_shrink() -> None:
    before = Bought(np.array([500 * GIB]), np.array([6000.0]), np.array([300 * MIB]))
    for name in KINDS:
        bought = kind(name).buy(np.zeros(1), np.zeros(1), np.zeros(1), before)
        assert bought.size[0] >= 500 * GIB
    bought = kind("gp3").buy(np.zeros(1), np.zeros(1), np.zeros(1), before)
    assert (bought.size[0], bought.iops[0], bought.throughput[0]) == (500 * GIB, 6000, 300 * MIB)


def load_of(**values: float) -> np.ndarray:
    return np.array([[values.get(limit, 0.0)] for limit in LIMITS])


def test_a_load_is_shared_by_a_broker_s_volumes_under_its_ceiling() -> None:
    load = load_of(disk_space=800 * GIB, disk_throughput=400 * MIB * CEILINGS["disk_throughput"])
    bought = storage.buy(kind("gp3"), load, np.array([2.0]))
    assert (bought.size[0] / GIB, bought.throughput[0] / MIB) == (500, 200)


@pytest.mark.parametrize("name", KINDS)
def test_throughput_is_the_lesser_of_the_volumes_and_the_instance(name: str) -> None:
    shapes = catalogue.load("us-east-1")
    found = storage.candidates(shapes, volume_type=name)
    assert not found.local.any()
    capacity = found.capacity[:, LIMITS.index("disk_throughput")]
    volumes = found.disks * kind(name).most_throughput
    assert (capacity == np.minimum(found.catalogue.ebs_throughput, volumes)).all()
    assert set(found.disks.tolist()) <= set(storage.EBS_LAYOUTS)


def test_the_kind_and_number_of_disks_that_a_lock_holds_are_the_only_candidates() -> None:
    found = storage.candidates(catalogue.load("us-east-1"), ("st1", 3), storage="local")
    assert found.kind.name == "st1"
    assert set(found.disks.tolist()) == {3.0}
