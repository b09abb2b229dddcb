"""Asking every datacenter at once who is written to, waiting for none of them longer than was said.

    a thread each: connect, within some seconds → read what it keeps of the decision → an open connection, or why not

One that is gone costs its time once, whatever the way to it: addresses that swallow everything, hosts that are asked
one after another by SSH. Where none answers, all are asked once more, for twice as long: that may as well be this
machine, too busy to hear them. Only connecting is bounded: who let us in is alive, and is waited for until it has answered,
which every question does (`cluster.kafka_connection`).

Invariant: read-only; no connection outlives the block, also not one that comes after it was given up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from kdeploy.errors import KdeployError, Unhealthy
from kdeploy.operations import readiness
from kdeploy.operations.reach import WrongCluster
from kdeploy.operations.site import Site

if TYPE_CHECKING:
    from kdeploy.cluster.admin import Admin
    from kdeploy.cluster.direction import Direction

WAY: Final = 15.0
"""Seconds more for one whose brokers are reached over SSH alone: a jump host that is gone ends ssh's wait after 10
(`infra.hosts.ssh.CONNECT`), and one that is there may take some to agree on keys."""

LOOK: Final = 0.05
"""Seconds between two looks whether one that is late has come."""


@dataclass(frozen=True)
class Answer:
    """A datacenter that answered: its administrator's connection, and what it keeps of who is written to."""

    admin: Admin
    direction: Direction | None


Answers: TypeAlias = dict[str, Answer | KdeployError]
"""By datacenter its answer, or why there is none."""


@dataclass
class _Asked:
    """One that is asked, and what came of it."""

    site: Site
    within: float
    connected: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    answer: Answer | BaseException | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _given_up: bool = False
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def ask(self) -> None:
        """Ask it; where it was given up meanwhile, what came too late is closed."""
        from kdeploy.cluster import direction

        with ExitStack() as stack:
            try:
                admin = stack.enter_context(readiness.connected(self.site, self.within))
                self.connected.set()
                self.answer = Answer(admin, direction.read(admin))
            except BaseException as error:  # noqa: BLE001 - raised where it is asked for
                self.answer = error
            with self._one_at_a_time:
                if not self._given_up:
                    self._stack = stack.pop_all()
        self.ended.set()

    def close(self) -> None:
        """Have nothing more to do with it."""
        with self._one_at_a_time:
            self._given_up = True
        self._stack.close()


@contextmanager
def asked(sites: Sequence[Site], within: float) -> Iterator[Answers]:
    """What each datacenter says, with connections that are open for the block.

    Args:
        sites: The clusters.
        within: Seconds in which each has to let us in, twice as many where none did; one that is reached over SSH alone has
            `WAY` more.

    Raises:
        WrongCluster: Another cluster than the one that is meant answers.
    """
    some = [_Asked(one, within) for one in sites]
    try:
        _ask_all(some)
        if not any(isinstance(one.answer, Answer) for one in some):
            again = [_Asked(one.site, 2 * within) for one in some]
            some += again
            _ask_all(again)
        yield {one.site.cluster.datacenter: _said(one) for one in some}
    finally:
        for one in some:
            one.close()


def _ask_all(some: Sequence[_Asked]) -> None:
    began = time.monotonic()
    for one in some:
        # As a daemon: what cannot be ended must not keep kdeploy from ending.
        threading.Thread(target=one.ask, name="kdeploy-asking", daemon=True).start()
    for one in some:
        _wait(one, began + one.within + (WAY if one.site.access.proxy else 1.0))


def _wait(one: _Asked, deadline: float) -> None:
    while not one.ended.wait(LOOK):
        if not one.connected.is_set() and time.monotonic() > deadline:
            return


def _said(one: _Asked) -> Answer | KdeployError:
    found = one.answer
    if isinstance(found, Answer):
        return found
    if found is None:
        return Unhealthy(f"{one.site.cluster.datacenter} let nobody in within {one.within:g} s")
    if isinstance(found, KdeployError) and not isinstance(found, WrongCluster):
        return found
    raise found
