"""The cluster room from where nothing but SSH gets out: real Kafka, asked through a real sshd.

The program runs in a network of its own in which nothing is: neither the brokers nor the sshd have an address
there, and `localhost` is another machine's. The only way out is a Unix socket that stands for Systems Manager.
Whatever went around the forward would find nobody.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import sshd
from tests.e2e.local.conftest import RunningCluster

INSTANCE = "i-0123456789abcdef0"


def lacking() -> str | None:
    if (lacks := sshd.missing()) is not None:
        return lacks
    if os.geteuid() != 0:
        return "only root gives a program a network of its own"
    missing = [one for one in ("unshare", "ip") if shutil.which(one) is None]
    return f"there is no {missing[0]}" if missing else None


pytestmark = [pytest.mark.kafka, pytest.mark.skipif(lacking() is not None, reason=str(lacking()))]

PROGRAM = """
import json, os, pickle, sys
from dataclasses import replace
from kdeploy.cluster import compacted, verify
from kdeploy.cluster.admin import connect
from kdeploy.cluster.failure import Unreachable
from kdeploy.infra.hosts.forward import close_all, through
given = pickle.load(sys.stdin.buffer)
try:
    connect(given["access"], timeout=1)
    sys.exit("it is reached straight")
except Unreachable:
    pass
access = replace(given["access"], proxy=through(given["shell"], ["broker-1"]))
report = verify.verify(access, given["environment"], given["blueprint"])
with connect(access) as admin:
    brokers = [one.host for one in admin.metadata().brokers]
    logins = admin.logins(given["passwords"])
    silent = admin.silent(admin.metadata().brokers)
    settings = admin.own_topic_settings([given["topic"]])
    sizes = admin.stored_bytes([given["topic"]])
    access.proxy.close()
    again = len(admin.metadata().brokers)
compacted.write(access, given["topic"], {"mine": "new", "gone": None, "large": "x" * 3_000_000})
read = compacted.read(access, given["topic"])
close_all()
print(json.dumps({
    "wrong": [str(one) for one in report.checks if not one.ok], "checks": len(report.checks),
    "brokers": len(brokers), "logins": logins, "silent": silent, "sizes": sizes, "again": again,
    "settings": settings[given["topic"]].own, "read": {key: len(value) for key, value in read.items()},
}))
"""


@contextmanager
def relay(path: Path, port: int) -> Iterator[None]:
    """A Unix socket that leads to a port of this machine."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)

    opened: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                near = listening.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            opened.extend((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for one in opened:
        one.close()


@pytest.mark.parametrize("mode", ["zookeeper_cluster", "kraft_cluster"])
def test_all_that_is_said_to_a_cluster_goes_through_ssh(
    request: pytest.FixtureRequest, mode: str, tmp_path: Path
) -> None:
    cluster: RunningCluster = request.getfixturevalue(mode)
    topic = {"name": "e2e-through", "settings": {"cleanup.policy": "compact"}}
    written = written_from_near(cluster, topic)
    with sshd.serving(tmp_path / "sshd") as server, relay(tmp_path / "ssm", server.port):
        shell = replace(server.shell(through="ssm"), instances={"broker-1": INSTANCE})
        programs = sshd.fake_aws(tmp_path / "bin", INSTANCE, str(tmp_path / "ssm"))
        given = {
            "access": cluster.access,
            "environment": cluster.environment,
            "blueprint": cluster.blueprint,
            "passwords": cluster.passwords,
            "shell": shell,
            "topic": topic["name"],
        }
        run = subprocess.run(
            [
                "unshare",
                "-n",
                "sh",
                "-c",
                'ip link set lo up && exec "$@"',
                "sh",
                sys.executable,
                "-c",
                PROGRAM,
            ],
            input=pickle.dumps(given),
            capture_output=True,
            env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
            check=False,
        )
        sessions = (programs / "asked").read_text().count("start-session")
    assert run.returncode == 0, run.stderr.decode()
    found = json.loads(run.stdout)
    assert found["wrong"] == []
    assert found["checks"] == 11
    assert sessions == 2, "one forward for all of it, and one after that was ended"
    assert found["again"] == found["brokers"], "a connection that was open goes on through the next forward"
    assert found["brokers"] == len(cluster.blueprint.brokers)
    assert all(found["logins"].values())
    assert len(found["logins"]) == len(cluster.passwords)
    assert found["silent"] == []
    assert found["settings"] == topic["settings"]
    assert found["sizes"] > 0
    assert found["read"] == {
        **{key: len(value) for key, value in written.items()},
        "mine": 3,
        "large": 3_000_000,
    }
    assert read_from_near(cluster, topic) == {**written, "mine": "new", "large": "x" * 3_000_000}


def written_from_near(cluster: RunningCluster, topic: dict[str, Any]) -> dict[str, str]:
    """Make a topic and write to it with librdkafka, compressed as that does; what is in it then."""
    from kdeploy.cluster import compacted
    from kdeploy.cluster.admin import connect
    from kdeploy.cluster.state import NewTopic

    values = {f"key-{number}": f"value {number} " * 50 for number in range(500)}
    with connect(cluster.access) as admin:
        config = {**topic["settings"], "max.message.bytes": str(compacted.LARGEST_BATCH)}
        admin.create_topics([NewTopic(topic["name"], partitions=1, replication_factor=3, config=config)])
    topic["settings"] = config
    compacted.write(cluster.access, topic["name"], {**values, "gone": "soon", "mine": "old"})
    return values


def read_from_near(cluster: RunningCluster, topic: dict[str, Any]) -> dict[str, str]:
    from kdeploy.cluster import compacted
    from kdeploy.cluster.admin import connect

    found = compacted.read(cluster.access, topic["name"])
    with connect(cluster.access) as admin:
        admin.delete_topics([topic["name"]])
    return found
