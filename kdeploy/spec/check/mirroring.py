"""Whether what is to be mirrored fits the datacenters, their hosts, and the names of topics.

Invariant: pure, as all of `kdeploy.spec.check`. What MirrorMaker would take and then do nothing with, or go round
in circles with, is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kdeploy.spec.check.finding import KEEP_ONE, Finding
from kdeploy.spec.mirroring import MOST_WITH_HEARTBEATS, Mirroring, passes_heartbeats_on
from kdeploy.spec.model import Environment, Workload
from kdeploy.spec.plain import Path_
from kdeploy.spec.ports import MOST_LOCAL_NODES
from kdeploy.spec.wording import did_you_mean
from kdeploy.units import format_duration

HEARTBEAT: Final = 1.0
"""Seconds between MirrorMaker's heartbeats (emit.heartbeats.interval.seconds, Kafka 4.3 documentation, MirrorMaker
configs): an objective shorter than one of them and its way across could not be seen to be kept."""

HEARTBEATS: Final = "heartbeats"
"""The topic that MirrorMaker notes its heartbeats in (org.apache.kafka.connect.mirror, ReplicationPolicy, Kafka 3.9 and
4.3). Of what keeps its name, IdentityReplicationPolicy takes every topic whose name ends so for one of them."""

_PLACE: Final[Path_] = ("mirroring",)


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about mirroring; none where nothing is mirrored."""
    mirroring = environment.mirroring
    if mirroring is None:
        return
    if len(environment.datacenters) < 2:
        right = "add another one under datacenters, or remove mirroring"
        yield Finding(_PLACE, "mirroring is between datacenters, and there is one", right)
        return
    names = [one.name for one in environment.datacenters]
    yield from _mode(mirroring)
    yield from _many(environment, mirroring, names)
    yield from _primary(mirroring, names)
    yield from _links(mirroring, names)
    yield from _objective(mirroring, names)
    yield from _workers(environment, mirroring)
    yield from _topics(environment, mirroring, names)
    if mirroring.sync_topic_acls and not environment.security.authorization:
        wrong = "there are no ACLs to copy where security.authorization is off"
        right = "remove it, or write authorization: true under security"
        yield Finding((*_PLACE, "sync_topic_acls"), wrong, right, (("security", "authorization"),))
    if environment.workload.mirror_round_trip != Workload.model_fields["mirror_round_trip"].get_default():
        wrong = "how far the datacenters are apart is what mirroring.links says"
        right = "remove it, and write round_trip under mirroring.links"
        yield Finding(("workload", "mirror_round_trip"), wrong, right)
    if environment.security.client_listener == "PLAINTEXT":
        wrong = "without a login the rights of MirrorMaker's user cannot be told from anybody's"
        path: Path_ = ("security", "client_listener")
        yield Finding(path, wrong, "write SASL_SSL, or remove mirroring", (_PLACE,))


def _mode(mirroring: Mirroring) -> Iterator[Finding]:
    """What the mode makes impossible, or would ignore."""
    if mirroring.mode == "active-active":
        if mirroring.naming == "identity":
            wrong = "with every datacenter written to and one name in all of them, what is mirrored would be mirrored back"
            right = "write prefixed, or leave it out; or write mode: active-passive"
            yield Finding((*_PLACE, "naming"), wrong, right)
        if mirroring.primary is not None:
            wrong = "primary means nothing where every datacenter is written to"
            yield Finding((*_PLACE, "primary"), wrong, "remove it, or write mode: active-passive")
    elif mirroring.survivor_share != Mirroring.model_fields["survivor_share"].get_default():
        wrong = "survivor_share means nothing where one datacenter is written to: another one then carries all of it"
        yield Finding((*_PLACE, "survivor_share"), wrong, "remove it, or write mode: active-active")


def _many(environment: Environment, mirroring: Mirroring, names: list[str]) -> Iterator[Finding]:
    """More datacenters than an old MirrorMaker is for, or than names tell apart.

    Of three of which one is written to, one that takes over has what both others had; under another name that would be
    another topic, which is not passed on.
    """
    if len(names) > 2 and (mirroring.mode, mirroring.names) == ("active-passive", "prefixed"):
        wrong = f"of {len(names)} datacenters of which one is written to, topics have one name in all of them"
        right = "write identity, or leave it out; or write mode: active-active"
        yield Finding((*_PLACE, "naming"), wrong, right)
    version = environment.kafka.version
    if len(names) > MOST_WITH_HEARTBEATS and passes_heartbeats_on(version):
        wrong = (
            f"MirrorMaker {version} passes heartbeats on from one datacenter to the next by every way there is, too many of "
            f"them between {len(names)}"
        )
        right = f"write a version from 4.0 on, which does not, or leave {MOST_WITH_HEARTBEATS} datacenters"
        yield Finding(("kafka", "version"), wrong, right, (_PLACE,))


def _primary(mirroring: Mirroring, names: list[str]) -> Iterator[Finding]:
    if mirroring.primary is not None and mirroring.primary not in names:
        yield _unknown((*_PLACE, "primary"), mirroring.primary, names)


def _links(mirroring: Mirroring, names: list[str]) -> Iterator[Finding]:
    first: dict[tuple[str, str], Path_] = {}
    for index, link in enumerate(mirroring.links):
        place: Path_ = (*_PLACE, "links", index)
        unknown = [end for end in ("source", "target") if getattr(link, end) not in names]
        yield from (_unknown((*place, end), getattr(link, end), names) for end in unknown)
        if unknown:
            continue
        pair = (link.source, link.target)
        if link.source == link.target:
            other = next(name for name in names if name != link.source)
            wrong = f"this link goes from {link.source} to {link.source}"
            yield Finding((*place, "target"), wrong, f"write {other}")
        elif pair in first:
            wrong = f"the link from {link.source} to {link.target} is there twice"
            yield Finding(place, wrong, KEEP_ONE, mention=("first as", first[pair]))
        first.setdefault(pair, place)


def _unknown(path: Path_, name: str, names: list[str]) -> Finding:
    return Finding(path, f"there is no datacenter called {name!r}", did_you_mean(name, names))


def _objective(mirroring: Mirroring, names: list[str]) -> Iterator[Finding]:
    """An objective that nothing could be measured against."""
    trips = (mirroring.link(source, target).round_trip for source in names for target in names)
    least = HEARTBEAT + max(trips)
    if mirroring.rpo < least:
        wrong = (
            f"{format_duration(mirroring.rpo)} is less than a heartbeat each {format_duration(HEARTBEAT)} and its way "
            f"take, so that nobody could tell whether it is kept"
        )
        yield Finding((*_PLACE, "rpo"), wrong, f"write {int(least) + 1}s or more")


def _workers(environment: Environment, mirroring: Mirroring) -> Iterator[Finding]:
    """What providers would ignore of the workers, or have no room for."""
    wanted, place = mirroring.workers, (*_PLACE, "workers")
    providers = {one.provider for one in environment.datacenters}
    if wanted.instance_type is not None and "aws" not in providers:
        wrong = f"an instance type means nothing to provider {min(providers)}"
        yield Finding((*place, "instance_type"), wrong, "remove it, or write provider: aws")
    if "local" not in providers and wanted.memory is not None:
        wrong = "the memory of a worker is its machine's own where it has one to itself"
        yield Finding((*place, "memory"), wrong, "remove it")
    if wanted.count is None:
        return
    if "local" in providers and wanted.count > MOST_LOCAL_NODES:
        wrong = f"{wanted.count} workers have no ports of their own on one machine"
        yield Finding((*place, "count"), wrong, f"write {MOST_LOCAL_NODES} or less")
    for datacenter in environment.datacenters:
        have = sum(host.role == "mirror" for host in datacenter.hosts)
        if datacenter.provider == "hosts" and have and have != wanted.count:
            there = f"{have} host{'s' * (have > 1)} of {datacenter.name} {'have' if have > 1 else 'has'}"
            wrong = f"{wanted.count} are asked for, and {there} the role mirror"
            yield Finding((*place, "count"), wrong, "leave the count out, or add or remove hosts")


def _topics(environment: Environment, mirroring: Mirroring, names: list[str]) -> Iterator[Finding]:
    """Names of topics that mean something else to MirrorMaker."""
    for index, topic in enumerate(environment.topics):
        path: Path_ = ("topics", index, "name")
        if topic.delete:
            continue
        prefix, dot, rest = topic.name.partition(".")
        taken = f"MirrorMaker takes {topic.name} for"
        excluded = "give it another name, or name it under mirroring.exclude_topics"
        if topic.name == HEARTBEATS:
            wrong = f"{HEARTBEATS} is the topic in which MirrorMaker notes that it runs"
            yield Finding(path, wrong, "give it another name", (_PLACE,))
        elif mirroring.names == "prefixed" and dot and prefix in names:
            elsewhere = "the other datacenter" if len(names) == 2 else "the other datacenters"
            wrong = f"{topic.name} is what {rest or 'a topic'} of {prefix} is called in {elsewhere}"
            yield Finding(path, wrong, "give it a name that begins otherwise", ((*_PLACE, "naming"), _PLACE))
        elif not mirroring.mirrors(topic.name):
            continue
        elif topic.name.endswith(HEARTBEATS if mirroring.names == "identity" else f".{HEARTBEATS}"):
            yield Finding(path, f"{taken} its heartbeats by its ending", excluded, (_PLACE,))
        elif _is_internal(topic.name):
            yield Finding(
                path, f"{taken} an internal one by its name, and leaves it out", excluded, (_PLACE,)
            )


def _is_internal(name: str) -> bool:
    """Whether a topic is left out whatever the filters say: by Kafka 3.9.2 (ReplicationPolicy.isInternalTopic), and by
    kdeploy's own list for 4.x, which is less strict by itself (`tuning.mirror.OWN_TOPICS`).
    """
    return name.startswith(".") or name.endswith((".internal", "-internal"))
