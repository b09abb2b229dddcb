"""A failover and a failback that are killed between any two steps: the same command finishes, with the same guarantees.

Every moment that the commands name, one after the other in a soak, and some of them drawn otherwise. In memory, where
nothing copies: what the mirror would have done by then, `Moment` does as its connectors run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy.operations import failback, set_out, switching
from kdeploy.operations import failover as command
from tests.operations.two_sides_world import TwoSides

OPEN = {"orders", "payments"}
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"
SEED = int(os.environ.get("KDEPLOY_SEED", "0")) or random.SystemRandom().randrange(1_000_000)
DRAWN = 2
"""Moments of each scenario where not all are tried: each takes a second or two."""

MODULES = ("apply", "failback", "failover", "mirroring", "set_out", "standbys", "switching")


class Killed(BaseException):
    """What SIGKILL is here."""


class Moments:
    """Stands in for the named moments: remembers them, and ends the command at the one of a number."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int = 0) -> None:
        self.seen: list[str] = []
        self.number = number
        for module in MODULES:
            patch.setattr(f"kdeploy.operations.{module}.kill_point", self)

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if len(self.seen) == self.number:
            raise Killed(name)


def planned(two: TwoSides, _: Path) -> Callable[[], object]:
    two.write("east", 5)
    two.mirrored("east", "west", 5)
    return lambda: command.failover(two.loaded, "west", two.steps, patience=30)


def lost(two: TwoSides, _: Path) -> Callable[[], object]:
    two.write("east", 7)
    two.mirrored("east", "west", 3)
    two.down = {"east"}
    return lambda: command.failover(two.loaded, "west", two.steps, accept_loss=True)


def back(two: TwoSides, folder: Path) -> Callable[[], object]:
    lost(two, folder)()
    two.down = set()
    two.write("west", 2)
    return lambda: failback.failback(two.loaded, two.steps, export=folder / "alone", patience=30)


SCENARIOS = {"planned": planned, "lost": lost, "back": back}
ENDS = {"planned": ("west", "east"), "lost": ("west", "east"), "back": ("east", "west")}


def mirror(two: TwoSides) -> None:
    """What the mirror from west to east does in memory: all that west has from where it was set out is copied."""
    if "west-to-east-records" in two.running("east"):
        end = len(two.sides["west"].logs.get(("orders", 0), []))
        two.connects["east"].kept["west-to-east-records"] = {
            "orders-0": ({"cluster": "west", "partition": 0, "topic": "orders"}, {"offset": end - 1})
        }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whenever_it_is_killed_the_same_command_finishes(
    two: TwoSides, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"KDEPLOY_SEED={SEED}")
    monkeypatch.setattr("kdeploy.operations.switching.time.sleep", lambda _: mirror(two))
    monkeypatch.setattr(set_out, "STARTS_WITHIN", 30.0)
    monkeypatch.setattr(switching, "LOOK", 0.0)
    run = SCENARIOS[scenario](two, tmp_path / "whole")
    with monkeypatch.context() as patch:
        moments = Moments(patch)
        run()
    whole = moments.seen
    told = (two.direction("west"), two.running("east"), two.running("west"))
    numbers = range(1, len(whole) + 1)
    for number in numbers if SOAK else sorted(random.Random(SEED).sample(numbers, DRAWN)):
        two.anew()
        run = SCENARIOS[scenario](two, tmp_path / str(number))
        with monkeypatch.context() as patch:
            Moments(patch, number)
            with pytest.raises(Killed):
                run()
        where = f"killed at {number}, {whole[number - 1]}"
        # One that is dead, or was until now, is as it was when it died.
        assert scenario != "planned" or not (two.writers("east") and two.writers("west")), where
        run()
        written, other = ENDS[scenario]
        assert (two.writers(written), scenario == "lost" or two.writers(other)) == (
            OPEN,
            scenario == "lost" or set(),
        ), where
        assert (two.running("east"), two.running("west")) == told[1:], where
        found = two.direction(written)
        assert found is not None, where
        assert told[0] is not None
        assert (found.active, found.planned, found.mirrored, found.ends) == (
            told[0].active,
            told[0].planned,
            told[0].mirrored,
            told[0].ends,
        ), where
        if scenario == "back":
            lines = (tmp_path / str(number) / "alone" / "orders-0.jsonl").read_text().splitlines()
            assert len(lines) == 4, where
