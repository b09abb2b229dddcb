"""What a producer, a consumer, a streams application and a Connect worker need to be allowed, as access list entries.

The operations are those that Kafka's documentation asks for (Kafka 4.3: 7.4 Authorization and ACLs, "Operations and
resources on protocols"; Streams developer guide, "Required ACL setting for secure Kafka clusters"; Connect user
guide, "ACL requirements"). Two that it names are not given: `IdempotentWrite` on the cluster, since from Kafka 2.8
on whoever may write a topic may do so idempotently (KIP-679), and `Create` on topics of producers, since topics are
declared here.

Invariant: pure. The entries of a role allow what its clients do on what is named, and nothing else; a name with a
trailing asterisk is a prefix, an asterisk alone is every resource of its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Acl, Grant

Operation = Literal["create", "delete", "describe", "describe-configs", "read", "write"]


@dataclass(frozen=True)
class Rule:
    """What a role may do with the resources that one field of a `Grant` names.

    Attributes:
        field: The field.
        resource: The kind of resource that it names.
        operations: What is allowed.
        ending: What names of these resources have after the field's own text and before anything else; None
            where it is the whole name, or ends in an asterisk.
    """

    field: str
    resource: Literal["topic", "group", "transactional-id"]
    operations: tuple[Operation, ...]
    ending: str | None = None


@dataclass(frozen=True)
class Role:
    """A kind of client.

    Attributes:
        needs: Fields of a `Grant` without which it cannot work.
        rules: What it may do.
    """

    needs: tuple[str, ...]
    rules: tuple[Rule, ...]

    @property
    def takes(self) -> frozenset[str]:
        """Fields of a `Grant` that mean something for it."""
        return frozenset(rule.field for rule in self.rules)


_READS: Final = Rule("topics", "topic", ("read", "describe"))
"""FETCH and OFFSET_COMMIT need Read; METADATA, LIST_OFFSETS and OFFSET_FETCH need Describe."""

_TAKES_PART: Final = Rule("groups", "group", ("read", "describe"))
"""JOIN_GROUP, HEARTBEAT, CONSUMER_GROUP_HEARTBEAT and OFFSET_COMMIT need Read; FIND_COORDINATOR and OFFSET_FETCH
need Describe."""

_WRITES: Final = ("write", "describe")
"""PRODUCE and ADD_PARTITIONS_TO_TXN need Write, METADATA needs Describe. Of a transactional id, INIT_PRODUCER_ID,
ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT and END_TXN need Write, FIND_COORDINATOR needs Describe (KIP-98)."""

ROLES: Final[Mapping[str, Role]] = {
    "producer": Role(
        ("topics",),
        (
            Rule("topics", "topic", _WRITES),
            Rule("transactional_ids", "transactional-id", _WRITES),
        ),
    ),
    "consumer": Role(("topics", "groups"), (_READS, _TAKES_PART)),
    "streams": Role(
        ("application", "topics"),
        (
            _READS,
            Rule("output_topics", "topic", _WRITES),
            Rule("application", "group", ("read", "describe")),
            # `<application.id>-<operator>-repartition` and `-changelog`; records of the former are deleted when read.
            Rule("application", "topic", ("create", "read", "write", "delete", "describe"), "-"),
            # `<application.id>-<process>-<thread>`, before exactly-once v2 with a task's id (KIP-129, KIP-447).
            Rule("application", "transactional-id", _WRITES, "-"),
        ),
    ),
    "connect": Role(
        ("groups", "internal_topics"),
        (
            _TAKES_PART,
            # The worker makes what is not there, and looks whether it is compacted (TopicAdmin).
            Rule("internal_topics", "topic", ("create", "read", "write", "describe", "describe-configs")),
            _READS,
            Rule("output_topics", "topic", _WRITES),
            Rule("transactional_ids", "transactional-id", _WRITES),
        ),
    ),
}
"""Each role by its name in `acls.yaml`."""


def expand(grant: Grant) -> tuple[Acl, ...]:
    """The access list entries that a grant stands for, in the order of its role's rules.

    Example:
        >>> [acl.name for acl in expand(Grant(user="a", role="producer", topics=("orders-*",)))]
        ['orders-']
    """
    if grant.role is None:
        return grant.acls
    return tuple(_entry(rule, name) for rule in ROLES[grant.role].rules for name in _names(grant, rule.field))


def acls_of(environment: Environment) -> Iterator[tuple[str, Acl]]:
    """Every entry that an environment's users are to have, with its user; one may come more than once.

    Users that are to be deleted are to have none.
    """
    gone = {user.name for user in environment.users if user.delete}
    for user in environment.users:
        if not user.delete:
            yield from ((user.name, acl) for acl in user.acls)
    for grant in environment.acls:
        if grant.user not in gone:
            yield from ((grant.user, acl) for acl in expand(grant))


def _names(grant: Grant, field: str) -> tuple[str, ...]:
    found = getattr(grant, field)
    if isinstance(found, str):
        return (found,)
    return found or ()


def _entry(rule: Rule, name: str) -> Acl:
    is_prefix = rule.ending is not None or (name.endswith("*") and name != "*")
    return Acl.model_construct(
        resource=rule.resource,
        name=name + rule.ending if rule.ending else name.removesuffix("*") if is_prefix else name,
        pattern="prefixed" if is_prefix else "literal",
        operations=rule.operations,
        permission="allow",
        host="*",
    )
