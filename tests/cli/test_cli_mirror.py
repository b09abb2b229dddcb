"""What `mirror status` prints of a direction, from values."""

from __future__ import annotations

import pytest

from kdeploy.cli.mirror import text
from kdeploy.cluster.mirror import LinkStatus, MirrorStatus, Sign

MADE = "2026-11-27T09:00:00+00:00"


@pytest.mark.parametrize(
    ("heartbeat", "said"),
    [
        (Sign(MADE, 2.0, 0.25), "0.25 s"),
        (Sign(MADE, 2.0), "unknown; told where east.heartbeats there has LogAppendTime, and clocks agree"),
    ],
)
def test_the_latency_of_a_heartbeat_is_what_the_topic_tells_or_unknown(heartbeat: Sign, said: str) -> None:
    link = LinkStatus("east", "west", True, (), heartbeat, None, (), ())
    printed = text(MirrorStatus("prod", "active-passive", "east", 0, MADE, (link,)), [])
    # A long cell goes on below itself.
    words = " ".join(printed.split())
    assert f"heartbeat latency {said} last checkpoint" in words


def test_where_no_heartbeat_ever_came_nothing_is_said_of_its_latency() -> None:
    link = LinkStatus("east", "west", True, (), None, None, (), ())
    printed = text(MirrorStatus("prod", "active-passive", "east", 0, MADE, (link,)), [])
    assert "heartbeat latency" not in printed
