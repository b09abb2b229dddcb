"""The whole thread on real Kafka: up, use, change, break, mend, down, and nothing left.

Each test is a sentence about one environment's life; the two coordination kinds run the same
sentences. Every cluster here is the test's own, so that it may break it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import ports
from tests.e2e.local.conftest import describe, prepare
from tests.e2e.local.kdeploy_command import Kdeploy

pytestmark = pytest.mark.kafka

KINDS = ports.THREAD


@pytest.fixture(scope="module", params=sorted(KINDS))
def kdeploy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdeploy]:
    """One environment, from nothing; the tests of this module live its life in their order."""
    root = tmp_path_factory.mktemp(request.param)
    kdeploy = prepare(root, request.param, KINDS[request.param])
    try:
        yield kdeploy
    finally:
        kdeploy("down", "--delete-data", "--yes", code=None)


def started_at(kdeploy: Kdeploy) -> dict[str, str]:
    """What tells one process of a node from the next, by node."""
    (cluster,) = kdeploy("status", "--output", "json", code=None).document["clusters"]
    return {node["node"]: node["detail"] for node in cluster["nodes"]}


def pid_of(kdeploy: Kdeploy, node: str) -> int:
    import psutil

    (folder,) = kdeploy.state.glob(f"nodes/*/{node}")
    (process,) = [one for one in psutil.process_iter() if _works_in(one, folder)]
    return process.pid


def _works_in(process: Any, folder: Path) -> bool:
    import psutil

    try:
        return process.cwd() == str(folder) and process.name() == "java"
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def a_node(kdeploy: Kdeploy, role: str) -> str:
    return sorted(path.name for path in kdeploy.state.glob(f"nodes/*/{role}-*"))[0]


def producer(kdeploy: Kdeploy) -> Any:
    from confluent_kafka import Producer

    cluster = describe(kdeploy)
    return Producer(
        {
            "bootstrap.servers": cluster.access.client_bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "orders-producer",
            "sasl.password": cluster.passwords["orders-producer"],
            "ssl.ca.location": str(cluster.access.authority),
            "acks": "all",
            "enable.idempotence": True,
        }
    )


def consume_all(kdeploy: Kdeploy, topic: str) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    cluster = describe(kdeploy)
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.access.client_bootstrap,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "orders-consumer",
            "sasl.password": cluster.passwords["orders-consumer"],
            "ssl.ca.location": str(cluster.access.authority),
            "group.id": "orders-consumer",
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        found: list[bytes] = []
        for index in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=20)
            consumer.assign([TopicPartition(topic, index, low)])
            end, deadline = low, time.monotonic() + 60
            while end < high and time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is not None and message.error() is None:
                    found.append(message.value())
                    end = message.offset() + 1
        return found
    finally:
        consumer.close()


def produce(kdeploy: Kdeploy, topic: str, values: list[bytes]) -> list[bytes]:
    """The values that were acknowledged."""
    acknowledged: list[bytes] = []

    def note(error: Any, message: Any) -> None:
        if error is None:
            acknowledged.append(message.value())

    client = producer(kdeploy)
    for value in values:
        client.produce(topic, value, on_delivery=note)
        client.poll(0)
    client.flush(60)
    return acknowledged


def test_preview_before_the_first_up_says_that_everything_is_pending(kdeploy: Kdeploy) -> None:
    shown = kdeploy("preview", code=4)
    assert "create" in shown.stdout
    assert not kdeploy.state.exists(), "a preview writes nothing"


def test_up_brings_a_verified_cluster_and_says_what_to_do_next(kdeploy: Kdeploy) -> None:
    shown = kdeploy("up")
    assert "bootstrap servers: localhost:" in shown.stdout
    assert "client properties: " in shown.stdout
    assert "kdeploy status" in shown.stdout
    assert "FAIL" not in shown.stdout


def test_up_again_changes_nothing_and_restarts_nothing(kdeploy: Kdeploy) -> None:
    before = started_at(kdeploy)
    again = kdeploy("up", "--output", "json")
    assert again.document["changed"] is False
    assert started_at(kdeploy) == before
    kdeploy("preview", code=0)


def test_verify_proves_it(kdeploy: Kdeploy) -> None:
    document = kdeploy("verify", "--output", "json").document
    assert document["ok"] is True
    assert all(check["ok"] for cluster in document["clusters"] for check in cluster["checks"])


def test_records_survive_down_and_up(kdeploy: Kdeploy) -> None:
    values = [b"kept-%06d" % number for number in range(5000)]
    assert len(produce(kdeploy, "orders", values)) == 5000
    kdeploy("down")
    kdeploy("status", code=5)
    kdeploy("up")
    assert set(values) <= set(consume_all(kdeploy, "orders"))


@pytest.mark.parametrize("role", ["broker", "coordinator"])
def test_a_killed_node_is_named_and_comes_back_with_every_record(kdeploy: Kdeploy, role: str) -> None:
    kind = "controller" if kdeploy.name == "local-kraft" else "zookeeper"
    node = a_node(kdeploy, "broker" if role == "broker" else kind)
    values = [b"%s-%06d" % (node.encode(), number) for number in range(5000)]
    assert len(produce(kdeploy, "orders", values)) == 5000
    os.kill(pid_of(kdeploy, node), signal.SIGKILL)
    status = kdeploy("status", code=5)
    assert any(
        line.split()[0] == node and "stopped" in line for line in status.stdout.splitlines() if line.split()
    )
    kdeploy("up")
    kdeploy("status", code=0)
    assert set(values) <= set(consume_all(kdeploy, "orders"))
    assert kdeploy("up", "--output", "json").document["changed"] is False, "no user was forgotten"


def test_a_changed_setting_restarts_brokers_one_by_one_and_loses_nothing(kdeploy: Kdeploy) -> None:
    kdeploy.file.write_text(
        kdeploy.file.read_text() + "\noverrides:\n  broker:\n    queued.max.requests: 400\n"
    )
    before = started_at(kdeploy)
    preview = kdeploy("preview", "--output", "json", code=4).document
    predicted = {change["name"] for change in preview["changes"] if change["restart"]}
    assert predicted == {name for name in before if name.startswith("broker")}
    rolling = kdeploy.start("up")
    acknowledged: list[bytes] = []
    number = 0
    while rolling.poll() is None:
        acknowledged += produce(kdeploy, "orders", [b"rolled-%06d" % (number + step) for step in range(500)])
        number += 500
    assert rolling.wait() == 0, rolling.communicate()
    rolling.communicate()
    after = started_at(kdeploy)
    assert {name for name in before if before[name] != after[name]} == predicted
    assert len(acknowledged) == number > 0
    assert set(acknowledged) <= set(consume_all(kdeploy, "orders"))


def in_effect(kdeploy: Kdeploy, name: str) -> dict[str, tuple[str | None, bool]]:
    """A setting's value on each broker, and whether a dynamic value says so."""
    from kdeploy.cluster.admin import connect

    cluster = describe(kdeploy)
    with connect(cluster.access) as admin:
        found = {
            node.name: admin.broker_settings(node.id, [name])[name] for node in cluster.blueprint.brokers
        }
    return {node: (one.value, one.own is not None) for node, one in found.items()}


def test_what_kafka_takes_while_it_runs_restarts_nothing_and_is_idle_after_a_restart(
    kdeploy: Kdeploy,
) -> None:
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.state import EVERY_BROKER

    before = started_at(kdeploy)
    kdeploy.edit("\noverrides:\n  broker:\n", "\noverrides:\n  broker:\n    num.io.threads: 40\n")
    changes = kdeploy("preview", "--output", "json", code=4).document["changes"]
    assert {change["kind"] for change in changes if change["layer"] == "nodes"} == {"update"}
    given = [(change["name"], change["what"]) for change in changes if change["layer"] == "settings"]
    assert given == [(f"broker-{n}", "num.io.threads 8 → 40") for n in (1, 2, 3)]
    outcome = kdeploy("up", "--output", "json").document
    assert outcome["clusters"][0]["changes"] == [f"{name}, while it runs: {what}" for name, what in given]
    assert started_at(kdeploy) == before
    assert in_effect(kdeploy, "num.io.threads") == dict.fromkeys(
        ("broker-1", "broker-2", "broker-3"), ("40", True)
    )
    kdeploy("preview")

    kdeploy("restart", "--node", "broker-1")
    assert in_effect(kdeploy, "num.io.threads")["broker-1"] == ("40", False), "its file says so now"
    kdeploy("preview")

    with connect(describe(kdeploy).access) as admin:
        admin.set_broker_settings(2, {"background.threads": "12"})
        admin.set_broker_settings(EVERY_BROKER, {"log.cleaner.threads": "2"})
    said = " ".join(kdeploy("status").stdout.split())
    assert "broker-2 has background.threads 12; " in said
    items = kdeploy("drift", "--output", "json", code=4).document["items"]
    assert [(one["layer"], one["name"], one["key"], one["git"], one["found"]) for one in items] == [
        ("settings", "every broker", "log.cleaner.threads", "1", "2"),
        ("settings", "broker-2", "background.threads", "10", "12"),
    ]
    restarted = started_at(kdeploy)
    kdeploy.edit("    num.io.threads: 40\n", "")
    kdeploy("up")
    assert started_at(kdeploy) == restarted
    assert in_effect(kdeploy, "num.io.threads") == {
        "broker-1": ("8", True),
        "broker-2": ("8", False),
        "broker-3": ("8", False),
    }
    assert in_effect(kdeploy, "background.threads")["broker-2"] == ("10", False), "git says what it has"
    assert in_effect(kdeploy, "log.cleaner.threads")["broker-1"] == ("1", False)
    assert "nothing was changed" in kdeploy("drift").stdout


def test_a_value_that_a_running_broker_refuses_is_refused_before_any_file_says_it(kdeploy: Kdeploy) -> None:
    text = kdeploy.file.read_text()
    kdeploy.edit(
        "\noverrides:\n  broker:\n", "\noverrides:\n  broker:\n    log.cleaner.dedupe.buffer.size: 1000\n"
    )
    refused = kdeploy("up", code=1).stderr
    assert (
        "refuses new settings: requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB"
        in refused
    )
    kdeploy.file.write_text(text)
    kdeploy("preview")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("racks: [a, b, c]", "racks: [a, b]", "rack"),
        ("provider: local", "provider: hosts", "hosts"),
    ],
)
def test_what_is_not_supported_yet_is_refused_and_changes_nothing(
    kdeploy: Kdeploy, old: str, new: str, said: str
) -> None:
    text, before = kdeploy.file.read_text(), started_at(kdeploy)
    try:
        kdeploy.edit(old, new)
        refused = kdeploy("up", code=2)
        assert said in refused.stderr
    finally:
        kdeploy.file.write_text(text)
    assert started_at(kdeploy) == before


def test_a_new_topic_and_user_are_made_without_any_restart(kdeploy: Kdeploy) -> None:
    before = started_at(kdeploy)
    kdeploy.edit("\ntopics:\n", "\ntopics:\n  - name: added-later\n    partitions: 2\n")
    kdeploy("preview", code=4)
    outcome = kdeploy("up", "--output", "json").document
    assert any("added-later" in change for change in outcome["clusters"][0]["changes"])
    assert started_at(kdeploy) == before
    assert kdeploy("up", "--output", "json").document["changed"] is False


def test_no_secret_is_anywhere_but_in_the_secret_files(kdeploy: Kdeploy) -> None:
    vault = describe(kdeploy).vault
    secrets = {value.encode() for value in vault.passwords.values()}
    for pem in [
        vault.administrator.pem,
        *(one.pem for one in vault.nodes.values()),
        *(one.pem for one in vault.brokers.values()),
    ]:
        body = pem.split(b"PRIVATE KEY-----")[1]
        secrets.add(body.strip().splitlines()[1][:40])
    outputs = [
        kdeploy(command, *more, "--output", "json", code=None)
        for command, *more in (["status"], ["preview"], ["up"])
    ]
    for finished in outputs:
        assert not [one for one in secrets if one in finished.stdout.encode() + finished.stderr.encode()]
    for path in kdeploy.state.rglob("*"):
        try:
            open_to_others = path.is_file() and path.stat().st_mode & 0o077
            content = path.read_bytes() if open_to_others else b""
        except FileNotFoundError:  # Kafka deletes segments while we look
            continue
        if open_to_others:
            assert not [one for one in secrets if one in content], path
    import psutil

    for process in psutil.process_iter():
        try:
            seen = "\0".join(process.cmdline()).encode()
            if str(kdeploy.state) in process.cwd():
                seen += "\0".join(f"{key}={value}" for key, value in process.environ().items()).encode()
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        assert not [one for one in secrets if one in seen], process


def test_deleting_asks_first_and_then_leaves_no_process_port_or_file(kdeploy: Kdeploy) -> None:
    ports = [port for node in describe(kdeploy).blueprint.nodes for port in node.ports.values()]
    kdeploy("down", "--delete-data", code=2)
    kdeploy("status", code=0)
    kdeploy("down", "--delete-data", "--yes")
    assert not kdeploy.state.exists()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(kdeploy.state) not in running
