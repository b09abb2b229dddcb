"""Environments in AWS: the stack put together, what it would change, and what it makes before nodes are looked at.

    state → what a killed engine left is adopted → preview → everything but machines under running nodes
          → images noted in the lock → machines answer        (those machines: `rolling`, node by node)

Invariant: an engine run never stops two nodes of a cluster that runs: whatever disturbs a running node waits for
its own turn. Where nothing is to be changed the engine runs once, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import KdeployError
from kdeploy.operations import places, ssh_keys
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.pending import Effect, Item
from kdeploy.operations.progress import Progress, Silent

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.infra.aws.changes import ResourceChange, State
    from kdeploy.infra.aws.policy import Checked, Planned
    from kdeploy.infra.aws.provider import AwsProvider, Instances, Remaking
    from kdeploy.infra.aws.stack import Stack
    from kdeploy.operations.hosts import Held
    from kdeploy.operations.prepare import Design
    from kdeploy.security.vault import Vault


def ready(ask: Callable[[str], bool]) -> None:
    """See that the Pulumi CLI is here, or fetch it.

    Args:
        ask: Asked before it is fetched.

    Raises:
        NoEngine: There is none.
    """
    from kdeploy.infra.aws import command

    command.command(ask)


def stack_of(
    design: Design,
    vault: Vault | None,
    progress: Progress,
    adopted: Mapping[tuple[str, str], str] | None = None,
) -> Stack:
    """The environment's stack.

    Args:
        design: The environment's design.
        vault: Its secrets; None where there are none yet, and so no stack that could be read.
        progress: Where to report.
        adopted: What is there already and is taken over, by type and logical name, with AWS's own.

    Raises:
        NoEngine: The Pulumi CLI is missing.
        MissingExtra: Pulumi's SDK is.
    """
    import secrets

    from kdeploy.infra.aws import command
    from kdeploy.infra.aws.stack import Home, Stack

    account, name = design.blueprint.aws, design.loaded.environment.name
    assert account is not None, "an environment without AWS has no stack"  # noqa: S101
    folder = places.stack_folder(name)
    backend = account.backend or f"file://{folder / 'state'}"
    passphrase = vault.stack if vault is not None else None
    home = Home(
        name,
        # Without a vault nothing was ever made from here.
        backend if passphrase else f"file://{folder / 'nothing'}",
        account.secrets_provider,
        folder / "work",
        passphrase or secrets.token_urlsafe(24),
    )
    return Stack(home, _program(design, adopted or {}), command.command(), progress.step)


def _program(design: Design, adopted: Mapping[tuple[str, str], str]) -> Any:  # noqa: ANN401 - a function that declares resources; imported late
    blueprint, keys = design.blueprint, ssh_keys.public_keys(design)

    def declare() -> None:
        from kdeploy.infra.aws.program import program

        if adopted:
            from kdeploy.infra.aws.adoption import adopt

            adopt(adopted)
        program(blueprint, keys)()

    return declare


def provider_of(
    design: Design, progress: Progress, found: Instances, remaking: Remaking | None = None
) -> AwsProvider:
    """The provider of nodes whose machines are known."""
    from kdeploy.infra.aws.provider import AwsProvider, Remaking
    from kdeploy.operations import hosts

    return AwsProvider(
        design.blueprint,
        lambda machines: hosts.provider_of(design.loaded, progress, _reached(design, machines)),
        found,
        progress.step,
        remaking or Remaking(),
    )


def known(design: Design, vault: Vault | None, progress: Progress) -> AwsProvider:
    """The provider as the stack's state has its machines; read-only."""
    from kdeploy.infra.aws.provider import instances

    state = stack_of(design, vault, progress).state()
    return provider_of(design, progress, instances(state.outputs) if state else {})


def _reached(design: Design, machines: Instances) -> dict[str, Any]:
    """Where each datacenter's machines are, for SSH."""
    from kdeploy.infra.hosts.ssh import Reached

    found: dict[str, list[Reached]] = {}
    for node in design.blueprint.nodes:
        one = machines.get(node.key)
        if one is not None:
            found.setdefault(node.datacenter, []).append(Reached(node.host, one.address, one.id))
    return {datacenter: tuple(some) for datacenter, some in found.items()}


@dataclass(frozen=True)
class Outlook:
    """What the engine would do.

    Attributes:
        stack: The stack.
        state: What its state holds; None before the first `up`.
        provider: The provider as the state has its machines.
        changes: Resources that would change.
        disturbed: Changes that stop a running node, by `Node.key`: each waits for that node's own turn.
        refresh: Whether AWS was asked what became of everything, because a machine does not answer.
        checks: What no plan may do, each with what is against it.
        planned: Every resource as it would be.
        groupings: URNs that would be made and only group others.
    """

    stack: Stack
    state: State | None
    provider: AwsProvider
    changes: tuple[ResourceChange, ...]
    disturbed: Mapping[str, tuple[ResourceChange, ...]]
    refresh: bool
    checks: tuple[Checked, ...] = ()
    planned: tuple[Planned, ...] = ()
    groupings: tuple[str, ...] = ()


def outlook(design: Design, vault: Vault | None, progress: Progress) -> Outlook:
    """Look at what the engine would do; read-only.

    Raises:
        CloudError: AWS or the engine refuses.
        NoEngine: The Pulumi CLI is missing.
    """
    from kdeploy.infra.aws import changes as change
    from kdeploy.infra.aws import policy
    from kdeploy.infra.aws.provider import instances

    stack = stack_of(design, vault, progress)
    state = stack.state()
    found = instances(state.outputs) if state else {}
    provider = provider_of(design, progress, found)
    nodes = design.blueprint.nodes
    states = provider.observe(nodes)
    silent = [node for node in nodes if states[node.key].present and not states[node.key].running]
    refresh = bool(provider.unreached(silent))
    if refresh:
        progress.step("aws", "a machine does not answer: asking AWS what became of everything")
    told = stack.preview(refresh=refresh)
    real = tuple(one for one in told.changes if not one.is_grouping)
    groupings = tuple(one.urn for one in told.changes if one.is_grouping)
    disturbed = {}
    for node in nodes:
        own = change.of_node(real, node.datacenter, node.name)
        if states[node.key].running and any(one.is_disturbing for one in own):
            disturbed[node.key] = own
    from kdeploy.infra.aws.provider import Remaking

    why = {key: reason(own) for key, own in disturbed.items()}
    known = provider_of(design, progress, found, Remaking(why))
    return Outlook(
        stack, state, known, real, disturbed, refresh, policy.check(told.planned), told.planned, groupings
    )


def reason(changes: Sequence[ResourceChange]) -> str:
    """Why a running node's machine has to be changed, in words."""
    said = []
    for one in (one for one in changes if one.is_disturbing):
        differs = ", ".join(map(str, one.differs))
        what = {"update": "changes", "replace": "is replaced", "delete": "is deleted", "create": "is made"}[
            one.op
        ]
        said.append(f"its {WORDS.get(one.kind, one.kind)} {what}" + (f": {differs}" if differs else ""))
    return "; ".join(said)


WORDS: Final = {
    "Instance": "machine",
    "NetworkInterface": "network interface",
    "VolumeAttachment": "volume's attachment",
    "Volume": "volume",
    "SecurityGroupIngressRule": "security group's rule",
    "SecurityGroupEgressRule": "security group's rule",
    "Zone": "private DNS zone",
    "Record": "DNS record",
}
"""What people call a resource, where its type is not plain."""

EFFECTS: Final[Mapping[str, Effect]] = {
    "create": "create",
    "update": "change",
    "replace": "change",
    "delete": "remove",
}


def items(design: Design, looked: Outlook) -> tuple[Item, ...]:
    """What the engine would do, as items of layer resources."""
    return tuple(_item(design, looked, one) for one in looked.changes)


def checked(looked: Outlook) -> tuple[str, ...]:
    """What came of the checks, a sentence each."""
    held = [one.name for one in looked.checks if one.ok]
    broken = [
        f"check {one.name} does not hold: {each.resource}: {each.wrong}"
        for one in looked.checks
        for each in one.violations
    ]
    return (*broken, *([f"checked in AWS, and so: {', '.join(held)}"] if held else []))


def _item(design: Design, looked: Outlook, one: ResourceChange) -> Item:
    stopped = next((key for key, some in looked.disturbed.items() if one in some and one.is_disturbing), None)
    why = ", ".join(map(str, one.differs))
    if stopped:
        why += ("; " if why else "") + f"{stopped.partition('/')[2]} is stopped for it, in its turn"
    datacenter, what = datacenter_of(design, one.name), f"{one.op} {called(one)}"
    return Item(datacenter, "resources", f"{one.op}-resource", one.name, what, why, effect=EFFECTS[one.op])


def called(one: ResourceChange) -> str:
    """What people call a resource."""
    return WORDS.get(one.kind, one.kind)


def datacenter_of(design: Design, name: str) -> str:
    """The datacenter that a resource is in, by its logical name; the first one where it is of all of them."""
    datacenters = [cluster.datacenter for cluster in design.blueprint.clusters]
    # The longest name that fits: eu-west-1-b is no resource of eu-west-1.
    own = [one for one in datacenters if name == one or name.startswith(f"{one}-")]
    return max(own, key=len) if own else datacenters[0]


def make(design: Design, vault: Vault, progress: Progress, held: Held | None) -> tuple[Design, AwsProvider]:
    """Make everything in AWS what the environment says, but for machines under running nodes.

    Args:
        design: The environment's design.
        vault: Its secrets.
        progress: Where to report.
        held: Leases, that new hosts get too.

    Returns:
        The design, with images as they were chosen; and the provider, which knows what is left for `rolling`.

    Raises:
        CloudError: AWS or the engine refuses; the next run goes on.
        KdeployError: Machines do not answer.
    """
    from kdeploy.infra.aws.provider import Remaking, instances

    ssh_keys.refuse_closed(design)
    looked = outlook(design, vault, progress)
    refuse_unsafe(looked)
    waiting = {one.urn for some in looked.disturbed.values() for one in some}
    now = [one for one in looked.changes if one.urn not in waiting]
    if now or looked.refresh:
        if now:
            progress.step("aws", summary(now))
        stack = adopting(design, vault, progress, looked)
        kill_point("engine-begun")
        stack.up(without=sorted(waiting), refresh=looked.refresh, total=len(now))
        if (
            stack is not looked.stack
        ):  # what was taken over is as it was made, which may be less than all of it
            looked.stack.up(without=sorted(waiting))
        kill_point("machines-made")
        state = stack.state()
    else:
        state = looked.state
    found = instances(state.outputs) if state else {}
    design = with_images(design, found)
    stack = stack_of(design, vault, progress)

    def change(node: Node) -> Instances:
        own = looked.disturbed[node.key]
        progress.step("aws", f"{node.name}: {reason(own)}")
        stack.up(targets=_targets(stack, node, own), total=len(own))
        kill_point("machine-remade")
        after = stack.state()
        return instances(after.outputs) if after else {}

    why = {key: reason(own) for key, own in looked.disturbed.items()}
    provider = provider_of(design, progress, found, Remaking(why, change, held.holder if held else None))
    if now:
        provider.wait(design.blueprint.nodes)
        _hold(design, found, held)
    return design, provider


def _hold(design: Design, found: Instances, held: Held | None) -> None:
    """Take the leases of machines that have come."""
    from kdeploy.infra.aws.provider import AwsProvider

    if held is not None and isinstance(held.provider, AwsProvider):
        held.provider.use(found)
        held.provider.hold(design.blueprint.nodes, held.holder)


def _targets(stack: Stack, node: Node, own: Sequence[ResourceChange]) -> list[str]:
    """Everything of one node, so that what hangs on its machine comes along, and nothing else does."""
    from kdeploy.infra.aws.changes import is_of_node

    state = stack.state()
    there = [one.urn for one in state.resources] if state else []
    urns = dict.fromkeys([*there, *(one.urn for one in own)])
    return [urn for urn in urns if is_of_node(urn.rpartition("::")[2], node.datacenter, node.name)]


def adopting(design: Design, vault: Vault, progress: Progress, looked: Outlook) -> Stack:
    """The stack, whose next run takes over what a killed one had made and nobody wrote down: nothing is made twice."""
    found = orphans(design, looked)
    if not found:
        return looked.stack
    progress.step(
        "aws", f"taking over what an earlier run made: {', '.join(sorted({name for _, name in found}))}"
    )
    return stack_of(design, vault, progress, found)


def orphans(design: Design, looked: Outlook) -> dict[tuple[str, str], str]:
    """What would be made and is in AWS already, by type and name, with AWS's own."""
    from kdeploy.infra.aws import adoption

    made = {(one.type, one.name) for one in looked.changes if one.op == "create"}
    wanted = [one for one in looked.planned if (one.type, one.name) in made]
    if not wanted:
        return {}
    known = {(one.type, one.id) for one in looked.state.resources} if looked.state else set()
    regions = sorted({cluster.place.region for cluster in design.blueprint.clusters if cluster.place})
    return adoption.found(wanted, known, design.loaded.environment.name, regions)


def refuse_unsafe(looked: Outlook) -> None:
    """Refuse what would delete or replace a data volume, whose records would go with it, or break a check.

    Raises:
        KdeployError: Names each.
    """
    broken = [
        f"  - {check.name}: {one.resource}: {one.wrong}"
        for check in looked.checks
        for one in check.violations
    ]
    if broken:
        raise KdeployError(
            "what is planned in AWS is not let through, and nothing was changed:\n"
            + "\n".join(broken[:20])
            + "\n  correct the environment; docs/aws.md says what is checked"
        )
    gone = [one.name for one in looked.changes if one.kind == "Volume" and one.op in ("replace", "delete")]
    if gone:
        raise KdeployError(
            f"{', '.join(gone)} would be {'deleted or replaced'}, and the records on it with it; nothing was changed\n"
            "  volumes keep their type of encryption, their zone and at least their size; undo that change"
        )


def summary(changes: Sequence[ResourceChange]) -> str:
    """`12 to create, 1 to update`."""
    counted = {op: sum(one.op == op for one in changes) for op in ("create", "update", "replace", "delete")}
    return ", ".join(f"{count} to {op}" for op, count in counted.items() if count) + " in AWS"


def with_images(design: Design, found: Instances) -> Design:
    """Note in the lock which images the first machines were started from: a newer one never replaces one by itself."""
    from kdeploy.operations import prepare

    chosen: dict[str, dict[str, str]] = {}
    for node in design.blueprint.nodes:
        one, machine = found.get(node.key), node.machine
        if one is not None and machine is not None and machine.image is None and one.image:
            chosen.setdefault(node.datacenter, {}).setdefault(machine.architecture, one.image)
    return prepare.remember_images(design, chosen) if chosen else design


def drifted(design: Design, vault: Vault) -> tuple[ResourceChange, ...]:
    """What is not in AWS as it was made; read-only."""
    return tuple(one for one in stack_of(design, vault, Silent()).drift() if not one.is_grouping)


def destroy(design: Design, vault: Vault, progress: Progress) -> None:
    """Delete everything in AWS, data volumes too."""
    stack = stack_of(design, vault, progress)
    if stack.state() is None:
        return
    _adopt_before_deletion(design, vault, progress)
    progress.step("delete", "machines, volumes, networks and all else in AWS")
    stack.destroy()


def _adopt_before_deletion(design: Design, vault: Vault, progress: Progress) -> None:
    """Take over what nobody wrote down, so that it is deleted too; nothing is made for that."""
    looked = outlook(design, vault, progress)
    found = orphans(design, looked)
    if found:
        mine = [one.urn for one in looked.changes if (one.type, one.name) in found]
        stack_of(design, vault, progress, found).up(targets=[*mine, *looked.groupings], total=len(mine))


def unlock(design: Design, vault: Vault) -> None:
    """Clear the lock of the stack, whoever has it."""
    stack_of(design, vault, Silent()).unlock()
