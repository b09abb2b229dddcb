"""The table of operating systems says what their recorded facts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kdeploy.infra.hosts.systems import SYSTEMS, TIME_UNITS
from kdeploy.tuning.firewall import NFT
from tests.infra.test_infra_hosts_preflight import judged

RECORDED: list[dict[str, Any]] = YAML(typ="safe").load((Path(__file__).parent / "systems.yaml").read_text())


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["title"] for one in RECORDED])
def test_a_system_has_what_the_table_says_under_that_name(recorded: dict[str, Any]) -> None:
    system, packages = SYSTEMS[recorded["release"]["ID"]], recorded["packages"]
    assert "java" in packages[system.java]
    assert system.time_unit in packages[system.time]
    assert NFT in packages[system.firewall]
    assert "mkfs.xfs" in packages[system.file_systems]


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["title"] for one in RECORDED])
def test_a_recorded_system_is_let_in_and_the_one_before_it_is_not(recorded: dict[str, Any]) -> None:
    release = recorded["release"]
    system = {"os": release["ID"], "os_name": release["PRETTY_NAME"]}
    assert judged(version=release["VERSION_ID"], **system) == []
    (problem,) = judged(version=str(SYSTEMS[release["ID"]].lowest - 1), **system)
    assert "which kdeploy does not know" in problem


def test_every_system_of_the_table_is_recorded() -> None:
    assert {one["release"]["ID"] for one in RECORDED} == set(SYSTEMS)


def test_a_service_that_is_installed_is_known_as_one_that_keeps_time() -> None:
    assert {system.time_unit for system in SYSTEMS.values()} <= set(TIME_UNITS)
