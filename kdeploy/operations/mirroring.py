"""MirrorMaker beside the clusters: its workers started and restarted, its connectors as they are declared.

    every cluster up → who is written to → access lists → workers up, one restarted at a time → connectors

Invariant: a connector of active-passive runs only from the datacenter that is written to, and, after a failover without
its old primary, not before that was readmitted: what was copied once is never copied again, and never over what is
newer. (Of three and more the one that takes over first gathers what another one that stood by has and it lacks.) As everywhere, each step looks at what is, so that a run which was killed is finished by the next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import asking, places, prepare, rolling, set_out, site
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.progress import Silent, lasting
from kdeploy.operations.site import Site
from kdeploy.spec.mirrored import written_first
from kdeploy.spec.replacing import replace as replace_file
from kdeploy.tuning import mirror as named

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster.connect import Connect
    from kdeploy.cluster.connectors import ConnectorChange, ConnectorState
    from kdeploy.cluster.direction import Direction
    from kdeploy.operations.difference import Action
    from kdeploy.security.vault import Vault
    from kdeploy.tuning.mirror import Connector

HEARD: Final = "direction.json"
"""File in the state folder with the last decision that was heard of."""

EVERYWHERE: Final = ""
"""What is written to where all datacenters are (active-active)."""

ASK_WITHIN: Final = 10.0
"""Seconds for a cluster to say who is written to, where another may say it as well; a busy one took more than 5."""


@dataclass(frozen=True)
class Mirrored:
    """What was done to the mirror of one datacenter.

    Attributes:
        datacenter: The one that is written to by it.
        actions: What each worker needed.
        changes: What was changed in its connectors, in words.
        states: Its connectors now.
        left: Workers that still run with old files, after a canary.
    """

    datacenter: str
    actions: tuple[Action, ...]
    changes: tuple[str, ...]
    states: tuple[ConnectorState, ...]
    left: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return bool(self.changes) or any(action.kind != "none" for action in self.actions)


def connect(here: Site, patience: float | None = None) -> Connect:
    """The workers of a datacenter, reached as the administrator.

    Args:
        here: The datacenter.
        patience: Seconds for one of them to answer; the site's own when left out.
    """
    from kdeploy.cluster.connect import Connect

    workers = here.cluster.mirror.nodes if here.cluster.mirror else ()
    return Connect(
        here.access, [(node.host, node.ports["rest"]) for node in workers], patience or here.patience
    )


def running(here: Site, direction: Direction | None = None) -> dict[str, bool]:
    """Each connector that a datacenter's workers may have, and whether it is to run.

    Args:
        here: The datacenter.
        direction: What is known of who is written to; None as it is declared.
    """
    assert here.cluster.mirror is not None  # noqa: S101 - for the reader; asked of mirrored sites alone
    return {
        one.name: one.source is None or here.written is None or _runs(here, one, direction)
        for one in here.cluster.mirror.connectors
    }


def _runs(here: Site, one: Connector, direction: Direction | None) -> bool:
    """Whether a connector of active-passive runs; where groups are was translated before anything is gathered."""
    if direction is None:
        return one.source == here.written
    is_of_records = one.name.endswith(named.RECORDS)
    return direction.lets(str(one.source), here.cluster.datacenter) and (
        is_of_records or not direction.gathers
    )


def bring_up(
    sites: Sequence[Site],
    direction: Direction | None = None,
    begun: Collection[str] = (),
    *,
    rolling_too: bool = True,
) -> tuple[Mirrored, ...]:
    """Make workers and connectors what they should be, in every datacenter.

    Args:
        sites: The clusters.
        direction: What is known of who is written to; None as it is declared.
        begun: Datacenters whose canary was restarted already.
        rolling_too: Whether workers that run with old files are restarted; where that is not what was asked for, they
            are left for the next `up`.

    Raises:
        Unhealthy: A worker does not serve, or a connector does not run, in time.
        KdeployError: As nodes are brought up.
    """
    mirrored = [one for one in sites if workers_of(one)]
    there = {one.cluster.datacenter for one in sites}
    done = {
        one.cluster.datacenter: _workers(one, one.cluster.datacenter in begun, rolling_too=rolling_too)
        for one in mirrored
    }
    # Where one more comes, others leave its topics to it before it has any.
    narrowed = [_updated(one, direction) if len(mirrored) > 2 else () for one in mirrored]
    return tuple(
        _mirrored(one, done[one.cluster.datacenter], before, direction, there)
        for one, before in zip(mirrored, narrowed, strict=True)
    )


def _updated(here: Site, direction: Direction | None) -> tuple[str, ...]:
    """Give connectors that are there their configuration, and make none; what was changed, a line each."""
    client = connect(here)
    found = pending(here, client.connectors(), running(here, direction))
    todo = [Wanted(one.name, one.kind, str(one), one) for one in found if one.kind == "update-connector"]
    for one in todo:
        here.progress.step("mirror", one.words)
        _carry_out(client, one)
    return tuple(one.words for one in todo)


def _mirrored(
    here: Site,
    done: tuple[tuple[Action, ...], tuple[str, ...]],
    before: tuple[str, ...],
    direction: Direction | None,
    there: Collection[str],
) -> Mirrored:
    changes = tuple(dict.fromkeys((*before, *reconcile(here, running(here, direction), direction))))
    # What reads from a datacenter that is left out may fail, and is tried again once that is back.
    left_out = {one.name for one in _connectors(here) if one.source and one.source not in there}
    awaited = {name: run for name, run in running(here, direction).items() if not run or name not in left_out}
    found = settle(here, awaited)
    actions, left = done
    return Mirrored(here.cluster.datacenter, actions, changes, tuple(found.values()), left)


def decided(sites: Sequence[Site], patience: float | None = None) -> Direction | None:
    """Who is written to, as the clusters that can be asked have it; None where nothing is mirrored.

    Args:
        sites: Every cluster of an environment.
        patience: Seconds to wait for each, where those that do not answer in time are passed over; None where all
            of them have to answer.

    Raises:
        Disagreement: Two clusters were each taken over without the other.
        KdeployError: A cluster that has to answer does not.
    """
    from kdeploy.cluster import direction
    from kdeploy.operations import readiness

    environment = sites[0].design.loaded.environment
    if environment.mirroring is None:
        return None
    if patience is not None:
        with asking.asked(sites, patience) as answers:
            return heard_of(sites, answers)
    found: list[Direction | None] = [heard(environment.name)]
    for one in sites:
        with readiness.connected(one) as admin:
            found.append(direction.read(admin))
    return _latest(sites[0], found)


def heard_of(sites: Sequence[Site], answers: asking.Answers) -> Direction:
    """Who is written to, by those that answered and by what this machine last heard; errors as `decided`."""
    said = [one.direction for one in answers.values() if isinstance(one, asking.Answer)]
    return _latest(sites[0], [heard(sites[0].design.loaded.environment.name), *said])


def _latest(here: Site, found: Sequence[Direction | None]) -> Direction:
    from kdeploy.cluster import direction

    environment = here.design.loaded.environment
    first = written_first(environment) or EVERYWHERE
    latest = direction.latest(found, first)
    hear(environment.name, latest)
    return latest.among(here.datacenters) if first else latest


def heard(environment: str) -> Direction | None:
    """What this machine last heard; it counts by its number only, as what any cluster keeps."""
    from kdeploy.cluster import direction

    try:
        return direction.decode((places.state_folder(environment) / HEARD).read_text())
    except (OSError, KdeployError):
        return None


def hear(environment: str, found: Direction) -> None:
    """Keep for later what was decided, where this machine keeps anything of the environment."""
    from kdeploy.cluster import direction

    folder = places.state_folder(environment)
    if found.epoch and folder.is_dir() and heard(environment) != found:
        replace_file(folder / HEARD, direction.encode(found).encode())


def active(design: prepare.Design, vault: Vault) -> str:
    """The datacenter that clients are sent to; `EVERYWHERE` where each goes to its own.

    Where no cluster answers, it is as this machine last heard it.

    Raises:
        Disagreement: Two clusters were each taken over without the other.
    """
    sites = site.sites(design, vault, Silent())
    found = decided(sites, patience=ASK_WITHIN)
    return found.active if found else EVERYWHERE


def handed(design: prepare.Design, vault: Vault) -> dict[str, str]:
    """By datacenter the one that its clients are sent to (active-active); as and errors as `active`."""
    sites = site.sites(design, vault, Silent())
    return clients_of(decided(sites, patience=ASK_WITHIN), sites[0].datacenters)


def clients_of(found: Direction | None, datacenters: Sequence[str]) -> dict[str, str]:
    """By datacenter the one that its clients are sent to, where all are written to.

    Args:
        found: What was decided.
        datacenters: Names of all of them.
    """
    if (
        found is not None and found.active and found.active in datacenters
    ):  # of two, or while there were but two
        return dict.fromkeys(datacenters, found.active)
    moved = found.moved if found else {}
    return {one: moved[one] if moved.get(one) in datacenters else one for one in datacenters}


def as_decided(
    sites: Sequence[Site], patience: float | None = None
) -> tuple[tuple[Site, ...], Direction | None]:
    """The same clusters, each knowing who is written to, and what was decided; arguments and errors as `decided`."""
    found = decided(sites, patience)
    written = found.written if found and written_first(sites[0].design.loaded.environment) else None
    return tuple(replace(one, written=written) for one in sites), found


def workers_of(here: Site) -> tuple[Node, ...]:
    """The workers of a datacenter."""
    return here.cluster.mirror.nodes if here.cluster.mirror else ()


def _connectors(here: Site) -> Sequence[Connector]:
    """Connectors that are declared for a datacenter's workers."""
    return here.cluster.mirror.connectors if here.cluster.mirror else ()


def _workers(here: Site, has_begun: bool, *, rolling_too: bool) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """Make workers what they should be; what each needed, and names of those that a canary leaves."""
    nodes = workers_of(here)
    todo = here.compare(nodes)
    if not rolling_too:
        todo = tuple(action for action in todo if action.kind in ("create", "start"))
    if all(action.kind == "none" for action in todo):
        return todo, ()
    if any(action.needs_its_place for action in todo):
        here.provision()
        todo = here.compare([action.node for action in todo])
    down = [action.node for action in todo if action.kind in ("create", "start")]
    placed = down + [action.node for action in todo if action.kind == "update"]
    if placed:
        here.apply_all(placed, here.apply)
    if down:
        here.progress.step("start", ", ".join(node.name for node in down))
        site.in_parallel(here.provider.start, down)
        kill_point("mirrors-started")
        _serve(here, down)
    restarting = [action.node for action in todo if action.kind == "restart"]
    meant = restarting[: 0 if has_begun else 1] if here.manner.canary else restarting
    for node in meant:
        restart(here, node)
    return todo, tuple(node.name for node in restarting[len(meant) :])


def restart(here: Site, node: Node) -> None:
    """Restart a worker with its new files, and wait until it serves; its tasks wait for it."""
    here.apply(node)
    here.progress.step("roll", f"{node.name}: restarting")
    with lasting(here.progress, node.name, "stops"):
        here.provider.stop(node)
    kill_point("mirror-stopped-in-roll")
    rolling.renew_place(here, [node])
    with lasting(here.progress, node.name, "starts"):
        here.provider.start(node)
    _serve(here, [node])


def _serve(here: Site, nodes: Sequence[Node]) -> None:
    """Wait until workers serve. Others may lack what they are restarted for next, a password for one."""
    from kdeploy.operations.readiness import wait_for_workers

    wait_for_workers(here, nodes, connect(here).why_not)


ROUNDS: Final = 3
"""Times that connectors are looked at after they were changed; what still differs then is seen by `settle`."""


def reconcile(here: Site, runs: Mapping[str, bool], direction: Direction | None = None) -> tuple[str, ...]:
    """Make connectors what they are declared to be; those that are not to run are stopped, and not made.

    Returns:
        What was changed, a line each.
    """
    client = connect(here)
    found = client.connectors()
    said = set_out.from_decision(here, client, found, runs, direction)
    for _ in range(ROUNDS):
        # Looked at anew: one that was just made for it rests, and a worker that has just come knows some later.
        todo = wanted(here, client.connectors(), runs)
        for one in todo:
            if one.words not in said:  # once more for a worker that did not know of it yet
                here.progress.step("mirror", one.words)
            _carry_out(client, one)
            said.append(one.words)
            kill_point("connector-changed")
        if not todo:
            break
    return tuple(dict.fromkeys(said))


@dataclass(frozen=True)
class Wanted:
    """What is to be done to one connector.

    Attributes:
        name: The connector.
        kind: create-connector, update-connector, delete-connector; or stop, start or restart it.
        words: The same in words.
        change: How its configuration differs, where it does.
    """

    name: str
    kind: str
    words: str
    change: ConnectorChange | None = None


def wanted(here: Site, found: Mapping[str, ConnectorState], runs: Mapping[str, bool]) -> tuple[Wanted, ...]:
    """What is to be done to connectors; those that are not to run and are not there are not made."""
    todo = [Wanted(one.name, one.kind, str(one), one) for one in pending(here, found, runs)]
    for name, one in sorted(found.items()):
        run = runs.get(name)
        if run is False and one.state != "STOPPED":
            todo.append(Wanted(name, "stop-connector", f"stop connector {name}"))
        elif run and one.state in ("STOPPED", "PAUSED"):
            todo.append(Wanted(name, "start-connector", f"start connector {name}"))
        elif run and one.failed:
            todo.append(Wanted(name, "restart-connector", f"restart what failed of connector {name}"))
    return tuple(todo)


def pending(
    here: Site, found: Mapping[str, ConnectorState], runs: Mapping[str, bool]
) -> tuple[ConnectorChange, ...]:
    """What differs of connectors that run or are there, from what is declared."""
    from kdeploy.cluster import connectors

    declared = _connectors(here)
    wanted = {one.name: one.config for one in declared if runs[one.name] or one.name in found}
    names = [one.name for one in here.design.loaded.environment.datacenters]
    return connectors.difference(wanted, found, names)


def _carry_out(client: Connect, todo: Wanted) -> None:
    match todo.kind:
        case "delete-connector":
            client.delete(todo.name)
        case "stop-connector":
            client.stop(todo.name)
        case "start-connector":
            client.resume(todo.name)
        case "restart-connector":
            client.restart_failed(todo.name)
        case _ if todo.change is not None:
            client.put(todo.name, getattr(todo.change, "config"))  # noqa: B009 - a deletion has none


def _works(one: ConnectorState) -> bool:
    """Whether a connector does what it can: that of groups has no task until there is a group."""
    idle = one.name.endswith("-groups") and one.state == "RUNNING" and not one.tasks
    return one.runs or idle


def settle(here: Site, runs: Mapping[str, bool]) -> dict[str, ConnectorState]:
    """Wait until connectors run, or rest, as they are to.

    Raises:
        Unhealthy: They do not in time; says which, and what Connect said.
    """
    from kdeploy.cluster.failure import TimedOut

    client = connect(here)

    def holds(found: Mapping[str, ConnectorState]) -> bool:
        for name in (name for name, run in runs.items() if run and name in found):
            if found[name].state in ("STOPPED", "PAUSED"):
                client.resume(name)
            elif found[name].failed:
                client.restart_failed(name)
        return all(
            (_works(found[name]) if wanted else found[name].rests) if name in found else not wanted
            for name, wanted in runs.items()
        )

    with lasting(here.progress, "waits for", "connectors"):
        try:
            return client.wait("its connectors are as declared", holds, set_out.STARTS_WITHIN)
        except TimedOut as error:
            raise Unhealthy(
                f"the mirror into {here.cluster.datacenter} does not run: {error}\n"
                f"  look at `kdeploy mirror status {here.design.loaded.environment.name}`, then run this again"
            ) from None
