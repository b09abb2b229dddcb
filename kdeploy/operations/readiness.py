"""Waiting for the right thing: nodes that answer, gates that open, partitions in sync.

Invariant: every wait is on a condition seen through the protocol, has an end, notices
when a process it waits for has died, and says what it waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kdeploy.errors import GateClosed, InvalidSetting, KdeployError, Unhealthy
from kdeploy.operations.progress import lasting
from kdeploy.operations.reach import WrongCluster, reached
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.cluster import Check, HealthReport, Proxy
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.change import Change
    from kdeploy.cluster.gate import Verdict
    from kdeploy.cluster.reconcile import Plan
    from kdeploy.cluster.zookeeper import Member
    from kdeploy.infra import NodeState

CATCH_UP: Final = 7 * 86400.0
"""Seconds that data may take to come back: 100 TB at 1.25 Gbit/s. Stopping kdeploy meanwhile stops nothing else."""

PAUSE: Final = 0.25
"""Seconds between two looks at a condition: short against a JVM's start, cheap against two cores."""

TELL: Final = 15.0
"""Seconds between two words about data that comes back, which takes minutes to days."""

AT_LEAST: Final = 1.0
"""Seconds that brokers have to answer, however little is left of somebody's patience."""

LISTENS: Final = 2.0
"""Seconds for a controller to let itself be connected to, by way of SSH too."""

CALM_READINGS: Final = 4
"""Times in a row that a cluster has to be seen at rest: brokers that have just come back are in sync by the
metadata of before, until the first of them falls behind."""

BROKER_STARTS: Final = 4
"""Times a broker that ends while it starts is started in all."""

STILL_REGISTERED: Final = "NodeExists"
"""Last words of a broker that came before ZooKeeper forgot the process before it. One that was killed stays
registered until its session ends (zookeeper.session.timeout.ms, 18 s in Kafka 3.9), counted anew where the
ensemble was started anew, as after a reboot of the whole machine."""

FORGOTTEN_IN: Final = 90.0
"""Seconds within which such a broker is started again: five sessions, for machines that are slow."""


@contextmanager
def connected(site: Site, patience: float | None = None, *, starting: bool = False) -> Iterator[Admin]:
    """The administrator's connection, as soon as one broker answers.

    Args:
        site: The cluster.
        patience: Seconds to wait; the site's own when left out.
        starting: Whether the brokers were just started: one that ended too early is started again.

    Raises:
        WrongCluster: What answers is another cluster than the lock's.
        KdeployError: No broker answered in time.
    """
    deadline = time.monotonic() + (site.patience if patience is None else patience)
    starts = _Starts()
    with ExitStack() as stack:
        while True:
            try:
                left = None if patience is None else max(AT_LEAST, deadline - time.monotonic())
                admin = stack.enter_context(reached(site, left))
                break
            except WrongCluster:
                raise
            except KdeployError:
                if patience is not None and time.monotonic() > deadline:
                    raise  # whether its hosts answer is not waited for as well
                if starting:
                    _start_again(site, site.cluster.brokers, starts)
                else:
                    _refuse_dead(site, site.cluster.brokers, 1)
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE)
        yield admin


def wait_for_coordination(site: Site, *, all_of_them: bool) -> None:
    """Wait until the ensemble, or the controllers' quorum, serves.

    Args:
        site: The cluster.
        all_of_them: Wait for every node of it, as before one is stopped; else a majority that
            serves is enough.
    """
    nodes = site.cluster.coordinators
    needed = len(nodes) if all_of_them else len(nodes) // 2 + 1
    if site.cluster.coordination == "zookeeper":
        _wait(site, nodes, needed, lambda: _ensemble(site, needed), "the ensemble")
    else:
        _wait(site, nodes, needed, lambda: _controllers(site, needed), "the controllers")


def wait_for_workers(
    site: Site, workers: Sequence[Node], why_not: Callable[[], Mapping[tuple[str, int], str | None]]
) -> None:
    """Wait until every worker of MirrorMaker serves.

    Args:
        site: The cluster beside which they are.
        workers: They.
        why_not: Asks why each does not, by host and port.
    """

    def missing() -> str | None:
        found = why_not()
        said = {node.name: found.get((node.host, node.ports["rest"])) for node in workers}
        return "; ".join(f"{name}: {why}" for name, why in said.items() if why) or None

    _wait(site, workers, len(workers), missing, "the workers of MirrorMaker")


def wait_for_brokers(site: Site, admin: Admin) -> None:
    """Wait until every broker is registered; one that ended too early is started again."""
    from kdeploy.cluster import health

    starts = _Starts()

    def missing() -> str | None:
        alive = health.observe(admin).alive
        late = [node for node in site.cluster.brokers if node.id not in alive]
        _start_again(site, late, starts)
        return f"{', '.join(node.name for node in late)} not registered" if late else None

    _wait(site, (), 0, missing, "the brokers")


class _Starts:
    """How often brokers were started, and since when."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.counts: dict[str, int] = {}

    def again(self, node: Node, state: NodeState) -> int | None:
        """Which start of a broker that ended comes now, from 2 on; None when it has had its chances."""
        count = self.counts.get(node.key, 1)
        if STILL_REGISTERED in state.detail:
            if time.monotonic() > self.began + FORGOTTEN_IN:
                return None
        elif count >= BROKER_STARTS:
            return None
        self.counts[node.key] = count + 1
        return count + 1


def _start_again(site: Site, late: Sequence[Node], starts: _Starts) -> None:
    states = site.provider.observe(late)
    for node in late:
        state = states[node.key]
        if not state.running and not state.may_return:
            start = starts.again(node, state)
            if start is None:
                raise _died(node, state)
            site.progress.step("start", f"{node.name} again: {state.detail}")
            time.sleep(PAUSE * 2 ** min(start, BROKER_STARTS))
            site.provider.start(node)


def settle(site: Site, admin: Admin) -> None:
    """Wait until every partition is in sync under its preferred leader, and stays so."""
    from kdeploy.cluster import gate, health

    expected = {node.id for node in site.cluster.brokers}
    calm, told = 0, 0.0

    def unsettled() -> str | None:
        nonlocal calm, told
        verdict = gate.settled(health.observe(admin), expected)
        calm = calm + 1 if verdict.open else 0
        if not verdict.open:
            admin.elect_preferred_leaders()
            if site.manner.catch_up and time.monotonic() > told + TELL:
                site.progress.step("catch up", "; ".join(verdict.reasons))
                told = time.monotonic()
        return (
            None
            if calm >= CALM_READINGS
            else "; ".join(verdict.reasons) or "in sync, but not for long enough"
        )

    more = site.manner.catch_up
    _wait(site, site.cluster.brokers, len(expected), unsettled, "partitions in sync", more)


def wait_for_gate(site: Site, admin: Admin, *nodes: Node) -> None:
    """Wait until a KRaft controller, a broker, or several brokers together, may be stopped.

    Raises:
        GateClosed: It may not, still; says what needs it.
    """
    environment = site.design.blueprint.environment
    names, were = ", ".join(node.name for node in nodes), "were" if len(nodes) > 1 else "was"
    wait_until_open(
        site,
        lambda: _verdict(site, admin, *nodes),
        f"{names} waits",
        f"{names} {were} not stopped",
        "everything still serves; mend what is named and run this again\n"
        f"  or, with a pause for all clients: `kdeploy down {environment}`, then `kdeploy up {environment}`",
    )


def wait_for_others(site: Site, admin: Admin, node: Node) -> None:
    """Wait until a broker that has none of its data may come: all that it held is in sync elsewhere.

    Raises:
        GateClosed: It is not, still; says what is.
    """
    from kdeploy.cluster import gate, health

    def judge() -> Verdict:
        state = health.observe(admin)
        held = any(node.id in one.replicas for one in state.partitions)
        empty = gate.judge_replacement(state, node.id, site.manner.lost)
        return empty if held and node.id not in state.alive else gate.Verdict()

    wait_until_open(
        site,
        judge,
        f"{node.name} has nothing of its data on its host, and waits",
        f"{node.name} was not begun anew without its data",
        "bring its data back to its host, or mend what is named, and run this again",
    )


def wait_until_open(
    site: Site, judge: Callable[[], Verdict], waiting: str, refused: str, remedy: str
) -> None:
    """Wait until a gate opens.

    Args:
        site: The cluster.
        judge: Asked again and again.
        waiting: What waits, told with the reasons whenever they change.
        refused: What was not done, where it does not open in time.
        remedy: What a person may do then.

    Raises:
        GateClosed: It did not open in time.
    """
    deadline, said = time.monotonic() + site.patience, ""
    with lasting(site.progress, "gate"):
        while True:
            try:
                reasons = "\n".join(judge().reasons)
            except KdeployError as error:  # what cannot be seen now is a reason to wait, not to give up
                reasons = str(error).splitlines()[0]
            if not reasons:
                return
            if time.monotonic() > deadline:
                raise GateClosed(
                    f"{refused}, since it was not safe within {site.patience:.0f} s:\n{reasons}\n  {remedy}"
                )
            if reasons != said:
                site.progress.step("gate", f"{waiting}: {reasons}")
                site.progress.now("gate", reasons)
                said = reasons
            time.sleep(PAUSE)


def refuse_impossible(site: Site, admin: Admin, steps: Sequence[Sequence[Node]]) -> None:
    """Refuse a roll whose gate would never open, before anything is stopped.

    Raises:
        GateClosed: Names each topic that can never spare brokers of one of the steps.
    """
    from kdeploy.cluster import gate, health

    groups = [{node.id for node in step} for step in steps]
    try:
        state = health.observe(admin)
    except KdeployError:  # the gate asks again, and waits for what cannot be seen now
        return
    reasons = gate.judge_ever(state, groups, site.manner.accepted).reasons
    if reasons:
        listed = "\n".join(reasons)
        raise GateClosed(
            f"no running node was restarted, since waiting would not help:\n{listed}\n  everything still serves"
        )


def _verdict(site: Site, admin: Admin, *nodes: Node) -> Verdict:
    from kdeploy.cluster import gate, health

    state = health.observe(admin)
    if nodes[0].role == "controller" and state.quorum is not None:
        return gate.judge_voter(state.quorum, nodes[0].id)
    return gate.judge(state, {node.id for node in nodes}, site.manner.accepted)


def leading_coordinator(site: Site) -> int | None:
    """The id of the ensemble's leader, or of the active controller."""
    if site.cluster.coordination == "zookeeper":
        return next((one.id for one in _members(site) if one.mode == "leader"), None)
    with connected(site) as admin:
        return controller_id(admin)


def controller_id(admin: Admin) -> int | None:
    """The id of the active controller (a broker in ZooKeeper mode)."""
    from kdeploy.cluster import health

    return health.observe(admin).controller


def pending_changes(
    site: Site, admin: Admin, restarting: Collection[str] = (), *, resources_only: bool = False
) -> tuple[Change, ...]:
    """The changes of `pending`."""
    return pending(site, admin, restarting, resources_only=resources_only).changes


def pending(
    site: Site,
    admin: Admin,
    restarting: Collection[str] = (),
    *,
    resources_only: bool = False,
    planned: int = 0,
) -> Plan:
    """What is to be done to what a cluster holds: settings of running brokers, topics, users, ACLs, quotas.

    Args:
        site: The cluster.
        admin: Its administrator.
        restarting: Keys of brokers that are going to be restarted with their new files first.
        resources_only: Whether settings of brokers are left out.
        planned: How many brokers there are when it is carried out, where more of them are started first.
    """
    from kdeploy.cluster import reconcile

    brokers = {} if resources_only else site.live_settings(site.cluster.brokers, restarting)
    try:
        return reconcile.plan(site.declared, admin, site.passwords(), brokers, planned)
    except InvalidSetting as error:
        raise site.design.loaded.source.locate(error) from None


def check(site: Site) -> HealthReport:
    """The quick, read-only checks."""
    from kdeploy.cluster import verify

    with connected(site, patience=10) as admin:
        report = verify.check(admin, site.access, site.cluster)
        return replace(report, checks=(*report.checks, *_by_hand(site, admin)))


def _by_hand(site: Site, admin: Admin) -> tuple[Check, ...]:
    """Dynamic settings of brokers that are not kdeploy's: they outrank files, until `up` takes them away."""
    from kdeploy.cluster import Check, live
    from kdeploy.tuning.definitions import definitions
    from kdeploy.tuning.overrides import changeable

    names = sorted(changeable(definitions(site.cluster.kafka_version)))
    there = {broker.id for broker in admin.metadata().brokers}
    wanted = site.live_settings([node for node in site.cluster.brokers if node.id in there])
    said = [
        f"{one.name} has {name} {value}"
        for broker, one in sorted(wanted.items())
        for name, value in live.by_hand(admin.broker_settings(broker, names), one.settings).items()
    ]
    return (
        (Check("settings set by hand", True, f"{'; '.join(said)}: `kdeploy up` takes this away"),)
        if said
        else ()
    )


def verify(site: Site) -> HealthReport:
    """All named checks, with records and refusals."""
    from kdeploy.cluster import verify as checks
    from kdeploy.cluster.failure import ClusterError

    # A cluster that does not answer is what the checks are there to say.
    with suppress(ClusterError), reached(site):
        pass
    site.progress.step("verify", "10,000 records through each broker, and what must be refused")
    with lasting(site.progress, "", "records are sent and read, and strangers are to be refused"):
        return checks.verify(site.access, site.declared, site.cluster)


def _ensemble(site: Site, needed: int) -> str | None:
    members = _members(site)
    serving = sum(member.serves for member in members)
    led = any(member.mode in ("leader", "standalone") for member in members)
    if serving >= needed and led:
        return None
    problems = "; ".join(f"{one.name}: {one.problem}" for one in members if not one.serves)
    return f"{serving} of {len(members)} ZooKeeper nodes serve ({problems})"


def _members(site: Site) -> tuple[Member, ...]:
    from kdeploy.cluster import zookeeper

    return zookeeper.ask(site.access, site.cluster.coordinators)


def _controllers(site: Site, needed: int) -> str | None:
    nodes = site.cluster.coordinators
    proxy = site.access.proxy
    listening = [node for node in nodes if _listens(node.host, node.ports["controller"], proxy)]
    if len(listening) < needed:
        return f"{len(listening)} of {len(nodes)} controllers listen"
    return None


def _listens(host: str, port: int, proxy: Proxy | None) -> bool:
    from kdeploy.cluster import wire

    try:
        with wire.connected(host, port, None, LISTENS, proxy):
            return True
    except OSError:
        return False


def _wait(
    site: Site,
    nodes: Sequence[Node],
    alive: int,
    lacking: Callable[[], str | None],
    what: str,
    more: float = 0.0,
) -> None:
    """Look until `lacking` has nothing to say; ends early when fewer than `alive` of the nodes run."""
    with lasting(site.progress, "waits for", what):
        _look(site, nodes, alive, lacking, what, site.patience + more)


def _look(
    site: Site,
    nodes: Sequence[Node],
    alive: int,
    lacking: Callable[[], str | None],
    what: str,
    patience: float,
) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            reason = lacking()
        except KdeployError as error:
            if type(error) is Unhealthy:
                raise
            reason = str(error).splitlines()[0]
        if reason is None:
            return
        site.progress.now("waits for", f"{what}: {reason}")
        _refuse_dead(site, nodes, alive)
        if time.monotonic() > deadline:
            raise Unhealthy(
                f"waited {patience:.0f} s for {what}: {reason}\n"
                f"  look at `kdeploy status {site.design.blueprint.environment}`, then run this again"
            )
        time.sleep(PAUSE)


def _refuse_dead(site: Site, nodes: Sequence[Node], alive: int) -> None:
    """Raise for the first node whose process has ended for good, when fewer than `alive` still may run."""
    states = site.provider.observe(nodes)
    dead = [node for node in nodes if not states[node.key].running and not states[node.key].may_return]
    if len(nodes) - len(dead) < alive:
        raise _died(dead[0], states[dead[0].key])


def _died(node: Node, state: NodeState) -> Unhealthy:
    return Unhealthy(
        f"{node.name} ended while it started: {state.detail}\n"
        "  mend what that says, then run this again; it goes on from here"
    )
