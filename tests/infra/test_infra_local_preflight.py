"""What this machine cannot hold is refused before anything starts, saying what lacks."""

from __future__ import annotations

import resource
import shutil
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from kdeploy.errors import KdeployError
from kdeploy.infra.local.preflight import BESIDE_THE_HEAP, heap_of, preflight
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import SECRETS, blueprint, node

Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "free")


@pytest.fixture(autouse=True)
def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(64e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Disk(1e12))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 524288))


@pytest.mark.parametrize(
    ("options", "bytes_"),
    [
        (("-Xmx512m",), 512 * 2**20),
        (("-Xms1g", "-Xmx2G", "-XX:+UseG1GC"), 2 * 2**30),
        (("-Xmx64000k",), 64000 * 2**10),
        (("-Xmx1g", "-Xmx3g"), 3 * 2**30),
        ((), 25_000_000),
    ],
)
def test_the_heap_is_read_from_the_jvms_options(options: tuple[str, ...], bytes_: int) -> None:
    assert heap_of(node(java_options=options, memory=1e8)) == bytes_


def test_a_machine_with_room_is_taken(tmp_path: Path) -> None:
    preflight(tmp_path / "not" / "yet", [node()])
    assert not list(tmp_path.iterdir()), "it looks only"


def test_memory_that_lacks_is_named_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [node(f"broker-{index}", java_options=("-Xmx512m",)) for index in (1, 2)]
    needed = 2 * (512 * 2**20 + BESIDE_THE_HEAP)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(needed))
    preflight(tmp_path, nodes)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(needed - 1))
    with pytest.raises(
        KdeployError, match=r"cannot hold 2 more nodes:\n  memory: they take up to .*available"
    ):
        preflight(tmp_path, nodes)


def test_disk_and_open_files_that_lack_are_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Disk(1e6))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    with pytest.raises(KdeployError, match=r"(?s)disk: .*KDEPLOY_STATE_DIR.*open files: .*1024 open"):
        preflight(tmp_path, [node()])


def test_nodes_that_run_already_need_nothing_more(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    provider.start(one)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(0))
    provider.provision(blueprint(one))
    provider.stop(one)
    with pytest.raises(KdeployError, match="memory"):
        provider.provision(blueprint(one))
