"""Access list entries: kdeploy's words on one side, kafka-python's on the other.

Invariant: `to_binding(from_binding(x))` is x. What a `Binding` cannot say (another kind
of principal, a user resource) is nobody's business here and reads as None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.state import Binding
from kdeploy.spec.model import Environment

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
    """The entries an environment's users are to have: one for each operation; none for one marked for deletion."""
    leaving = {user.name for user in environment.users if user.delete}
    named = [(user.name, acl) for user in environment.users for acl in user.acls]
    named += [(grant.user, acl) for grant in environment.acls for acl in grant.acls]
    return frozenset(
        Binding(user, acl.resource, acl.name, acl.pattern, operation, acl.permission, acl.host)
        for user, acl in named
        if user not in leaving
        for operation in acl.operations
    )


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
