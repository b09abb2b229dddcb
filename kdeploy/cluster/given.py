"""What the record is to say: before changes are made, and once they are.

Invariant: pure. What is about to be made is said before, so that a killed run's work is known as ours;
what is there and was not made by kdeploy is taken over, and never counts as made. What is not declared
stays in the record as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kdeploy.cluster import acl, quotas
from kdeploy.cluster.change import Change, CreateTopic, DeleteTopic, SetPassword, SetQuota
from kdeploy.cluster.observed import Observed
from kdeploy.cluster.record import QuotaEntry, Record, TopicEntry, UserEntry
from kdeploy.cluster.state import Binding, Metadata, QuotaEntity
from kdeploy.cluster.three_way import copies_of
from kdeploy.spec.model import Environment


def intent(observed: Observed, changes: Sequence[Change]) -> Record:
    """The record before changes: with everything that they make.

    What was ours and is gone is made anew, so its old claim goes; the new one counts once it is made.
    """
    before = observed.record
    topics, users, limits = dict(before.topics), dict(before.users), dict(before.quotas)
    for change in changes:
        match change:
            case CreateTopic(topic):
                topics[topic.name] = TopicEntry(made=False)
            case SetPassword(user=user, kind="create-user"):
                acls = users[user].acls if user in users else frozenset()
                users[user] = UserEntry(made=False, acls=acls, pending=True)
            case SetQuota(entity=whom, after=after) if whom not in observed.quotas:
                wanted = {key: value for key, value in after.items() if value is not None}
                limits[whom] = QuotaEntry(made=False, limits=wanted, pending=True)
    return replace(before, topics=topics, users=users, quotas=limits)


def given(
    environment: Environment, observed: Observed, begun: Record, metadata: Metadata, changes: Sequence[Change]
) -> Record:
    """The record after changes: with everything that is declared as it was given.

    Args:
        environment: As declared.
        observed: As it was found before.
        begun: What `intent` said.
        metadata: The cluster after the changes.
        changes: What was carried out.
    """
    gone = {change.topic for change in changes if isinstance(change, DeleteTopic)}
    gone |= {one.name for one in environment.topics if one.delete and one.name not in metadata.topic_ids}
    topics = {name: entry for name, entry in begun.topics.items() if name not in gone}
    counts: dict[str, int] = {}
    for partition in metadata.partitions:
        counts[partition.topic] = counts.get(partition.topic, 0) + 1
    for topic in environment.topics:
        found = metadata.topic_ids.get(topic.name)
        if not topic.delete and found is not None:
            old = begun.topics.get(topic.name)
            made = old is not None and old.made and old.id == found
            copies = copies_of(topic, environment)
            topics[topic.name] = TopicEntry(made, found, counts.get(topic.name), copies, topic.settings)
    return replace(
        begun, topics=topics, users=_users(environment, observed, begun), quotas=_quotas(environment, begun)
    )


def _users(environment: Environment, observed: Observed, begun: Record) -> dict[str, UserEntry]:
    users = dict(begun.users)
    bindings: dict[str, set[Binding]] = {}
    for one in acl.declared(environment) if environment.security.authorization else ():
        bindings.setdefault(one.user, set()).add(one)
    for user in environment.users:
        old = users.pop(user.name, None)
        made = old is not None and old.made
        if not user.delete or user.credentials == "unmanaged":
            users[user.name] = UserEntry(made, frozenset(bindings.get(user.name, ())))
        elif made and observed.kraft and user.name in observed.users:
            users[user.name] = UserEntry(made, shut_out=True)
    return users


def _quotas(environment: Environment, begun: Record) -> dict[QuotaEntity, QuotaEntry]:
    limits = dict(begun.quotas)
    for quota in environment.quotas:
        whom = quotas.entity(quota)
        old = limits.pop(whom, None)
        if not quota.delete:
            limits[whom] = QuotaEntry(old is not None and old.made, quotas.limits(quota))
    return limits
