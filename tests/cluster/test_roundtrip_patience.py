"""How long a round trip is waited for: as long as records move, and not for ever."""

from __future__ import annotations

import pytest

from kdeploy.cluster import roundtrip


class Clock:
    """A clock that only a flush moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SlowProducer:
    """A producer that gets `pace` records acknowledged each second, until it stops for good."""

    def __init__(self, clock: Clock, records: int, pace: float, stops_after: float = 1e9) -> None:
        self.clock, self.records, self.pace, self.ends = clock, float(records), pace, clock.now + stops_after
        self.purged = False

    def __len__(self) -> int:
        return int(self.records)

    def flush(self, seconds: float) -> int:
        self.clock.now += seconds
        if self.clock.now < self.ends:
            self.records = max(0.0, self.records - self.pace * seconds)
        return len(self)

    def purge(self) -> None:
        self.purged = True


ROWS = (
    ("fast", 10_000, 10_000, 1e9, 0, 2),
    ("slow, yet it moves", 10_000, 50, 1e9, 0, 201),
    ("a record now and then", 10, 1 / 40, 1e9, 2, roundtrip.LONGEST),
    ("nothing at all", 10_000, 0, 1e9, 10_000, roundtrip.PATIENCE),
    ("stopped half-way", 10_000, 100, 50, 5_100, 49 + roundtrip.PATIENCE),
)


@pytest.mark.parametrize(
    ("how", "records", "pace", "stops_after", "left", "seconds"), ROWS, ids=[r[0] for r in ROWS]
)
def test_what_moves_is_waited_for_and_what_does_not_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    records: int,
    pace: float,
    stops_after: float,
    left: int,
    seconds: float,
) -> None:
    clock = Clock()
    monkeypatch.setattr(roundtrip.time, "monotonic", clock.monotonic)
    producer = SlowProducer(clock, records, pace, stops_after)
    assert roundtrip.flush(producer) == left, how
    assert clock.now - 1000 == pytest.approx(seconds, abs=1.5)
    assert producer.purged
