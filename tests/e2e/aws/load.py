"""Records that flow through a cluster in the emulated AWS while its machines change, and what was seen of those, and of the
copies of records, meanwhile.

Invariant: clients are this machine's, and know brokers by the names of their private zone, in threads that have an
/etc/hosts of their own; nothing else on this machine knows them. What was acknowledged is read back from the brokers.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kdeploy.operations import places, site
from tests.e2e.aws.world import World
from tests.e2e.local.conftest import RunningCluster
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.records import TOPIC, Checked, Consuming, Ledger, Producing, check, connection
from tests.fleet.environment import USERS

DECLARED: Final = (
    "topics:\n  - {name: orders, partitions: 6, config: {cleanup.policy: delete, retention.ms: 86400000}}\n"
    + USERS
)
"""The topic that records go to, with as many copies as all topics have, and who writes and reads it."""

RATE: Final = 500
"""Records per second that are offered: six hosts, an engine and Ansible share two processors."""

SOME: Final = 2000
"""Records that are acknowledged before anything is changed, and again when all is done."""

BETWEEN: Final = 0.5
"""Seconds between two looks at machines and brokers. A broker that was started takes some seconds until all is in sync
again, which the next one waits for."""

ANSWERS: Final = 2.0
"""Seconds for a broker's port to answer; this machine's kernel does that at once for a broker that is busy."""

NEW_MOUNTS, BIND, WITH_ALL_BELOW, PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
"""CLONE_NEWNS of sched.h; MS_BIND, MS_REC and MS_PRIVATE of sys/mount.h (Linux 6.1)."""

TOLD: list[str] = []
"""What became of the records of each change, for whoever ran the tests."""


Seen = tuple[frozenset[str], int | None]
"""Nodes that are away, and how many copies are in sync of the partition that has fewest; None where nobody said."""


class Watching:
    """Looks at machines, brokers and copies in the background, from `with` to its end.

    Attributes:
        looks: Nodes that were away at each look that differed from the one before: AWS does not call the machine
            running, or a broker does not answer at its port for clients.
        seen: The same, with the copies in sync.
    """

    def __init__(self, world: World, fewest: Callable[[], int | None]) -> None:
        self.looks: list[frozenset[str]] = []
        self.seen: list[Seen] = []
        self._fewest = fewest
        self._world, self._ec2 = world, world.clients()
        (cluster,) = world.design().blueprint.clusters
        self._nodes = [node.key for node in cluster.nodes]
        self._ports = {
            node.key: (node.machine.address, node.ports["client"]) for node in cluster.brokers if node.machine
        }
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1 + len(self._ports))

    def __enter__(self) -> Watching:
        self._work_done = self._pool.submit(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._pool:  # which ends after the last look, not before it
            self._work_done.result()

    @property
    def turns(self) -> list[str]:
        """Nodes in the order in which they went away; one that went again before another did is there once."""
        return turns(self.looks)

    @property
    def most(self) -> int:
        """How many nodes were away at once."""
        return max(map(len, self.looks))

    @property
    def fewest(self) -> int:
        """How many copies in sync the partition had that at any time had fewest."""
        return min(copies for _, copies in self.seen if copies is not None)

    def _work(self) -> None:
        while True:
            copies = self._fewest()
            away = self._look()
            if away not in self.looks[-1:]:
                self.looks.append(away)
            if (away, copies) not in self.seen[-1:]:
                self.seen.append((away, copies))
            if self._stopping.wait(BETWEEN):
                return

    def _look(self) -> frozenset[str]:
        answered = dict(zip(self._ports, self._pool.map(answers, self._ports.values()), strict=True))
        running = self._world.machines(self._ec2)
        return frozenset(key for key in self._nodes if key not in running or not answered.get(key, True))


def turns(looks: Iterable[frozenset[str]]) -> list[str]:
    """Nodes in the order in which they went away, those of one moment by name; once for each time in a row."""
    went: list[str] = []
    for before, now in itertools.pairwise((frozenset[str](), *looks)):
        went += sorted(now - before)
    return [key for key, _ in itertools.groupby(went)]


def in_sync_before_each(seen: Iterable[Seen], copies: int) -> bool:
    """Whether, each time that a node went away, all copies had been in sync with nobody away since the one before it went.

    A node that goes again before another does has still the same turn.

    Args:
        seen: Look after look.
        copies: How many each partition has.
    """
    ready, before, last = False, frozenset[str](), frozenset[str]()
    for away, fewest in seen:
        went = away - before
        if went - last and not ready:
            return False
        last = went or last
        ready = not away and (ready or fewest == copies)
        before = away
    return True


class Copies:
    """Asks brokers, as a consumer would, for the copies of the topic that records go to.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: RunningCluster) -> None:
        from confluent_kafka import Consumer

        settings = {**connection(cluster, "orders-consumer"), "group.id": "orders-watching"}
        self._client = Consumer(settings)

    def fewest(self) -> int | None:
        """How many copies are in sync of the partition that has fewest; None where nobody answers."""
        from confluent_kafka import KafkaException

        try:
            partitions = self._client.list_topics(TOPIC, timeout=ANSWERS).topics[TOPIC].partitions
        except KafkaException:
            return None
        return min((len(one.isrs) for one in partitions.values()), default=None)

    def close(self) -> None:
        """Ask no more."""
        self._client.close()


def answers(place: tuple[str, int]) -> bool:
    """Whether somebody listens at an address and port."""
    try:
        socket.create_connection(place, ANSWERS).close()
    except OSError:
        return False
    return True


def cluster_of(world: World) -> RunningCluster:
    """What clients need to talk to the environment's cluster; the engine is not asked, and no SSH is opened."""
    design, vault = world.design(), world.vault()
    (cluster,) = design.blueprint.clusters
    access = site.access(cluster, places.administrator_folder(world.name), None)
    command = Kdeploy(world.folder, world.name)
    return RunningCluster(command, access, design.loaded.environment, cluster, dict(vault.passwords), vault)


def knowing(names: Path) -> ThreadPoolExecutor:
    """A thread for which a file stands in the place of /etc/hosts, and for all threads that are begun in it; needs root."""
    return ThreadPoolExecutor(1, initializer=_put_in_place, initargs=(names,))


def _put_in_place(names: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)

    def succeed(code: int) -> None:
        if code != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    succeed(library.unshare(NEW_MOUNTS))  # of this thread alone (unshare(2))
    succeed(library.mount(None, b"/", None, ctypes.c_ulong(WITH_ALL_BELOW | PRIVATE), None))
    succeed(library.mount(os.fsencode(names), b"/etc/hosts", None, ctypes.c_ulong(BIND), None))


def names_of(world: World) -> Path:
    """A file for the place of /etc/hosts, with the names that an environment's nodes have in their private zones."""
    file = world.folder / "hosts-of-clients"
    known = [(one.machine.address, one.host) for one in world.design().blueprint.nodes if one.machine]
    lines = (f"{address} {name}\n" for address, name in (("127.0.0.1", "localhost"), *known))
    file.write_text("".join(lines))
    return file


def fill(world: World, ledger: Ledger, records: int) -> None:
    """Have so many records more in the cluster, as quickly as it takes them."""
    cluster = cluster_of(world)
    with knowing(names_of(world)) as pool:
        producing = pool.submit(Producing, cluster, ledger).result()
        try:
            producing.wait_for(records)
            producing.stop()
        finally:
            producing.abandon()


@contextmanager
def under_load(world: World, ledger: Ledger, what: str) -> Iterator[Watching]:
    """Let records flow and look on while the block changes machines; nothing acknowledged is lost, out of order or twice.

    Args:
        world: An environment that declares `DECLARED`, and whose cluster is up.
        ledger: What was acknowledged since the cluster was made.
        what: What the block does, for whoever reads what came of it.
    """
    cluster, before = cluster_of(world), ledger.count
    with knowing(names_of(world)) as pool:
        copies = pool.submit(Copies, cluster).result()
        consuming = pool.submit(Consuming, cluster, ledger).result()
        try:
            producing = pool.submit(Producing, cluster, ledger, RATE).result()
            try:
                producing.wait_for(SOME)
                began = time.monotonic()
                with Watching(world, lambda: pool.submit(copies.fewest).result()) as watching:
                    yield watching
                seconds = time.monotonic() - began
                producing.wait_for(SOME)
                producing.stop()
            finally:
                producing.abandon()
            consumed = consuming.finish()
        finally:
            consuming.abandon()
            copies.close()
        checked = pool.submit(check, cluster, ledger).result()
    hold(ledger, checked, consumed)
    TOLD.append(
        f"{what}: {seconds:.0f} s, {RATE} records a second meanwhile; {ledger.count - before:,} acknowledged, longest "
        f"pause {producing.longest_pause:.1f} s; of {checked.acknowledged:,} in all none lost, out of order or twice; "
        f"away were {', then '.join(watching.turns) or 'none'}, {watching.most} at once; no "
        f"partition had fewer than {watching.fewest} copies in sync"
    )


def hold(ledger: Ledger, checked: Checked, consumed: Checked) -> None:
    """Nothing acknowledged is lost, out of order or twice, and none was refused; nor lost or out of order to the
    consumer that ran meanwhile, which may be given a record again when another broker leads its group."""
    said = f"read back {checked}, consumed {consumed}, refused {ledger.refused}"
    assert (checked.lost, checked.out_of_order, checked.duplicates, ledger.refused) == (0, 0, 0, 0), said
    assert (consumed.lost, consumed.out_of_order) == (0, 0), said
