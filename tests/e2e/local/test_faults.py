"""Killed at any moment, killed anywhere: the same command again finishes, and no record is lost.

An ordinary run takes the first row, the last, and one drawn by KDEPLOY_SEED;
with KDEPLOY_SOAK=1 (`make soak`) all of them, and docs/evidence.json is written.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import ports
from tests.e2e.local import evidence
from tests.e2e.local.faults import FAULTS, Fault, chosen
from tests.e2e.local.life import Life, Outcome, seconds_since

pytestmark = pytest.mark.kafka

SEED = int(os.environ.get("KDEPLOY_SEED") or random.randrange(1_000_000))
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"
RECORDS = int(os.environ.get("KDEPLOY_RECORDS") or 100_000)
"""Records to be acknowledged in each row; an ordinary run's three make 300,000 together."""


@pytest.fixture(scope="module")
def life_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Life]]:
    """One environment for all rows of its name; the one before it has ended, so that only one takes processors."""
    lives: dict[str, Life] = {}

    def begin(name: str) -> Life:
        if name not in lives:
            while lives:
                lives.popitem()[1].end()
            root = tmp_path_factory.mktemp(f"Größe und 状態 of {name}")
            lives[name] = Life.begin(root, name, ports.FAULTS[name], RECORDS, SEED)
        return lives[name]

    yield begin
    for life in lives.values():
        life.end()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", FAULTS if SOAK else chosen(SEED), ids=lambda fault: fault.name)
def test_after_it_everything_acknowledged_is_there(fault: Fault, life_of: Callable[[str], Life]) -> None:
    print(f"KDEPLOY_SEED={SEED}")
    began, result, outcome = time.monotonic(), "failed", Outcome()
    try:
        life_of(fault.environment).suffer(fault, outcome)
        print(outcome)
        assert outcome.tries > 0
        if outcome.checked:
            assert (outcome.checked.lost, outcome.checked.out_of_order) == (0, 0), outcome
        result = "passed"
    finally:
        if SOAK:
            evidence.record(evidence.row(fault, outcome, result, seconds_since(began), SEED))
