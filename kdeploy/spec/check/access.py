"""Whether the declared users and ACLs mean something to Kafka's authoriser.

Invariant: pure, as all of `kdeploy.spec.check`. Kafka stores many an ACL that can
never match; such a one is refused here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final

from kdeploy.spec.check.finding import KEEP_ONE, Finding, duplicates, reserved
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Acl
from kdeploy.spec.wording import either

OPERATIONS: Final[Mapping[str, frozenset[str]]] = {
    "topic": frozenset(
        ("read", "write", "create", "describe", "delete", "alter", "describe-configs", "alter-configs")
    ),
    "group": frozenset(("read", "describe", "delete", "describe-configs", "alter-configs")),
    "cluster": frozenset(
        (
            "create",
            "cluster-action",
            "describe-configs",
            "alter-configs",
            "idempotent-write",
            "alter",
            "describe",
        )
    ),
    "transactional-id": frozenset(("describe", "write")),
    "delegation-token": frozenset(("describe",)),
}
"""What may be done with each kind of resource (Kafka 4.1 documentation, "Operations and resources
on protocols", and org.apache.kafka.security.authorizer.AclEntry); `all` holds for each."""

CLUSTER: Final = "kafka-cluster"
"""The name of the one cluster resource (org.apache.kafka.common.resource.Resource)."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about users and their ACLs."""
    users = environment.users
    yield from duplicates("user", ((("users", index, "name"), one.name) for index, one in enumerate(users)))
    for index, user in enumerate(users):
        yield from reserved(("users", index, "name"), user.name)
        if user.name.upper() == "ANONYMOUS":
            wrong = "ANONYMOUS is Kafka's name for clients that did not authenticate"
            yield Finding(("users", index, "name"), wrong, "give the user a name of its own")
        for number, acl in enumerate(user.acls):
            yield from check_acl(("users", index, "acls", number), acl)


def check_acl(place: Path_, acl: Acl) -> Iterator[Finding]:
    """Findings about one entry."""
    yield from _resource(place, acl)
    known = OPERATIONS[acl.resource]
    for index, operation in enumerate(acl.operations):
        if operation != "all" and operation not in known:
            wrong = f"{operation} means nothing for a {acl.resource}"
            yield Finding((*place, "operations", index), wrong, f"write {either(sorted(known))}, or all")
    operations = (((*place, "operations", index), one) for index, one in enumerate(acl.operations))
    yield from duplicates("operation", operations, KEEP_ONE)
    if not _is_address(acl.host):
        wrong = f"{acl.host!r} is not an IP address, and Kafka compares nothing else"
        yield Finding((*place, "host"), wrong, "write one address, or * for every one")


def _resource(place: Path_, acl: Acl) -> Iterator[Finding]:
    name, pattern = (*place, "name"), (*place, "pattern")
    if not acl.name.strip():
        yield Finding(name, "the resource has no name", "write its name, or * for all")
    elif acl.resource == "cluster" and (acl.name != CLUSTER or acl.pattern != "literal"):
        path = name if acl.name != CLUSTER else pattern
        wrong = f"there is one cluster resource, and it is called {CLUSTER}"
        yield Finding(path, wrong, f"write name: {CLUSTER}, and leave pattern out")
    elif acl.name == "*" and acl.pattern == "prefixed":
        wrong = "a prefix of * means names that begin with an asterisk, which there are none of"
        yield Finding(pattern, wrong, "write pattern: literal, where * means all names")
    elif acl.pattern == "prefixed" and acl.name.endswith("*"):
        wrong = f"a prefix ends by itself, so {acl.name!r} would be meant with its asterisk"
        yield Finding(name, wrong, f"write {acl.name.rstrip('*')!r}")


def _is_address(host: str) -> bool:
    if host == "*":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
