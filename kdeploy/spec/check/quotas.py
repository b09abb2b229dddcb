"""Whether quotas limit somebody, by something that Kafka can limit them by.

Invariant: pure, as all of `kdeploy.spec.check`. Kafka takes limits by user, by client id, by both, and by address
(KIP-13, KIP-55, KIP-124, KIP-599, KIP-612); the last has the rate of new connections alone, and nobody else has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final

from kdeploy.spec.check.finding import Finding
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Quota
from kdeploy.spec.wording import did_you_mean, either

BY_NAME: Final = (
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
)
"""Limits on users and client ids."""

BY_ADDRESS: Final = "connection_creation_rate"
"""The limit on addresses."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about quotas."""
    users = {user.name: index for index, user in enumerate(environment.users)}
    first: dict[tuple[str | None, ...], int] = {}
    for index, quota in enumerate(environment.quotas):
        place: Path_ = ("quotas", index)
        yield from _entity(place, quota)
        yield from _limits(place, quota)
        yield from _user((*place, "user"), quota, environment, users)
        entity = (quota.user, quota.client_id, _canonical(quota.ip))
        if entity in first and any(entity):
            wrong = f"the quota of {_said(quota)} is there twice"
            yield Finding(
                place, wrong, "write its limits in one place", mention=("first as", ("quotas", first[entity]))
            )
        first.setdefault(entity, index)


def _entity(place: Path_, quota: Quota) -> Iterator[Finding]:
    if quota.user is None and quota.client_id is None and quota.ip is None:
        yield Finding(place, "nobody is named that this limits", "write user, client_id or both, or ip")
    elif quota.ip is not None and (quota.user is not None or quota.client_id is not None):
        wrong = "Kafka limits users and client ids, or addresses, and not both together"
        yield Finding((*place, "ip"), wrong, "write one item for the address, and one for the rest")
    elif quota.ip is not None and _canonical(quota.ip) is None:
        wrong = f"{quota.ip!r} is not an IP address"
        yield Finding((*place, "ip"), wrong, "write one address, like 10.1.2.3, or * for every one")


def _limits(place: Path_, quota: Quota) -> Iterator[Finding]:
    named = [name for name in BY_NAME if getattr(quota, name) is not None]
    if quota.ip is not None and quota.user is None and quota.client_id is None:
        for name in named:
            wrong = f"an address cannot be limited by {name}"
            yield Finding((*place, name), wrong, f"write {BY_ADDRESS}, or name a user or client_id")
    elif quota.ip is None and quota.connection_creation_rate is not None:
        wrong = f"only an address can be limited by {BY_ADDRESS}"
        yield Finding((*place, BY_ADDRESS), wrong, f"name an ip, or write {either(BY_NAME)}")
    is_named = quota.user or quota.client_id or quota.ip
    if is_named and not named and quota.connection_creation_rate is None and not quota.delete:
        fitting = BY_ADDRESS if quota.ip is not None else either(BY_NAME)
        wrong = f"there is no limit for {_said(quota)}"
        yield Finding(place, wrong, f"write {fitting}, or delete: true to have its limits removed")


def _user(path: Path_, quota: Quota, environment: Environment, users: Mapping[str, int]) -> Iterator[Finding]:
    name = quota.user
    if name is None or name == "*":
        return
    if name not in users:
        if not quota.delete:
            yield Finding(path, f"there is no user called {name!r}", did_you_mean(name, users))
    elif environment.users[users[name]].delete and not quota.delete:
        wrong = f"the user {name} is to be deleted, and is given a quota here"
        mention = ("see", ("users", users[name], "delete"))
        yield Finding(path, wrong, "remove this quota, or keep the user", mention=mention)


def _canonical(ip: str | None) -> str | None:
    """An address as Java writes it to compare; None for what is none."""
    if ip is None or ip == "*":
        return ip
    try:
        return str(ipaddress.ip_address(ip))
    except ValueError:
        return None


def _said(quota: Quota) -> str:
    words = {"user": quota.user, "client id": quota.client_id, "address": quota.ip}
    known = [f"every {word}" if name == "*" else f"{word} {name}" for word, name in words.items() if name]
    return " with ".join(known) or "nobody"
