"""The cluster as it is at one moment, asked whether it shows what was changed.

Invariant: read-only; each list is asked for once, and only where a change needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from kdeploy.cluster import live
from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import (
    AddPartitions,
    AlterBrokerConfig,
    AlterReplication,
    AlterTopicConfig,
    Change,
    CreateAcl,
    CreateTopic,
    DeleteAcl,
    DeleteQuota,
    DeleteTopic,
    SetPassword,
    SetQuota,
    ShutOutUser,
)
from kdeploy.cluster.moving import Place, is_settled
from kdeploy.cluster.state import Binding, Metadata, Moving, Partition, QuotaEntity, TopicSettings
from kdeploy.cluster.three_way import equal


class Reading:
    """One look at a cluster.

    Args:
        admin: The cluster.
        changes: What will be asked for.
        passwords: Each user's password.
    """

    def __init__(self, admin: Admin, changes: Sequence[Change], passwords: Mapping[str, str]) -> None:
        self._admin, self._changes, self._passwords = admin, changes, passwords

    @cached_property
    def metadata(self) -> Metadata:
        """Brokers and partitions."""
        return self._admin.metadata()

    @cached_property
    def _partitions(self) -> dict[str, list[Partition]]:
        found: dict[str, list[Partition]] = {}
        for one in self.metadata.partitions:
            found.setdefault(one.topic, []).append(one)
        return found

    @cached_property
    def _settings(self) -> dict[str, TopicSettings]:
        created = {
            one.topic.name for one in self._changes if isinstance(one, CreateTopic) and one.topic.config
        }
        altered = {one.topic for one in self._changes if isinstance(one, AlterTopicConfig)}
        return self._admin.own_topic_settings(sorted(created | altered))

    @cached_property
    def _moving(self) -> dict[Place, Moving]:
        return self._admin.moving()

    @cached_property
    def _bindings(self) -> frozenset[Binding]:
        return self._admin.bindings()

    @cached_property
    def _users(self) -> frozenset[str]:
        return self._admin.users()

    @cached_property
    def _logins(self) -> dict[str, bool]:
        asked = {one.user for one in self._changes if isinstance(one, SetPassword) and one.provable}
        return self._admin.logins({user: self._passwords[user] for user in sorted(asked)})

    @cached_property
    def _quotas(self) -> dict[QuotaEntity, dict[str, float]]:
        return self._admin.quotas()

    def shows(self, change: Change) -> bool:
        """Whether a change can be seen."""
        match change:
            case CreateTopic(topic):
                return self._led(topic.name, topic.partitions or 1) and self._set(topic.name, topic.config)
            case AddPartitions(topic=name, after=after):
                return self._led(name, after)
            case AlterTopicConfig(topic=name, after=config):
                return self._set(name, config)
            case AlterReplication(topic=name):
                return is_settled(change, self._partitions.get(name, []), self._moving)
            case DeleteTopic(topic=name, id=gone):
                return self.metadata.topic_ids.get(name) != gone
            case AlterBrokerConfig():
                return live.shows(self._admin, change)
        return self._shows_of_clients(change)

    def _shows_of_clients(self, change: Change) -> bool:
        match change:
            case SetPassword(user=user, provable=provable):
                return user in self._users and (not provable or self._logins[user])
            case ShutOutUser(user=user, stays=stays):
                return (user in self._users) == stays
            case CreateAcl(binding):
                return binding in self._bindings
            case DeleteAcl(binding):
                return binding not in self._bindings
            case SetQuota(entity=whom, after=after):
                found = self._quotas.get(whom, {})
                return all(found.get(key) == value for key, value in after.items())
            case DeleteQuota(entity=whom):
                return whom not in self._quotas
        return False

    def _led(self, topic: str, partitions: int) -> bool:
        found = self._partitions.get(topic, [])
        return len(found) >= partitions and all(one.leader is not None for one in found)

    def _set(self, topic: str, config: Mapping[str, str | None]) -> bool:
        if not config:
            return True
        found = self._settings.get(topic)
        return found is not None and all(equal(value, found.own.get(key)) for key, value in config.items())
