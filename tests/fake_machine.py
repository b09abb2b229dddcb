"""A machine on which `kdeploy` runs as a person runs it, with a Java and a Kafka that are none.

The fake nodes start, hold their locks and end as real ones do, but answer no protocol:
`up` gets as far as waiting for the ensemble.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kdeploy.infra.local.ports import is_free
from kdeploy.infra.local.provider import LocalProvider

KDEPLOY = Path(sys.executable).with_name("kdeploy")
FAKE_JAVA = Path(__file__).parent / "infra" / "fake_java.py"
NAME = "demo"
ENVIRONMENT = """\
kafka: {{version: "3.9.2", coordination: zookeeper}}
datacenters: [{{name: dc1, provider: local, racks: [a, b, c], base_port: {port}}}]
users: [{{name: alice}}]
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Machine:
    """Folders and variables of its own.

    Attributes:
        root: Holds environments/, state/, cache/, jdk/ and release/.
        port: The environment's base_port.
        variables: Environment variables, beside PATH and HOME.
    """

    root: Path
    port: int
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path) -> Machine:
        """A machine below a folder; each worker of a test run has ports of its own."""
        made = cls(root, free_base_port())
        made.write_java('JAVA_VERSION="21.0.8"\n')
        libs = root / "release" / "libs"
        libs.mkdir(parents=True)
        for jar in ("kafka_2.13-3.9.2.jar", "kafka-clients-3.9.2.jar", "connect-mirror-3.9.2.jar"):
            (libs / jar).write_bytes(b"")
        made.file.parent.mkdir(parents=True)
        made.file.write_text(ENVIRONMENT.format(port=made.port))
        made.variables.update(
            KDEPLOY_STATE_DIR=str(root / "state"),
            KDEPLOY_CACHE_DIR=str(root / "cache"),
            KDEPLOY_KAFKA_ARCHIVE=str(root / "release"),
            KDEPLOY_JAVA=str(root / "jdk"),
            NO_PROXY="127.0.0.1",
            LC_ALL="C.UTF-8",
        )
        return made

    @property
    def file(self) -> Path:
        return self.root / "environments" / NAME / "environment.yaml"

    @property
    def state(self) -> Path:
        return Path(self.variables["KDEPLOY_STATE_DIR"]) / NAME

    def write_java(self, release: str) -> None:
        home = self.root / "jdk"
        (home / "bin").mkdir(parents=True, exist_ok=True)
        (home / "release").write_text(release)
        program = home / "bin" / "java"
        program.write_text(f"#!{sys.executable} -IS\n" + FAKE_JAVA.read_text())
        program.chmod(0o755)

    def surroundings(self) -> dict[str, str]:
        # Where a tree that is not the installed one is tested, its commands are to be that tree's too.
        tree = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        return {"PATH": os.environ["PATH"], "HOME": str(self.root), **tree, **self.variables}

    def start(self, *arguments: str, prepare: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(KDEPLOY), *arguments],
            cwd=self.root,
            env=self.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepare,
        )

    def run(self, *arguments: str, prepare: Callable[[], None] | None = None) -> Ended:
        """Run a command to its end; it may take a minute, and never shows a traceback."""
        return finish(self.start(*arguments, prepare=prepare))

    def nodes(self) -> LocalProvider:
        return LocalProvider(self.state / "nodes", lambda _: None, stop_patience=10)  # type: ignore[arg-type, return-value]

    def running(self) -> list[str]:
        provider = self.nodes()
        nodes = provider.known()
        return [node.name for node in nodes if provider.observe([node])[node.key].running]

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.05)

    def clear(self) -> None:
        """Leave no process behind."""
        provider = self.nodes()
        for node in provider.known():
            provider.stop(node, "now")


def free_base_port() -> int:
    """A base port all of whose ports are free; each worker of a test run looks in a range of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    for base in range(27000 + 100 * worker, 28000, 40):
        ports = [
            base + part + 10 * number + more
            for part in (0, 2000)
            for number in (1, 2, 3)
            for more in (0, 1, 2)
        ]
        if all(is_free("127.0.0.1", port) for port in ports):
            return base
    raise AssertionError("no range of ports is free")


def finish(process: subprocess.Popen[str], patience: float = 60) -> Ended:
    """Wait for a command; a traceback is a failure whatever was tested."""
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)
