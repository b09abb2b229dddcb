"""Environments in AWS: the stack put together, what it would change, and what it makes before nodes are looked at.

    state → preview → images noted in the lock → what a killed engine left is adopted
          → everything but machines under running nodes → machines answer     (those machines: `rolling`, node by node)

Invariant: an engine run never stops two nodes of a cluster that runs: whatever disturbs a running node waits for
its own turn. Where nothing is to be changed the engine runs once, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdeploy.errors import KdeployError
from kdeploy.operations import aws_images, aws_words, places, ssh_keys
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.progress import Progress, Silent

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.infra import NodeState
    from kdeploy.infra.aws.changes import ResourceChange, State
    from kdeploy.infra.aws.packs import PackViolation
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
    backend = places.stack_backend(name, account.backend)
    passphrase = vault.stack if vault is not None else None
    home = Home(
        name,
        # Without a vault nothing was ever made from here.
        backend if passphrase else f"file://{folder / 'nothing'}",
        account.secrets_provider,
        folder / "work",
        passphrase or secrets.token_urlsafe(24),
        tuple(design.loaded.folder / one for one in account.policy_packs),
        account.organization if passphrase else None,
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


def unasked(design: Design, progress: Progress, why: str) -> AwsProvider:
    """The provider where the stack cannot be asked which machines there are.

    Args:
        design: The environment's design.
        progress: Where to report.
        why: Why it cannot, in one line.
    """
    from kdeploy.infra.aws.provider import Unasked
    from kdeploy.operations import hosts

    return Unasked(design.blueprint, lambda _: hosts.provider_of(design.loaded, progress), why)


def known_or_unasked(design: Design, vault: Vault, progress: Progress) -> AwsProvider:
    """The provider as `known`; where nobody can read the stack's state, one that has every node unseen, with the reason.

    For what only looks: whoever changes something has to know which machines there are.
    """
    from kdeploy.errors import MissingExtra
    from kdeploy.infra.aws.command import NoEngine
    from kdeploy.infra.aws.failure import CloudError

    try:
        return known(design, vault, progress)
    except (CloudError, NoEngine, MissingExtra) as error:
        what, _ = aws_words.why_and_remedy(error)
        return unasked(design, progress, f"which machine it has is not known: {what}")


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
        design: The environment's design, with images that machines were started from.
        stack: The stack.
        state: What its state holds; None before the first `up`.
        provider: The provider as the state has its machines.
        changes: Resources that would change.
        disturbed: Changes that stop a running node, by `Node.key`: each waits for that node's own turn.
        refresh: Whether AWS was asked what became of everything: a person wants that, or machines do not answer and
            what they share with others may be gone.
        asked: Where it was not: URNs of what is those machines' own, of which AWS was asked what became of it.
        checks: What no plan may do, each with what is against it.
        planned: Every resource as it would be.
        groupings: URNs that would be made and only group others.
        advised: What advisory policies of the environment's packs hold against it.
        packs: Those packs.
    """

    design: Design
    stack: Stack
    state: State | None
    provider: AwsProvider
    changes: tuple[ResourceChange, ...]
    disturbed: Mapping[str, tuple[ResourceChange, ...]]
    refresh: bool
    asked: tuple[str, ...] = ()
    checks: tuple[Checked, ...] = ()
    planned: tuple[Planned, ...] = ()
    groupings: tuple[str, ...] = ()
    advised: tuple[PackViolation, ...] = ()
    packs: tuple[str, ...] = ()


def outlook(design: Design, vault: Vault | None, progress: Progress, refresh: bool = False) -> Outlook:
    """Look at what the engine would do; read-only.

    Args:
        design: The environment's design.
        vault: Its secrets; None where there are none yet.
        progress: Where to report.
        refresh: Whether AWS is asked first what became of all that was made.

    Raises:
        CloudError: AWS or the engine refuses.
        NoEngine: The Pulumi CLI is missing.
    """
    from kdeploy.infra.aws import changes as change
    from kdeploy.infra.aws import policy
    from kdeploy.infra.aws.provider import instances

    state = stack_of(design, vault, progress).state()
    _refuse_another(design, state)
    design = aws_images.as_started(design, state.resources if state else ())
    stack = stack_of(design, vault, progress)
    found = instances(state.outputs) if state else {}
    provider = provider_of(design, progress, found)
    nodes = design.blueprint.nodes
    states = provider.observe(nodes)
    silent = [node for node in nodes if states[node.key].present and not states[node.key].running]
    unreached = provider.unreached(silent)
    everything = refresh or (bool(unreached) and not _shares_what_stands(nodes, unreached, found))
    asked = () if everything else _of_nodes(state, unreached)
    if unreached and not refresh:
        whom = "everything" if everything else ", ".join(node.name for node in unreached)
        progress.step("aws", f"a machine does not answer: asking AWS what became of {whom}")
    told = stack.preview(refresh=everything)
    changes = told.changes
    if asked:
        theirs = stack.preview(refresh=True, targets=asked).changes
        others = [one for one in changes if not _is_of(one.urn, unreached)]
        changes = (*others, *(one for one in theirs if _is_of(one.urn, unreached)))
    real = tuple(one for one in changes if not one.is_grouping)
    groupings = tuple(one.urn for one in changes if one.is_grouping)
    stopping = [one for one in real if one.is_disturbing]
    disturbed = {
        node.key: change.of_node(real, node.datacenter, node.name)
        for node in nodes
        if _has_to_wait(node, states[node.key]) and change.of_node(stopping, node.datacenter, node.name)
    }
    from kdeploy.infra.aws.provider import Remaking

    why = {key: aws_words.reason(own) for key, own in disturbed.items()}
    known = provider_of(design, progress, found, Remaking(why))
    packs = design.blueprint.aws.policy_packs if design.blueprint.aws else ()
    return Outlook(
        design,
        stack,
        state,
        known,
        real,
        disturbed,
        everything,
        asked,
        policy.check(told.planned, policy.asked(design.blueprint)),
        told.planned,
        groupings,
        told.advised,
        packs,
    )


def _shares_what_stands(nodes: Sequence[Node], silent: Sequence[Node], found: Instances) -> bool:
    """Whether what silent machines share with others stands: another machine of each one's rack answers, and so is its
    subnet and the way to it; and one of its role, and so are its rules.
    """
    quiet = {node.key for node in silent}
    answering = [node for node in nodes if node.key in found and node.key not in quiet]
    racks = {(node.datacenter, node.rack) for node in answering}
    roles = {(node.datacenter, node.role) for node in answering}
    return all(
        (node.datacenter, node.rack) in racks and (node.datacenter, node.role) in roles for node in silent
    )


def _of_nodes(state: State | None, nodes: Sequence[Node]) -> tuple[str, ...]:
    """URNs of all that is some nodes' own, as the state has it."""
    return tuple(one.urn for one in state.resources if _is_of(one.urn, nodes)) if state else ()


def _is_of(urn: str, nodes: Sequence[Node]) -> bool:
    from kdeploy.infra.aws.changes import is_of_node

    name = urn.rpartition("::")[2]
    return any(is_of_node(name, node.datacenter, node.name) for node in nodes)


def _refuse_another(design: Design, state: State | None) -> None:
    """Refuse a state that another environment of the same name wrote."""
    from kdeploy.infra.aws import ownership

    account = design.blueprint.aws
    if state is not None and account is not None:
        said = (state.outputs.get("environment") or {}).get("id")
        backend = account.backend or str(places.stack_folder(account.name))
        ownership.refuse_another(said, account.id, account.name, backend)


def _has_to_wait(node: Node, state: NodeState) -> bool:
    """Whether a node's machine may change in its own turn alone: it runs, or its data would go with the machine."""
    return state.running or (node.loses_data_on_stop and state.present)


def make(
    design: Design, vault: Vault, progress: Progress, held: Held | None, refresh: bool = False
) -> tuple[Design, AwsProvider]:
    """Make everything in AWS what the environment says, but for machines under running nodes.

    Args:
        design: The environment's design.
        vault: Its secrets.
        progress: Where to report.
        held: Leases, that new hosts get too.
        refresh: As `outlook` has it: what is not in AWS as it was made is put back.

    Returns:
        The design, with images as they were chosen; and the provider, which knows what is left for `rolling`.

    Raises:
        CloudError: AWS or the engine refuses; the next run goes on.
        KdeployError: Machines do not answer.
    """
    from kdeploy.infra.aws.provider import Remaking, instances

    ssh_keys.refuse_closed(design)
    stack_of(design, vault, progress).settle()
    looked = outlook(design, vault, progress, refresh)
    refuse_unsafe(looked)
    design = aws_images.noted(looked.design, looked.planned, design)
    looked = replace(looked, design=design, stack=stack_of(design, vault, progress))
    waiting = {one.urn for some in looked.disturbed.values() for one in some}
    now = [one for one in looked.changes if one.urn not in waiting]
    if now or looked.refresh or looked.asked:
        if now:
            progress.step("aws", aws_words.summary(now))
        stack = adopting(design, vault, progress, looked)
        kill_point("engine-begun")
        if looked.asked:
            stack.ask(looked.asked)
        stack.up(without=sorted(waiting), refresh=looked.refresh, total=len(now))
        if (
            stack is not looked.stack
        ):  # what was taken over is as it was made, which may be less than all of it
            looked.stack.up(without=sorted(waiting))
        kill_point("machines-made")
        state = stack.state()
        if said := aws_words.stopped(looked, state):
            raise KdeployError(said)
    else:
        state = looked.state
    found = instances(state.outputs) if state else {}
    for said in aws_words.names_to_make(design, state.outputs if state else {}):
        progress.step("names", said)
    stack = stack_of(design, vault, progress)

    def change(node: Node) -> Instances:
        own = looked.disturbed[node.key]
        progress.step("aws", f"{node.name}: {aws_words.reason(own)}")
        stack.up(targets=_targets(stack, node, own), refresh=looked.refresh, total=len(own))
        kill_point("machine-remade")
        after = stack.state()
        return instances(after.outputs) if after else {}

    why = {key: aws_words.reason(own) for key, own in looked.disturbed.items()}
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
    found = orphans(design, vault, progress, looked)
    if not found:
        return looked.stack
    progress.step(
        "aws", f"taking over what an earlier run made: {', '.join(sorted({name for _, name in found}))}"
    )
    return stack_of(design, vault, progress, found)


def orphans(
    design: Design, vault: Vault | None, progress: Progress, looked: Outlook
) -> dict[tuple[str, str], str]:
    """What would be made and is in AWS already, by type and name, with AWS's own.

    A route is known by its table, and a table that is to be made has no id: once that is found, the engine is asked
    again what it would make then, until nothing more comes to light.
    """
    found = _orphans(design, looked, looked.changes, looked.planned)
    known = dict(found)
    while found:
        told = stack_of(design, vault, progress, known).preview(refresh=looked.refresh)
        again = _orphans(design, looked, told.changes, told.planned)
        found = {key: name for key, name in again.items() if key not in known}
        known |= found
    return known


def _orphans(
    design: Design, looked: Outlook, changes: Sequence[ResourceChange], planned: Sequence[Planned]
) -> dict[tuple[str, str], str]:
    from kdeploy.infra.aws import adoption

    made = {(one.type, one.name) for one in changes if one.op == "create"}
    wanted = [one for one in planned if (one.type, one.name) in made]
    if not wanted:
        return {}
    known = {(one.type, one.id) for one in looked.state.resources} if looked.state else set()
    regions = sorted({cluster.place.region for cluster in design.blueprint.clusters if cluster.place})
    return adoption.found(wanted, known, design.loaded.environment.name, design.lock.id, regions)


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


def drifted(design: Design, vault: Vault) -> tuple[ResourceChange, ...]:
    """What is not in AWS as it was made; read-only."""
    return tuple(one for one in stack_of(design, vault, Silent()).drift() if not one.is_grouping)


def destroy(design: Design, vault: Vault, progress: Progress) -> None:
    """Delete everything in AWS, data volumes too."""
    stack = stack_of(design, vault, progress)
    stack.settle()
    if stack.state() is None:
        return
    _adopt_before_deletion(design, vault, progress)
    progress.step("delete", "machines, volumes, networks and all else in AWS")
    stack.destroy()


def _adopt_before_deletion(design: Design, vault: Vault, progress: Progress) -> None:
    """Take over what nobody wrote down, so that it is deleted too; nothing is made for that."""
    looked = outlook(design, vault, progress)
    found = orphans(design, vault, progress, looked)
    if found:
        mine = [one.urn for one in looked.changes if (one.type, one.name) in found]
        stack_of(looked.design, vault, progress, found).up(
            targets=[*mine, *looked.groupings], total=len(mine)
        )


def unlock(design: Design, vault: Vault) -> None:
    """Clear the lock of the stack, whoever has it."""
    stack_of(design, vault, Silent()).unlock()
