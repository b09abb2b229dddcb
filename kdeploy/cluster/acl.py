"""Access list entries: kdeploy's words on one side, kafka-python's on the other.

Invariant: `to_binding(from_binding(x))` is x. What a `Binding` cannot say (another kind
of principal, a user resource) is nobody's business here and reads as None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.state import Binding
from kdeploy.spec.model import Environment
from kdeploy.spec.roles import acls_of

PREFIX: Final = "User:"
"""What Kafka puts before a user's name in a principal."""

RESOURCES: Final[Mapping[str, str]] = {
    "topic": "TOPIC",
    "group": "GROUP",
    "cluster": "CLUSTER",
    "transactional-id": "TRANSACTIONAL_ID",
    "delegation-token": "DELEGATION_TOKEN",
}
"""Kinds of resource, ours to Kafka's."""


def declared(environment: Environment) -> frozenset[Binding]:
    """The entries an environment's users are to have, by themselves and by roles: one for each operation.

    A user that is to be shut out and whose password others keep is denied everything: it can still log in.
    """
    given = (
        Binding(user, acl.resource, acl.name, acl.pattern, operation, acl.permission, acl.host)
        for user, acl in acls_of(environment)
        for operation in acl.operations
    )
    leaving = (one.name for one in environment.users if one.delete and one.credentials == "unmanaged")
    return frozenset((*given, *(one for user in leaving for one in denials(user))))


def denials(user: str) -> Iterator[Binding]:
    """The entries that deny a user everything, whatever else it, or everybody, is allowed."""
    for resource in RESOURCES:
        name = "kafka-cluster" if resource == "cluster" else "*"
        yield Binding(user, resource, name, "literal", "all", "deny", "*")


def everything() -> Foreign:
    """The filter that every entry matches."""
    admin = kafka().admin
    return admin.ACLFilter(
        principal=None,
        host=None,
        operation=admin.ACLOperation.ANY,
        permission_type=admin.ACLPermissionType.ANY,
        resource_pattern=admin.ResourcePatternFilter(
            admin.ResourceType.ANY, None, admin.ACLResourcePatternType.ANY
        ),
    )


def from_binding(binding: Binding) -> Foreign:
    """An entry as kafka-python has it; it also serves as the filter that matches just itself."""
    admin = kafka().admin
    return admin.ACL(
        principal=PREFIX + binding.user,
        host=binding.host,
        operation=admin.ACLOperation[binding.operation.upper().replace("-", "_")],
        permission_type=admin.ACLPermissionType[binding.permission.upper()],
        resource_pattern=admin.ResourcePattern(
            admin.ResourceType[RESOURCES[binding.resource]],
            binding.name,
            admin.ACLResourcePatternType[binding.pattern.upper()],
        ),
    )


def to_binding(found: Foreign) -> Binding | None:
    """kafka-python's entry in our words; None for what a `Binding` cannot say."""
    pattern = found.resource_pattern
    kinds = {theirs: ours for ours, theirs in RESOURCES.items()}
    resource = kinds.get(pattern.resource_type.name)
    if resource is None or not found.principal.startswith(PREFIX):
        return None
    return Binding(
        found.principal.removeprefix(PREFIX),
        resource,
        pattern.resource_name,
        pattern.pattern_type.name.lower(),
        found.operation.name.lower().replace("_", "-"),
        found.permission_type.name.lower(),
        found.host,
    )
