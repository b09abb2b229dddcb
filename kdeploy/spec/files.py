"""The files that may stand beside `environment.yaml`, and what each of them says.

Invariant: what stands in one of them is written exactly as it would be in `environment.yaml`, so that moving it is
cutting and pasting; only `topics.yaml` can say more, defaults and patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.frozen import Frozen
from kdeploy.spec.resources import Grant, Policies, Quota, Setting, Topic, User
from kdeploy.units import Seconds

Kind = Literal["environment", "topics", "users", "acls", "quotas", "policies"]
"""What a file holds; the file is called so, with `.yaml`."""

BESIDE: Final[tuple[Kind, ...]] = ("topics", "users", "acls", "quotas", "policies")
"""What may stand in a file of its own beside environment.yaml."""


class TopicDefaults(Frozen):
    """What topics have that say nothing else."""

    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Partitions."""

    replication_factor: Annotated[int, Field(ge=1, le=32)] | None = None
    """Copies."""

    retention: Annotated[Seconds, Field(gt=0, le=3.2e9)] | None = None
    """How long records are kept (retention.ms)."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Who answers for them: a team or a person."""

    config: dict[str, Setting] = {}
    """Topic settings by Kafka's names; each is taken over by itself."""


class TopicPattern(Frozen):
    """What topics of certain names have that say nothing else."""

    match: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._*?\[\]!-]{1,249}$")]
    """Whose it is: a topic's name, in which * stands for any characters, ? for one, and [ab] for one of these."""

    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Partitions."""

    replication_factor: Annotated[int, Field(ge=1, le=32)] | None = None
    """Copies."""

    retention: Annotated[Seconds, Field(gt=0, le=3.2e9)] | None = None
    """How long records are kept (retention.ms)."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """Who answers for them: a team or a person."""

    config: dict[str, Setting] = {}
    """Topic settings by Kafka's names; each is taken over by itself."""


class TopicsFile(Frozen):
    """`topics.yaml`."""

    defaults: TopicDefaults = TopicDefaults.default()
    """What topics of this file have that say nothing else."""

    patterns: tuple[TopicPattern, ...] = ()
    """The same by name, stronger than the defaults; of two that match, the later is the stronger."""

    topics: tuple[Topic, ...] = ()
    """Topics to exist; others are left alone."""


class UsersFile(Frozen):
    """`users.yaml`."""

    users: tuple[User, ...] = ()
    """Users to exist, with their ACLs; others are left alone."""


class AclsFile(Frozen):
    """`acls.yaml`."""

    acls: tuple[Grant, ...] = ()
    """What users may do beside their own ACLs, by role or entry by entry."""


class QuotasFile(Frozen):
    """`quotas.yaml`."""

    quotas: tuple[Quota, ...] = ()
    """Limits on what users, client ids and addresses may take; others are left alone."""


class PoliciesFile(Frozen):
    """`policies.yaml`."""

    policies: Policies = Policies.default()
    """What topics are to keep to; checked before anything is contacted."""


MODELS: Final[Mapping[Kind, type[Frozen]]] = {
    "topics": TopicsFile,
    "users": UsersFile,
    "acls": AclsFile,
    "quotas": QuotasFile,
    "policies": PoliciesFile,
}
"""What each file beside environment.yaml has to be."""

MISSPELT: Final[Mapping[str, Kind]] = {
    **{f"{kind}.yml": kind for kind in BESIDE},
    "topic.yaml": "topics",
    "user.yaml": "users",
    "acl.yaml": "acls",
    "quota.yaml": "quotas",
    "policy.yaml": "policies",
}
"""Names by which nothing is read, though somebody probably means that it is."""


def file_name(kind: Kind) -> str:
    """The name of a file: `topics.yaml`."""
    return f"{kind}.yaml"
