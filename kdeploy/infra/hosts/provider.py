"""Provider hosts: each node a service of systemd on a machine of its own.

Invariant: what is on the host decides. A node is applied when every file has the hash that its
record says; what it was started with is what its own unit noted when it started, whoever started it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from kdeploy.blueprint import Blueprint, ClusterBlueprint, Node
from kdeploy.errors import KdeployError, LeaseHeld
from kdeploy.infra import NodeState, Secrets, Standing, Strayed, telling
from kdeploy.infra.hosts import archive, forward, look, preflight, variables
from kdeploy.infra.hosts.sources import Failure, Played, Sources
from kdeploy.infra.hosts.ssh import NoPrivilege, Unreachable
from kdeploy.infra.hosts.systems import TIME_UNITS

STOP_PATIENCE: Final = 330.0
"""Seconds for a stop: the unit's own 300, in which systemd lets the controlled shutdown finish, and some."""

REBOOT_PATIENCE: Final = 900.0
"""Seconds for a host to come back: servers check their memory and controllers for minutes before they boot."""

REBOOT_PAUSE: Final = 1.0
REBOOT_ANSWER: Final = 20.0
"""Seconds between two looks, and for one: longer than a connection of before takes to be given up
(`ssh`: three times 5 s)."""

AT_ONCE: Final = 25
"""Hosts that are asked at the same time."""

PROGRAM: Final = "remote.py"

READ_BACK: Final = (
    "Set kernel settings, and read them back",
    "Set the queues of data disks, and read them back",
    "Load the firewall as a whole, and read it back",
)
"""Tasks of roles host, disks and firewall whose output says what could not be set."""


class HostsProvider:
    """Nodes on machines that a person has; implements `kdeploy.infra.Provider`.

    Args:
        sources: What it works with.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._clusters: dict[str, ClusterBlueprint] = {}
        self._playing = threading.Lock()

    def proxy(self, cluster: ClusterBlueprint) -> forward.Forward | None:
        """A way over SSH alone to a cluster's ports, where hosts are behind a jump host or Systems Manager."""
        # The coordination's hosts last: where one host carries everything, it should not be one of few.
        nodes = (*cluster.brokers, *cluster.coordinators)
        hosts = dict.fromkeys(node.host for node in nodes)
        return forward.through(self._sources.shells[cluster.datacenter], tuple(hosts))

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        """Look at nodes, by `Node.key`; read-only, and about a tenth of a second for a host."""
        if not nodes:
            return {}
        with ThreadPoolExecutor(min(AT_ONCE, len(nodes))) as pool:
            return dict(zip((node.key for node in nodes), pool.map(self._look, nodes), strict=True))

    def strayed(self, nodes: Sequence[Node]) -> dict[str, tuple[Strayed, ...]]:
        """What is not as it was put there, by `Node.key`; read-only. Hosts that cannot be asked are left out."""

        def ask(node: Node) -> tuple[Strayed, ...] | None:
            try:
                return look.strayed(node, self._ask("strayed", node))
            except (Unreachable, NoPrivilege):
                return None

        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(nodes)))) as pool:
            found = zip((node.key for node in nodes), pool.map(ask, nodes), strict=True)
            return {key: one for key, one in found if one is not None}

    def wanted(self, node: Node, secrets: Secrets) -> str:
        """The fingerprint together with a hash of each secret (all of them have 128 random bits or more)."""
        missing = [secret.path for secret in node.secrets if secret.path not in secrets]
        if missing:
            raise KdeployError(f"{node.key}: the vault gives no content for {', '.join(missing)}")
        hashes = [
            f"{path}={hashlib.sha256(content).hexdigest()}"
            for path, content in telling(node, secrets).items()
        ]
        return hashlib.sha256("\n".join([node.fingerprint, *hashes]).encode()).hexdigest()

    def standing(self, nodes: Sequence[Node]) -> dict[str, Standing]:
        """What stands of each node that is there and can be asked, by `Node.key`; read-only."""
        if not nodes:
            return {}
        with ThreadPoolExecutor(min(AT_ONCE, len(nodes))) as pool:
            found = zip((node.key for node in nodes), pool.map(self._standing, nodes), strict=True)
            return {key: one for key, one in found if one is not None}

    def _standing(self, node: Node) -> Standing | None:
        try:
            seen = self._ask("files", node)
        except (Unreachable, NoPrivilege):
            return None
        return look.standing(seen)

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        """Look at every host first; then user, kernel, disks, Java and Kafka's jars on all of them.

        Args:
            blueprint: Every node.
            without: Names or keys of nodes whose hosts are left alone; the other hosts know them all the same.

        Raises:
            KdeployError: Hosts will not do, with every reason of every host; nothing was changed then.
        """
        for cluster in blueprint.clusters:
            self._clusters[cluster.datacenter] = cluster
        nodes = [node for node in blueprint.nodes if node.name not in without and node.key not in without]
        facts = self._preflight(blueprint, nodes)
        archives = {
            cluster.kafka_version: archive.distribution(
                cluster.kafka_version, self._sources.jars(cluster.kafka_version), self._sources.cache
            )
            for cluster in blueprint.clusters
        }
        with self._carrying() as folder:
            given = {}
            for cluster in blueprint.clusters:
                for node in (one for one in cluster.everything if one.key in facts):
                    carried = archive.write(
                        folder / f"{variables.name(node)}.tar", archive.host_entries(node)
                    )
                    given[variables.name(node)] = self._connection(node) | {
                        **variables.host_variables(node, blueprint, carried),
                        **preflight.host_needs(node, facts[node.key], keep_time=cluster.keep_time),
                        **variables.firewall_variables(node, known=bool(facts[node.key]["known"])),
                        **variables.disk_variables(node, known=bool(facts[node.key]["known"])),
                        **variables.disk_use_variables(node),
                        "java_package": preflight.java_package(facts[node.key]),
                        "kafka_version": cluster.kafka_version,
                        "kafka_archive": str(archives[cluster.kafka_version]),
                    }
            self._tell_settings(self._play("provision", given, nodes))

    def apply(self, node: Node, secrets: Secrets) -> None:
        """Put a node's files in place, and format its storage when it is new.

        Raises:
            KdeployError: Its host cannot be reached, or something cannot be put there.
        """
        if not self._is_applied(node, secrets):  # a run of the playbook would cost a stopped node seconds
            self.apply_together([(node, secrets)])

    def _is_applied(self, node: Node, secrets: Secrets) -> bool:
        seen = self._ask("look", node)
        formatted = seen["was_formatted"] or not node.format_arguments
        return formatted and look.state(node, seen).applied == self.wanted(node, secrets)

    def apply_together(self, work: Sequence[tuple[Node, Secrets]]) -> None:
        """As `apply`, for many nodes in one run of the playbook."""
        if not work:
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(work))) as pool, self._carrying() as folder:
            seen = list(pool.map(lambda one: self._ask("look", one[0]), work))
            given = {
                variables.name(node): self._apply_variables(folder, node, secrets, there)
                for (node, secrets), there in zip(work, seen, strict=True)
            }
            self._play("apply", given, [node for node, _ in work])

    def _apply_variables(
        self, folder: Path, node: Node, secrets: Secrets, seen: Mapping[str, Any]
    ) -> dict[str, Any]:
        if node.format_arguments and seen["was_formatted"] and not any(seen["formatted"]):
            raise KdeployError(
                f"{node.key}: its storage was formatted, but {', '.join(node.data_directories)} "
                f"on {node.host} is empty now\n"
                f"  put the data back; or, to give it up for this node, delete {variables.FORMATTED} there "
                "and run up again"
            )
        wanted = {file.path for file in node.files} | {secret.path for secret in node.secrets}
        files = archive.service_entries(node, secrets, self.wanted(node, secrets), seen["record"])
        own, others = (
            folder / f"{variables.name(node)}.secrets.tar",
            folder / f"{variables.name(node)}.files.tar",
        )
        return self._connection(node) | {
            "security_hashes": archive.hashes(archive.secret_entries(secrets)),
            "service_hashes": archive.hashes(files),
            "security_archive": str(archive.write(own, archive.secret_entries(secrets))),
            "service_archive": str(archive.write(others, files)),
            "service_name": variables.unit(node),
            "service_stale": [path for path in archive.recorded(seen["record"]) if path not in wanted],
            "service_format": variables.format_command(node),
            "service_formatted": variables.FORMATTED if node.format_arguments else "",
            "service_known": seen["record"] is not None,
        }

    def start(self, node: Node) -> None:
        """Start a node's service. No-op when it runs.

        Raises:
            KdeployError: It cannot be started, with what systemd says.
        """
        answer = self._ask("start", node)
        if not answer["ok"]:
            raise KdeployError(f"{node.key} could not be started: {_said(answer)}")

    def stop(self, node: Node, how: Literal["controlled", "now"] = "controlled") -> None:
        """Stop a node's service and wait until it is gone. No-op when it is stopped.

        Raises:
            KdeployError: It is still there.
        """
        answer = self._ask("stop", node, patience=STOP_PATIENCE, how=how)
        if not answer["ok"]:
            raise KdeployError(f"{node.key} could not be stopped: {_said(answer)}")

    def reaches(self, node: Node) -> bool:
        """Whether a host can be asked about its node."""
        try:
            self._ask("boot", node)
        except (Unreachable, NoPrivilege):
            return False
        return True

    def retire(self, node: Node) -> bool:
        """Make sure that a stopped node never starts again on its host: its unit and its keys go, data stays.

        Returns:
            Whether that is so; False where the host cannot be reached.

        Raises:
            KdeployError: It still runs there.
        """
        try:
            answer = self._ask("retire", node)
        except (Unreachable, NoPrivilege):
            return False
        if not answer["ok"]:
            raise KdeployError(
                f"{node.host} still runs {node.name}, and two nodes of one id must never run\n"
                f"  stop it first: `systemctl stop {variables.unit(node)}` there; nothing was changed"
            )
        return True

    def own_disks(self, node: Node, prefix: str) -> list[dict[str, Any]]:
        """Disks whose paths begin so: each one's path, the id of the file system on it, whether it is empty."""
        return list(self._ask("own_disks", node, prefix=prefix)["disks"])

    def forget(self, node: Node) -> None:
        """Make a host one that never had its node, which is stopped and whose data is gone."""
        if not self._ask("forget", node)["ok"]:
            raise KdeployError(f"{node.key} still runs, or has its data\n  stop it first")

    def reboot(self, node: Node) -> None:
        """Boot a host anew, wait until it answers, and take its lease again, which a boot ends.

        Raises:
            KdeployError: Its node still runs, or it does not come back.
        """
        before = self._ask("reboot", node)
        if not before["ok"]:
            raise KdeployError(f"{node.key} still runs; its host is not booted anew\n  stop it first")
        deadline = time.monotonic() + REBOOT_PATIENCE
        while self._boot(node) in (None, before["boot"]):
            if time.monotonic() > deadline:
                raise KdeployError(
                    f"{node.host} ({node.name}) did not come back within {REBOOT_PATIENCE:.0f} s of its reboot\n"
                    "  look at its console; once it answers, `kdeploy up` goes on"
                )
            time.sleep(REBOOT_PAUSE)
        if before["holder"]:
            self.hold([node], before["holder"])

    def _boot(self, node: Node) -> str | None:
        """What stands for the boot a host is in; None while it does not answer."""
        try:
            return str(self._ask("boot", node, patience=REBOOT_ANSWER)["boot"])
        except KdeployError:
            return None

    def delete(self, node: Node) -> None:
        """Delete a stopped node's data, files and secrets; machine, packages and file systems stay.

        Raises:
            KdeployError: It still runs.
        """
        if self._ask("look", node)["running"]:
            raise KdeployError(f"{node.key} still runs; its data is not deleted\n  stop it first")
        self._ask("delete", node)

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        """Take every host's lease; hosts that cannot be reached are left out.

        Args:
            nodes: Every node of the environment.
            holder: `operator`, the same for every run from one state folder, and what to tell others.

        Raises:
            LeaseHeld: Another operator has one; none is kept.
        """
        answers = self._ask_reachable("hold", nodes, {"holder": dict(holder)})
        others = [answer["holder"] for answer in answers if not answer["ok"]]
        if others:
            self.release(nodes, holder["operator"])
            raise LeaseHeld(_at_work(others[0]))

    def release(self, nodes: Sequence[Node], operator: str | None = None) -> tuple[str, ...]:
        """Give every host's lease back, if it is this operator's; anybody's, where none is named.

        Returns:
            Who had them, in words.
        """
        asked = {} if operator is None else {"operator": operator}
        answers = self._ask_reachable("release", nodes, asked)
        return tuple(dict.fromkeys(_words_of(answer["holder"]) for answer in answers if answer["holder"]))

    def _ask_reachable(
        self, verb: str, nodes: Sequence[Node], more: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        def ask(node: Node) -> dict[str, Any] | None:
            try:
                return self._ask(verb, node, **more)
            except (Unreachable, NoPrivilege):
                return None

        with ThreadPoolExecutor(min(AT_ONCE, len(nodes))) as pool:
            return [answer for answer in pool.map(ask, nodes) if answer is not None]

    def _look(self, node: Node) -> NodeState:
        try:
            seen = self._ask("look", node)
        except (Unreachable, NoPrivilege) as error:
            may = isinstance(error, Unreachable)
            return NodeState(True, False, None, None, str(error), may_return=may, unseen=True)
        return look.state(node, seen)

    def _ask(self, verb: str, node: Node, *, patience: float = 60.0, **more: object) -> dict[str, Any]:
        asked = {
            "unit": variables.unit(node),
            "folder": variables.unit(node).removesuffix(".service"),
            "config": archive.config_folder(node),
            "data": list(node.data_directories),
            "mounts": [disk.mount for disk in node.disks],
            "logs": variables.log_folder(node),
            "settings": [list(one) for one in variables.settings(node)],
            "queues": {disk.device: disk.queues for disk in node.disks},
            "sizes": {disk.device: disk.mount for disk in node.disks},
            "firewall": node.firewall.digest if node.firewall else "",
            **more,
        }
        program = (resources.files("kdeploy.infra.hosts") / PROGRAM).read_text()
        call = f"\nmain({verb!r}, json.loads({json.dumps(asked)!r}))\n"
        answer = self._sources.shells[node.datacenter].run(node.host, program + call, patience=patience)
        try:
            said: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise KdeployError(f"{node.host} answers something else than what it was asked") from None
        return said

    def _preflight(self, blueprint: Blueprint, nodes: Sequence[Node]) -> dict[str, preflight.Facts]:
        questions = {}
        for cluster in blueprint.clusters:
            for node in (one for one in cluster.everything if one in nodes):
                asked = {
                    "disks": [disk.device for disk in node.disks],
                    "ports": sorted(node.ports.values()),
                    # Those with an address that was decided beforehand are put on every host by role host.
                    "names": sorted(
                        {one.host for one in variables.known_by(node, blueprint) if one.machine is None}
                    ),
                    "service": variables.unit(node),
                    "time_units": list(TIME_UNITS),
                }
                questions[variables.name(node)] = self._connection(node) | {"preflight_questions": asked}
        with self._playing:
            played = self._sources.play("preflight", questions)
        now = time.time()
        unseen = {failure.host: failure for failure in played.failures}
        facts = {
            node.key: json.loads(next(iter(played.output[variables.name(node)].values())))
            for node in nodes
            if variables.name(node) in played.output and variables.name(node) not in unseen
        }
        found = [
            f"{node.host} ({node.name}): {self._unseen(node, unseen[variables.name(node)])}"
            for node in nodes
            if variables.name(node) in unseen
        ]
        for cluster in blueprint.clusters:
            seen = [node for node in cluster.everything if node.key in facts]
            clocks = {node.key: facts[node.key]["time"] - now for node in seen}
            sizes = {node.key: self._sources.disk_sizes.get((node.datacenter, node.host)) for node in seen}
            found += preflight.problems(seen, facts, clocks, sizes, cluster.kafka_version)
        if found:
            listed = "\n".join(f"  - {problem}" for problem in found)
            raise KdeployError(
                f"hosts will not do, and nothing was changed:\n{listed}\n  mend that, and run this again"
                + preflight.or_without(nodes, [node for node in nodes if variables.name(node) in unseen])
            )
        return facts

    def _unseen(self, node: Node, failure: Failure) -> str:
        """Why a host could not be looked at, in plain words where they are known."""
        try:
            self._ask("look", node)
        except (Unreachable, NoPrivilege) as error:
            return str(error).removeprefix(f"{node.host} ").removeprefix(f"{node.host}: ")
        except KdeployError as error:
            return str(error)
        return failure.reason.splitlines()[-1]

    def _tell_settings(self, played: Played) -> None:
        """Say which settings hosts do not have after all, by what was read back."""
        for kind, words in (("refused", "cannot be set"), ("fixed", "not to be set in a container")):
            lines: dict[str, list[str]] = {}
            for host, output in sorted(played.output.items()):
                for line in (
                    one for task in READ_BACK for one in json.loads(output.get(task, "{}")).get(kind, ())
                ):
                    lines.setdefault(line, []).append(host.partition(".")[2])
            for line, hosts in sorted(lines.items()):
                where = "every host" if len(hosts) == len(played.output) else ", ".join(hosts)
                self._sources.tell(
                    "settings", f"{variables.setting_name(line.partition(':')[0])}: {words}, on {where}"
                )

    def _play(self, part: str, given: Mapping[str, Mapping[str, Any]], nodes: Sequence[Node]) -> Played:
        played = self._sources.play(part, given)
        if played.failures:
            asked = {variables.name(node): node for node in nodes}
            listed = "\n".join(f"  - {self._words(one, asked[one.host])}" for one in played.failures)
            raise KdeployError(
                f"hosts could not be made what they should be:\n{listed}\n  mend that, and run this again"
            )
        return played

    def _words(self, failure: Failure, node: Node) -> str:
        if failure.task:
            return f"{failure.host}, {failure.task}: {failure.reason}"
        return f"{failure.host}: {self._unseen(node, failure)}"

    def _connection(self, node: Node) -> dict[str, Any]:
        shell = self._sources.shells[node.datacenter]
        return {
            "ansible_host": node.host,
            "ansible_ssh_common_args": f"-F '{shell.configuration}'",
            "ansible_become": shell.settings.user != "root",
        }

    @contextmanager
    def _carrying(self) -> Iterator[Path]:
        """A folder for archives while they are carried; nothing of it is left behind."""
        self._sources.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="carry-", dir=self._sources.private))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _at_work(holder: Mapping[str, str]) -> str:
    return (
        f"another kdeploy is at work on these hosts: {_words_of(holder)}\n"
        "  wait until it has finished; only if it was killed, and does not run any more, `kdeploy unlock ENV`"
    )


def _words_of(holder: Mapping[str, str]) -> str:
    return "{command} by {user} on {host} since {since}".format_map(
        {
            "command": "a command",
            "user": "somebody",
            "host": "another machine",
            "since": "some time",
            **holder,
        }
    )


def _said(answer: Mapping[str, Any]) -> str:
    said = [line for line in str(answer["said"]).splitlines() if line.strip()]
    return said[0] if said else f"systemd says {answer['service'].get('Result')}"
