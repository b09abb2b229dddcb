"""Which of a machine's own disks is which: by what is on it, then by serial number; and what a host tells of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.blueprint import Disk
from kdeploy.errors import KdeployError
from kdeploy.infra.aws import own_disks
from kdeploy.infra.aws.own_disks import BY_ID, OwnDisk
from kdeploy.infra.hosts import remote

DISKS = (Disk("volume:0", "v", "/v"), *(Disk(f"local:{at}", f"u{at}", f"/d{at}") for at in range(4)))


def empty(serial: str) -> OwnDisk:
    return OwnDisk(f"{BY_ID}{serial}", "", empty=True)


def test_new_disks_are_dealt_out_by_their_serial_numbers_and_volumes_are_left_out() -> None:
    found = own_disks.paths(DISKS[:3], [empty("AWS3"), empty("AWS1"), empty("AWS2")])
    assert found == {"local:0": f"{BY_ID}AWS1", "local:1": f"{BY_ID}AWS2"}


def test_a_disk_that_carries_one_of_the_nodes_file_systems_stays_what_it_is() -> None:
    there = OwnDisk(f"{BY_ID}AWS1", "u1", empty=False)
    assert own_disks.paths(DISKS[:3], [there, empty("AWS2")]) == {
        "local:0": f"{BY_ID}AWS2",
        "local:1": f"{BY_ID}AWS1",
    }


@given(order=st.permutations(range(4)), formatted=st.sets(st.integers(0, 3)))
def test_every_data_disk_gets_a_disk_of_its_own_and_the_same_one_again_once_it_is_formatted(
    order: list[int], formatted: set[int]
) -> None:
    found = [empty(f"AWS{at}") for at in order]
    first = own_disks.paths(DISKS, found)
    assert sorted(first) == ["local:0", "local:1", "local:2", "local:3"]
    assert len(set(first.values())) == 4
    of = {path: f"u{name.removeprefix('local:')}" for name, path in first.items()}
    later = [
        OwnDisk(one.path, of[one.path] if at in formatted else "", empty=at not in formatted)
        for at, one in enumerate(found)
    ]
    again = own_disks.paths(DISKS, later)
    assert {name: path for name, path in again.items() if of[path] == f"u{name[6:]}"}.keys() >= {
        name
        for name, path in first.items()
        if found.index(next(o for o in found if o.path == path)) in formatted
    }
    assert len(set(again.values())) == 4


def test_disks_are_emptied_when_all_of_a_machines_own_hold_nothing() -> None:
    other = OwnDisk(f"{BY_ID}AWS1", "somebody's", empty=False)
    assert own_disks.are_emptied(DISKS, [empty("AWS1"), empty("AWS2")])
    assert not own_disks.are_emptied(DISKS, [empty("AWS2"), other])
    assert not own_disks.are_emptied(DISKS[:1], [empty("AWS1")]), "its data is on volumes"


def test_too_few_disks_are_said_with_the_way_on() -> None:
    with pytest.raises(KdeployError, match="has one disk of its own, and 4 are wanted"):
        own_disks.paths(DISKS, [empty("AWS1")])


def test_a_host_tells_of_whole_disks_alone_and_of_what_is_on_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = str(tmp_path / "nvme-Own_")
    for name in ("AWS2", "AWS1", "AWS1-part1", "AWS1_1"):
        Path(prefix + name).touch()

    def blkid(command: list[str], **_: Any) -> Any:
        held = command[-1].endswith("AWS1")
        return SimpleNamespace(stdout=b"u0\n" if held else b"", returncode=0 if held else 2)

    monkeypatch.setattr(subprocess, "run", blkid)
    found = own_disks.read(remote.own_disks({"prefix": prefix})["disks"])
    assert found == (
        OwnDisk(f"{prefix}AWS1", "u0", empty=False),
        OwnDisk(f"{prefix}AWS2", "", empty=True),
    )


@pytest.mark.parametrize(("state", "mounted"), [("active", False), ("inactive", True), ("inactive", False)])
def test_a_host_forgets_its_node_only_where_that_is_stopped_and_has_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, mounted: bool
) -> None:
    record, formatted = tmp_path / "node.json", tmp_path / "formatted"
    for file in (record, formatted):
        file.write_text("{}")
    monkeypatch.setattr(remote, "RECORD", str(record))
    monkeypatch.setattr(remote, "FORMATTED", str(formatted))
    monkeypatch.setattr(remote, "service", lambda unit: {"ActiveState": state})
    monkeypatch.setattr("os.path.ismount", lambda path: mounted)
    may = state == "inactive" and not mounted
    assert remote.forget({"unit": "kafka.service", "mounts": ["/d"]}) == {"ok": may}
    assert (record.exists(), formatted.exists()) == (not may, not may)
    if may:
        assert remote.forget({"unit": "kafka.service", "mounts": ["/d"]}) == {"ok": True}
