"""Limits on what clients may take: kdeploy's words on one side, Kafka's client quotas on the other.

Invariant: `entity_of(parts_of(x))` is x, and of what Kafka tells only what a `QuotaEntity` can say is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.state import QuotaEntity
from kdeploy.spec.model import Environment
from kdeploy.spec.resources import Quota

LIMITS: Final = (
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
    "connection_creation_rate",
)
"""Kafka's names of them, which are also ours (QuotaConfig, Kafka 3.9 to 4.3)."""

_PARTS: Final = (("user", "user"), ("client-id", "client_id"), ("ip", "ip"))
"""Kinds of entity, Kafka's to ours."""


def entity(quota: Quota) -> QuotaEntity:
    """Whom a declared quota is for."""
    return QuotaEntity(quota.user or "", quota.client_id or "", quota.ip or "")


def limits(quota: Quota) -> dict[str, float]:
    """The limits that a quota declares, by Kafka's names."""
    found = ((name, getattr(quota, name)) for name in LIMITS)
    return {name: float(value) for name, value in found if value is not None}


def declared(environment: Environment) -> dict[QuotaEntity, dict[str, float]]:
    """The limits that every declared entity is to have; of one marked for deletion, none."""
    return {entity(one): {} if one.delete else limits(one) for one in environment.quotas}


def parts_of(whom: QuotaEntity) -> list[tuple[str, str | None]]:
    """An entity as Kafka has it: kind and name, None for everybody's."""
    named = ((theirs, getattr(whom, ours)) for theirs, ours in _PARTS)
    return [(kind, None if name == "*" else name) for kind, name in named if name]


def entity_of(parts: Mapping[str, str | None]) -> QuotaEntity | None:
    """Kafka's entity in our words; None for a kind that we have no word for."""
    names = dict(_PARTS)
    if not parts.keys() <= names.keys():
        return None
    return QuotaEntity(**{names[kind]: "*" if name is None else name for kind, name in parts.items()})


def question() -> Foreign:
    """The request that every entity matches."""
    return kafka().protocol.admin.DescribeClientQuotasRequest(components=[], strict=False)


def found(response: Foreign) -> dict[QuotaEntity, dict[str, float]]:
    """The answer to `question`."""
    read = {}
    for entry in response.entries or ():
        whom = entity_of({part.entity_type: part.entity_name for part in entry.entity})
        values = {one.key: float(one.value) for one in entry.values if one.key in LIMITS}
        if whom is not None and values:
            read[whom] = values
    return read


def alteration(wanted: Mapping[QuotaEntity, Mapping[str, float | None]]) -> Foreign:
    """The request that gives entities limits; None takes one away."""
    request = kafka().protocol.admin.AlterClientQuotasRequest
    entry = request.EntryData
    return request(
        entries=[
            entry(
                entity=[
                    entry.EntityData(entity_type=kind, entity_name=name) for kind, name in parts_of(whom)
                ],
                ops=[
                    entry.OpData(key=key, value=0.0 if value is None else value, remove=value is None)
                    for key, value in sorted(values.items())
                ],
            )
            for whom, values in wanted.items()
        ],
        validate_only=False,
    )


def refused(response: Foreign) -> tuple[QuotaEntity | None, int, str | None] | None:
    """The first entity whose limits were refused, with the code and the words of the error."""
    for entry in response.entries:
        if entry.error_code:
            whom = entity_of({part.entity_type: part.entity_name for part in entry.entity})
            return whom, entry.error_code, entry.error_message
    return None
