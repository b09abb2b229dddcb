"""On real Kafka, under load: what preview says is what happens, restarts included, and nothing is lost.

Rows of the table of changes go in two rounds on one cluster: all that must restart nothing, then what restarts. Each
round is a saved preview that `up --expect` (or `apply --expect`) carries out; what happened is told by
processes, by files on disk and by the cluster itself, never by kdeploy.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import ports
from tests.e2e.fleet.life import Following
from tests.e2e.local.conftest import describe, prepare
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.records import Ledger, Producing, check
from tests.operations.changes_table import CHANGES, USERS, Row
from tests.operations.world import predicted

pytestmark = pytest.mark.kafka

BASE_PORT = ports.PREVIEW
AT_ONCE = pytest.mark.skipif(
    os.environ.get("KDEPLOY_SOAK") != "1",
    reason="the ordinary run makes such changes one by one (test_changes_one_by_one); all at once in a soak",
)

RECORDS = 6000
"""Acknowledged in each round at least, at 1,000 a second."""

QUIET = [row for row in CHANGES if row.real and not any("restart" in one for one in row.happens)]
RESTARTING = [row for row in CHANGES if row.real and row not in QUIET]


@pytest.fixture(scope="module")
def kdeploy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdeploy]:
    """One cluster, in its rounds' order."""
    made = prepare(tmp_path_factory.mktemp("preview"), "local", BASE_PORT)
    text = made.file.read_text()
    try:
        made("up")
        yield made
    finally:
        made.file.write_text(text)  # whatever a failed round left of it
        made("down", "--delete-data", "--yes", code=None)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """What the cluster acknowledged in its whole life."""
    return Ledger()


def edit(kdeploy: Kdeploy, rows: Sequence[Row]) -> frozenset[str]:
    """Make the changes of some rows, with one block of overrides for all; everything that then has to happen."""
    text, overrides = kdeploy.file.read_text(), dict[str, str]()
    for row in rows:
        for old, new in row.edits:
            if old:
                assert text.count(old) == 1, old
                text = text.replace(old, new)
            else:
                kind, _, lines = new.partition("overrides:\n")[2].partition(":\n")
                overrides[kind] = overrides.get(kind, "") + lines
    block = "".join(f"{kind}:\n{lines}" for kind, lines in overrides.items())
    head = "" if not block or "\noverrides:\n" in text else "\noverrides:\n"  # they are the file's last part
    kdeploy.file.write_text(text + head + block)
    return frozenset(token for row in rows for token in row.tokens)


def seen(kdeploy: Kdeploy) -> dict[str, Any]:
    """All there is: files and processes of each node, and what the cluster has of topics, users and entries."""
    from kdeploy.cluster.admin import connect

    cluster = describe(kdeploy)
    nodes = kdeploy.state / "nodes"
    files = {
        f"{path.relative_to(nodes).parts[1]} {path.name}": path.read_bytes()
        for kind in ("config", "secrets")
        for path in nodes.glob(f"*/*/{kind}/*")
    }
    pids = {path.parent.name: json.loads(path.read_text())["pid"] for path in nodes.glob("*/*/process.json")}
    with connect(cluster.access) as admin:
        partitions: dict[str, list[int]] = {}
        for one in admin.metadata().partitions:
            if not one.topic.startswith("__"):
                partitions.setdefault(one.topic, []).append(len(one.replicas))
        keys = ("retention.ms", "segment.ms", "cleanup.policy")
        brokers = {
            node.name: {name: one.value for name, one in admin.broker_settings(node.id, WATCHED).items()}
            for node in cluster.blueprint.brokers
        }
        return {
            "files": files,
            "pids": pids,
            "topics": partitions,
            "settings": admin.topic_settings(sorted(partitions), keys),
            "brokers": brokers,
            "users": {user for user in admin.users() if not user.startswith("kdeploy-")},
            "acls": {one for one in admin.bindings() if not one.user.startswith("kdeploy-")},
        }


WATCHED = ("num.io.threads", "background.threads", "num.network.threads", "message.max.bytes")
"""Settings of brokers that are looked at, whether they change or not."""


def happened(before: dict[str, Any], now: dict[str, Any]) -> frozenset[str]:
    """Everything that is not as it was, as tokens of the table."""
    found = [f"file {path}" for path in now["files"] if before["files"].get(path) != now["files"][path]]
    found += [f"restart {node}" for node, pid in now["pids"].items() if before["pids"][node] != pid]
    for topic, copies in now["topics"].items():
        if topic not in before["topics"]:
            found.append(f"topic {topic} made {len(copies)} partitions, {min(copies)} copies")
            continue
        old, new = before["settings"][topic], now["settings"][topic]
        found += [f"topic {topic} {key} {value}" for key, value in new.items() if old[key] != value]
    for broker, settings in now["brokers"].items():
        changed = {key: value for key, value in settings.items() if before["brokers"][broker][key] != value}
        found += [f"set {broker} {key} {value}" for key, value in changed.items()]
    found += [f"user {user} made" for user in now["users"] - before["users"]]
    found += [f"acl + {one}" for one in now["acls"] - before["acls"]]
    found += [f"acl - {one}" for one in before["acls"] - now["acls"]]
    return frozenset(found)


def save(kdeploy: Kdeploy) -> tuple[Path, dict[str, Any]]:
    """A saved preview, as a pipeline saves it."""
    shown = kdeploy("preview", "--output", "json", code=4)
    file = kdeploy.root / "preview.json"
    file.write_text(shown.stdout)
    return file, shown.document


def carry_out(kdeploy: Kdeploy, ledger: Ledger, rows: Sequence[Row], command: str) -> dict[str, Any]:
    """One round under load; the document of the command that carried it out."""
    wanted, before = edit(kdeploy, rows), copy.deepcopy(seen(kdeploy))
    producing = Producing(describe(kdeploy), ledger, 1000)
    try:
        producing.wait_for(RECORDS // 3)
        file, document = save(kdeploy)
        assert predicted(document) == wanted
        done = kdeploy(command, "--expect", str(file), "--output", "json").document
        producing.wait_for(RECORDS // 3)
        producing.stop()
    finally:
        producing.abandon()
    assert happened(before, seen(kdeploy)) == wanted
    checked = check(describe(kdeploy), ledger)
    assert (checked.lost, checked.out_of_order) == (0, 0), checked
    assert checked.acknowledged == ledger.count > 0
    assert not kdeploy("preview", "--output", "json").document["pending"]
    return done


@AT_ONCE
def test_what_restarts_nothing_is_done_as_it_was_said(kdeploy: Kdeploy, ledger: Ledger) -> None:
    assert len(QUIET) >= 7
    done = carry_out(kdeploy, ledger, QUIET, "up")
    assert done["changed"]


@AT_ONCE
def test_what_restarts_nodes_restarts_just_those(kdeploy: Kdeploy, ledger: Ledger) -> None:
    assert RESTARTING
    carry_out(kdeploy, ledger, RESTARTING, "up")


def test_resources_alone_are_applied_and_applied_again_without_a_change(kdeploy: Kdeploy) -> None:
    before = seen(kdeploy)
    kdeploy.edit(USERS, f"{USERS}\n  - name: dora\n    acls: [{{name: orders, operations: [read]}}]\n#")
    file, document = save(kdeploy)
    wanted = {"user dora made", "acl + dora may read topic orders"}
    assert predicted(document) == wanted
    done = kdeploy("apply", "--expect", str(file), "--output", "json").document
    assert done["changed"]
    assert happened(before, seen(kdeploy)) == wanted
    again = kdeploy("apply", "--output", "json").document
    assert again["changed"] is False
    late = kdeploy("apply", "--expect", str(file), code=6).stderr
    assert "- gone: create user dora" in late


def test_another_cluster_than_the_locks_is_refused_by_every_command(kdeploy: Kdeploy) -> None:
    lock = kdeploy.state / "lock.yaml"
    text = lock.read_text()
    (line,) = [one for one in text.splitlines() if "cluster_id: " in one]
    before = seen(kdeploy)
    kdeploy.edit(USERS, f"{USERS}\n  - name: eve\n#")
    lock.write_text(text.replace(line, line.partition(":")[0] + ": AAAAAAAAAAAAAAAAAAAAAA"))
    try:
        for command in ("up", "apply", "preview", "status", "verify", "restart"):
            refused = kdeploy(command, code=1).stderr
            assert "is another cluster than local" in refused, command
            assert line.partition(": ")[2] in refused
            assert "AAAAAAAAAAAAAAAAAAAAAA" in refused
    finally:
        lock.write_text(text)
        kdeploy.edit("\n  - name: eve\n#", "")
    assert happened(before, seen(kdeploy)) == frozenset()
    kdeploy("status")


def test_what_somebody_set_in_the_cluster_is_accepted_into_the_files_and_is_drift_no_more(
    kdeploy: Kdeploy,
) -> None:
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.state import Binding

    with connect(describe(kdeploy).access) as admin:
        admin.set_topic_settings({"orders": {"retention.ms": "7654321"}})
        admin.create_bindings(
            [Binding("orders-consumer", "topic", "others", "literal", "read", "allow", "*")]
        )
    before = seen(kdeploy)
    found = kdeploy("drift", "--output", "json", code=4).document["items"]
    assert {(one["layer"], one["name"], one["found"]) for one in found} == {
        ("topics", "orders", "7654321"),
        ("acls", "orders-consumer", "present"),
    }
    kdeploy("drift", "--accept", code=None)
    assert kdeploy("drift", "--output", "json").document["items"] == []
    assert not kdeploy("preview", "--output", "json").document["pending"]
    assert "7654321" in kdeploy.file.read_text()
    assert happened(before, seen(kdeploy)) == frozenset()


def test_what_others_made_is_imported_and_then_nothing_is_pending(kdeploy: Kdeploy) -> None:
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.state import Binding, NewTopic

    with connect(describe(kdeploy).access) as admin:
        admin.create_topics([NewTopic("made-by-hand", 4, 2, {"retention.ms": "3600000"})])
        admin.create_bindings([Binding("somebody", "topic", "made-", "prefixed", "write", "allow", "*")])
    before = seen(kdeploy)
    kdeploy("import")
    written = (kdeploy.file.parent / "topics.yaml").read_text()
    assert "made-by-hand" in written
    assert not kdeploy("preview", "--output", "json").document["pending"]
    kdeploy("up")
    assert happened(before, seen(kdeploy)) == frozenset()


def test_a_broker_that_is_lost_while_copies_move_is_waited_for_by_name_and_nothing_is_lost(
    kdeploy: Kdeploy, ledger: Ledger
) -> None:
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.record import TOPIC

    with connect(describe(kdeploy).access) as admin:  # the one that the command itself needs first of all
        (lost,) = (one.leader for one in admin.metadata().partitions if one.topic == TOPIC)
    (noted,) = (kdeploy.state / "nodes").glob(f"*/broker-{lost}/process.json")
    frozen = json.loads(noted.read_text())["pid"]
    topics = kdeploy.file.parent / "topics.yaml"
    text = topics.read_text()
    assert text.count("replication_factor: 2") == 1
    topics.write_text(text.replace("replication_factor: 2", "replication_factor: 3"))
    os.kill(frozen, signal.SIGSTOP)
    try:
        running = Following(kdeploy.start("apply"))
        try:
            # It goes on while Kafka still counts on the broker, and begins nothing any more once it does not.
            running.wait_for(
                rf"(?s)(waits for .*broker.{lost}|broker.{lost}.* does not answer|2 brokers are registered)"
            )
        finally:
            os.kill(frozen, signal.SIGCONT)
            print(running.end())
    finally:
        os.kill(frozen, signal.SIGCONT)
    deadline = time.monotonic() + 120
    while kdeploy("status", code=None).code != 0:
        assert time.monotonic() < deadline
    kdeploy("apply")
    assert seen(kdeploy)["topics"]["made-by-hand"] == [3, 3, 3, 3]
    assert not kdeploy("preview", "--output", "json").document["pending"]
    assert check(describe(kdeploy), ledger).lost == 0
