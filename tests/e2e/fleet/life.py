"""One cluster on hosts that is changed while records flow, and what happens to its hosts meanwhile.

Invariant: as `tests.e2e.local.life`; and what was done to a host is undone before its row ends.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.fleet.conftest import PATIENCE, World
from tests.e2e.local import evidence
from tests.e2e.local.conftest import describe
from tests.e2e.local.faults import Fault
from tests.e2e.local.life import Life, Outcome, seconds_since
from tests.e2e.local.records import Checked, Consuming, Producing, check

SEED = int(os.environ.get("KDEPLOY_SEED") or random.randrange(1_000_000))
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"
RECORDS = int(os.environ.get("KDEPLOY_RECORDS") or 150_000)
"""Records to be acknowledged in each row: a change and a fault alone make 300,000."""

TOLD: list[str] = []
"""What became of the records of each row, for whoever ran the tests."""

OFFERED = int(os.environ.get("KDEPLOY_OFFERED") or 6000)
"""Records per second that are offered; where a roll takes many minutes, fewer are enough and read back sooner."""

UNREACHABLE = 60
"""Seconds for which a host does not answer at SSH's port: longer than SSH waits for an answer."""

FILLER = "/var/lib/kafka/data/0/filler"


class Following:
    """A command that runs, and the lines it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_for(self, pattern: str) -> str:
        """Wait until it has said this; the pattern's group."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.ended
            found = re.search(pattern, "".join(self.lines))
            if found:
                return found[1]
            assert not done, f"it ended without {pattern!r}:\n{''.join(self.lines)}"
            assert time.monotonic() < deadline, f"it did not say {pattern!r}:\n{''.join(self.lines)}"
            time.sleep(0.05)

    def matches(self, pattern: str, count: int) -> list[str]:
        """Wait until it has said this so often, or has ended; each pattern's group."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.ended
            found = re.findall(pattern, "".join(self.lines))
            if len(found) >= count or done:
                return found
            assert time.monotonic() < deadline, f"it did not say {pattern!r}:\n{''.join(self.lines)}"
            time.sleep(0.05)

    def end(self) -> str:
        """Wait until it has ended; all that it said."""
        self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        said = "".join(self.lines)
        assert "Traceback" not in said, said
        assert "a defect of its own" not in said, said
        return said

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(line)


@dataclass(kw_only=True)
class HostsLife(Life):
    """A cluster on a fleet."""

    world: World
    consumed: Checked | None = None

    @contextmanager
    def _producing(self, outcome: Outcome) -> Iterator[Producing]:
        consuming = Consuming(describe(self.kdeploy), self.ledger)
        try:
            with super()._producing(outcome) as producing:
                yield producing
            self.consumed = consuming.finish()
        finally:
            consuming.abandon()

    @classmethod
    def of(cls, world: World) -> HostsLife:
        """The life of a cluster that is not up yet."""
        return cls(
            kdeploy=world.kdeploy, records=RECORDS, draw=random.Random(SEED), offered=OFFERED, world=world
        )

    def row(self, fault: Fault) -> None:
        """Do what a row says and check what must hold; what it came to is written down in a soak."""
        began, result, outcome = time.monotonic(), "failed", Outcome()
        try:
            self.suffer(fault, outcome)
            assert outcome.tries == len(fault.at), outcome
            self.expect_nothing_lost(fault.name, outcome)
            result = "passed"
        finally:
            if SOAK and len(fault.at) == 1:  # the table has one thing a row
                evidence.record(evidence.row(fault, outcome, result, seconds_since(began), SEED))

    def expect_nothing_lost(self, name: str, outcome: Outcome) -> None:
        """Neither to whoever reads all of it back nor to the consumer that ran meanwhile."""
        checked = outcome.checked or check(describe(self.kdeploy), self.ledger)
        outcome.checked = checked
        said = f"{name}, KDEPLOY_SEED={SEED}: {outcome}, consumed {self.consumed}"
        print(said)
        assert (checked.lost, checked.out_of_order, checked.duplicates) == (0, 0, 0), said
        assert self.consumed is not None, said
        assert (self.consumed.lost, self.consumed.out_of_order) == (0, 0), said
        assert outcome.acknowledged >= self.records, said
        TOLD.append(
            f"{name}: {outcome.acknowledged:,} records acknowledged, {outcome.rate:,.0f} a second afterwards, longest "
            f"pause {outcome.pause:.1f} s; of {checked.acknowledged:,} in all none lost, out of order or twice"
        )

    @contextmanager
    def producing(self, outcome: Outcome) -> Iterator[Producing]:
        """A producer and a consumer at work; at the end, as many records as a row has are acknowledged."""
        with self._producing(outcome) as producing:
            producing.wait_for(self.records // 3)
            yield producing
            outcome.rate = producing.wait_for(self.records // 3)
            while self.ledger.count - self._before < self.records:
                producing.wait_for(100)

    def _change_an_option_of(self, role: str) -> str:
        self.changes += 1
        option = f"-Dkdeploy.test.change={self.changes}"
        text = self.kdeploy.file.read_text()
        text, count = re.subn(rf"^(    {role}: \[-Xmx\d+m).*\]$", rf"\1, {option}]", text, flags=re.MULTILINE)
        assert count == 1
        self.kdeploy.file.write_text(text)
        self.kdeploy("plan", "--lock")
        return option

    def _all_run_with(self, option: str, role: str) -> None:
        unit = "zookeeper" if role == "zookeeper" else "kafka"
        asked = f"grep -c -- '{option}' /etc/{unit}/jvm.options; cmp /etc/{unit}/applied /run/{unit}/applied && echo same"
        for name in self.world.hosts:
            if name.startswith(role):
                assert self.world.run(name, asked, check=False).split() == ["1", "same"], name

    def _trouble(self, fault: Fault, outcome: Outcome) -> None:
        """Let all that a row names happen, each while another broker is being restarted, in as many rolls as it takes."""
        left, option, code, rolls = list(fault.at), "", 0, 0
        while left:
            if code == 0:  # nothing is left of the roll before
                option, rolls = self._change_an_option_of("broker"), rolls + 1
                assert rolls <= len(fault.at), "a roll passes in which nothing could happen"
            code = self._roll_and_suffer(left, outcome)
        self.kdeploy("up")
        self._all_run_with(option, "broker")

    def _roll_and_suffer(self, left: list[str], outcome: Outcome) -> int:
        """Run `up`, take off `left` what happened meanwhile, and return its exit code; what is left of a roll may be
        nothing."""
        running, begun = Following(self.kdeploy.start("up")), 0
        try:
            while left:
                restarting = running.matches(r"roll +(broker-\d): no partition needs", begun + 1)
                if len(restarting) <= begun:
                    break  # what happened before has ended it
                begun = len(restarting)
                getattr(self, f"_{left[0].replace(' ', '_')}")(running, restarting[-1])
                print(f"{left.pop(0)}, while {restarting[-1]} was restarted", flush=True)
                outcome.tries += 1
        except BaseException:
            running.process.kill()
            raise
        finally:
            print(f"{running.end()}\nexit code {running.process.returncode}", flush=True)
        return running.process.returncode

    def _other(self, changing: str) -> str:
        """A broker that is not being restarted."""
        brokers = sorted(name for name in self.world.hosts if name.startswith("broker-"))
        return self.draw.choice([name for name in brokers if name != changing])

    def _signal(self, name: str, signal: str) -> None:
        unit = "zookeeper" if name.startswith("zookeeper") else "kafka"
        self.world.run(name, f"systemctl kill --kill-whom=main --signal={signal} {unit}")

    def _a_broker_killed(self, running: Following, changing: str) -> None:
        self._signal(self._other(changing), "SIGKILL")

    def _a_broker_frozen(self, running: Following, changing: str) -> None:
        name = self._other(changing)
        self._signal(name, "SIGSTOP")
        try:
            self._wait_until_missed(name)
        finally:
            self._signal(name, "SIGCONT")

    def _a_broker_cut_off(self, running: Following, changing: str) -> None:
        name = self._other(changing)
        self.world.fleet.cut(self.world.hosts[name])
        try:
            self._wait_until_missed(name)
        finally:
            self.world.fleet.mend(self.world.hosts[name])

    def _a_disk_full(self, running: Following, changing: str) -> None:
        name = self._other(changing)
        # The second write takes what XFS had set aside for files that grow, and gives back when it has no more.
        fill = (
            f"fallocate -l $(df --output=avail -B1 $(dirname {FILLER}) | tail -1) {FILLER}; "
            f"dd if=/dev/zero of={FILLER} bs=4096 oflag=append conv=notrunc; sync; "
            f"df --output=avail $(dirname {FILLER}) | tail -1"
        )
        try:
            print(f"{name} has {self.world.run(name, fill)} KiB left")
            self._wait_until_missed(name)
        finally:
            self.world.run(name, f"rm {FILLER}")

    def _kdeploy_killed(self, running: Following, changing: str) -> None:
        running.process.kill()

    def _the_host_under_change_rebooted(self, running: Following, changing: str) -> None:
        self.world.reboot(changing)

    def _the_connection_to_the_host_under_change_lost(self, running: Following, changing: str) -> None:
        """Let the host drop all that comes for SSH, and end that by itself."""
        rules = "table inet lost { chain input { type filter hook input priority -300; tcp dport 22 drop; } }"
        later = "systemd-run -q --timer-property=AccuracySec=100ms --on-active"
        self.world.run(
            changing,
            f"echo '{rules}' > /run/lost.nft && {later}=1 nft -f /run/lost.nft && "
            f"{later}={UNREACHABLE} nft delete table inet lost",
        )
        self._wait(lambda: running.ended, "it does not end without its host")
        # It goes on by itself where the step it was at could wait as long, and says which host it lost where not.
        assert running.process.returncode in (0, 1)
        self._wait(lambda: self.world.run(changing, "echo here", check=False) == "here", "it does not answer")

    def _the_leader_killed(self, running: Following, changing: str) -> None:
        self._signal(self._leader(), "SIGKILL")

    def _leader(self) -> str:
        from kdeploy.cluster import zookeeper

        cluster = describe(self.kdeploy)
        if cluster.blueprint.coordination == "kraft":
            leader = self._controller()
        else:
            members = zookeeper.ask(cluster.access, cluster.blueprint.coordinators)
            (leader,) = (one.id for one in members if one.mode == "leader")
        (address,) = (node.host for node in cluster.blueprint.coordinators if node.id == leader)
        return next(name for name, host in self.world.hosts.items() if host.address == address)

    def _wait_until_missed(self, name: str) -> None:
        """Wait until the cluster does not count on a broker any more, whatever the command does meanwhile."""
        self._wait(lambda: self._missed(name), f"{name} is not missed")

    def _missed(self, name: str) -> bool:
        """Whether the cluster itself says that a broker is not there."""
        document = self.kdeploy("status", "--output", "json", code=None).document
        checks = [check for cluster in document["clusters"] for check in cluster["checks"]]
        return any(name in check["detail"] for check in checks if check["name"] == "brokers registered")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.25)
