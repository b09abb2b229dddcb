"""Proof that a cluster works and is closed to those it should be closed to, by named checks.

    look    brokers registered, controller known, ensemble or quorum, partitions in sync
    prove   a topic from defaults is what was promised; records through each broker and back
    refuse  an unauthenticated client, plaintext, a wrong password, a user without ACLs

Invariant: it leaves nothing behind, also what a killed one left; a check that cannot be
made fails and says why. Safe to run beside other operations and other verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kdeploy.blueprint import ClusterBlueprint, Node
from kdeploy.cluster import Access, Check, HealthReport, defaults, refusals, roundtrip, temporary
from kdeploy.cluster.admin import Admin, connect
from kdeploy.cluster.checks import check, judged
from kdeploy.cluster.failure import ClusterError, Refusal
from kdeploy.cluster.health import observe
from kdeploy.cluster.login import accepted
from kdeploy.cluster.stage import Stage, leaderless, partitions_of, put_up, wait
from kdeploy.cluster.state import ClusterState, NewTopic, Partition
from kdeploy.cluster.temporary import PREFIX
from kdeploy.cluster.zookeeper import ask
from kdeploy.spec.model import Environment

AT_ONCE: Final = 4
"""Checks and round trips at the same time: more would measure this machine rather than the cluster."""

DEFAULTS: Final = "topic from defaults"
RECORDS: Final = "records through each broker"
UNAUTHENTICATED: Final = "unauthenticated client refused"
PLAINTEXT: Final = "plaintext client refused"
PASSWORD: Final = "wrong password refused"  # noqa: S105  # a check's name
STRANGER: Final = "user without ACLs refused"
NOT_ALLOWED: Final = (
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
)
"""What Kafka answers a user that no access list names; a reader learns it of its group or of the topic,
a writer of the topic or of the producer id that it asks for (idempotence)."""

CLEAN: Final = "nothing left behind"


def verify(access: Access, environment: Environment, cluster: ClusterBlueprint) -> HealthReport:
    """Make every check of one cluster.

    Args:
        access: How to reach it.
        environment: What it was asked to be.
        cluster: What it was made of.

    Raises:
        ClusterError: It does not answer at all.
    """
    with connect(access) as admin:
        temporary.sweep(admin)
        looked = _look(admin, access, cluster)
        names = temporary.new_names()
        with temporary.removed_after(admin, names):
            proved = _prove(admin, access, environment, cluster, names)
        # Once more: what a run was making when it was killed may have come to be after the first look.
        temporary.sweep(admin)
        return HealthReport(cluster.datacenter, (*looked, *proved, _clean(admin, names)))


def _look(admin: Admin, access: Access, cluster: ClusterBlueprint) -> tuple[Check, ...]:
    members = ask(access, cluster.coordinators) if cluster.coordination == "zookeeper" else ()
    return judged(observe(admin), members, cluster)


def _prove(
    admin: Admin,
    access: Access,
    environment: Environment,
    cluster: ClusterBlueprint,
    names: temporary.Names,
) -> tuple[Check, ...]:
    plaintext = environment.security.client_listener == "PLAINTEXT"
    closed: dict[str, Callable[[], Check]] = {
        UNAUTHENTICATED: lambda: refusals.unauthenticated(access, cluster, plaintext),
        PLAINTEXT: lambda: refusals.in_plaintext(access, cluster, plaintext),
    }
    with ThreadPoolExecutor(AT_ONCE, "kdeploy-verify") as pool:
        early = [pool.submit(_made, name, work) for name, work in closed.items()]
        try:
            stage = put_up(admin, access, environment, cluster, names)
        except ClusterError as error:
            late = [
                Check(name, False, f"not tried: {_line(error)}")
                for name in (DEFAULTS, RECORDS, PASSWORD, STRANGER)
            ]
        else:
            works: dict[str, Callable[[], Check]] = {
                DEFAULTS: lambda: topic_from_defaults(admin, environment, cluster, names.defaults),
                PASSWORD: lambda: _wrong_password(stage),
                STRANGER: lambda: _stranger(stage),
            }
            others = [pool.submit(_made, name, work) for name, work in works.items()]
            records = _made(RECORDS, lambda: _records(admin, stage, cluster))
            late = [others[0].result(), records, *(one.result() for one in others[1:])]
        return (*late[:2], *(one.result() for one in early), *late[2:])


def _made(name: str, work: Callable[[], Check]) -> Check:
    """Make a check; one that cannot be made has failed."""
    try:
        return work()
    except ClusterError as error:
        return Check(name, False, _line(error))


def _line(error: ClusterError) -> str:
    """An error on one line, as a check's detail is."""
    return "; ".join(line.strip() for line in str(error).splitlines())


def topic_from_defaults(
    admin: Admin, environment: Environment, cluster: ClusterBlueprint, topic: str
) -> Check:
    """Create a topic without saying anything about it, and compare it with what was promised.

    Raises:
        ClusterError: It cannot be created, or nothing answers for it.
    """
    promise = defaults.promised(environment, cluster)
    admin.create_topics([NewTopic(topic)])
    keys = sorted(set(promise) - {defaults.PARTITIONS, defaults.COPIES})
    found: list[Partition] = []
    effective: dict[str, str] = {}

    def unanswered() -> str | None:
        # Any broker may be the one that answers, and one may learn of a new topic later than another:
        # what is judged is an answer that knew it.
        found[:] = partitions_of(admin, topic)
        if (unled := leaderless(topic, found)) is not None:
            return unled
        effective.update(admin.topic_settings([topic], keys).get(topic, {}))
        return None if effective else f"no broker knows the settings of topic {topic}"

    wait(unanswered)
    effective[defaults.PARTITIONS] = str(len(found))
    effective[defaults.COPIES] = ", ".join(sorted({str(len(one.replicas)) for one in found}))
    if wrong := defaults.broken(promise, effective):
        return Check(DEFAULTS, False, "; ".join(wrong))
    return Check(DEFAULTS, True, ", ".join(f"{key} {effective[key]}" for key in sorted(promise)))


def _records(admin: Admin, stage: Stage, cluster: ClusterBlueprint) -> Check:
    def through(position: int, node: Node) -> str | None:
        try:
            client = stage.client(node, temporary.CLIENT)
            roundtrip.round_trip(client, stage.names.records, position, stage.access.proxy)
        except ClusterError as error:
            return f"{node.name}: {_line(error)}"
        return None

    with ThreadPoolExecutor(AT_ONCE, "kdeploy-records") as pool:
        wrong = [
            one for one in pool.map(through, range(len(stage.brokers)), stage.brokers) if one is not None
        ]
    # A broker that was not there when the topic was made leads nothing of it: that proves nothing of it either.
    wrong += [f"{node.name} was not registered" for node in cluster.brokers if node not in stage.brokers]
    wrong += _moved(observe(admin), stage)
    right = f"{roundtrip.RECORDS:,} records acknowledged and read back through each of {len(stage.brokers)} brokers"
    return Check(RECORDS, not wrong, "; ".join(wrong) or right)


def _moved(state: ClusterState, stage: Stage) -> list[str]:
    """Partitions whose leader is not the broker they were made for: records went through another."""
    found = {one.index: one.leader for one in state.partitions if one.topic == stage.names.records}
    return [
        f"{node.name} did not lead its partition, broker {found.get(position)} did"
        for position, node in enumerate(stage.brokers)
        if found.get(position) != node.id
    ]


def _wrong_password(stage: Stage) -> Check:
    if stage.plaintext:
        return Check(PASSWORD, True, refusals.ASKED_FOR_PLAINTEXT)
    tls, user = stage.tls(), temporary.CLIENT
    wrong = [
        f"{node.name} let it in"
        for node in stage.brokers
        if accepted(
            node.host,
            node.ports["client"],
            tls,
            user,
            stage.passwords[user] + "x",
            proxy=stage.access.proxy,
        )
    ]
    return Check(
        PASSWORD, not wrong, "; ".join(wrong) or f"{len(stage.brokers)} brokers; the right one is accepted"
    )


def _stranger(stage: Stage) -> Check:
    if stage.plaintext:
        return Check(STRANGER, True, refusals.ASKED_FOR_PLAINTEXT)
    if not stage.acls:
        return Check(STRANGER, True, refusals.ASKED_FOR_NO_ACLS)
    topic, client = stage.names.records, stage.client(stage.brokers[0], temporary.STRANGER)
    proxy = stage.access.proxy
    wrong = [
        *_allowed("write", lambda: roundtrip.produce(client, topic, 0, [b"x"], proxy)),
        *_allowed("read", lambda: roundtrip.consume(client, topic, 0, 1, proxy)),
    ]
    return Check(STRANGER, not wrong, "; ".join(wrong) or "neither writes nor reads, though it is let in")


def _allowed(what: str, attempt: Callable[[], object]) -> tuple[str, ...]:
    """Why an attempt that should be refused was not; empty when it was."""
    try:
        attempt()
    except Refusal as refusal:
        return () if refusal.code in NOT_ALLOWED else (f"{what}: {refusal}",)
    return (f"it may {what}",)


def _clean(admin: Admin, names: temporary.Names) -> Check:
    found = temporary.remains(admin, names)
    return Check(
        CLEAN,
        not found,
        f"still there: {', '.join(found)}"
        if found
        else "topics and ACLs removed; verify's two users may do nothing",
    )


__all__ = ["PREFIX", "check", "topic_from_defaults", "verify"]
