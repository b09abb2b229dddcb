"""What `kdeploy clients` wrote serves the Java, librdkafka and Python clients as it stands."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local.conftest import RunningCluster

pytestmark = pytest.mark.kafka

RECORDS = 500
TOPIC = "orders"


@pytest.fixture(params=["zookeeper_cluster", "kraft_cluster"])
def cluster(request: pytest.FixtureRequest) -> RunningCluster:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["pem", "pkcs12"])
def handed_out(request: pytest.FixtureRequest, cluster: RunningCluster, tmp_path: Path) -> Path:
    """A folder that `kdeploy clients` filled."""
    cluster.kdeploy("clients", "--to", str(tmp_path / "clients"), "--format", request.param)
    return tmp_path / "clients" / "users"


def java(cluster: RunningCluster, main: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Kafka's own distribution."""
    from kdeploy.infra import artefacts

    kafka = artefacts.fetch(
        cluster.blueprint.kafka_version, artefacts.default_cache(), artefacts.Sources.from_environment()
    )
    return subprocess.run(
        [str(kafka.java), "-cp", kafka.class_path_text, main, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def properties(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_every_file_is_for_its_owner_alone(handed_out: Path) -> None:
    files = [path for path in handed_out.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {"orders-producer", "orders-consumer"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_the_java_clients_produce_and_consume(cluster: RunningCluster, handed_out: Path) -> None:
    produced = java(
        cluster,
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", TOPIC, "--num-records", str(RECORDS), "--record-size", "100", "--throughput", "-1"),
        *("--producer.config", str(handed_out / "orders-producer" / "client.properties")),
    )
    assert produced.returncode == 0, produced.stderr
    assert f"{RECORDS} records sent" in produced.stdout
    consumed = java(
        cluster,
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--topic", TOPIC, "--group", "orders-java", "--from-beginning", "--max-messages", str(RECORDS)),
        *("--bootstrap-server", cluster.access.client_bootstrap, "--timeout-ms", "90000"),
        *("--consumer.config", str(handed_out / "orders-consumer" / "client.properties")),
    )
    assert consumed.returncode == 0, consumed.stderr
    assert f"Processed a total of {RECORDS} messages" in consumed.stderr + consumed.stdout


def test_librdkafka_produces_and_consumes(cluster: RunningCluster, handed_out: Path) -> None:
    from confluent_kafka import Consumer, Producer

    acknowledged = []
    producer = Producer(properties(handed_out / "orders-producer" / "librdkafka.conf"))
    for number in range(RECORDS):
        producer.produce(
            TOPIC, b"%d" % number, on_delivery=lambda error, message: acknowledged.append(error is None)
        )
    assert producer.flush(60) == 0
    assert acknowledged == [True] * RECORDS
    consumer = Consumer(
        {
            **properties(handed_out / "orders-consumer" / "librdkafka.conf"),
            "group.id": f"orders-librdkafka-{os.urandom(4).hex()}",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([TOPIC])
        assert count(lambda: consumer.poll(1.0)) >= RECORDS
    finally:
        consumer.close()


def count(poll: Any) -> int:
    """Records that arrive until there are enough, or for a minute."""
    found, deadline = 0, time.monotonic() + 60
    while found < RECORDS and time.monotonic() < deadline:
        message = poll()
        found += message is not None and message.error() is None
    return found


def test_kafka_python_produces_and_consumes(cluster: RunningCluster, handed_out: Path) -> None:
    from kdeploy.cluster.client import kafka

    KafkaConsumer, KafkaProducer = kafka().KafkaConsumer, kafka().KafkaProducer  # noqa: N806

    def settings(user: str) -> dict[str, Any]:
        document = json.loads((handed_out / user / "python.json").read_text())
        return document["kafka-python"]

    producer = KafkaProducer(**settings("orders-producer"), acks="all")
    try:
        sent = [producer.send(TOPIC, b"%d" % number) for number in range(RECORDS)]
        assert all(one.get(timeout=60).offset >= 0 for one in sent)
    finally:
        producer.close()
    consumer = KafkaConsumer(
        TOPIC,
        **settings("orders-consumer"),
        group_id=f"orders-python-{os.urandom(4).hex()}",
        auto_offset_reset="earliest",
        consumer_timeout_ms=60_000,
    )
    try:
        assert sum(1 for _, _ in zip(range(RECORDS), consumer, strict=False)) == RECORDS
    finally:
        consumer.close()
