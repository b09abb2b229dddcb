"""Two datacenters of real hosts 80 ms apart, both written to: the line between them is cut for minutes and put back.

One life, told in order; each test goes on from where the one before it left the hosts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kdeploy.planner.mirrors import drain
from tests.e2e.fleet.conftest import PATIENCE, two_fleets
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.two_sides import SIZE, Sides, Writing
from tests.fleet import base, datacenters, wan
from tests.fleet.environment import two_datacenters
from tests.fleet.wan import Shape, Wan

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

LINE = Shape(round_trip=0.08, rate=400e3)
RATE = 1000
"""Records per second that each side writes: about a third of what the line carries."""

RECORD = SIZE + 20
"""Bytes of a record as brokers count them: its value, its key, and its share of a batch."""

CUT = 300.0
"""Seconds for which nothing gets through: long against the half a minute in which clients of Kafka connect anew."""

FACES = {"east": "west", "west": "east"}


@dataclass(frozen=True)
class Apart:
    """Both datacenters, what was written to them, and the line between them."""

    sides: Sides
    line: Wan

    @property
    def kdeploy(self) -> Kdeploy:
        return self.sides.kdeploy

    def lag(self) -> float:
        """Seconds that the direction is behind which is more so."""
        document = self.kdeploy("mirror status", "--output", "json", code=None).document
        seconds = [one["seconds"] for link in document["links"] for one in link["topics"]]
        assert len(document["links"]) == 2
        return max(math.inf if one is None else one for one in seconds)

    def is_everywhere(self) -> bool:
        """Whether each side has all that the other one acknowledged."""
        return all(
            self.sides.read(there, f"{here}.orders").keys() >= self.sides.acknowledged[here]
            for here, there in FACES.items()
        )


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    problem = base.lacking() or wan.lacking()
    if problem:
        pytest.skip(problem)
    with two_fleets(tmp_path_factory.mktemp("two"), ("controller", "broker", "mirror")) as (fleet, kdeploy):
        said = {"mode": "active-active", "bandwidth": "400kB/s", "round_trip": "80ms"}
        text = two_datacenters(fleet, **said, tasks=2)  # type: ignore[arg-type]
        kdeploy.file.write_text(text.replace("throughput: 1MB/s", "throughput: 120kB/s"))
        sides = Sides(kdeploy)
        with datacenters.line(LINE) as line:
            try:
                yield Apart(sides, line)
            finally:
                sides.rest()


def test_they_come_up_over_a_long_line_and_each_has_what_the_other_acknowledges(apart: Apart) -> None:
    for command in ("plan --lock", "vault create", "up"):
        apart.kdeploy(command)
    both = [Writing(apart.sides, name, rate=RATE, idempotent=True) for name in FACES]
    for writing in both:
        writing.wait_for(10_000)
    for writing in both:
        writing.stop()
    deadline = time.monotonic() + PATIENCE
    while not apart.is_everywhere():
        assert time.monotonic() < deadline
    assert min(one["passed"] for one in apart.line.counted()) > 0


def test_after_a_cut_of_minutes_all_arrives_once_and_within_half_again_the_time_that_was_planned(
    apart: Apart,
) -> None:
    both = [Writing(apart.sides, name, rate=RATE, idempotent=True) for name in FACES]
    for writing in both:
        writing.wait_for(5000)
    normal = apart.lag()
    apart.line.cut()
    cut = time.monotonic()
    before = {name: len(apart.sides.acknowledged[name]) for name in FACES}
    while time.monotonic() < cut + CUT:
        time.sleep(1)
    assert apart.lag() > CUT / 2, "nobody was held up, and both sides took records"
    written = max(len(apart.sides.acknowledged[name]) - before[name] for name in FACES)
    live = written * RECORD / (time.monotonic() - cut)
    apart.line.mend()
    mended = time.monotonic()
    plan = apart.kdeploy("plan", "--output", "json").document
    carried = min(link["carried"] for one in plan["datacenters"] for link in one["mirror"]["links"])
    planned = float(drain(mended - cut, live, carried))
    while (behind := apart.lag()) > max(2 * normal, 2.0):
        assert time.monotonic() < mended + 1.5 * planned, f"{behind} s behind; {planned:.0f} s were planned"
    print(
        f"caught up {time.monotonic() - mended:.0f} s after a cut of {mended - cut:.0f} s; planned: {planned:.0f} s"
    )
    for writing in both:
        writing.stop()
    deadline = time.monotonic() + PATIENCE
    while not apart.is_everywhere():
        assert time.monotonic() < deadline
    for here, there in FACES.items():
        found = apart.sides.read(there, f"{here}.orders")
        assert found.keys() == apart.sides.acknowledged[here]
        assert set(found.values()) == {1}
