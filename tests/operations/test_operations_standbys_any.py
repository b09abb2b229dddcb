"""Whatever happens to three datacenters of which one is written to, in any order, and wherever kdeploy is killed."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kdeploy.cluster.direction import Direction, Disagreement
from kdeploy.errors import KdeployError
from kdeploy.operations import fencing, mirroring
from kdeploy.operations.failback import failback
from kdeploy.operations.failover import failover
from tests.operations.standbys_world import PLACES, Standbys
from tests.operations.test_operations_killed import Killed, Moments

EXAMPLES = int(os.environ.get("KDEPLOY_EXAMPLES", "60"))
"""Courses of events that are tried."""


@dataclass(frozen=True)
class Round:
    """What happens, in this order.

    Attributes:
        written: Records that are written to each datacenter that is open and answers.
        mirrored: Records that come from one to another, where that is mirrored; all, where more are named than there are.
        down: Those that do not answer from then on: the one that is written to, and the next ones after it.
        command: What is run.
        to: Where to: so many after the one that is written to.
        killed: The moment that it is killed at, where it comes to so many.
    """

    written: int
    mirrored: Mapping[tuple[str, str], int]
    down: frozenset[int]
    command: str
    to: int
    killed: int


WAYS = [(one, other) for one in PLACES for other in PLACES if one != other]
ROUND = st.builds(
    Round,
    written=st.integers(0, 5),
    mirrored=st.fixed_dictionaries({way: st.sampled_from((0, 1, 2, 3, 4, 100)) for way in WAYS}),
    down=st.sampled_from([frozenset(one) for one in ((), (0,), (0,), (1,), (0, 1), (1, 2))]),
    command=st.sampled_from(("failover", "failover", "failback", "up", "")),
    to=st.sampled_from((1, 1, 2, 2, 0)),
    killed=st.one_of(st.just(10_000), st.integers(1, 40)),
)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standbys]:
    with pytest.MonkeyPatch.context() as patch:
        yield Standbys(tmp_path_factory.mktemp("standbys"), patch)


def up(three: Standbys) -> None:
    """What `up` does about who is written to, where everything runs."""
    asked = [replace(one, patience=0.01) for one in three.sites]
    sites, direction = mirroring.as_decided(asked)
    for one in sites:
        fencing.hold(one)
    mirroring.bring_up(sites, direction)


def run(three: Standbys, what: str, to: str = "") -> None:
    match what:
        case "failover":
            failover(three.loaded, to, three.steps, accept_loss=True, patience=0.05)
        case "failback":
            failback(three.loaded, three.steps, patience=0.05)
        case _:
            up(three)


def exported(folder: Path) -> set[int]:
    lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.read_text().splitlines()]
    return {int(base64.b64decode(json.loads(line)["value"])) for line in lines}


def happen(three: Standbys, one: Round) -> set[int]:
    """Have it happen; numbers of the records that were acknowledged."""
    acknowledged: set[int] = set()
    for place in PLACES:
        if place not in three.down and "orders" in three.writers(place):
            before = set(three.values(place))
            three.write(place, one.written)
            acknowledged |= set(three.values(place)) - before
    for way, most in one.mirrored.items():
        if most:
            three.mirror(most=most, only=way)
    found = mirroring.heard(three.loaded.environment.name)
    active = PLACES.index(found.active if found else "north")
    three.down = {PLACES[(active + number) % 3] for number in one.down}
    with suppress(KdeployError, Killed), pytest.MonkeyPatch.context() as moments:
        Moments(moments, one.killed)
        if one.command:
            run(three, one.command, PLACES[(active + one.to) % 3])
    return acknowledged


def settle(three: Standbys) -> None:
    """All answer again, and a person does what each refusal says, until all is where it was declared to be."""
    three.down = set()
    for _ in range(12):
        found = mirroring.heard(three.loaded.environment.name) or Direction(0, "north")
        if found.active == "north" and not found.apart and not found.gathers:
            break
        try:
            run(three, "failover" if found.gathers else "failback", found.active)
        except Disagreement as error:
            run(three, "failover", error.kept[0].active)
        except KdeployError as error:
            three.steps.said.append(f"refused: {error}")
            with suppress(Disagreement):
                run(three, "up")
    else:
        raise AssertionError(three.steps.said)
    run(three, "up")
    three.mirror()


@settings(
    phases=[Phase.generate],  # one that fails is told as it was found: making it shorter takes minutes
    report_multiple_bugs=False,
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rounds=st.lists(ROUND, min_size=2, max_size=6))
def test_no_record_is_lost_unseen_or_there_twice(standing: Standbys, rounds: list[Round]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        three = standing.stand_in(patch)
        patch.setattr("kdeploy.operations.standbys.ANSWERS_WITHIN", 0.01)
        acknowledged: set[int] = set()
        for one in rounds:
            acknowledged |= happen(three, one)
        settle(three)
        kept, written = set(three.values("north")), exported(three.state)
        assert acknowledged <= kept | written
        for place in PLACES:
            assert three.once(place), (place, three.values(place))
            assert kept - written <= set(three.values(place)), place
