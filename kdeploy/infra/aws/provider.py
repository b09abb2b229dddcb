"""Provider aws: a stack makes the machines, and provider hosts does all the rest on them.

Invariant: what the stack's outputs say is where nodes are and on which volumes; a node whose machine is not in them
is not there, and neither is one whose machine's own disks came back empty. A machine that runs a node is changed by
`remake` alone, one at a time, while that node is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from kdeploy.errors import KdeployError
from kdeploy.infra import NodeState, Secrets, Standing, Strayed
from kdeploy.infra.aws import own_disks
from kdeploy.infra.aws.own_disks import OwnDisk

if TYPE_CHECKING:
    from kdeploy.blueprint import Blueprint, ClusterBlueprint, Node
    from kdeploy.infra.hosts.provider import HostsProvider

VOLUME: Final = "volume:"
"""What the name of a disk begins with, in the Blueprint, whose volume is known late."""

BY_ID: Final = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
"""Where a volume is found on a Nitro instance, by its id without the hyphen, whatever the kernel calls it (Amazon
EBS User Guide, "Map Amazon EBS volumes to NVMe device names", read 2026-11)."""

COMES_BACK: Final = 900.0
"""Seconds for a machine to answer by SSH: a new one boots in one or two minutes, large ones in some more."""

PAUSE: Final = 2.0
AT_ONCE: Final = 25
"""Seconds between two looks at a machine that boots, and machines that are asked at the same time."""


@dataclass(frozen=True)
class Instance:
    """A machine as the stack's outputs tell of it.

    Attributes:
        id: AWS's name of it, `i-…`.
        address: Its private address.
        image: Image that it was started from.
        type: Its EC2 type.
        volumes: Data volumes' ids, in the order of the node's disks.
    """

    id: str
    address: str
    image: str = ""
    type: str = ""
    volumes: tuple[str, ...] = ()


Instances = Mapping[str, Instance]
"""Machines by `Node.key`."""


def instances(outputs: Mapping[str, Any]) -> dict[str, Instance]:
    """Machines that are there, from a stack's outputs."""
    found = {}
    for key, one in (outputs.get("nodes") or {}).items():
        if one.get("instance"):
            volumes = tuple(one.get("volumes") or ())
            found[key] = Instance(
                one["instance"],
                one["address"],
                one.get("image") or "",
                one.get("instance_type") or "",
                volumes,
            )
    return found


def device(name: str, instance: Instance) -> str:
    """Path of a data disk on its machine: by the volume's id, never by the order in which disks were found.

    Args:
        name: As the Blueprint has it, `volume:0`; any other is a path already.
        instance: The machine.

    Raises:
        KdeployError: The stack knows no such volume.
    """
    if not name.startswith(VOLUME):
        return name
    number = int(name.removeprefix(VOLUME))
    if number >= len(instance.volumes):
        raise KdeployError(
            f"{instance.id} has {len(instance.volumes)} data volumes, and number {number} is wanted\n"
            "  run up again: it makes what is missing"
        )
    return BY_ID + instance.volumes[number].replace("-", "")


@dataclass(frozen=True)
class Remaking:
    """What is to become of machines that run nodes.

    Attributes:
        why: Why each has to be changed, by `Node.key`.
        change: Changes a node's machine, and nothing else; gives all machines as they are then.
        holder: Whose lease its host gets anew; None where none is held.
    """

    why: Mapping[str, str] = field(default_factory=dict)
    change: Callable[[Node], Instances] | None = None
    holder: Mapping[str, str] | None = None


class AwsProvider:
    """Nodes on EC2 instances; implements `kdeploy.infra.Provider`.

    Args:
        blueprint: Every node.
        hosts: Makes the provider of hosts that reaches machines which are there.
        found: Those.
        tell: Told what is being done, as `operations.progress.Progress.step`.
        remaking: What is to become of machines that run nodes.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        hosts: Callable[[Instances], HostsProvider],
        found: Instances,
        tell: Callable[[str, str], None],
        remaking: Remaking = Remaking(),
    ) -> None:
        self._blueprint, self._make, self._tell = blueprint, hosts, tell
        self._remaking, self._why = remaking, dict(remaking.why)
        self._found, self._hosts = dict(found), hosts(found)
        self._own: dict[str, tuple[OwnDisk, ...]] = {}

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Look at nodes, by `Node.key`; read-only. Those without a machine are not there."""
        absent = {
            node.key: NodeState(False, False, None, None, "it has no machine yet")
            for node in nodes
            if not self._has(node)
        }
        self._own = {}  # a machine that was stopped meanwhile has others
        states = absent | self._hosts.observe(self._there(nodes))
        emptied = {node.key for node in nodes if self._is_emptied(node, states[node.key])}
        return {key: _emptied(one) if key in emptied else one for key, one in states.items()}

    def _is_emptied(self, node: Node, state: NodeState) -> bool:
        """Whether a node was on a machine whose own disks hold nothing any more."""
        if not node.loses_data_on_stop or not state.present or state.running or state.unseen:
            return False
        return own_disks.are_emptied(node.disks, self._own.get(node.key, ()))

    def strayed(self, nodes: Sequence[Node]) -> dict[str, tuple[Strayed, ...]]:
        """What is not as it was put there, by `Node.key`; read-only. Machines that cannot be asked are left out."""
        nothing: dict[str, tuple[Strayed, ...]] = {node.key: () for node in nodes if not self._has(node)}
        return nothing | self._hosts.strayed(self._there(nodes))

    def wanted(self, node: Node, secrets: Secrets) -> str:
        """As provider hosts has it: where its machine is does not count."""
        return self._hosts.wanted(node, secrets)

    def standing(self, nodes: Sequence[Node]) -> dict[str, Standing]:
        """What stands of each node, by `Node.key`; read-only."""
        return self._hosts.standing(self._there(nodes))

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        """Make machines, which are there by now, what their nodes need."""
        missing = [node.key for node in blueprint.nodes if not self._has(node) and node.name not in without]
        if missing:
            raise KdeployError(f"there is no machine of {', '.join(missing)}\n  run up again: it makes them")
        here = [node for node in blueprint.nodes if node.name not in without and node.key not in without]
        self._forget([node for node in here if self._has(node)])
        clusters = tuple(
            cluster.with_nodes(
                [self._placed(node) if self._has(node) else node for node in cluster.everything]
            )
            for cluster in blueprint.clusters
        )
        self._hosts.provision(replace(blueprint, clusters=clusters), without)

    def _forget(self, nodes: Sequence[Node]) -> None:
        """Let hosts whose own disks came back empty forget their nodes: elsewhere an empty disk is a wrong one."""
        losing = [node for node in nodes if node.loses_data_on_stop]
        states = self.observe(losing) if losing else {}
        for node in losing:
            if states[node.key].emptied:
                self._tell("disks", f"{node.name}: the machine's own disks came back empty; it begins anew")
                self._hosts.forget(self._placed(node))

    def apply(self, node: Node, secrets: Secrets) -> None:
        """Put a node's files in place."""
        self._hosts.apply(self._placed(node), secrets)

    def apply_together(self, work: Sequence[tuple[Node, Secrets]]) -> None:
        """As `apply`, for many nodes in one go."""
        self._hosts.apply_together([(self._placed(node), secrets) for node, secrets in work])

    def start(self, node: Node) -> None:
        """Start a node's service."""
        self._hosts.start(self._placed(node))

    def stop(self, node: Node, how: Literal["controlled", "now"] = "controlled") -> None:
        """Stop a node's service; no-op where it has no machine."""
        if self._has(node):
            self._hosts.stop(self._placed(node), how)

    def reboot(self, node: Node) -> None:
        """Boot a stopped node's machine anew."""
        self._hosts.reboot(self._placed(node))

    def outdated(self) -> Mapping[str, str]:
        """Machines under running nodes that are not what they should be, by `Node.key`, each with why."""
        return dict(self._why)

    def remake(self, node: Node) -> None:
        """Make a stopped node's machine what it should be, with its address and its volumes; nothing else changes.

        Raises:
            KdeployError: AWS refuses, or the machine does not answer in time.
        """
        if node.key not in self._why or self._remaking.change is None:
            return
        self.use(self._remaking.change(node))
        self.wait([node])
        if self._remaking.holder is not None:  # a boot ends the lease, and a new machine never had it
            self._hosts.hold([self._placed(node)], self._remaking.holder)
        if not self.observe([node])[node.key].prepared:
            others = [one.key for one in self._blueprint.nodes if one.key != node.key]
            self.provision(self._blueprint, others)
        del self._why[node.key]

    def use(self, found: Instances) -> None:
        """Go on with these machines."""
        self._found, self._hosts, self._own = dict(found), self._make(found), {}
        for cluster in self._blueprint.clusters:  # what is open to them goes on through these
            self._hosts.proxy(cluster)

    def types(self, nodes: Sequence[Node]) -> dict[str, str]:
        """EC2 types of machines as they are, by `Node.key`; nodes without one are left out."""
        return {node.key: self._found[node.key].type for node in nodes if self._has(node)}

    def proxy(self, cluster: ClusterBlueprint) -> Callable[[], tuple[str, int]] | None:
        """The way to a cluster's ports, which is one of its machines."""
        return self._hosts.proxy(cluster)

    def unreached(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """Those that have a machine which cannot be reached."""
        there = [node for node in nodes if self._has(node)]
        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(there)))) as pool:
            reached = list(pool.map(self._hosts.reaches, there))
        return tuple(node for node, yes in zip(there, reached, strict=True) if not yes)

    def wait(self, nodes: Sequence[Node]) -> None:
        """Wait until every machine answers by SSH.

        Raises:
            KdeployError: Some do not, in time; names them.
        """
        deadline, left, told = time.monotonic() + COMES_BACK, self.unreached(nodes), False
        while left:
            if time.monotonic() > deadline:
                names = ", ".join(f"{node.name} ({self._found[node.key].id})" for node in left)
                raise KdeployError(
                    f"no answer by SSH within {COMES_BACK:.0f} s from {names}\n"
                    "  look at `ssh` of the datacenter, and at the machine's console: "
                    "`aws ec2 get-console-output --instance-id ID`; then run this again"
                )
            if not told:
                self._tell("boot", f"waiting for {', '.join(node.name for node in left)} to answer")
                told = True
            time.sleep(PAUSE)
            left = self.unreached(left)

    def reaches(self, node: Node) -> bool:
        """Whether a node's host can be asked about it."""
        return self._has(node) and self._hosts.reaches(node)

    def delete(self, node: Node) -> None:
        """Delete a stopped node's data and files; its machine and volumes stay."""
        if self._has(node):
            self._hosts.delete(self._placed(node))

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        """Take the lease of every host that is there.

        Raises:
            LeaseHeld: Another operator has one; none is kept.
        """
        there = [node for node in nodes if self._has(node)]
        if there:
            self._hosts.hold(there, holder)

    def release(self, nodes: Sequence[Node], operator: str | None = None) -> tuple[str, ...]:
        """Give every host's lease back; who had them, in words."""
        there = [node for node in nodes if self._has(node)]
        return self._hosts.release(there, operator) if there else ()

    def _has(self, node: Node) -> bool:
        return node.key in self._found

    def _there(self, nodes: Sequence[Node]) -> list[Node]:
        there = [node for node in nodes if self._has(node)]
        asked = [node for node in there if node.loses_data_on_stop and node.key not in self._own]
        if asked:
            with ThreadPoolExecutor(min(AT_ONCE, len(asked))) as pool:
                list(pool.map(self._own_disks, asked))
        return [self._placed(node) for node in there]

    def _own_disks(self, node: Node) -> tuple[OwnDisk, ...] | None:
        """The machine's own disks; None where it cannot be asked, which whoever needs them is told anyway."""
        from kdeploy.infra.hosts.ssh import NoPrivilege, Unreachable

        if node.key not in self._own:
            try:
                self._own[node.key] = own_disks.read(self._hosts.own_disks(node, own_disks.BY_ID))
            except (Unreachable, NoPrivilege):
                return None
        return self._own[node.key]

    def _placed(self, node: Node) -> Node:
        """The node with the paths that its volumes have on its machine."""
        instance = self._found.get(node.key)
        if instance is None:
            raise KdeployError(f"{node.key} has no machine\n  run up: it makes one")
        own: Mapping[str, str] = {}
        if node.loses_data_on_stop:
            found = self._own_disks(node)
            try:
                own = own_disks.paths(node.disks, found) if found is not None else {}
            except KdeployError as error:
                raise KdeployError(f"{node.key} ({instance.id}): {error}") from None
        disks = tuple(
            replace(disk, device=own.get(disk.device) or device(disk.device, instance)) for disk in node.disks
        )
        return replace(node, disks=disks)


class Unasked(AwsProvider):
    """The same where nobody can say which machines there are: every node is unseen, and the cluster is asked straight.

    Args:
        blueprint: Every node.
        hosts: Makes the provider of hosts, for what files are to be.
        why: Why nobody can, in one line.
    """

    def __init__(self, blueprint: Blueprint, hosts: Callable[[Instances], HostsProvider], why: str) -> None:
        super().__init__(blueprint, hosts, {}, lambda *_: None)
        self._reason = why

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Every node as one that cannot be asked, by `Node.key`."""
        unseen = NodeState(True, False, None, None, self._reason, may_return=True, unseen=True)
        return {node.key: unseen for node in nodes}

    def strayed(self, nodes: Sequence[Node]) -> dict[str, tuple[Strayed, ...]]:
        """Nothing: no machine can be asked."""
        return {}

    def proxy(self, cluster: ClusterBlueprint) -> None:
        """No way leads through a machine that is not known."""
        return


def _emptied(state: NodeState) -> NodeState:
    return replace(
        state,
        present=False,
        applied=None,
        prepared=False,
        emptied=True,
        detail="its own disks came back empty",
    )
