"""The benchmark of the mirror over two datacenters in memory: the same backlog for each set of settings."""

from __future__ import annotations

from typing import Any, cast

import pytest

from benchmarks import mirror
from kdeploy.cluster import connectors
from tests.operations.two_sides_world import TwoSides

NAME = "east-to-west-records"


def test_each_run_begins_where_the_backlog_does_with_its_own_settings_and_is_timed_to_its_end(
    two: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    west = two.connects["west"]
    east_site, west_site = two.sites
    found = mirror.Two(cast("Any", None), east_site, west_site)
    monkeypatch.setattr(mirror, "BACKLOG", 100)
    seen: list[tuple[bool, dict[str, str], int]] = []
    offsets = west.offsets
    position = iter([40, 55, 70, 100, 140])

    def moves(name: str) -> Any:
        one = west.found[name]
        if one.state == "RUNNING":
            (entry,) = connectors.entries({"orders": {0: next(position)}}, "east")
            seen.append((one.runs, dict(one.config), entry[1]["offset"] if entry[1] else 0))
            return (entry,)
        return offsets(name)

    clock = [0.0]
    monkeypatch.setattr(west, "offsets", moves)
    monkeypatch.setattr(mirror.time, "sleep", lambda seconds: clock.append(clock[-1] + seconds))
    monkeypatch.setattr(mirror.time, "monotonic", lambda: clock[-1])
    config = {**west.found[NAME].config, "tasks.max": "1"}
    rate = mirror.mirrored(found, NAME, config, {"orders": {0: 40}})
    assert [call for call in west.calls if call[1] == NAME] == [
        ("stop", NAME),
        ("put", NAME),
        ("set the offsets of", NAME),
        ("resume", NAME),
    ]
    assert seen[0] == (True, config, 39)
    # When it was first seen to move, 15 records were there; the other 85 came by three looks, half a second apart.
    assert rate == pytest.approx(85 * mirror.SIZE / 1.5)
