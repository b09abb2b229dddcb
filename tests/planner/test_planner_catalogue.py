"""The shipped catalogue says what AWS says, in base units."""

from __future__ import annotations

import numpy as np
import pytest

from kdeploy.planner import catalogue, storage
from kdeploy.planner.catalogue import GIB, MIB


def shape(name: str, region: str = "us-east-1") -> dict[str, float]:
    shapes = catalogue.load(region)
    row = shapes.names.index(name)
    return {key: float(value[row]) for key, value in vars(shapes).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(
    ("name", "network_mbit", "ebs_mb_s", "usd"),
    [
        ("m5.large", 750, 81.25, 0.096),
        ("m5.4xlarge", 5000, 593.75, 0.768),
        ("i3en.2xlarge", 8400, 288.387, 0.904),
        ("m7a.4xlarge", 6250, 625.0, 0.92736),
    ],
)
def test_rates_are_baselines_and_prices_exact(
    name: str, network_mbit: float, ebs_mb_s: float, usd: float
) -> None:
    found = shape(name)
    assert found["network"] == pytest.approx(network_mbit * 1e6 / 8, rel=0.001)
    assert found["ebs_throughput"] == pytest.approx(ebs_mb_s * 1e6, rel=0.001)
    assert found["usd_per_hour"] == pytest.approx(usd, rel=1e-4)


def test_local_disks_write_at_the_measured_rate() -> None:
    found = shape("i3en.2xlarge")
    assert (found["nvme_count"], found["nvme_size"]) == (2, 2500e9)
    assert found["nvme_write"] * 2 == pytest.approx(655e6, rel=0.001)


def test_ebs_volumes_count_in_mebibytes_and_instances_in_megabytes() -> None:
    assert catalogue.load("us-east-1").gp3.free_throughput == 125 * MIB
    assert shape("m5.large")["ebs_throughput"] == 81.25e6


def test_other_regions_prices_are_derived_and_say_so() -> None:
    home, away = catalogue.load("us-east-1"), catalogue.load("eu-west-1")
    assert home.exact
    assert not away.exact
    assert shape("m6g.large", "eu-west-1")["usd_per_hour"] == pytest.approx(
        shape("m6g.large")["usd_per_hour"] * 1.115
    )
    assert away.gp3.usd_per_gib == pytest.approx(0.08 * 1.115)


def test_a_region_has_only_the_types_it_offers() -> None:
    assert "i4g.large" in catalogue.load("us-east-1").names
    assert "i4g.large" not in catalogue.load("ap-northeast-1").names


def test_every_region_loads_and_offers_enough_to_plan_with() -> None:
    for region in catalogue.regions():
        shapes = catalogue.load(region)
        assert shapes.offered.sum() >= 50, region
        assert list(shapes.names) == sorted(shapes.names)
        for column in ("vcpus", "compute", "memory", "network", "ebs_throughput", "ebs_iops", "usd_per_hour"):
            assert (vars(shapes)[column] > 0).all(), (region, column)


def test_both_architectures_and_all_families_are_offered() -> None:
    shapes = catalogue.load("us-east-1").only(catalogue.load("us-east-1").offered)
    families = {name.split(".")[0] for name in shapes.names}
    assert {"m8g", "m7i", "r6g", "r6a", "c7g", "c6in", "i3en", "i4i", "im4gn", "is4gen"} <= families
    assert not [name for name in shapes.names if "metal" in name or "flex" in name or name[0] == "t"]


def test_what_is_not_in_the_catalogue_has_a_reason() -> None:
    reasons = catalogue.excluded()
    assert sum(reasons.values()) + len(catalogue._document()["shapes"]) == 1395
    assert any("bare metal" in reason for reason in reasons)


def test_a_broker_has_as_many_volumes_as_its_instance_can_use() -> None:
    shapes = catalogue.load("us-east-1")
    for row, disks in enumerate(storage.candidates(shapes, None).disks):
        assert disks >= 1, row
    chosen = storage.candidates(shapes.only(np.array([name == "r8gb.16xlarge" for name in shapes.names])))
    assert chosen.disks[0] * 2000 * MIB >= chosen.catalogue.ebs_throughput[0]
    assert chosen.disks[0] / 2 * 2000 * MIB < chosen.catalogue.ebs_throughput[0]


def load_of(throughput: float = 0.0, iops: float = 0.0, space: float = 0.0) -> np.ndarray:
    from kdeploy.planner.limits import COLUMNS

    values = {"disk_throughput": throughput, "disk_iops": iops, "disk_space": space}
    return np.array([[values.get(limit, 0.0)] for limit in COLUMNS])


@pytest.mark.parametrize(
    ("load", "size_gib", "iops", "mib_s", "usd"),
    [
        (load_of(space=800 * GIB), 1000, 3000, 125, 80.0),
        (load_of(throughput=200 * MIB, space=800 * GIB), 1000, 3000, 250, 80 + 125 * 0.04),
        (load_of(iops=8000, space=800 * GIB), 1000, 10000, 125, 80 + 7000 * 0.005),
        (load_of(throughput=800 * MIB), 8, 4000, 1000, 8 * 0.08 + 1000 * 0.005 + 875 * 0.04),
        (load_of(), 6, 3000, 125, 6 * 0.08),
    ],
)
def test_volumes_are_bought_to_need_by_gp3_s_rules(
    load: np.ndarray, size_gib: float, iops: float, mib_s: float, usd: float
) -> None:
    gp3 = catalogue.load("us-east-1").gp3
    bought = storage.buy(gp3, load, np.array([1.0]))
    assert (bought.size[0] / GIB, bought.iops[0], bought.throughput[0] / MIB) == (size_gib, iops, mib_s)
    assert storage.monthly_price(gp3, bought)[0] == pytest.approx(usd)


def test_volumes_never_shrink() -> None:
    before = storage.Bought(np.array([500 * GIB]), np.array([6000.0]), np.array([300 * MIB]))
    bought = storage.buy(catalogue.load("us-east-1").gp3, load_of(), np.array([1.0]), before)
    assert (bought.size[0], bought.iops[0], bought.throughput[0]) == (500 * GIB, 6000, 300 * MIB)
