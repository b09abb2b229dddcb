"""How long `apply` takes with thousands of topics and access list entries, against a plain loop over them.

Three times on a cluster on this machine: everything from nothing, once more with nothing to do, and only
looking. The loop does what a short program with kafka-python's admin client does: each topic and each entry
by itself, 200 of each, extrapolated. Both see the same cluster, one after the other. Topics have one
partition and one copy: what is measured is the way of the requests, not how fast brokers make files.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdeploy.cluster import Access
    from kdeploy.spec.model import Environment

SIZES = {"local-kraft": (5000, 20_000), "local": (500, 2000)}
"""Topics and access list entries by environment; ZooKeeper, which writes each by itself, gets a tenth."""

ENTRIES_EACH = 100
"""Access list entries of each user."""

LOOPED = 200
"""Topics, and entries, that the loop does."""

BASE_PORTS = {"local": 21000, "local-kraft": 21200}


def declared(topics: int, entries: int) -> Environment:
    """An environment with so many topics, and users with so many entries."""
    from kdeploy.spec.model import Environment

    users = entries // ENTRIES_EACH
    pairs = ENTRIES_EACH // 2
    return Environment.model_validate(
        {
            "name": "bench",
            "topics": [
                {
                    "name": f"bench-{number}",
                    "partitions": 1,
                    "replication_factor": 1,
                    "config": {"retention.ms": 3600000},
                }
                for number in range(topics)
            ],
            "users": [
                {
                    "name": f"bench-{user}",
                    "acls": [
                        {
                            "name": f"bench-{(user * pairs + one) % topics}-{user}",
                            "operations": ["read", "describe"],
                        }
                        for one in range(pairs)
                    ],
                }
                for user in range(users)
            ],
        }
    )


@contextmanager
def running(name: str) -> Iterator[Access]:
    """The shipped environment, up for the block; its administrator's access."""
    from tests.e2e.local.conftest import describe, prepare

    with tempfile.TemporaryDirectory(prefix="kdeploy-bench-") as folder:
        kdeploy = prepare(Path(folder), name, BASE_PORTS[name])
        try:
            kdeploy("up")
            yield describe(kdeploy).access
        finally:
            kdeploy("down", "--delete-data", "--yes", code=None)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, and what it gives."""
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def ours(access: Access, topics: int, entries: int) -> dict[str, float]:
    """Seconds from nothing, with nothing to do, and to look only."""
    from kdeploy.cluster import reconcile
    from kdeploy.cluster.admin import connect

    environment = declared(topics, entries)
    passwords = {user.name: f"password of {user.name}" for user in environment.users}

    def applied() -> int:
        with connect(access) as admin:
            plan = reconcile.plan(environment, admin, passwords)
            reconcile.carry_out(admin, plan, passwords)
            return len(plan.changes)

    def looked() -> int:
        with connect(access) as admin:
            return len(reconcile.changes(environment, admin, passwords))

    first, changed = timed(applied)
    assert changed == topics + entries + len(environment.users), changed
    again, nothing = timed(applied)
    preview, pending = timed(looked)
    assert nothing == pending == 0, (nothing, pending)
    return {"from nothing": first, "nothing to do": again, "preview": preview}


def loop(access: Access, topics: int, entries: int) -> dict[str, float]:
    """Seconds of a plain loop, extrapolated from `LOOPED` topics and as many entries."""
    from kdeploy.cluster import acl
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.client import kafka
    from kdeploy.cluster.state import Binding

    with connect(access) as admin:
        client = admin._kafka
        bindings = [
            Binding("loop", "topic", f"loop-{one}", "literal", "read", "allow", "*") for one in range(LOOPED)
        ]

        def create_topics() -> None:
            for one in range(LOOPED):
                what = {"num_partitions": 1, "replication_factor": 1, "configs": {"retention.ms": "3600000"}}
                client.create_topics({f"loop-{one}": what})

        def create_entries() -> None:
            for one in bindings:
                client.create_acls([acl.from_binding(one)])

        def look_at_topics() -> None:
            for one in range(LOOPED):
                client.describe_topics([f"loop-{one}"])
                client.describe_configs([kafka().admin.ConfigResource("TOPIC", f"loop-{one}")])

        def look_at_entries() -> None:
            for one in bindings:
                client.describe_acls(acl.from_binding(one))

        made = timed(create_topics)[0] * topics + timed(create_entries)[0] * entries
        looked = timed(look_at_topics)[0] * topics + timed(look_at_entries)[0] * entries
        admin.delete_topics([f"loop-{one}" for one in range(LOOPED)])
        admin.delete_bindings(bindings)
    return {
        "from nothing": (looked + made) / LOOPED,
        "nothing to do": looked / LOOPED,
        "preview": looked / LOOPED,
    }


def measure(name: str, topics: int, entries: int) -> dict[str, tuple[float, float]]:
    """Seconds of ours and of the loop, by what was done."""
    with running(name) as access:
        plain = loop(access, topics, entries)
        whole = ours(access, topics, entries)
    return {what: (seconds, plain[what]) for what, seconds in whole.items()}


def main(*arguments: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Measure and print; arguments: environment, topics and entries, else all of `SIZES`."""
    wanted = {arguments[0]: (int(arguments[1]), int(arguments[2]))} if arguments else SIZES
    results = {}
    for name, (topics, entries) in wanted.items():
        results[name] = measure(name, topics, entries)
        for what, (seconds, plain) in results[name].items():
            print(
                f"{name}, {topics} topics and {entries} ACLs, {what}: {seconds:.1f} s, "
                f"loop {plain:.0f} s, ratio {seconds / plain:.3f}",
                flush=True,
            )
    return results


if __name__ == "__main__":
    main(*sys.argv[1:])
