"""What is agreed to, or refused, holds through the whole run: also for what is seen only when nodes have been rolled."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy.cli import kdeploy
from kdeploy.cluster.state import Binding, Metadata, NewTopic
from kdeploy.errors import InvalidEnvironment, KdeployError, UsageError
from kdeploy.infra import NodeState
from kdeploy.infra.local import process
from kdeploy.operations import apply as applying
from kdeploy.operations import expected, preview
from kdeploy.operations.apply import apply
from kdeploy.operations.expected import Moved
from kdeploy.operations.progress import Silent
from kdeploy.operations.site import Manner
from kdeploy.spec import load
from tests.operations.changes_table import TOPICS, USERS, override
from tests.operations.world import World, predicted

TOPIC = (TOPICS, f"{TOPICS}  - {{name: payments, partitions: 2}}\n")
RESTART = override("broker", "queued.max.requests: 400")
BY_HAND = Binding("orders-consumer", "topic", "bills", "literal", "read", "allow", "*")


def saved(world: World, tmp_path: Path) -> expected.Expectation:
    file = tmp_path / "preview.json"
    file.write_text(json.dumps(world.preview().to_json()))
    return expected.read(file, "local")


def while_rolled(monkeypatch: pytest.MonkeyPatch, move: Callable[[], None]) -> None:
    """Have the world move when the first process is started."""
    real, moved = process.launch, list[bool]()

    def launch(*given: Any) -> None:
        if not moved:
            moved.append(True)
            move()
        real(*given)

    monkeypatch.setattr(process, "launch", launch)


def stop_all(world: World) -> None:
    for folder in list(world.processes):
        world._stop(folder, "controlled", 0)


MOVES: tuple[tuple[str, Callable[[World], None], str], ...] = (
    (
        "a topic's setting",
        lambda world: world.admin.set_topic_settings({"orders": {"retention.ms": "1"}}),
        r"- new: topic orders: retention\.ms 1 → 86400000",
    ),
    (
        "a right",
        lambda world: world.admin.create_bindings([BY_HAND]),
        "- new: remove ACL: orders-consumer may read topic bills",
    ),
    (
        "a setting of all brokers",
        lambda world: world.admin.set_broker_settings(-1, {"log.cleaner.threads": "2"}),
        r"every broker: log\.cleaner\.threads",
    ),
)


@pytest.mark.parametrize(("what", "move", "said"), MOVES, ids=[row[0] for row in MOVES])
def test_what_moves_while_nodes_are_rolled_is_refused_and_nothing_in_the_cluster_is_changed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, move: Any, said: str
) -> None:
    world.edit([TOPIC, *RESTART])
    expectation = saved(world, tmp_path)
    while_rolled(monkeypatch, lambda: move(world))
    before = world.seen()
    with pytest.raises(Moved, match=said) as refused:
        world.up(expectation=expectation)
    assert refused.value.exit_code == 6
    assert "none of it was done" in str(refused.value)
    assert "payments" not in world.admin.topics
    assert {token for token in world.happened(before) if token.startswith("restart")}, "that was agreed to"
    world.up(expectation=saved(world, tmp_path))
    assert not world.preview().pending


def test_what_moves_between_the_two_looks_of_apply_is_refused_too(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.edit([TOPIC])
    expectation, real = saved(world, tmp_path), applying._refuse_moved

    def moved(*given: Any) -> None:
        real(*given)
        world.admin.create_bindings([BY_HAND])

    monkeypatch.setattr(applying, "_refuse_moved", moved)
    with pytest.raises(Moved, match="- new: remove ACL: orders-consumer may read topic bills"):
        apply(load.load(world.folder), Silent(), expectation=expectation)
    assert "payments" not in world.admin.topics


def test_a_preview_without_the_cluster_lets_through_what_is_made_anew(world: World, tmp_path: Path) -> None:
    stop_all(world)
    world.edit(
        [TOPIC, (USERS, f"{USERS}\n  - name: carol\n    acls: [{{name: orders, operations: [read]}}]\n#")]
    )
    expectation = saved(world, tmp_path)
    assert expectation.compared == frozenset()
    before = world.seen()
    world.up(expectation=expectation)
    assert {"topic payments made 2 partitions, 3 copies", "user carol made"} <= world.happened(before)
    assert not world.preview().pending


UNSEEN: tuple[tuple[str, tuple[tuple[str, str], ...], Callable[[World], None], str], ...] = (
    (
        "a deletion",
        (("  - name: orders-consumer\n", "  - name: orders-consumer\n    delete: true\n"),),
        lambda world: None,
        "- new: remove user orders-consumer",
    ),
    (
        "a shorter retention",
        (("retention.ms: 86400000", "retention.ms: 60000"),),
        lambda world: None,
        r"retention\.ms 86400000 → 60000",
    ),
    (
        "fewer copies",
        (("    partitions: 6\n", "    partitions: 6\n    replication_factor: 2\n"),),
        lambda world: None,
        "topic orders: replication factor 3 → 2",
    ),
    ("more partitions", (("partitions: 6", "partitions: 9"),), lambda world: None, "partitions 6 → 9"),
    (
        "a right that somebody gave",
        (),
        lambda world: world.admin.create_bindings([BY_HAND]),
        "- new: remove ACL: orders-consumer may read topic bills",
    ),
)


@pytest.mark.parametrize(("what", "edits", "move", "said"), UNSEEN, ids=[row[0] for row in UNSEEN])
def test_a_preview_without_the_cluster_never_allows_what_changes_or_deletes(
    world: World, tmp_path: Path, what: str, edits: Any, move: Any, said: str
) -> None:
    stop_all(world)
    world.edit([TOPIC, *edits])
    move(world)
    expectation, before = saved(world, tmp_path), world.seen()
    with pytest.raises(Moved, match=said) as refused:
        world.up(expectation=expectation)
    assert "could not be looked at when" in str(refused.value)
    assert {token.split()[0] for token in world.happened(before)} == {"start"}, "all of it is refused"


def test_dynamic_values_that_a_restart_makes_needless_are_part_of_it(world: World, tmp_path: Path) -> None:
    """What preview tells of a broker that is restarted and what is seen after that are told with other values."""
    world.edit(override("broker", "num.io.threads: 12"))
    world.up()
    text = (world.folder / "environment.yaml").read_text()
    (world.folder / "environment.yaml").write_text(
        text.replace("num.io.threads: 12", "queued.max.requests: 400")
    )
    expectation = saved(world, tmp_path)
    world.up(expectation=expectation)
    assert not world.preview().pending


WRONG: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...] = (
    ("fewer partitions", (("partitions: 6", "partitions: 4"),), "Kafka cannot take any away"),
    (
        "a deletion of what was not made here",
        ((TOPICS, f"{TOPICS}  - {{name: theirs, delete: true}}\n"),),
        "topic theirs is not deleted: kdeploy did not make it",
    ),
)


@pytest.mark.parametrize(("what", "edits", "said"), WRONG, ids=[row[0] for row in WRONG])
@pytest.mark.parametrize("nodes", ["rolled", "started"])
def test_mistakes_that_the_cluster_shows_are_refused_before_any_node_is_touched(
    world: World, what: str, edits: Any, said: str, nodes: str
) -> None:
    world.admin.create_topics([NewTopic("theirs", 1, 3, {})])
    world.edit([*edits, *(RESTART if nodes == "rolled" else ())])
    if nodes == "started":
        (folder,) = [folder for folder in world.processes if folder.name == "broker-2"]
        world._stop(folder, "controlled", 0)
    before = world.seen()
    with pytest.raises(InvalidEnvironment, match=said):
        world.up()
    assert world.happened(before) == frozenset()


def test_copies_that_only_brokers_of_this_up_make_possible_are_no_mistake(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three brokers one is down and not registered: `up` starts it before any topic gets three copies."""
    (folder,) = [folder for folder in world.processes if folder.name == "broker-2"]
    world._stop(folder, "controlled", 0)
    world.edit([TOPIC])
    real = world.admin.metadata
    monkeypatch.setattr(
        world.admin, "metadata", lambda: real() if world._runs(folder) else without(real(), 2)
    )
    said, before = world.preview(), world.seen()
    assert "topic payments made 2 partitions, 3 copies" in predicted(said.to_json())
    world.up()
    assert world.happened(before) == {"start broker-2", "topic payments made 2 partitions, 3 copies"}


def test_more_copies_than_the_brokers_that_are_not_left_out_are_refused_before_any_node_is_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = [folder for folder in world.processes if folder.name == "broker-2"]
    world._stop(folder, "controlled", 0)
    real = world.admin.metadata
    monkeypatch.setattr(world.admin, "metadata", lambda: without(real(), 2))
    world.edit([TOPIC, *RESTART])
    before = world.seen()
    with pytest.raises(
        InvalidEnvironment, match="payments is to have 3 copies, and 2 brokers are registered"
    ):
        world.up(manner=Manner(without=("broker-2",)))
    assert world.happened(before) == frozenset()


def without(metadata: Metadata, broker: int) -> Metadata:
    return replace(metadata, brokers=tuple(one for one in metadata.brokers if one.id != broker))


WHY = "10.0.0.2 cannot be reached: it does not answer"


@pytest.fixture
def lost(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which the host of broker-2 does not answer; its process runs, as far as anybody knows."""
    from kdeploy.infra.local.provider import LocalProvider

    real = LocalProvider.observe

    def observe(self: Any, nodes: Any) -> Any:
        unseen = NodeState(True, False, None, None, WHY, may_return=True, unseen=True)
        return {
            key: unseen if key.endswith("/broker-2") else state for key, state in real(self, nodes).items()
        }

    monkeypatch.setattr(LocalProvider, "observe", observe)
    return world


def test_a_node_that_cannot_be_asked_is_previewed_as_such_and_not_as_stopped(lost: World) -> None:
    from kdeploy.cli import changes

    found = lost.preview()
    (item,) = found.items
    assert (item.kind, item.what, item.effect) == ("unseen", "broker-2 cannot be asked", "none")
    assert item.why == f"it cannot be asked: {WHY}"
    assert found.pending
    assert f"? broker-2: it cannot be asked: {WHY}" in " ".join(changes.preview_text(found).split())
    assert "start" not in changes.preview_text(found).partition("nodes")[2].partition("\n\n")[0]


def test_up_changes_no_node_while_one_of_them_cannot_be_asked(lost: World) -> None:
    lost.edit(RESTART)
    before = lost.seen()
    with pytest.raises(KdeployError, match=f"(?s)no node was changed, since not all can be asked.*{WHY}"):
        lost.up()
    assert lost.happened(before) == frozenset()


def test_nothing_is_agreed_to_about_a_node_that_cannot_be_asked(lost: World, tmp_path: Path) -> None:
    lost.edit([TOPIC])
    expectation, before = saved(lost, tmp_path), lost.seen()
    with pytest.raises(
        Moved, match=f"broker-2 cannot be asked, so what would be done there is not known: {WHY}"
    ):
        lost.up(expectation=expectation)
    assert lost.happened(before) == frozenset()
    lost.up(expectation=expectation, manner=Manner(without=("broker-2",)))
    assert lost.happened(before) == {"topic payments made 2 partitions, 3 copies"}


def test_a_preview_without_a_node_is_what_up_without_it_does(lost: World, tmp_path: Path) -> None:
    lost.edit([TOPIC])
    before, without = lost.seen(), Manner(without=("broker-2",))
    found = preview.preview(load.load(lost.folder), manner=without)
    assert [(one.layer, one.name) for one in found.items] == [("topics", "payments")]
    file = tmp_path / "preview.json"
    file.write_text(json.dumps(found.to_json()))
    with pytest.raises(Moved, match=r"(?s)broker-2 cannot be asked.*- new: broker-2 cannot be asked"):
        lost.up(expectation=expected.read(file, "local"))
    assert lost.happened(before) == frozenset()
    lost.up(expectation=expected.read(file, "local"), manner=without)
    assert lost.happened(before) == {"topic payments made 2 partitions, 3 copies"}


def test_a_preview_leaves_out_only_what_is_there_and_down(world: World) -> None:
    loaded = load.load(world.folder)
    with pytest.raises(UsageError, match="no node 'broker-9' to leave out"):
        preview.preview(loaded, manner=Manner(without=("broker-9",)))
    with pytest.raises(KdeployError, match="broker-2 runs, and only a node that is down can be left out"):
        preview.preview(loaded, manner=Manner(without=("broker-2",)))


def test_a_preview_says_the_rate_that_it_is_given_and_what_carries_it_out(world: World) -> None:
    world.admin.create_topics([NewTopic("payments", 2, 1)])
    world.edit([TOPIC])
    said = []
    for rate in ([], ["--move-rate", "120MB/s"]):
        ended = CliRunner().invoke(kdeploy, ["preview", str(world.folder), *rate])
        assert ended.exit_code == 4
        said.append(" ".join(ended.stdout.split()))
    assert "moved at 50 MB/s for each broker (moving.rate; --move-rate" in said[0]
    assert said[0].endswith("Carry it out with: kdeploy up local")
    assert "moved at 120 MB/s for each broker (--move-rate)" in said[1]
    assert said[1].endswith("Carry it out with: kdeploy up local --move-rate 120MB/s")
