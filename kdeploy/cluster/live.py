"""Settings of running brokers: from what is in effect to what their files say, without a restart.

A dynamic value outranks the file that a broker was started with, until it is taken away. So one is
given only where a broker runs with an older file, and taken away as soon as the file says the same:
at rest no dynamic value of ours is left that could outrank a later file.

What a person set by hand besides is taken away: git says what a broker has.

Invariant: `difference` and `common` are pure. Only settings that kdeploy can carry in a broker's file are
touched; limits of replication that other tools set while they move data are none of these.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.change import AlterBrokerConfig, Given
from kdeploy.cluster.failure import NotStored
from kdeploy.cluster.state import EVERY_BROKER, BrokerSetting

POOLS: Final = re.compile(
    r"num\.(io|network)\.threads|num\.replica\.fetchers|num\.recovery\.threads\.per\.data\.dir"
    r"|(background|log\.cleaner|remote\.log\.reader)\.threads|remote\.log\.manager\..*\.pool\.size"
)
"""Sizes of thread pools. A running broker at most halves or doubles one at a time
(DynamicThreadPool.validateReconfiguration and LogCleaner.validateReconfiguration, Kafka 3.9 to 4.3)."""


STEP_FOR: Final = 60.0
"""Seconds that a broker has to see its own new values: milliseconds on a calm machine, many on a starved one."""


@dataclass(frozen=True)
class Wanted:
    """What a running broker is to have.

    Attributes:
        name: The node's name.
        settings: Values by name, of its file; of those that are no longer in it, Kafka's default, or None
            where Kafka has none.
        restarts: Whether it is going to be restarted with its file before anything is given to it.
        others: Names that kdeploy could carry in its file and does not: nobody else is to give it these.
    """

    name: str
    settings: Mapping[str, str | None]
    restarts: bool = False
    others: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Every setting to look at, sorted."""
        return sorted(self.others.union(self.settings))


def changes(wanted: Mapping[int, Wanted], admin: Admin) -> tuple[AlterBrokerConfig, ...]:
    """What running brokers are to be given or relieved of; only reads.

    Args:
        wanted: By broker id; brokers that are not registered are passed over.
        admin: The cluster.

    Raises:
        ClusterError: A broker does not answer.
    """
    there = {broker.id for broker in admin.metadata().brokers} if wanted else set[int]()
    found = {
        broker: admin.broker_settings(broker, one.names)
        for broker, one in sorted(wanted.items())
        if broker in there
    }
    each = (difference(broker, wanted[broker], seen) for broker, seen in found.items())
    return tuple(change for change in (common(found), *each) if change is not None)


def common(found: Mapping[int, Mapping[str, BrokerSetting]]) -> AlterBrokerConfig | None:
    """What all brokers together are to be relieved of; None where nobody gave them anything. Pure.

    Args:
        found: What each has, by id.
    """
    altered = {
        name: Given(one.everywhere, one.below, stored=False)
        for settings in found.values()
        for name, one in settings.items()
        if one.everywhere is not None
    }
    return AlterBrokerConfig(EVERY_BROKER, "every broker", altered) if altered else None


def difference(broker: int, wanted: Wanted, found: Mapping[str, BrokerSetting]) -> AlterBrokerConfig | None:
    """What one broker is to be given or relieved of; None where it has what it should. Pure.

    Args:
        broker: Its id.
        wanted: What it is to have.
        found: What it has; a setting that is not in it is one that it does not know.
    """
    altered = {}
    for name, value in wanted.settings.items():
        if name not in found:
            continue
        now = found[name]
        below = value if wanted.restarts else now.below
        own = None if value is None or _same(value, below) else value
        if not _same(own, now.own):
            before = below if wanted.restarts else now.value
            altered[name] = Given(before, own if own is not None else below, own is not None)
    for name in sorted(wanted.others.difference(wanted.settings).intersection(found)):
        now = found[name]
        if now.own is not None:
            altered[name] = Given(now.value, now.below, stored=False)
    return AlterBrokerConfig(broker, wanted.name, altered) if altered else None


def by_hand(found: Mapping[str, BrokerSetting], ours: Mapping[str, str | None]) -> dict[str, str]:
    """Dynamic values that are not kdeploy's, by name: with the word `everywhere` where all brokers have one."""
    named = {}
    for name, one in sorted(found.items()):
        if one.everywhere is not None:
            named[name] = f"{one.everywhere} (on every broker)"
        elif one.own is not None and name not in ours:
            named[name] = one.own
    return named


def apply(admin: Admin, change: AlterBrokerConfig) -> None:
    """Give a broker its values: all at once, but for thread pools, which go there in steps.

    Raises:
        ClusterError: The broker refused one.
        NotStored: It accepted one step, and does not have it.
    """
    for step in steps(change):
        admin.set_broker_settings(change.broker, step)
        _wait_for(admin, change, step)


def refuse_invalid(admin: Admin, change: AlterBrokerConfig) -> None:
    """Have a broker judge its values without taking them; of a thread pool, the first step.

    Raises:
        ClusterError: The broker refused one.
    """
    admin.set_broker_settings(change.broker, next(steps(change)), only_judge=True)


def _wait_for(admin: Admin, change: AlterBrokerConfig, step: Mapping[str, str | None]) -> None:
    """Wait until a broker has what it was sent: the next step is judged by what it has."""
    deadline = time.monotonic() + STEP_FOR
    while True:
        missing = [
            name
            for found in _all_of(admin, change, sorted(step))
            for name, value in step.items()
            if not _same(value, found[name].everywhere if change.broker == EVERY_BROKER else found[name].own)
        ]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise NotStored(
                f"{change.name} accepted new settings, but after {STEP_FOR:.0f} s does not have them: "
                f"{', '.join(missing)}\n  running up again goes on from here"
            )
        time.sleep(0.05)


def _all_of(admin: Admin, change: AlterBrokerConfig, names: list[str]) -> list[dict[str, BrokerSetting]]:
    """What those have that a change is about."""
    every = [broker.id for broker in admin.metadata().brokers]
    ids = every if change.broker == EVERY_BROKER else [change.broker]
    return [admin.broker_settings(broker, names) for broker in ids]


def steps(change: AlterBrokerConfig) -> Iterator[dict[str, str | None]]:
    """What is sent, one request after the other; None takes a dynamic value away."""
    ways = {
        name: [*_way(name, one), one.after if one.stored else None] for name, one in change.settings.items()
    }
    for turn in range(max(map(len, ways.values()))):
        yield {name: way[turn] for name, way in ways.items() if turn < len(way)}


def _way(name: str, given: Given) -> list[str | None]:
    """Sizes that a pool has on its way, without the last."""
    if not POOLS.fullmatch(name) or given.before is None or given.after is None:
        return []
    now, goal = int(given.before), int(given.after)
    way: list[str | None] = []
    while now > 0 and not (now + 1) // 2 <= goal <= now * 2:
        now = now * 2 if goal > now else (now + 1) // 2
        way.append(str(now))
    return way


def shows(admin: Admin, change: AlterBrokerConfig) -> bool:
    """Whether a broker has what it was given."""
    seen = _all_of(admin, change, sorted(change.settings))
    if change.broker == EVERY_BROKER:
        return all(found[name].everywhere is None for found in seen for name in change.settings)
    found = seen[0]
    return all(
        name in found
        and (found[name].own is not None) == one.stored
        and (one.after is None or _same(one.after, found[name].value))
        for name, one in change.settings.items()
    )


def _same(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return same(one, other)


def same(declared: str, effective: str) -> bool:
    """Whether two texts mean the same value: numbers by value, lists whatever the space between."""
    try:
        return Decimal(declared) == Decimal(effective)
    except ArithmeticError:
        return _list(declared) == _list(effective)


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]
