"""Legal but risky: settings that Kafka takes and an operator may regret.

Invariant: a risk never stops anything. It is a named warning that says why, and that
adding its name to `accept_risks` silences it; a name that is no risk is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.one_sided import one_sided
from kdeploy.spec.plain import Path_
from kdeploy.spec.ports import FIRST_LENT, OFFSETS, PER_NODE
from kdeploy.spec.resources import Acl
from kdeploy.spec.unmatched import nowhere, told


@dataclass(frozen=True)
class Risk:
    """One risky setting of an environment.

    Attributes:
        name: Its name, for `accept_risks`.
        path: The setting.
        why: What may happen, as a sentence without a full stop.
    """

    name: str
    path: Path_
    why: str

    @property
    def silence(self) -> str:
        """How to say that it is meant."""
        return f"if it is meant, add {self.name} to accept_risks"


Places = tuple[Path_, ...]


def risks(environment: Environment) -> tuple[Risk, ...]:
    """The risks an environment takes and has not accepted, in the order of their names."""
    # Which topic is meant is worth more than the reason that all of these share.
    words = dict(told(environment, "that is declared")) if environment.topics else {}
    return tuple(
        Risk(name, path, words[path] if name == "unknown-topic" else why)
        for name, (find, why) in sorted(RISKS.items())
        if name not in environment.accept_risks
        for path in find(environment)
    )


def _single_copy(environment: Environment) -> Places:
    found: list[Path_] = []
    if environment.durability.replication_factor == 1:
        found.append(("durability", "replication_factor"))
    found += [
        ("topics", index, "replication_factor")
        for index, topic in enumerate(environment.topics)
        if topic.replication_factor == 1 and not topic.delete
    ]
    return tuple(found)


def _no_spare_copy(environment: Environment) -> Places:
    durability = environment.durability
    found: list[Path_] = []
    if durability.min_insync_replicas == durability.replication_factor > 1:
        found.append(("durability", "min_insync_replicas"))
    for index, topic in enumerate(environment.topics):
        copies = topic.replication_factor or durability.replication_factor
        own = topic.config.get("min.insync.replicas")
        needed = durability.min_insync_replicas if own is None else own
        is_own = own is not None or topic.replication_factor is not None
        if is_own and not topic.delete and copies > 1 and str(needed) == str(copies):
            found.append(("topics", index, "config", "min.insync.replicas"))
    return tuple(found)


def _one_acknowledgement(environment: Environment) -> Places:
    durability = environment.durability
    if durability.min_insync_replicas == 1 < durability.replication_factor:
        return (("durability", "min_insync_replicas"),)
    return ()


def _unclean_election(environment: Environment) -> Places:
    return _setting_is(environment, "unclean.leader.election.enable", "true")


def _automatic_topics(environment: Environment) -> Places:
    return _setting_is(environment, "auto.create.topics.enable", "true")


def _setting_is(environment: Environment, name: str, value: str) -> Places:
    """Where a setting is overridden with a value, on brokers, controllers or a topic."""
    overrides = environment.overrides
    found: list[Path_] = [
        ("overrides", role, name)
        for role, settings in (("broker", overrides.broker), ("controller", overrides.controller))
        if str(settings.get(name)).lower() == value
    ]
    found += [
        ("topics", index, "config", name)
        for index, topic in enumerate(environment.topics)
        if str(topic.config.get(name)).lower() == value and not topic.delete
    ]
    return tuple(found)


def _plaintext(environment: Environment) -> Places:
    return (("security", "client_listener"),) if environment.security.client_listener == "PLAINTEXT" else ()


def _open_to_everyone(environment: Environment) -> Places:
    return tuple(
        ("datacenters", index, "network", "load_balancer", "everyone")
        for index, one in enumerate(environment.datacenters)
        if one.network.load_balancer is not None and one.network.load_balancer.everyone
    )


def _readable_metrics(environment: Environment) -> Places:
    return tuple(
        ("datacenters", index, "machine", "metrics_endpoint")
        for index, one in enumerate(environment.datacenters)
        if (one.machine.metrics_endpoint or "").startswith("http:")
    )


def _no_authorization(environment: Environment) -> Places:
    return () if environment.security.authorization else (("security", "authorization"),)


def _writes_everything(environment: Environment) -> Places:
    """Where somebody may write to every topic there is: by an entry, or by a role that writes."""
    own = [(("users", index), user.acls) for index, user in enumerate(environment.users) if not user.delete]
    given = [(("acls", index), grant.acls) for index, grant in enumerate(environment.acls)]
    found: list[Path_] = [
        (*place, "acls", number, "name")
        for place, acls in (*own, *given)
        for number, acl in enumerate(acls)
        if _is_write_to_all(acl)
    ]
    for index, grant in enumerate(environment.acls):
        for name, role in (
            ("topics", "producer"),
            ("output_topics", "streams"),
            ("output_topics", "connect"),
        ):
            if grant.role == role:
                named = getattr(grant, name)
                found += [("acls", index, name, at) for at, topic in enumerate(named) if topic == "*"]
    return tuple(found)


def _is_write_to_all(acl: Acl) -> bool:
    return (
        acl.resource == "topic"
        and acl.name == "*"
        and acl.permission == "allow"
        and not {"all", "write"}.isdisjoint(acl.operations)
    )


def _one_rack(environment: Environment) -> Places:
    return tuple(
        ("datacenters", index, "racks")
        for index, datacenter in enumerate(environment.datacenters)
        if len(datacenter.racks) == 1
    )


def _one_coordination_node(environment: Environment) -> Places:
    return tuple(
        ("datacenters", index, "coordination", "count")
        for index, datacenter in enumerate(environment.datacenters)
        if datacenter.coordination.count == 1
    )


def _nothing_survived(environment: Environment) -> Places:
    return (("durability", "survive"),) if environment.durability.survive == "none" else ()


def _nodes(count: int | None) -> int:
    """Coordination nodes, with the planner's usual number where none is given."""
    return count or 3


def _lent_ports(environment: Environment) -> Places:
    """Where a local datacenter's ports reach into those the kernel lends to outgoing connections."""
    highest = OFFSETS["controller" if environment.kafka.coordination == "kraft" else "zookeeper"]
    workers = environment.mirroring.workers.count or 1 if environment.mirroring else 0

    def last(datacenter: Datacenter) -> int:
        coordination = highest + PER_NODE * _nodes(datacenter.coordination.count)
        return datacenter.base_port + max(coordination, workers and OFFSETS["mirror"] + PER_NODE * workers)

    return tuple(
        ("datacenters", index, "base_port")
        for index, datacenter in enumerate(environment.datacenters)
        if datacenter.provider == "local" and last(datacenter) >= FIRST_LENT
    )


def _unknown_topic(environment: Environment) -> Places:
    """Where topics are declared at all; where none is, nobody says which there are to be."""
    return tuple(one.path for one in nowhere(environment)) if environment.topics else ()


def _idle_pattern(_: Environment) -> Places:
    """Nowhere in an environment, whose topics have what patterns say already: `operations.examine` reads the file."""
    return ()


def _unfenced(environment: Environment) -> Places:
    mirroring = environment.mirroring
    is_open = mirroring is not None and mirroring.mode == "active-passive"
    return (("security", "authorization"),) if is_open and not environment.security.authorization else ()


def _copies_acls(environment: Environment) -> Places:
    mirroring = environment.mirroring
    return (("mirroring", "sync_topic_acls"),) if mirroring is not None and mirroring.sync_topic_acls else ()


def _reads_one_side(environment: Environment) -> Places:
    return tuple(one_sided(environment)) if environment.security.authorization else ()


def _foreign_password(environment: Environment) -> Places:
    return tuple(
        ("users", index, "credentials")
        for index, user in enumerate(environment.users)
        if user.delete and user.credentials == "unmanaged"
    )


RISKS: Final[Mapping[str, tuple[Callable[[Environment], Places], str]]] = {
    "single-copy": (
        _single_copy,
        "with one copy of each record, a lost disk is lost data and a stopped broker stops its partitions",
    ),
    "no-spare-copy": (
        _no_spare_copy,
        "with min.insync.replicas equal to the replication factor, writing stops when any broker stops, "
        "a rolling restart included",
    ),
    "one-acknowledgement": (
        _one_acknowledgement,
        "with min.insync.replicas of 1, an acknowledged record may be on one disk only and be lost with it",
    ),
    "unclean-election": (
        _unclean_election,
        "a replica that is behind may become leader, and records that were acknowledged are lost",
    ),
    "automatic-topics": (
        _automatic_topics,
        "a misspelt topic name makes a topic, with defaults that nobody chose",
    ),
    "plaintext": (
        _plaintext,
        "whoever reaches the port reads and writes, and passwords and records cross the network readable",
    ),
    "open-to-everyone": (
        _open_to_everyone,
        "whoever is on the internet may try passwords, and hold brokers' connections",
    ),
    "readable-metrics": (
        _readable_metrics,
        "the token of the machines' role crosses the network readable, and whoever reads it sends metrics in their place",
    ),
    "no-authorization": (
        _no_authorization,
        "every user may read, write and delete every topic",
    ),
    "unknown-topic": (
        _unknown_topic,
        "no topic that is declared has this name, or a name that begins so: a misspelt one grants nothing",
    ),
    "idle-pattern": (
        _idle_pattern,
        "no topic of this file matches it, so it says nothing of any",
    ),
    "writes-everything": (
        _writes_everything,
        "who may write every topic may also write those that Kafka keeps for itself, consumers' offsets among them",
    ),
    "one-rack": (
        _one_rack,
        "all copies of a partition share one failure domain and are lost with it",
    ),
    "foreign-password": (
        _foreign_password,
        "it is denied everything and can still log in: its password is kept elsewhere, and has to be taken away there",
    ),
    "unfenced-writers": (
        _unfenced,
        "rights are what keeps writers off a datacenter that stands by, and off the old one after a failover: without "
        "them two may be written to at once, and these differ for good",
    ),
    "reads-one-side": (
        _reads_one_side,
        "it may read what is written beside it, and not what is mirrored from the other datacenter, whose topics have "
        "that one's name and a dot in front",
    ),
    "copied-acls": (
        _copies_acls,
        "MirrorMaker's user may then change every ACL and every password of the cluster that it copies to, and what it "
        "copies of users that are not declared here stays there when it is taken from them in the other datacenter",
    ),
    "lent-ports": (
        _lent_ports,
        "Linux lends ports from 32768 on to outgoing connections, so that a node may find its port taken",
    ),
    "one-coordination-node": (
        _one_coordination_node,
        "when this one node stops, no leader is elected and nothing can be changed",
    ),
    "nothing-survived": (
        _nothing_survived,
        "the cluster is sized without a failure in mind, so one stopped broker overloads the rest",
    ),
}
"""Each risk by its name: where an environment takes it, and why it is one."""
