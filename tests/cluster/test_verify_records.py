"""Records went through each broker, or the check says through which they did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.blueprint import ClusterBlueprint
from kdeploy.cluster import Access, roundtrip, verify
from kdeploy.cluster.fake import BROKERS, FakeAdmin
from kdeploy.cluster.stage import Stage
from kdeploy.cluster.state import NewTopic
from kdeploy.cluster.temporary import Names
from tests.infra.nodes import node

NAMES = Names("__kdeploy-verify-run")
NODES = tuple(node(f"broker-{number}", ports={"client": 9092}) for number in (1, 2, 3))
CLUSTER = ClusterBlueprint("here", "local", "zookeeper", "3.9.2", None, NODES)


def stage_of(count: int) -> tuple[FakeAdmin, Stage]:
    """A stage that was put up while so many brokers were there."""
    admin = FakeAdmin(BROKERS[:count])
    admin.create_topics([NewTopic(NAMES.records, assignment=tuple((n + 1,) for n in range(count)))])
    access = Access("", Path("ca.pem"), Path("admin.pem"), "")
    return admin, Stage(access, NAMES, NODES[:count], plaintext=True, acls=False, passwords={})


@pytest.mark.parametrize(
    ("there", "ok", "detail"),
    [
        (3, True, "10,000 records acknowledged and read back through each of 3 brokers"),
        (2, False, "broker-3 was not registered"),
    ],
)
def test_a_broker_that_nothing_went_through_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, there: int, ok: bool, detail: str
) -> None:
    monkeypatch.setattr(roundtrip, "round_trip", lambda *_: 0.1)
    admin, stage = stage_of(there)
    found = verify._records(admin, stage, CLUSTER)
    assert (found.ok, found.detail) == (ok, detail)
