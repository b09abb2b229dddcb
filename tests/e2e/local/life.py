"""One environment that faults happen to: doing each kind of row, and what must hold after it.

Invariant: a row begins with a cluster that is up, or with nothing, and ends with the same
command having finished; everything acknowledged in the cluster's whole life is read back then.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.local.conftest import describe, prepare
from tests.e2e.local.faults import Fault
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.records import RATE, Checked, Ledger, Producing, check

RANDOM_SPAN = {
    "up": 12.0,
    "roll": 25.0,
    "ctrl-c": 25.0,
    "clients": 0.8,
    "vault": 0.8,
    "down": 5.0,
    "delete": 5.0,
}
"""Seconds after the start within which a random moment is drawn: about as long as the command takes."""


@dataclass
class Outcome:
    """What a row came to: kills done, the records of this row and of the check after it, the longest pause in s."""

    tries: int = 0
    acknowledged: int = 0
    rate: float = 0
    pause: float = 0
    checked: Checked | None = None


@dataclass
class Life:
    """An environment under test.

    Attributes:
        kdeploy: Runs commands on it.
        records: To be acknowledged in each row that produces.
        draw: Draws moments and nodes.
        offered: Records per second that are offered.
    """

    kdeploy: Kdeploy
    records: int
    draw: random.Random
    ledger: Ledger = field(default_factory=Ledger)
    changes: int = 0
    offered: int = RATE

    @classmethod
    def begin(cls, root: Path, name: str, base_port: int, records: int, seed: int) -> Life:
        """An environment of which nothing is there yet."""
        return cls(prepare(root, name, base_port), records, random.Random(f"{seed} {name}"))

    def suffer(self, fault: Fault, outcome: Outcome) -> None:
        """Do what a row says, check what must hold after it, and note in `outcome` how far it came."""
        if fault.deed in ("up", "delete"):
            getattr(self, f"_{fault.deed}")(fault, outcome)
            if fault.deed == "delete":
                return
        else:
            self.kdeploy("up")
        with self._producing(outcome) as producing:
            if fault.deed != "up":
                producing.wait_for(self.records // 3)
                getattr(self, f"_{fault.deed.replace('-', '_')}")(fault, outcome)
            self.kdeploy("verify")
            producing.wait_for(1000)
            outcome.rate = producing.wait_for(self.records // 3)
            while self.ledger.count - self._before < self.records:
                producing.wait_for(100)
        outcome.checked = check(describe(self.kdeploy), self.ledger)

    def end(self) -> None:
        """Leave nothing of it."""
        self.kdeploy("down", "--delete-data", "--yes", code=None)

    @contextmanager
    def _producing(self, outcome: Outcome) -> Iterator[Producing]:
        self._before = self.ledger.count
        producing = Producing(describe(self.kdeploy), self.ledger, self.offered)
        try:
            yield producing
            producing.stop()
        finally:
            producing.abandon()
            outcome.acknowledged, outcome.pause = self.ledger.count - self._before, producing.longest_pause

    def _nodes(self, fault: Fault, outcome: Outcome) -> None:
        pids = self._pids()
        doomed = {node for what in fault.at for node in self._meant(what, pids)}
        for node in doomed:
            os.kill(pids[node], signal.SIGKILL)
        outcome.tries = len(doomed)
        self.kdeploy("up")
        after = self._pids()
        assert {node for node in pids if after.get(node) != pids[node]} == doomed, "others were restarted"

    def _meant(self, what: str, pids: dict[str, int]) -> list[str]:
        brokers = sorted(node for node in pids if node.startswith("broker-"))
        coordinators = sorted(set(pids) - set(brokers))
        if what == "the controller":
            (node,) = (name for name in pids if name.endswith(f"-{self._controller()}") and self._leads(name))
            return [node]
        return {
            "a broker": lambda: [self.draw.choice(brokers)],
            "a coordinator": lambda: [self.draw.choice(coordinators)],
            "every broker": lambda: brokers,
            "every process": lambda: list(pids),
        }[what]()

    def _leads(self, node: str) -> bool:
        return node.startswith("broker-" if self.kdeploy.name == "local" else "controller-")

    def _controller(self) -> int:
        from kdeploy.cluster import health
        from kdeploy.cluster.admin import connect

        with connect(describe(self.kdeploy).access) as admin:
            controller = health.observe(admin).controller
        assert controller is not None
        return controller

    def _roll(self, fault: Fault, outcome: Outcome) -> None:
        coordinator = "zookeeper" if self.kdeploy.name == "local" else "controller"
        role = coordinator if fault.at[0].startswith("coordinator") else "broker"
        option = self._change_an_option_of(role)
        self._kill_each(fault, outcome, "up")
        self.kdeploy("up")
        self._all_run_with(option, role)

    def _ctrl_c(self, fault: Fault, outcome: Outcome) -> None:
        option = self._change_an_option_of("broker")
        for _ in fault.at:
            process = self.kdeploy.start("up")
            try:
                process.communicate(timeout=self.draw.uniform(0.5, RANDOM_SPAN[fault.deed]))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=30)
                assert process.returncode == 130, said
                assert "stopped by Ctrl-C; what was done stays done" in said
                assert "run the same command again to go on" in said
                outcome.tries += 1
        self.kdeploy("up")
        self._all_run_with(option, "broker")

    def _change_an_option_of(self, role: str) -> str:
        self.changes += 1
        text = self.kdeploy.file.read_text().partition("\noverrides:")[0]
        option = f"-Dkdeploy.test.change={self.changes}"
        self.kdeploy.file.write_text(f"{text}\noverrides:\n  jvm:\n    {role}: [{option}]\n")
        return option

    def _all_run_with(self, option: str, role: str) -> None:
        changed = [pid for node, pid in self._pids().items() if node.startswith(role)]
        assert len(changed) == 3
        for pid in changed:
            assert option.encode() in Path(f"/proc/{pid}/cmdline").read_bytes(), "it runs with the old option"

    def _clients(self, fault: Fault, outcome: Outcome) -> None:
        self._kill_each(fault, outcome, "clients")
        document = self.kdeploy("clients", "--output", "json").document
        assert len(document["clients"]) == len(describe(self.kdeploy).passwords) + 1, (
            "each user and the administrator"
        )
        for client in document["clients"]:
            files = {path.name for path in Path(client["folder"]).iterdir()}
            assert files - {".gitignore"} == set(client["files"]), files

    def _vault(self, fault: Fault, outcome: Outcome) -> None:
        self.changes += 1
        user = f"added-{self.changes}"
        self.kdeploy.edit("\nusers:", f"\nusers:\n  - name: {user}\n#")
        before = describe(self.kdeploy).passwords
        self._kill_each(fault, outcome, "vault create")
        self.kdeploy("vault create")
        after = describe(self.kdeploy).passwords
        assert set(after) == {*before, user}
        assert {name: after[name] for name in before} == before, "a password in use was replaced"
        self.kdeploy("up")

    def _down(self, fault: Fault, outcome: Outcome) -> None:
        self._kill_each(fault, outcome, "down")
        self.kdeploy("down")
        assert self._pids() == {}
        self.kdeploy("up")

    def _delete(self, fault: Fault, outcome: Outcome) -> None:
        self.kdeploy("up")
        self._kill_each(fault, outcome, "down", "--delete-data", "--yes")
        self.kdeploy("down", "--delete-data", "--yes")
        assert self._pids() == {}
        assert not self.kdeploy.state.exists()
        self.ledger = Ledger()

    def _up(self, fault: Fault, outcome: Outcome) -> None:
        self.kdeploy("down", "--delete-data", "--yes", code=None)
        self.ledger = Ledger()
        self._kill_each(fault, outcome, "up")
        self.kdeploy("up")

    def _kill_each(self, fault: Fault, outcome: Outcome, command: str, *arguments: str) -> None:
        for point in fault.at:
            if point == "random":
                outcome.tries += self._kill_at_random(RANDOM_SPAN[fault.deed], command, *arguments)
            else:
                killed = self.kdeploy(command, *arguments, code=None, KDEPLOY_KILL_AT=point)
                assert killed.code == -signal.SIGKILL, f"{point} was not passed: {killed.stderr}"
                outcome.tries += 1

    def _kill_at_random(self, span: float, command: str, *arguments: str) -> bool:
        moment = self.draw.uniform(0, span)
        process = self.kdeploy.start(command, *arguments)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        assert process.returncode == 0
        return False

    def _pids(self) -> dict[str, int]:
        """Processes of nodes, by the node's name."""
        import psutil

        found: dict[str, int] = {}
        for process in psutil.process_iter():
            try:
                folder = Path(process.cwd())
                if self.kdeploy.state / "nodes" in folder.parents and _serves(process):
                    found[folder.name] = process.pid
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found


def _serves(process: Any) -> bool:
    return process.name() == "java" and "kafka.tools.StorageTool" not in process.cmdline()


def seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 1)
