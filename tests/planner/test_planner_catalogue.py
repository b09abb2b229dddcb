"""The shipped catalogue says what AWS says, in base units."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from kdeploy.planner import catalogue, describe, storage
from kdeploy.planner.catalogue import MIB
from kdeploy.planner.data import generate


def shape(name: str, region: str = "us-east-1") -> dict[str, float]:
    shapes = catalogue.load(region)
    row = shapes.names.index(name)
    return {
        key: float(value[row])
        for key, value in vars(shapes).items()
        if isinstance(value, np.ndarray) and value.dtype.kind != "U"
    }


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


@pytest.mark.parametrize(
    ("name", "disks", "mb_s"),
    [
        # AWS's write operations of the type × 655 MB/s ÷ 130,000, by hand
        ("i3en.3xlarge", 1, 1007.7),
        ("i4i.2xlarge", 1, 554.2),
        ("i3.2xlarge", 1, 906.9),
        ("im4gn.2xlarge", 1, 503.8),
        ("is4gen.2xlarge", 1, 1007.7),
        ("i7ie.2xlarge", 2, 436.4),
        ("m6gd.4xlarge", 1, 453.5),
        ("c5d.9xlarge", 1, 856.5),
    ],
)
def test_local_disks_write_what_aws_s_operations_say_by_the_measured_rate(
    name: str, disks: int, mb_s: float
) -> None:
    found = shape(name)
    assert found["nvme_count"] == disks
    assert found["nvme_write"] == pytest.approx(mb_s * 1e6, rel=0.001)
    assert found["nvme_documented"]


def test_a_disk_without_a_documented_rate_writes_by_its_size_and_says_so() -> None:
    found = shape("i8g.2xlarge")
    assert not found["nvme_documented"]
    assert found["nvme_write"] == pytest.approx(found["nvme_size"] / 1e12 * 131e6)


def test_every_family_with_a_documented_rate_names_its_source() -> None:
    sources = describe.write_iops_sources()
    shapes = catalogue.load("us-east-1")
    documented = {
        family for family, is_known in zip(shapes.families, shapes.nvme_documented, strict=True) if is_known
    }
    assert documented <= sources.keys()
    assert all(re.search(r"20\d\d-\d\d", source) for source in sources.values())


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
    for word in ("bare metal", "burstable", "hard disks", "accelerators", "no published price"):
        assert any(word in reason for reason in reasons), word


def test_the_generator_writes_the_catalogue_that_is_shipped() -> None:
    import moto

    assert moto.__version__ == generate.MOTO, "pyproject.toml pins what the catalogue is made from"
    shipped = catalogue._document()
    price = shipped["columns"].index("usd_per_hour")
    published = {
        "us_east_1": {name: entry[price] for name, entry in shipped["shapes"].items()},
        "region_ratio": {
            region: {kind: {"ratio": ratio} for kind, ratio in place["price_ratio"].items()}
            for region, place in shipped["regions"].items()
        },
    }
    document = generate.catalogue(Path(moto.__file__).parent / "ec2" / "resources", published)
    # The price file is not here: what it has no price for counts under the same reason as shipped.
    assert document == shipped
    file = resources.files("kdeploy.planner.data").joinpath("catalogue.json")
    assert generate.text(document) == file.read_text()


def test_a_region_whose_types_are_not_listed_says_that_they_are_assumed() -> None:
    assert catalogue.load("eu-west-1").offering_known
    assert not catalogue.load("mx-central-1").offering_known
    assert len(catalogue.regions()) == 34


def test_every_price_of_a_volume_says_how_sure_it_is() -> None:
    for kind in catalogue.load("us-east-1").volumes.values():
        assert {"size", "most_size", "most_iops", "most_throughput"} <= kind.confidence.keys()
        assert set(kind.confidence.values()) <= {"quoted", "recalled"}


def test_a_broker_has_as_many_volumes_as_its_instance_can_use() -> None:
    shapes = catalogue.load("us-east-1")
    for row, disks in enumerate(storage.candidates(shapes, None).disks):
        assert disks >= 1, row
    chosen = storage.candidates(shapes.only(np.array([name == "r8gb.16xlarge" for name in shapes.names])))
    assert chosen.disks[0] * 2000 * MIB >= chosen.catalogue.ebs_throughput[0]
    assert chosen.disks[0] / 2 * 2000 * MIB < chosen.catalogue.ebs_throughput[0]
