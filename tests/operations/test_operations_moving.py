"""How fast copies are moved, and what a preview says beside its changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import reconcile
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.moving import RATES
from kdeploy.cluster.state import NewTopic
from kdeploy.operations import apply, notes
from kdeploy.spec import load
from kdeploy.spec.model import Environment

ONE = {"name": "orders", "partitions": 2, "replication_factor": 1}


class Watched(FakeAdmin):
    """Remembers what brokers were throttled to when copies began to move."""

    def reassign(self, targets: Mapping[tuple[str, int], tuple[int, ...]]) -> None:
        self.rates = {self.dynamic[broker][name] for broker in (1, 2, 3) for name in RATES}
        super().reassign(targets)


def raised(environment: Environment, move_rate: float | None) -> set[str]:
    """The rates at which `apply` moves copies of a topic that is to have three."""
    admin = Watched()
    admin.create_topics([NewTopic("orders", 2, 1)])
    plan = reconcile.plan(environment, admin, {})
    here: Any = SimpleNamespace(
        manner=SimpleNamespace(move_rate=move_rate),
        design=SimpleNamespace(loaded=SimpleNamespace(environment=environment)),
        patience=1.0,
        progress=SimpleNamespace(step=lambda *_: None),
        passwords=dict,
    )
    apply.carry_out(here, admin, plan)
    return admin.rates


def environment_of(*topics: dict[str, Any], **fields: Any) -> Environment:
    return Environment.model_validate({"name": "test", "topics": topics, **fields})


@pytest.mark.parametrize(
    ("moving", "flag", "expected"),
    [({}, None, "50000000"), ({"rate": "80MB/s"}, None, "80000000"), ({"rate": "80MB/s"}, 2e8, "200000000")],
)
def test_copies_move_at_the_environments_rate_unless_a_person_says_another(
    moving: dict[str, str], flag: float | None, expected: str
) -> None:
    wanted = environment_of({**ONE, "replication_factor": 3}, moving=moving)
    assert raised(wanted, flag) == {expected}


FILES = {
    "environment.yaml": "moving: {rate: 80MB/s}\n",
    "topics.yaml": "topics:\n  - {name: orders, partitions: 2, replication_factor: 3}\n",
    "users.yaml": "users:\n  - name: shop\n",
    "acls.yaml": (
        "acls:\n  - user: shop\n    role: consumer\n    topics: [orders, theirs, odrers, 'pay*']\n"
        "    groups: [g]\n"
    ),
}


def test_a_preview_names_rights_on_topics_that_are_nowhere_and_how_fast_copies_move(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    loaded = load.load(folder)
    admin = FakeAdmin()
    admin.create_topics([NewTopic("orders", 2, 1)])
    plan = reconcile.plan(loaded.environment, admin, {"shop": "a password of the shop"})
    place = f"{folder}/acls.yaml:4: acls[0]."
    assert list(notes.of(loaded, plan, {"orders", "theirs"})) == [
        "copies are moved at 80 MB/s for each broker (moving.rate; --move-rate of up and apply outranks it)",
        f"{place}topics[2]: no topic that is declared or in the cluster is called odrers; did you mean orders?",
        f"{place}topics[3]: no topic that is declared or in the cluster has a name that begins with pay",
    ]
    (folder / "environment.yaml").write_text("accept_risks: [unknown-topic]\n")
    silent = reconcile.plan(load.load(folder).environment, FakeAdmin(), {"shop": "a password of the shop"})
    assert list(notes.of(load.load(folder), silent, set())) == [], "nothing moves, and the risk is accepted"
