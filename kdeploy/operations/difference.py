"""What is against what should be, node by node: the one answer behind preview, up and status.

Invariant: pure; `up` does exactly the actions listed here, and preview prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdeploy.blueprint import Node
from kdeploy.infra import NodeState

ActionKind = Literal["create", "start", "update", "restart", "none", "unseen"]
"""create: it was never here; start: it is stopped (its files brought up to date first);
restart: it runs with other files or secrets than it should; update: files that take no restart;
none: it is what it should be; unseen: it cannot be asked, so what it needs is not known."""


@dataclass(frozen=True)
class Action:
    """What one node needs, and why.

    Attributes:
        node: The node.
        kind: What it needs.
        reason: Why.
        prepared: As `NodeState.prepared`.
    """

    node: Node
    kind: ActionKind
    reason: str
    prepared: bool = False

    @property
    def needs_its_place(self) -> bool:
        """Whether what it stands on has to be made, or looked at by all that `Provider.provision` looks at.

        What runs, on a host that was seen to be as it should be, has all of that.
        """
        return self.kind in ("create", "start", "unseen") or (self.kind != "none" and not self.prepared)


def actions(
    nodes: Sequence[Node],
    states: Mapping[str, NodeState],
    wanted: Mapping[str, str],
    outdated: Mapping[str, str] | None = None,
) -> tuple[Action, ...]:
    """One action per node, in the blueprint's order.

    Args:
        nodes: As they should be.
        states: What the provider sees, by `Node.key`.
        wanted: `Provider.wanted` of each, by `Node.key`.
        outdated: `Remakes.outdated`: machines that have to be changed while their nodes are stopped.
    """
    found = (_action(node, states[node.key], wanted[node.key]) for node in nodes)
    return tuple(_on_its_machine(action, (outdated or {}).get(action.node.key)) for action in found)


def _on_its_machine(action: Action, why: str | None) -> Action:
    """A running node whose machine has to be changed is restarted for that, and with its new files at once."""
    if why is None or action.kind in ("create", "start", "unseen"):
        return action
    return replace(action, kind="restart", reason=why)


def _action(node: Node, state: NodeState, wanted: str) -> Action:
    if state.unseen:
        return Action(node, "unseen", f"it cannot be asked: {state.detail}")
    if state.emptied:
        return Action(node, "create", "its machine was stopped, and its own disks came back empty")
    if not state.present:
        return Action(node, "create", "it does not exist yet")
    if not state.running:
        return Action(node, "start", f"it is not running: {state.detail}")
    if state.started != wanted:
        reason = "its configuration or certificates changed since it started"
        return Action(node, "restart", reason, state.prepared)
    if state.applied != wanted:
        reason = "its files are not what they should be, which takes no restart"
        return Action(node, "update", reason, state.prepared)
    return Action(node, "none", "it is as it should be")
