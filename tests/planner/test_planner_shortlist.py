"""What a person asks of types and disks is kept to, and what leaves nothing is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy import planner
from kdeploy.errors import InvalidSetting
from kdeploy.planner import catalogue
from kdeploy.planner.result import DatacenterPlan
from kdeploy.spec.model import Environment
from tests.planner.workloads import aws, locked

WORKLOAD = {"throughput": "50MB/s", "retention": "1d"}


def wanting(**brokers: Any) -> Environment:
    return aws(workload=WORKLOAD, brokers=brokers)


def planned(**brokers: Any) -> DatacenterPlan:
    plan = planner.plan(wanting(**brokers))
    assert plan.feasible
    return plan.datacenters[0]


@pytest.mark.parametrize("kind", ["gp3", "gp2", "io2", "st1"])
def test_the_kind_of_volume_that_is_asked_for_is_bought_and_its_limits_hold(kind: str) -> None:
    brokers = planned(volume_type=kind).brokers
    assert brokers.volumes[0].type == kind
    assert all(used <= brokers.ceilings[limit] + 1e-9 for limit, used in brokers.utilisation.items())


def test_storage_is_local_or_ebs_as_asked() -> None:
    found = planned(storage="local")
    assert found.brokers.volumes[0].type == "local-nvme"
    assert {one.type for one in found.coordination.volumes} == {"gp3"}, "a quorum keeps what it knows on EBS"
    assert planned(storage="ebs", instance_type="i3en.2xlarge").brokers.volumes[0].type == "gp3"


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_processors_are_of_the_architecture_that_is_asked_for(architecture: str) -> None:
    shapes = catalogue.load("us-east-1")
    found = planned(architecture=architecture).brokers.instance_type
    assert shapes.architecture[shapes.names.index(found or "")] == architecture


def test_a_family_is_kept_to_also_one_of_a_former_generation() -> None:
    shapes = catalogue.load("us-east-1")
    former = next(
        family for family, offered in zip(shapes.families, shapes.offered, strict=True) if not offered
    )
    for family in ("m7g", former):
        assert (planned(instance_family=family).brokers.instance_type or "").startswith(f"{family}.")


def test_gp3_or_local_disks_are_never_dearer_than_gp2_or_io2() -> None:
    usual = planned().cost.monthly_usd or 0
    for kind in ("gp2", "io2"):
        assert usual <= (planned(volume_type=kind).cost.monthly_usd or 0)


@pytest.mark.parametrize(
    ("brokers", "field", "wrong", "right"),
    [
        ({"instance_family": "m77g"}, "instance_family", "there is no family m77g", "did you mean `m7g`?"),
        (
            {"instance_family": "m7g", "instance_type": "m7i.large"},
            "instance_family",
            "m7i.large is not of family m7g",
            "write m7i",
        ),
        (
            {"instance_family": "m7g", "architecture": "x86_64"},
            "architecture",
            "no type of family m7g is x86_64",
            "m8i",
        ),
        (
            {"instance_type": "m7i.large", "architecture": "arm64"},
            "architecture",
            "m7i.large is not arm64",
            "m8g",
        ),
        (
            {"instance_type": "m7i.large", "storage": "local"},
            "storage",
            "m7i.large has no disks of its own",
            "m8gd",
        ),
        (
            {"instance_family": "m7g", "storage": "local"},
            "storage",
            "no type of family m7g has disks of its own",
            "m8gd",
        ),
    ],
)
def test_a_wish_that_leaves_nothing_is_refused_with_what_would_be_right(
    brokers: dict[str, str], field: str, wrong: str, right: str
) -> None:
    with pytest.raises(InvalidSetting) as error:
        planner.plan(wanting(**brokers))
    assert error.value.path == ("datacenters", 0, "brokers", field)
    assert error.value.exit_code == 2
    assert wrong in error.value.wrong
    assert right in error.value.right


def test_a_lock_keeps_its_kind_of_volume() -> None:
    lock = locked(wanting(volume_type="st1"))
    again = planner.plan(wanting(), lock).datacenters[0].brokers
    assert (again.volumes[0].type, again.volumes[0].count) == (
        "st1",
        lock.datacenters[0].brokers.volumes[0].count,
    )


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({"volume_type": "gp2"}, {"volume_type": "gp3"}, "volume_type"),
        ({"storage": "ebs"}, {"storage": "local"}, "storage"),
        ({"storage": "local"}, {"storage": "ebs"}, "storage"),
        ({"storage": "local"}, {"volume_type": "gp3"}, "volume_type"),
    ],
)
def test_other_disks_than_the_lock_has_are_refused(
    before: dict[str, str], after: dict[str, str], field: str
) -> None:
    lock = locked(wanting(**before))
    for reshape in (False, True):
        with pytest.raises(InvalidSetting) as error:
            planner.plan(wanting(**after), lock, reshape=reshape)
        assert error.value.path[-1] == field
        assert "the lock has brokers with" in error.value.wrong


def test_where_the_wish_leaves_too_little_the_plan_says_what_fits_without_it() -> None:
    plan = planner.plan(
        aws(
            workload={"throughput": "500MB/s", "retention": "30d"},
            brokers={"instance_family": "c6gd", "storage": "local"},
        )
    )
    assert not plan.feasible
    assert " fit, for $" in plan.infeasible[0].nearest
    assert "c6gd" not in plan.infeasible[0].nearest
