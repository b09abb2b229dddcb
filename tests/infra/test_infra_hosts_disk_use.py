"""What the host of a node is given so that it tells CloudWatch how full its disks are, or tells it no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.infra.hosts import archive, variables
from tests.tuning.places import small
from tests.tuning.test_tuning_goldens import rendered


@pytest.mark.parametrize(("alarms", "wanted"), [(True, "on"), (False, "off")])
def test_it_is_told_where_there_are_alarms_and_stopped_where_there_are_none_any_more(
    alarms: bool, wanted: str
) -> None:
    for node in small(machine={"alarms": alarms}).nodes:
        assert variables.disk_use_variables(node) == {"disk_use_wanted": wanted}


def test_a_host_outside_aws_is_not_asked() -> None:
    for node in rendered("datacenter-zk").nodes:
        assert variables.disk_use_variables(node) == {"disk_use_wanted": ""}


def test_its_files_are_the_host_s_own_and_the_folder_of_the_program_is_made() -> None:
    blueprint = small(machine={"alarms": True})
    node = blueprint.nodes[0]
    own = {entry.path: entry for entry in archive.host_entries(node)}
    assert {
        "/usr/local/lib/kdeploy/disk_use.py",
        "/etc/kdeploy/disk-use.json",
        "/etc/systemd/system/kdeploy-disk-use.service",
        "/etc/systemd/system/kdeploy-disk-use.timer",
    } <= own.keys()
    assert (own["/usr/local/lib/kdeploy/disk_use.py"].owner, own["/etc/kdeploy/disk-use.json"].mode) == (
        "root",
        0o644,
    )
    folder = {"path": "/usr/local/lib/kdeploy", "owner": "root", "mode": "0755"}
    assert folder in variables.host_variables(node, blueprint, Path("carried"))["host_folders"]
    unwatched = small()
    given = variables.host_variables(unwatched.nodes[0], unwatched, Path("carried"))["host_folders"]
    assert folder not in given
