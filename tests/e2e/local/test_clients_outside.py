"""Clients outside a network in AWS: a real broker with the files that it would get there, behind ports that lead to it.

What stands in the load balancer's place leads bytes from its ports to the broker's, as a listener of TCP does. The
client knows one name, that of the load balancer: any other is nobody's.
"""

from __future__ import annotations

import json
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import Balancer, ClusterBlueprint, Node
from kdeploy.security import clients, files, issue
from kdeploy.security.content import Vault
from tests.tuning import builders
from tests.tuning.places import aws, planned

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

NAME, FIRST, USER = "kafka.example.com", 31200, "orders"
RECORDS = 1000
PATIENCE = 300.0
"""Seconds for two Java machines to start, also on a machine that does much else."""

ABOVE = 22_000
"""How far above their own the ports of nodes are here, where others may have those."""

FOLDERS = ("/etc/kafka", "/var/lib/kafka", "/var/log/kafka")


@dataclass(frozen=True)
class Outside:
    """What a client outside has.

    Attributes:
        settings: Of kafka-python, as they were handed out.
        authority: Whom it believes.
        balancer: What it connects to.
    """

    settings: dict[str, Any]
    authority: Path
    balancer: Balancer


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    root = tmp_path_factory.mktemp("outside")
    cluster, vault = decided()
    assert cluster.place
    balancer = cluster.place.balancer
    assert balancer
    with ExitStack() as running:
        for node in cluster.nodes:
            running.callback(ended, started(root, cluster, node, vault))
        for port in (balancer.port, *(one.port for one in balancer.outlets)):
            running.callback(led(port, balancer.target + ABOVE).shutdown, socket.SHUT_RDWR)
        until(lambda: answers(balancer.target + ABOVE))
        clients.write_user(root / "client", vault, USER, balancer.bootstrap)
        given = json.loads((root / "client" / "python.json").read_text())["kafka-python"]
        yield Outside(given, root / "client" / "ca.pem", balancer)


def decided() -> tuple[ClusterBlueprint, Vault]:
    """A controller and a broker in AWS, with a load balancer, and their secrets."""
    from kdeploy.blueprint import draw
    from kdeploy.planner.decide import decide

    wanted = {"name": NAME, "port": FIRST, "sources": ["198.51.100.0/24"]}
    environment = builders.kraft(
        users=[{"name": USER}],
        security={"authorization": False},
        durability={"replication_factor": 1, "min_insync_replicas": 1, "survive": "none"},
        datacenters=[aws(racks=["a"], network={"load_balancer": wanted})],
    )
    plan = planned(environment, 1, coordinators=1)
    lock = decide(environment, plan, None, builders.fixed_ids())
    (cluster,) = draw(environment, plan, lock).clusters
    return cluster, issue.complete(None, issue.requirements(environment, lock), datetime.now(UTC))


def started(root: Path, cluster: ClusterBlueprint, node: Node, vault: Vault) -> subprocess.Popen[bytes]:
    """Start a node in a folder in place of its machine, where machines' names lead to this one."""
    from kdeploy.infra import artefacts

    kafka = artefacts.fetch(
        cluster.kafka_version, artefacts.default_cache(), artefacts.Sources.from_environment()
    )
    here = root / node.name

    def moved(text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(folder, f"{here}{folder}")
        return re.sub(r":(909\d)\b", lambda port: f":{int(port[1]) + ABOVE}", text)

    kinds = {secret.path: secret.kind for secret in node.secrets}
    content = {file.path: moved(file.text).encode() for file in node.files}
    for path, data in (content | files.node_secrets(vault, node.key, kinds)).items():
        file = here / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    for folder in (*map(moved, node.data_directories), f"{here}/var/log/kafka"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    names = root / "hosts"
    names.write_text("".join(f"127.0.0.1 {one.host}\n" for one in cluster.nodes))
    java = [str(kafka.java), "-Xmx512m", f"-Djdk.net.hosts.file={names}", "-cp", kafka.class_path_text]
    login = f"SCRAM-SHA-512=[name={USER},password={vault.passwords[USER]}]"
    made = subprocess.run(
        [*java, "kafka.tools.StorageTool", *map(moved, node.format_arguments), "--add-scram", login],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    logging = [moved(one) for one in node.java_options if one.startswith("-Dlog4j")]
    with (here / "out").open("wb") as out:
        return subprocess.Popen(
            [*java, *logging, node.main_class, *map(moved, node.arguments)], stdout=out, stderr=out
        )


def ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def led(port: int, target: int) -> socket.socket:
    """Lead what comes to a port to another one, until the socket is shut down."""
    server = socket.create_server(("127.0.0.1", port))

    def carry(client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", target)) as broker:
            other = {client: broker, broker: client}
            while True:
                for one in select.select(list(other), [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)

    def serve() -> None:
        with server, suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=carry, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load balancer's name leads to it; of all others nobody knows outside."""
    real = socket.getaddrinfo

    def lookup(host: Any, *arguments: Any, **named: Any) -> Any:
        if str(host).endswith(".internal"):
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known outside")
        return real("127.0.0.1" if host == NAME else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.usefixtures("names")
def test_a_client_outside_writes_and_reads_knowing_the_load_balancer_alone(outside: Outside) -> None:
    from kdeploy.cluster.client import kafka

    library = kafka()
    assert outside.settings["bootstrap_servers"] == [f"{NAME}:{FIRST}"]
    with closing(library.admin.KafkaAdminClient(**outside.settings)) as admin:
        (told,) = admin.describe_cluster()["brokers"]
        assert (told["host"], told["port"]) == (NAME, FIRST + 1), "the port is the broker's own"
        admin.create_topics([library.admin.NewTopic("outside", 1, 1)])
    wanted = [b"%d" % number for number in range(RECORDS)]
    with closing(library.KafkaProducer(**outside.settings, acks="all")) as producer:
        sent = [producer.send("outside", value) for value in wanted]
        assert [one.get(timeout=60).offset for one in sent] == list(range(RECORDS))
    reading = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 60_000}
    with closing(library.KafkaConsumer("outside", **outside.settings, **reading)) as consumer:
        assert [one.value for _, one in zip(wanted, consumer, strict=False)] == wanted


def test_outside_nobody_comes_in_without_tls_and_a_password_and_the_broker_proves_who_it_is(
    outside: Outside,
) -> None:
    from kdeploy.cluster import wire
    from kdeploy.cluster.login import accepted

    for port in (outside.balancer.port, outside.balancer.outlets[0].port):
        trusting = ssl.create_default_context(cafile=outside.authority)
        for name, good in ((NAME, True), ("other.example.com", False)):
            with socket.create_connection(("127.0.0.1", port)) as plain:
                try:
                    trusting.wrap_socket(plain, server_hostname=name).close()
                    proved = True
                except ssl.SSLCertVerificationError:
                    proved = False
            assert proved == good, name
        unchecked = ssl.create_default_context(cafile=outside.authority)
        unchecked.check_hostname = False
        for tls in (None, unchecked):
            with pytest.raises(OSError, match=r".+") as refused:
                wire.ask("127.0.0.1", port, tls, None)
            assert not isinstance(refused.value, TimeoutError), "somebody listens, and says no"
        password = outside.settings["sasl_plain_password"]
        assert accepted("127.0.0.1", port, unchecked, USER, password, proxy=None)
        assert not accepted("127.0.0.1", port, unchecked, USER, f"{password}x", proxy=None)
