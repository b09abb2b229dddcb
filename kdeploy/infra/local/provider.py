"""Provider local: each node a process of this machine, with a folder of its own.

Invariant: everything a node is lies in `root/DATACENTER/NODE`; what is seen there and
held by the operating system decides, nothing is remembered in between. A process is
ours only while it holds its folder's lock.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from kdeploy.blueprint import Blueprint, Node
from kdeploy.errors import KdeployError
from kdeploy.infra import NodeState, Secrets, Standing, Strayed, artefacts, telling
from kdeploy.infra.artefacts import Distribution
from kdeploy.infra.local import folder, ports, process, storage
from kdeploy.infra.local.folder import Record
from kdeploy.infra.local.look import look, standing, strayed
from kdeploy.infra.local.preflight import preflight

STOP_PATIENCE: Final = 300.0
"""Seconds for a controlled shutdown, in which Kafka moves every leader away and closes its logs. A kill
after 30 s (Kubernetes' default grace period) or 90 s (systemd's DefaultTimeoutStopSec) costs a log
recovery at the next start; here nothing is killed, the operator is told."""

PROGRAMS: Final = "/usr/local/bin:/usr/bin:/bin"
"""PATH of a node's process: where sh finds mv. Java and its options come with whole paths."""


class LocalProvider:
    """Nodes as processes of this machine; implements `kdeploy.infra.Provider`.

    Args:
        root: Folder that holds `DATACENTER/NODE` folders.
        distribution: Gives Kafka of a version; by default fetched into the shared cache.
        progress: Told how far that is.
        stop_patience: Seconds to wait for a controlled shutdown.
    """

    def __init__(
        self,
        root: Path,
        distribution: Callable[[str], Distribution] | None = None,
        progress: artefacts.Progress = artefacts.quiet,
        stop_patience: float = STOP_PATIENCE,
    ) -> None:
        self._root = root
        self._obtain = distribution or (
            lambda version: artefacts.fetch(
                version, artefacts.default_cache(), artefacts.Sources.from_environment(), progress
            )
        )
        self._stop_patience = stop_patience
        self._versions: dict[str, str] = {}
        self._distributions: dict[str, Distribution] = {}
        self._fetching = threading.Lock()

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Look at nodes, by `Node.key`; read-only, and milliseconds."""
        return {node.key: self._look(node) for node in nodes}

    def strayed(self, nodes: Sequence[Node]) -> dict[str, tuple[Strayed, ...]]:
        """What is not as it was put there, by `Node.key`; read-only, and milliseconds."""
        return {node.key: strayed(self._folder(node), node) for node in nodes}

    def wanted(self, node: Node, secrets: Secrets) -> str:
        """The fingerprint together with a hash of each secret (all of them have 128 random bits or more)."""
        self._refuse_missing(node, secrets)
        hashes = [f"{path}={folder.digest(content)}" for path, content in telling(node, secrets).items()]
        return folder.digest("\n".join([node.fingerprint, *hashes]).encode())

    def standing(self, nodes: Sequence[Node]) -> dict[str, Standing]:
        """What stands of each node that is there, by `Node.key`; read-only, and milliseconds."""
        found = {}
        for node in nodes:
            with _explained(node):
                found[node.key] = standing(self._folder(node))
        return {key: one for key, one in found.items() if one is not None}

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        """Make the nodes' folders and fetch Kafka; refuses what this machine cannot hold.

        Args:
            blueprint: Every node.
            without: Names of nodes that are left alone.

        Raises:
            KdeployError: Memory, disk or open files lack, a port is taken, or Kafka cannot be fetched.
        """
        clusters = [cluster for cluster in blueprint.clusters if cluster.provider == "local"]
        nodes = [node for cluster in clusters for node in cluster.everything if node.name not in without]
        stopped = [node for node in nodes if not process.is_running(self._folder(node))]
        preflight(self._root, stopped)
        for node in stopped:  # before any of them starts, so that no half of a cluster is left
            ports.refuse_taken(node)
        for cluster in clusters:
            self._versions[cluster.datacenter] = cluster.kafka_version
            self._distribution(cluster.kafka_version)
        for node in nodes:
            with _explained(node):
                folder.make(self._folder(node))

    def apply(self, node: Node, secrets: Secrets) -> None:
        """Put a node's files in place and format its storage when it is new.

        Raises:
            KdeployError: A file cannot be written, or Kafka refuses to format.
        """
        home, wanted = self._folder(node), self.wanted(node, secrets)
        version = self._version(node)
        with _explained(node):
            folder.make(home)
            folder.apply(home, Record(node, version, wanted), secrets)
            if node.format_arguments:
                distribution = self._distribution(version)
                storage.format_new(node, home, distribution, _environment(distribution))

    def start(self, node: Node) -> None:
        """Start a node's process, in its folder and a session of its own. No-op when it runs.

        Raises:
            KdeployError: It was never applied, one of its ports is taken, or it ends at once.
        """
        home = self._folder(node)
        if process.is_running(home):
            return
        record = folder.read_record(home)
        if record is None or record.applied is None:
            raise KdeployError(f"{node.key}: its files are not in place\n  run up again")
        distribution = self._distribution(record.kafka_version)
        program = [str(distribution.java), *record.node.java_options, record.node.main_class]
        with _explained(node), process.holding(home / "node.lock") as lock:
            if lock is None:  # another kdeploy has just started it
                return
            ports.refuse_taken(record.node)
            command = [*program, *record.node.arguments]
            process.launch(home, lock, command, _environment(distribution), record.applied)

    def stop(self, node: Node, how: Literal["controlled", "now"] = "controlled") -> None:
        """Stop a node and wait until it is gone; "now" is SIGKILL. No-op when it is stopped.

        Raises:
            KdeployError: It is still there when the patience ends; it is not killed then.
        """
        patience = self._stop_patience if how == "controlled" else process.KILL_PATIENCE
        with _explained(node):
            process.stop(self._folder(node), how, patience)

    def known(self) -> tuple[Node, ...]:
        """Every node on disk, coordination first, then by id; also those whose making was interrupted."""
        homes = [home for home in self._root.glob("*/*") if home.is_dir()]
        nodes = [
            record.node if (record := folder.read_record(home)) else folder.unfinished(home) for home in homes
        ]
        return tuple(
            sorted(
                nodes,
                key=lambda node: (
                    node.datacenter,
                    node.role == "mirror",
                    node.role == "broker",
                    node.id,
                    node.name,
                ),
            )
        )

    def leftovers(self, blueprint: Blueprint) -> tuple[Node, ...]:
        """Nodes on disk that a blueprint does not know."""
        drawn = {node.key for node in blueprint.nodes}
        return tuple(node for node in self.known() if node.key not in drawn)

    def delete(self, node: Node) -> None:
        """Delete a node's folder with all its data. No-op where there is none.

        Raises:
            KdeployError: It still runs.
        """
        home = self._folder(node)
        if not home.exists():
            return
        self._refuse_running(node, process.is_running(home))
        with _explained(node), process.holding(home / "node.lock") as lock:
            self._refuse_running(node, lock is None)
            shutil.rmtree(home)
        with suppress(OSError):  # other nodes are still there
            home.parent.rmdir()

    def _folder(self, node: Node) -> Path:
        for part in (node.datacenter, node.name):
            if part in ("", ".", "..") or "/" in part:
                raise KdeployError(f"{part!r} cannot be the name of a folder")
        return self._root / node.datacenter / node.name

    def _version(self, node: Node) -> str:
        if node.datacenter in self._versions:
            return self._versions[node.datacenter]
        record = folder.read_record(self._folder(node))
        if record is None:
            raise KdeployError(f"{node.key} was not provisioned\n  run up again")
        return record.kafka_version

    def _distribution(self, version: str) -> Distribution:
        with self._fetching:
            if version not in self._distributions:
                self._distributions[version] = self._obtain(version)
            return self._distributions[version]

    def _refuse_running(self, node: Node, running: bool) -> None:
        if running:
            raise KdeployError(f"{node.key} still runs; its data is not deleted\n  stop it first")

    def _refuse_missing(self, node: Node, secrets: Secrets) -> None:
        missing = [secret.path for secret in node.secrets if secret.path not in secrets]
        if missing:
            raise KdeployError(f"{node.key}: the vault gives no content for {', '.join(missing)}")

    def _look(self, node: Node) -> NodeState:
        with _explained(node):
            return look(self._folder(node), node)


def _environment(distribution: Distribution) -> Mapping[str, str]:
    """All that a node's process sees of kdeploy's environment: nothing, but the time zone for its logs."""
    zone = {"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}
    return {"PATH": PROGRAMS, "LANG": "C.UTF-8", "CLASSPATH": distribution.class_path_text, **zone}


@contextmanager
def _explained(node: Node) -> Iterator[None]:
    """Turns the operating system's errors into one message that names the node."""
    try:
        yield
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise KdeployError(
            f"{node.key}: {error.strerror or error}{place}\n"
            "  make room or make it writable, then run this again"
        ) from None
