"""The local provider with a real Kafka: one broker that is its own controller, without any of kdeploy's security.

Hand-written node, so that what fails here is the provider and not what drew the node.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdeploy.blueprint import Blueprint, ClusterBlueprint, Node, RenderedFile
from kdeploy.errors import KdeployError
from kdeploy.infra.local.process import read_started
from kdeploy.infra.local.provider import LocalProvider
from tests.e2e import ports

pytestmark = pytest.mark.kafka

PORT = ports.PROVIDER
CONTROLLER_PORT = ports.PROVIDER + 1
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"

PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:{CONTROLLER_PORT}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{PORT},CONTROLLER://127.0.0.1:{CONTROLLER_PORT}
advertised.listeners=PLAINTEXT://localhost:{PORT},CONTROLLER://localhost:{CONTROLLER_PORT}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data/0
offsets.topic.replication.factor=1
"""

RELOAD4J = """\
log4j.rootLogger=INFO, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File=logs/server.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""

LOG4J2 = """\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = logs/server.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
"""


def broker(version: str) -> Node:
    """The whole cluster."""
    old = version.startswith("3.")
    logging = RenderedFile("config/log4j.properties", RELOAD4J)
    if not old:
        logging = RenderedFile("config/log4j2.properties", LOG4J2)
    return Node(
        datacenter="here",
        name="broker-1",
        role="broker",
        id=1,
        rack="r1",
        host="localhost",
        bind="127.0.0.1",
        ports={"client": PORT, "controller": CONTROLLER_PORT},
        cores=1,
        memory=1e9,
        data_directories=("data/0",),
        format_arguments=(
            "format",
            "--cluster-id",
            CLUSTER_ID,
            "--config",
            "config/server.properties",
            "--standalone",
        ),
        java_options=(
            "-Xmx256m",
            f"-Dlog4j{'' if old else '2'}.configuration{'' if old else 'File'}=file:{logging.path}",
        ),
        main_class="kafka.Kafka",
        arguments=("config/server.properties",),
        files=(RenderedFile("config/server.properties", PROPERTIES), logging),
        secrets=(),
    )


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[LocalProvider]:
    made = LocalProvider(tmp_path / "nodes", stop_patience=60)
    yield made
    for node in made.known():
        made.stop(node, "now")


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def produce(text: str) -> None:
    """One record, acknowledged."""
    from confluent_kafka import Producer

    failed: list[object] = []
    producer = Producer({"bootstrap.servers": f"localhost:{PORT}", "acks": "all", "log_level": 0})
    producer.produce(
        "kept", text.encode(), on_delivery=lambda error, _: failed.append(error) if error else None
    )
    assert producer.flush(60) == 0
    assert not failed


def consume(count: int) -> list[str]:
    """The first records of the topic."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": f"localhost:{PORT}", "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition("kept", 0, 0)])
    records = [message.value().decode() for message in consumer.consume(count, timeout=60)]
    consumer.close()
    return records


@pytest.mark.parametrize("version", ["3.9.2", "4.3.1"])
def test_a_real_broker_is_formatted_started_stopped_killed_and_keeps_its_records(
    provider: LocalProvider, tmp_path: Path, version: str
) -> None:
    node = broker(version)
    home = tmp_path / "nodes/here/broker-1"
    provider.provision(
        Blueprint("env", (ClusterBlueprint("here", "local", "kraft", version, CLUSTER_ID, (node,)),))
    )
    provider.apply(node, {})
    assert CLUSTER_ID in (home / "data/0/meta.properties").read_text()
    provider.start(node)
    produce("first")
    state = provider.observe([node])[node.key]
    assert state.running
    assert state.started == state.applied == provider.wanted(node, {})

    provider.start(node)
    provider.stop(node)
    log = (home / "logs/server.log").read_text()
    assert "shut down completed" in log, "the shutdown was a controlled one"
    assert "stopped by kdeploy" in provider.observe([node])[node.key].detail

    provider.apply(node, {})
    provider.start(node)
    produce("second")
    started = read_started(home)
    assert started
    os.kill(started.pid, signal.SIGKILL)
    wait_for(lambda: not provider.observe([node])[node.key].running)
    assert provider.observe([node])[node.key].detail.startswith("ended by itself")

    provider.start(node)
    produce("third")
    assert consume(3) == ["first", "second", "third"]
    assert CLUSTER_ID in (home / "data/0/meta.properties").read_text()

    with pytest.raises(KdeployError, match="still runs"):
        provider.delete(node)
    provider.stop(node)
    provider.delete(node)
    assert not home.exists()


def test_a_real_broker_that_cannot_start_says_why(provider: LocalProvider, tmp_path: Path) -> None:
    version = "3.9.2"
    good = broker(version)
    provider.provision(
        Blueprint("env", (ClusterBlueprint("here", "local", "kraft", version, CLUSTER_ID, (good,)),))
    )
    provider.apply(good, {})
    file = tmp_path / "nodes/here/broker-1/config/server.properties"
    file.write_text(PROPERTIES + "log.segment.bytes=none\n")
    provider.start(good)
    wait_for(lambda: not provider.observe([good])[good.key].running)
    detail = provider.observe([good])[good.key].detail
    assert "log.segment.bytes" in detail
