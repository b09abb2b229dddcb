"""`replace`: a new machine in the place of a dead one, for the same broker or worker of MirrorMaker.

    the old machine is out of the way → no record is lost by it → environment, lock and vault say the new
    address → `up` makes the new machine the broker → its data comes back by replication

Invariant: two machines never both run one broker. The old one is seen to be stopped and made unable to
start, or a person vouches that it is gone. And nothing is written while a partition's last in-sync copy
may be on the old machine: an empty broker that comes in its place would be taken for that copy. A worker has no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import expiry, hosts, places, prepare, readiness, replacing, site, vaults
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.replacing import Exchange
from kdeploy.operations.standing import told
from kdeploy.operations.up import Outcome, up

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster import Proxy
    from kdeploy.spec.load import Loaded

Fence = Literal["stopped", "vouched", "before"]
"""How the old machine is known not to run the broker: it was reached and can no longer start it; a person
vouches for it; an earlier run of this command saw to it."""

FORGOTTEN: Final = 60.0
"""Seconds for the cluster to notice that the old broker is gone: its session ends after 18 s with ZooKeeper,
9 s with KRaft (Kafka 3.9 and 4.x defaults), and a slow machine has three times that."""

PROBE: Final = 3.0
"""Seconds for a port to answer: a connection is tried again after one and after three (RFC 6298, section 2)."""


@dataclass(frozen=True)
class Replaced:
    """What was done.

    Attributes:
        node: The node's name.
        old: Address of the machine that went.
        new: Address of the machine that came.
        fence: How the old one is known not to run.
        outcomes: As `up` gives them.
    """

    node: str
    old: str
    new: str
    fence: Fence
    outcomes: tuple[Outcome, ...]


def replace(
    loaded: Loaded,
    progress: Progress,
    password_file: Path | None = None,
    *,
    node: str,
    address: str,
    dead: str = "",
    lost: Sequence[str] = (),
) -> Replaced:
    """Put a new machine in a dead one's place.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password.
        node: The broker, or the worker of MirrorMaker.
        address: The new machine's.
        dead: Address of the old machine, where a person vouches that it does not run and never will again.
        lost: Topics whose records a person gives up where the last copy of a partition was there.

    Raises:
        UsageError: It makes no sense; nothing was changed.
        KdeployError: The old machine still runs the broker, or that cannot be seen; nothing was changed.
        GateClosed: Records would be lost; nothing was changed.
    """
    _refuse_impossible(loaded)
    name = loaded.environment.name
    with lease(places.state_folder(name), "replace"), told(name, progress):
        exchanged = replacing.exchange(loaded, node, address)
        fence = _clear_the_way(exchanged, progress, password_file, dead, lost)
        replacing.write(exchanged, password_file)
        old = "the old machine" if exchanged.is_decided else exchanged.old
        progress.step("replace", f"{exchanged.node}: {exchanged.new} in place of {old}")
    manner = site.Manner(lost=tuple(lost), catch_up=readiness.CATCH_UP)
    outcomes = up(exchanged.after, progress, password_file, manner)
    return Replaced(exchanged.node, exchanged.old, exchanged.new, fence, outcomes)


def _refuse_impossible(loaded: Loaded) -> None:
    site.refuse_undeployable(loaded)
    name = loaded.environment.name
    if places.is_local(loaded):
        raise UsageError(
            f"the nodes of {name} are processes on this machine, and none has a machine of its own to replace"
        )
    if hosts.is_in_aws(loaded):
        raise UsageError(
            f"machines of {name} are made in AWS, and a machine that is gone or that fails is made anew by "
            f"`kdeploy up {name}`, with its address and its volumes\n  terminate one that fails first"
        )
    if loaded.shipped:
        raise UsageError(
            f"{name} came with kdeploy and is only an example\n  make your own with `kdeploy init NAME --from {name}`"
        )


def _clear_the_way(
    exchanged: Exchange, progress: Progress, password_file: Path | None, dead: str, lost: Sequence[str]
) -> Fence:
    """See that the old machine is out of the way, and that nothing is lost with it."""
    design = prepare.design(exchanged.before, freeze=False)
    vault = vaults.open_existing(exchanged.before, password_file)
    expiry.refuse_ended(design, vault)
    with hosts.held(design, "replace"):
        sites = site.sites(design, vault, progress)
        here = next(one for one in sites if one.cluster.datacenter == exchanged.datacenter)
        node = next(one for one in here.cluster.everything if one.name == exchanged.node)
        if exchanged.is_decided:
            # An earlier run came this far, or a name leads to another machine now: what counts is the data.
            _wait_until_nothing_is_lost(here, node, lost, begun=True)
            return "before"
        provider = hosts.provider_of(exchanged.before, progress)
        reached = provider.reaches(node)
        _refuse_running(node, provider.observe([node])[node.key].running, here.access.proxy)
        if not reached and dead != node.host:
            raise KdeployError(
                f"{node.host} cannot be reached, so nobody sees whether it runs {node.name}; {_two(node)} "
                "must never run\n"
                f"  make sure that it is off and stays off, then add --accept-dead {node.host}; nothing was changed"
            )
        _wait_until_nothing_is_lost(here, node, lost, begun=False)
        if not reached:
            progress.step("fence", f"{node.host} cannot be reached; that it is dead is taken on your word")
            return "vouched"
        if not provider.retire(node):
            raise KdeployError(
                f"{node.host} cannot be reached any more\n  run this again; nothing was changed"
            )
        progress.step("fence", f"{node.host} can start {node.name} no more, and has no key of it")
        return "stopped"


def _refuse_running(old: Node, running: bool, proxy: Proxy | None) -> None:
    """Refuse where the broker runs, or speaks at its ports whatever can be seen of its machine otherwise."""
    where = f"{old.host} runs {old.name}" if running else ""
    for port in () if running else sorted(old.ports.values()):
        if _speaks(old.host, port, proxy):
            where = f"{old.host} answers on port {port} of {old.name}"
    if where:
        raise KdeployError(
            f"{where}, and {_two(old)} must never run\n"
            "  stop it there first, or switch that machine off; nothing was changed"
        )


def _two(node: Node) -> str:
    """What two of it would be."""
    return "two workers of one name" if node.role == "mirror" else "two brokers of one id"


def _speaks(host: str, port: int, proxy: Proxy | None) -> bool:
    """Whether something speaks TLS there, as every broker does; a proxy on the way that only listens does not count."""
    from kdeploy.cluster import wire

    return wire.speaks_tls(host, port, PROBE, proxy)


def _wait_until_nothing_is_lost(here: site.Site, node: Node, lost: Sequence[str], *, begun: bool) -> None:
    """Wait until every partition of a dead broker is in sync elsewhere; `begun`: unless it is back already."""
    from kdeploy.cluster import gate, health

    def judge() -> gate.Verdict:
        state = health.observe(admin)
        return (
            gate.Verdict()
            if begun and node.id in state.alive
            else gate.judge_replacement(state, node.id, lost)
        )

    if node.role == "mirror":
        return
    here.progress.step("gate", f"whether every partition of {node.name} is in sync elsewhere")
    with readiness.connected(here) as admin:
        readiness.wait_until_open(
            with_changes(here, patience=FORGOTTEN),
            judge,
            f"{node.name} is not replaced yet",
            f"{node.name} was not replaced, and nothing was changed",
            "mend what is named, or bring the old machine back, and run this again",
        )
