"""Keeps the record while changes are carried out: knows what it says by now, and writes only what is new.

    about to be made → written as begun → looked at once more, just before → made → seen → written as made

Invariant: nothing is claimed that somebody else made: not between the plan and its carrying out, and not after a
run that failed (`claims`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kdeploy.cluster import claims, given, record
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import Change, CreateTopic, SetPassword, SetQuota
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.observed import Observed
from kdeploy.cluster.record import MovingEntry, Record
from kdeploy.cluster.state import Metadata
from kdeploy.spec.model import Environment


class Forgetful:
    """Hears what is made and keeps nothing of it."""

    def about_to(self, changes: Sequence[Change]) -> None:
        """Changes are about to be sent."""

    def made_topics(self, ids: Mapping[str, str]) -> None:
        """Topics were made, by name with Kafka's ids of them."""

    def seen(self, changes: Sequence[Change]) -> None:
        """Changes were sent, and can be read back."""


class Keeper(Forgetful):
    """Keeps the record of one cluster.

    Args:
        admin: The cluster.
        environment: What is declared.
        observed: What was found.
        changes: What is to be done.
    """

    def __init__(
        self, admin: Admin, environment: Environment, observed: Observed, changes: Sequence[Change]
    ) -> None:
        self._admin, self._environment, self._observed, self._changes = admin, environment, observed, changes
        self._now = observed.record if observed.written is None else observed.written

    def begin(self) -> None:
        """Make the record say what is about to be made."""
        self._keep(given.intent(self._observed, self._changes))

    def about_to(self, changes: Sequence[Change]) -> None:
        """Claim no user and no quota that somebody else made since they were looked for."""
        users = {one for one in _users(changes) if one in self._now.users and self._now.users[one].pending}
        limits = {
            one.entity
            for one in changes
            if isinstance(one, SetQuota)
            and one.entity in self._now.quotas
            and self._now.quotas[one.entity].pending
        }
        taken = users.intersection(self._admin.users()) if users else set[str]()
        held = limits.intersection(self._admin.quotas()) if limits else limits
        self._keep(claims.without(self._now, (), taken, held))

    def made_topics(self, ids: Mapping[str, str]) -> None:
        """Remember which topics are ours, by Kafka's ids of them."""
        self._keep(claims.made_topics(self._now, ids))

    def seen(self, changes: Sequence[Change]) -> None:
        """Claim what was made."""
        limits = [one.entity for one in changes if isinstance(one, SetQuota)]
        self._keep(claims.made(self._now, _users(changes), limits))

    def keep_moving(self, entry: MovingEntry | None) -> None:
        """Make the record say what movement was begun."""
        self._keep(replace(self._now, moving=entry))

    def take_back(self) -> None:
        """After a failure, claim nothing that was to be made and is not there: others may come to make it."""
        limits = {one.entity for one in self._changes if isinstance(one, SetQuota)}
        begun = {whom for whom in limits if whom not in self._observed.quotas}
        users = _users(self._changes)
        topics = {one.topic.name for one in self._changes if isinstance(one, CreateTopic)}
        with suppress(ClusterError):
            there = self._admin.metadata().topic_ids
            left = self._admin.users() if users else frozenset[str]()
            held = self._admin.quotas() if begun else {}
            self._keep(
                claims.without(self._now, topics.difference(there), users - left, begun.difference(held))
            )

    def finish(self, seen: Metadata | None) -> None:
        """Make the record say what was given, once everything made is seen."""
        made = [change.topic.name for change in self._changes if isinstance(change, CreateTopic)]
        metadata = seen if seen and all(name in seen.topic_ids for name in made) else self._admin.metadata()
        self._keep(given.given(self._environment, self._observed, self._now, metadata, self._changes))

    def _keep(self, after: Record) -> None:
        durability = self._environment.durability
        copies = min(durability.replication_factor, self._observed.brokers or 1)
        in_sync = min(durability.min_insync_replicas, copies)
        guarded = self._environment.security.authorization
        record.write(self._admin, self._now, after, copies, in_sync, guarded=guarded)
        self._now = after


def _users(changes: Sequence[Change]) -> set[str]:
    """Users that changes make."""
    return {one.user for one in changes if isinstance(one, SetPassword) and one.kind == "create-user"}
