"""Real clusters on this machine, brought up once for all tests that only use them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import ports
from tests.e2e.local.kdeploy_command import Kdeploy

SHIPPED = Path(__file__).parents[3] / "environments"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters that stay up for the whole session come last: until then others have the processors."""
    items.sort(
        key=lambda item: (
            item.path.name
            in (
                "test_clients_that_were_handed_out.py",
                "test_cluster_over_the_protocol.py",
                "test_resources_over_the_protocol.py",
            )
        )
    )


@dataclass(frozen=True)
class RunningCluster:
    """A cluster that is up, and all that a test needs to talk to it."""

    kdeploy: Kdeploy
    access: Any
    environment: Any
    blueprint: Any
    passwords: dict[str, str]
    vault: Any


def prepare(root: Path, name: str, base_port: int) -> Kdeploy:
    """A copy of a shipped environment in a folder of its own, on other ports."""
    shutil.copytree(SHIPPED / name, root / "environments" / name)
    kdeploy = Kdeploy(root, name)
    text = kdeploy.file.read_text()
    if re.search(r"base_port: \d+", text):
        text = re.sub(r"base_port: \d+", f"base_port: {base_port}", text)
    else:
        text = re.sub(r"( +)(- name: \S+\n)", rf"\1\2\1  base_port: {base_port}\n", text, count=1)
    kdeploy.file.write_text(text)
    return kdeploy


def describe(kdeploy: Kdeploy) -> RunningCluster:
    """What a test needs to talk to a cluster that is up."""
    from kdeploy.operations import prepare as preparing
    from kdeploy.operations import site, vaults
    from kdeploy.operations.progress import Silent
    from kdeploy.spec import load

    os.environ["KDEPLOY_STATE_DIR"] = str(kdeploy.root / "state")
    loaded = load.load(kdeploy.file.parent)
    design = preparing.design(loaded, freeze=False)
    vault = vaults.open_existing(loaded)
    here = site.sites(design, vault, Silent())[0]
    return RunningCluster(
        kdeploy, here.access, loaded.environment, here.cluster, dict(vault.passwords), vault
    )


def running(root: Path, name: str) -> Iterator[RunningCluster]:
    """Bring a shipped environment up, hand it out, and leave nothing of it."""
    kdeploy = prepare(root, name, ports.SESSION[name])
    try:
        kdeploy("up")
        yield describe(kdeploy)
    finally:
        kdeploy("down", "--delete-data", "--yes", code=None)


@pytest.fixture(scope="session")
def zookeeper_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """The shipped environment `local`, up for the whole session; tests leave it as it was."""
    yield from running(tmp_path_factory.mktemp("zookeeper"), "local")


@pytest.fixture(scope="session")
def kraft_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """The shipped environment `local-kraft`, up for the whole session; tests leave it as it was."""
    yield from running(tmp_path_factory.mktemp("kraft"), "local-kraft")
