from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_machine import Machine
from tests.operations.two_sides_world import TwoSides
from tests.operations.world import World


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a fake Java and a fake Kafka; no process of it outlives the test."""
    made = Machine.make(tmp_path)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A simulated cluster after its first `up`, brought up once for the tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        made = World(tmp_path_factory.mktemp("world"), "local", patch)
        made.begin()
        yield made


@pytest.fixture
def world(standing: World) -> World:
    """The same, put back to what it was."""
    standing.again()
    return standing


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TwoSides]]:
    """One environment of each mode, brought up once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("two")
        yield {mode: TwoSides(root / mode, f"local-two-dc-{mode}", patch) for mode in ("active", "passive")}


@pytest.fixture
def two(both: dict[str, TwoSides], monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    return both["passive"].stand_in(monkeypatch)


@pytest.fixture
def active(both: dict[str, TwoSides], monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    return both["active"].stand_in(monkeypatch)
