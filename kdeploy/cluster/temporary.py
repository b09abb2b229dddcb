"""What verify puts into a cluster for a moment, and how it gets out again, whatever happens.

Every topic has a name under one reserved prefix, and every access list entry names one of
them. Kafka's own tools and MirrorMaker leave names with two underscores alone. Invariant:
leaving the block removes all of it; what a killed verify left is removed by the next one,
while another that still runs keeps its own: a name says when it was made, on which machine
and by which process.

The two users are not temporary: they stay, may do nothing between two runs, and are never
removed. A KRaft broker that replays the removal of a SCRAM user before the creation of
others forgets all users of that mechanism until they are set again: `ScramDelta.apply`
drops a mechanism whose last user it removes and goes on filling the dropped map (seen with
Kafka 4.1.2 and 4.3.1, 2026-11). So a verify that removed its users would lock every client
out of the next broker that restarts.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kdeploy.cluster.admin import Admin
from kdeploy.spec.identity import RESERVED

PREFIX: Final = RESERVED
"""Topics and users under it belong to verify; an environment that declares one is refused (`spec.check`)."""

LONGEST: Final = 600.0
"""Seconds after which what another machine's verify made counts as abandoned: far above a slow verify."""

GONE_IN: Final = 60.0
"""Seconds that removals have to be seen."""


@dataclass(frozen=True)
class Names:
    """Names of one run's topics and users."""

    run: str

    @property
    def records(self) -> str:
        """The topic that records go through, with a partition led by each broker."""
        return f"{self.run}-records"

    @property
    def defaults(self) -> str:
        """The topic made from the cluster's defaults."""
        return f"{self.run}-defaults"


CLIENT: Final = f"{PREFIX}client"
"""The user that may use a run's topics while it runs."""

STRANGER: Final = f"{PREFIX}stranger"
"""The user that may never do anything."""


def new_names() -> Names:
    """Names for a run of this process, now."""
    return Names(f"{PREFIX}{mark()}")


def mark() -> str:
    """What in a name says when, on which machine and by which process something was made, unlike any other."""
    return f"{int(time.time()):x}-{_machine()}-{os.getpid():x}-{secrets.token_hex(3)}"


def left(mark: str) -> bool:
    """Whether what bears a mark was left by a process that no longer runs, as far as this machine can know."""
    return abandoned(f"{PREFIX}{mark}", time.time(), _machine(), _alive)


def abandoned(name: str, now: float, machine: str, alive: Callable[[int], bool]) -> bool:
    """Whether something under the prefix was left by a verify that no longer runs.

    Args:
        name: Name of a topic.
        now: Seconds since 1970.
        machine: Mark of this machine.
        alive: Whether a process of this machine runs.
    """
    if not name.startswith(PREFIX):
        return False
    try:
        made, where, process, *_ = name.removeprefix(PREFIX).split("-")
        old = now - int(made, 16) > LONGEST
        return old or (where == machine and not alive(int(process, 16)))
    except ValueError:
        return False


def sweep(admin: Admin) -> tuple[str, ...]:
    """Remove what killed runs left; returns its names."""
    now, machine = time.time(), _machine()
    return _remove(admin, lambda name: abandoned(name, now, machine, _alive))


@contextmanager
def removed_after(admin: Admin, names: Names) -> Iterator[None]:
    """Remove everything of a run when the block ends, however it ends."""
    try:
        yield
    finally:
        # Both are named: the broker that is asked may not know yet of a topic that was just made.
        _remove(admin, lambda name: name.startswith(names.run), (names.records, names.defaults))


def remains(admin: Admin, names: Names) -> tuple[str, ...]:
    """What is still there of a run once removals had time to reach every broker; empty is as it should be.

    It is removed again each time it is seen: the broker that was asked first may not have known of it yet.
    """
    deadline = time.monotonic() + GONE_IN
    while True:
        found = _remove(admin, lambda name: name.startswith(names.run))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _remove(admin: Admin, ours: Callable[[str], bool], named: Collection[str] = ()) -> tuple[str, ...]:
    """Remove what is found, and topics that are named whether they are found or not; returns what was found."""
    found = _found(admin, ours)
    topics = {one.topic for one in admin.metadata().partitions if ours(one.topic)} if found else set[str]()
    if found:
        admin.delete_bindings([one for one in admin.bindings() if ours(one.name)])
    admin.delete_topics(sorted(topics.union(named)))
    return found


def _found(admin: Admin, ours: Callable[[str], bool]) -> tuple[str, ...]:
    names = {one.topic for one in admin.metadata().partitions} | {one.name for one in admin.bindings()}
    return tuple(sorted(filter(ours, names)))


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
