"""What each node needs follows from what is seen of it."""

from __future__ import annotations

import pytest

from kdeploy.blueprint import Node
from kdeploy.infra import NodeState
from kdeploy.operations.difference import actions

NODE = Node(
    datacenter="dc1",
    name="broker-1",
    role="broker",
    id=1,
    rack="a",
    host="localhost",
    bind="127.0.0.1",
    ports={},
    cores=1,
    memory=2.0**30,
    data_directories=(),
    format_arguments=(),
    java_options=(),
    main_class="kafka.Kafka",
    arguments=(),
    files=(),
    secrets=(),
)

CASES = [
    # present, running, applied, started -> what it needs
    (False, False, None, None, "create"),
    (True, False, None, None, "start"),
    (True, False, "new", None, "start"),
    (True, False, "old", None, "start"),
    (True, True, "new", "new", "none"),
    (True, True, "old", "old", "restart"),
    (True, True, "new", "old", "restart"),
    (True, True, None, "old", "restart"),
    (True, True, None, "new", "update"),
    (True, True, "old", "new", "update"),
    (True, True, "new", None, "restart"),
]


def test_what_a_node_that_cannot_be_asked_needs_is_not_known() -> None:
    state = NodeState(True, False, None, None, "it does not answer", may_return=True, unseen=True)
    (action,) = actions([NODE], {NODE.key: state}, {NODE.key: "new"})
    assert (action.kind, action.reason) == ("unseen", "it cannot be asked: it does not answer")
    assert action.needs_its_place, "its host is looked at by all that can be looked at"


@pytest.mark.parametrize(("present", "running", "applied", "started", "kind"), CASES)
def test_a_node_needs_just_what_brings_it_to_what_it_should_be(
    present: bool, running: bool, applied: str | None, started: str | None, kind: str
) -> None:
    state = NodeState(present, running, applied, started, "seen")
    (action,) = actions([NODE], {NODE.key: state}, {NODE.key: "new"})
    assert action.kind == kind
    assert action.reason


@pytest.mark.parametrize(
    ("running", "started", "prepared", "needs"),
    [
        (False, None, True, True),
        (True, "new", True, False),
        (True, "old", True, False),
        (True, "old", False, True),
        (True, "new", False, True),
    ],
)
def test_only_what_runs_where_all_is_as_it_should_be_is_spared_the_preparing(
    running: bool, started: str | None, prepared: bool, needs: bool
) -> None:
    state = NodeState(True, running, None, started, "seen", prepared=prepared)
    (action,) = actions([NODE], {NODE.key: state}, {NODE.key: "new"})
    assert action.needs_its_place is needs


def test_what_is_as_it_should_be_needs_no_preparing() -> None:
    (action,) = actions([NODE], {NODE.key: NodeState(True, True, "new", "new", "seen")}, {NODE.key: "new"})
    assert not action.needs_its_place
