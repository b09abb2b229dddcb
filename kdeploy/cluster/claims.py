"""Which of the things that a run began to make it has made: a claim counts where the cluster bears it out.

    topics   Kafka's id of it, which the answer to its creation told; one without an id is claimed by nobody
    users    there was none of this name, and the vault's password is in force, which kdeploy alone gives
    quotas   there were no limits, and there are just those that were to be given

Invariant: pure. What a run that was killed or failed began, and somebody else has made since, is never claimed: it
counts as taken over, so that `delete: true` does not delete it. A user is its name: Kafka keeps no id of one, so that a
user that was made and seen counts as ours also where somebody deleted and remade it since (docs/resources.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from kdeploy.cluster.record import QuotaEntry, Record, UserEntry
from kdeploy.cluster.state import QuotaEntity


def believed(
    found: Record,
    declared: Collection[str],
    proved: Collection[str],
    entities: Collection[QuotaEntity],
    quotas: Mapping[QuotaEntity, Mapping[str, float]],
) -> Record:
    """The record with each claim that was left open either made or dropped, as far as it can be told.

    Args:
        found: As it was read.
        declared: Users that are declared.
        proved: Those of them that exist with the vault's password.
        entities: Whose quotas are declared.
        quotas: All limits there are.
    """
    users: dict[str, UserEntry] = {}
    for name, user in found.users.items():
        if not user.pending or name not in declared:
            users[name] = user
        elif name in proved:
            users[name] = replace(user, made=True, pending=False)
    limits: dict[QuotaEntity, QuotaEntry] = {}
    for whom, quota in found.quotas.items():
        if not quota.pending or whom not in entities:
            limits[whom] = quota
        elif quotas.get(whom) == quota.limits:
            limits[whom] = replace(quota, made=True, pending=False)
    return replace(found, users=users, quotas=limits)


def made_topics(found: Record, ids: Mapping[str, str]) -> Record:
    """The record once topics were made, by name with Kafka's ids of them."""
    topics = {name: replace(found.topics[name], made=True, id=one) for name, one in ids.items()}
    return replace(found, topics={**found.topics, **topics})


def made(found: Record, users: Collection[str], entities: Collection[QuotaEntity]) -> Record:
    """The record once users and limits that were claimed have been seen."""
    return replace(
        found,
        users={
            name: replace(one, made=True, pending=False) if one.pending and name in users else one
            for name, one in found.users.items()
        },
        quotas={
            whom: replace(one, made=True, pending=False) if one.pending and whom in entities else one
            for whom, one in found.quotas.items()
        },
    )


def without(
    found: Record, topics: Collection[str], users: Collection[str], entities: Collection[QuotaEntity]
) -> Record:
    """The record without some of its claims."""
    return replace(
        found,
        topics={name: one for name, one in found.topics.items() if name not in topics},
        users={name: one for name, one in found.users.items() if name not in users},
        quotas={whom: one for whom, one in found.quotas.items() if whom not in entities},
    )
