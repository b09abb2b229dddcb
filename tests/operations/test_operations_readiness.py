"""Waiting is for what can be seen, and what cannot be seen for a moment is waited for too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster.failure import TimedOut
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Metadata, NewTopic
from kdeploy.errors import GateClosed
from kdeploy.operations import readiness
from kdeploy.operations.progress import Silent
from tests.infra.nodes import node


def site(patience: float) -> Any:
    """As much of a site as waiting for a gate needs."""
    design = SimpleNamespace(blueprint=SimpleNamespace(environment="demo"))
    return SimpleNamespace(patience=patience, progress=Silent(), design=design)


class Busy(FakeAdmin):
    """A cluster that does not answer the first questions, as while its controller changes."""

    def __init__(self, silent: int) -> None:
        super().__init__()
        self.unanswered = silent

    def metadata(self) -> Metadata:
        self.unanswered -= 1
        if self.unanswered >= 0:
            raise TimedOut("no answer in time\n  look")
        return super().metadata()


def test_a_gate_that_cannot_be_looked_at_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PAUSE", 0.01)
    admin = Busy(silent=2)
    readiness.wait_for_gate(site(10), admin, node())
    assert admin.unanswered < 0


def test_a_gate_that_stays_closed_says_what_holds_it_and_both_ways_on() -> None:
    with pytest.raises(GateClosed, match="no answer in time") as closed:
        readiness.wait_for_gate(site(0), Busy(silent=1000), node())
    admin = FakeAdmin()
    admin.create_topics([NewTopic("single", partitions=3, replication_factor=1)])
    with pytest.raises(GateClosed, match="topic single has replication factor 1"):
        readiness.wait_for_gate(site(0), admin, node())
    assert "`kdeploy down demo`, then `kdeploy up demo`" in str(closed.value)
