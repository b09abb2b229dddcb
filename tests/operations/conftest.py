from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a fake Java and a fake Kafka; no process of it outlives the test."""
    made = Machine.make(tmp_path)
    yield made
    made.clear()
