"""A node's process is ours and only ours, whatever dies and whenever."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from kdeploy.errors import KdeployError
from kdeploy.infra.artefacts import Distribution
from kdeploy.infra.local import process
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import SECRETS, blueprint, listening, node, with_text


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "nodes" / "here" / "broker-1"


def started(provider: LocalProvider, home: Path, **changes: Any) -> dict[str, Any]:
    """Start broker-1 and return what it saw of itself."""
    one = node(**changes)
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    provider.start(one)
    return seen(home)


def seen(home: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not (home / "seen.json").exists():
        assert time.monotonic() < deadline, (home / "logs/console.log").read_text()
        time.sleep(0.01)
    found: dict[str, Any] = json.loads((home / "seen.json").read_text())
    return found


def living(home: Path) -> list[int]:
    """Processes that work in a folder and are no zombies."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if one.cwd() == str(home) and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
    return found


def wait_until_stopped(provider: LocalProvider) -> str:
    deadline = time.monotonic() + 10
    while (state := provider.observe([node()])["here/broker-1"]).running:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return state.detail


def test_a_process_sees_its_folder_its_class_path_and_nothing_of_ours(
    provider: LocalProvider, home: Path, distribution: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_OPTS", "-javaagent:evil.jar")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dx=y")
    monkeypatch.setenv("VAULT_PASSWORD", "hunter2")
    monkeypatch.setenv("TZ", "Europe/Vienna")
    saw = started(provider, home)
    assert saw["arguments"] == ["-Xmx64m", "Serve", "config/server.properties"]
    assert saw["cwd"] == str(home)
    ours = {
        key: value for key, value in saw["environment"].items() if key not in ("PWD", "OLDPWD", "_", "SHLVL")
    }
    assert ours == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "Europe/Vienna",
        "CLASSPATH": distribution.class_path_text,
    }
    assert saw["session"], "it leads a session of its own, so no terminal ends it"
    assert saw["stdin"] == "/dev/null"
    assert saw["core"] == 0
    assert saw["files"][0] == saw["files"][1] == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert saw["umask"] == 0o077


def test_a_running_node_is_seen_with_what_it_was_started_with(provider: LocalProvider, home: Path) -> None:
    started(provider, home)
    one = node()
    state = provider.observe([one])[one.key]
    wanted = provider.wanted(one, SECRETS)
    assert (state.present, state.running, state.applied, state.started) == (True, True, wanted, wanted)
    assert re.fullmatch(r"process \d+ since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", state.detail)
    newer = with_text(one, "broker.id=1\nnum.io.threads=9\n")
    provider.apply(newer, SECRETS)
    state = provider.observe([newer])[one.key]
    assert state.applied == provider.wanted(newer, SECRETS)
    assert state.started == wanted


def test_starting_what_runs_changes_nothing(provider: LocalProvider, home: Path) -> None:
    started(provider, home)
    before = living(home)
    provider.start(node())
    assert living(home) == before
    assert len(before) == 1


PROGRAM_WITHOUT_INPUT = """
import os, sys
from pathlib import Path
from kdeploy.infra.local import process
home = Path(sys.argv[1])
(home / "logs").mkdir(parents=True)
os.close(0)
with process.holding(home / "node.lock") as lock:
    assert lock == 0, lock
    process.launch(home, lock, ["/bin/sleep", "60"], {"PATH": "/usr/bin:/bin"}, "started")
print(process.is_running(home))
process.stop(home, "now", 10)
"""


def test_a_node_holds_its_lock_also_when_the_lock_got_the_number_of_a_closed_input(home: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM_WITHOUT_INPUT, str(home)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "True\n", run.stderr


def test_several_that_start_one_node_at_once_start_it_once(provider: LocalProvider, home: Path) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(provider.start, [one] * 6))
    seen(home)
    assert len(living(home)) == 1


def test_several_nodes_start_and_stop_in_parallel_each_with_its_own_lock(
    provider: LocalProvider, tmp_path: Path
) -> None:
    nodes = [node(f"broker-{index}") for index in range(1, 6)]
    provider.provision(blueprint(*nodes))
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda one: provider.apply(one, SECRETS), nodes))
        list(pool.map(provider.start, nodes))
        for one in nodes:
            seen(tmp_path / "nodes/here" / one.name)
        provider.stop(nodes[0])
        running = [state.running for state in provider.observe(nodes).values()]
        assert running == [False, True, True, True, True]
        list(pool.map(provider.stop, nodes))
    assert not any(state.running for state in provider.observe(nodes).values())


def test_stopping_waits_until_it_is_gone_and_says_so_afterwards(provider: LocalProvider, home: Path) -> None:
    started(provider, home)
    provider.stop(node())
    assert living(home) == []
    assert "stopped by kdeploy at 20" in wait_until_stopped(provider)
    provider.stop(node())
    (home / "seen.json").unlink()
    provider.start(node())
    seen(home)
    assert len(living(home)) == 1


def test_what_does_not_stop_in_time_is_named_and_left_alone(
    tmp_path: Path, distribution: Distribution, home: Path
) -> None:
    provider = LocalProvider(tmp_path / "nodes", lambda version: distribution, stop_patience=0.3)
    started(provider, home, main_class="Stubborn")
    with pytest.raises(KdeployError, match=r"broker-1 \(process \d+\) did not stop within 0.3 s"):
        provider.stop(node())
    assert provider.observe([node()])["here/broker-1"].running
    provider.stop(node(), "now")
    assert living(home) == []
    assert "at once" in wait_until_stopped(provider)


def test_a_process_that_ended_by_itself_says_why_without_its_secrets(
    provider: LocalProvider, home: Path
) -> None:
    one = node(main_class="Fail")
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    provider.start(one)
    detail = wait_until_stopped(provider)
    assert "ended by itself" in detail
    assert "ERROR cannot read" in detail
    assert "hunter2" not in detail
    assert "\n" not in detail


def test_a_killed_process_is_seen_as_stopped_and_started_again(provider: LocalProvider, home: Path) -> None:
    started(provider, home)
    (home / "data/0/records").write_bytes(b"kept")
    os.kill(living(home)[0], signal.SIGKILL)
    assert wait_until_stopped(provider) == "ended by itself, without a word in its logs"
    provider.start(node())
    assert provider.observe([node()])["here/broker-1"].running
    assert (home / "data/0/records").read_bytes() == b"kept"


def test_a_pid_that_belongs_to_another_program_now_is_never_touched(
    provider: LocalProvider, home: Path
) -> None:
    started(provider, home)
    os.kill(living(home)[0], signal.SIGKILL)
    wait_until_stopped(provider)
    with subprocess.Popen(["sleep", "60"], cwd=home) as other:
        note = json.loads((home / "process.json").read_text())
        (home / "process.json").write_text(json.dumps({**note, "pid": other.pid}))
        assert not provider.observe([node()])["here/broker-1"].running
        provider.stop(node())
        provider.stop(node(), "now")
        assert other.poll() is None
        provider.start(node())
        provider.stop(node(), "now")
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("note", ["missing", "of another process", "damaged"])
def test_a_running_process_whose_note_is_wrong_is_found_all_the_same(
    provider: LocalProvider, home: Path, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "RECORD_PATIENCE", 0.2)
    started(provider, home)
    file = home / "process.json"
    if note == "missing":
        file.unlink()
    elif note == "damaged":
        file.write_text("{")
    else:
        file.write_text(json.dumps({**json.loads(file.read_text()), "pid": os.getpid()}))
    assert provider.observe([node()])["here/broker-1"].running
    provider.stop(node())
    assert living(home) == []


def test_a_port_that_is_taken_is_refused_with_who_has_it(provider: LocalProvider, home: Path) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        one = node(ports={"client": port})
        said = rf"client port {port} on 127\.0\.0\.1 is taken by .*\(process {os.getpid()}, in .*\)"
        with pytest.raises(KdeployError, match=said):
            provider.provision(blueprint(one))
        assert not home.exists(), "before anything is made"
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    with listening(port):
        with pytest.raises(KdeployError, match=said):
            provider.start(one)
        assert living(home) == []
    provider.start(one)


def test_a_node_whose_files_are_not_in_place_does_not_start(provider: LocalProvider) -> None:
    with pytest.raises(KdeployError, match="its files are not in place"):
        provider.start(node())


def test_a_java_that_is_gone_is_told_by_the_console(
    provider: LocalProvider, distribution: Distribution, home: Path
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    distribution.java.unlink()
    provider.start(one)
    assert "ended by itself" in wait_until_stopped(provider)
    assert "not found" in (home / "logs/console.log").read_text()


def test_the_console_of_the_run_before_is_kept_and_no_more(provider: LocalProvider, home: Path) -> None:
    for _ in range(3):
        started(provider, home)
        (home / "logs/console.log").write_text("said\n")
        provider.stop(node())
    assert sorted(path.name for path in (home / "logs").iterdir()) == ["console.log", "console.log.1"]


KILLED_START = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from kdeploy.infra.artefacts import Distribution
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import *
java = Distribution("3.9.2", (), Path(sys.argv[3]))
provider = LocalProvider(Path(sys.argv[2]), lambda version: java)
print("ready", flush=True)
sys.stdin.readline()
provider.start(node())
print("started", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A kdeploy of its own that starts broker-1 as soon as it reads a line."""
    words = [str(Path(__file__).parents[2]), str(tmp_path / "nodes"), str(tmp_path / "jdk/bin/java")]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_START, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


@pytest.mark.parametrize("delay", [0, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.05])
def test_a_kdeploy_that_is_killed_while_it_starts_a_node_leaves_one_process_at_most(
    provider: LocalProvider, home: Path, starter: subprocess.Popen[str], delay: float
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    assert starter.stdin
    starter.stdin.write("go\n")
    starter.stdin.flush()
    time.sleep(delay)
    starter.kill()
    starter.wait()
    provider.start(one)
    provider.start(one)
    seen(home)
    assert len(living(home)) == 1
    assert provider.observe([one])[one.key].running
    provider.stop(one)
    assert living(home) == []


def test_a_node_outlives_the_kdeploy_that_started_it_and_its_terminal(
    provider: LocalProvider, home: Path, starter: subprocess.Popen[str]
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    assert starter.stdin
    assert starter.stdout
    starter.stdin.write("go\n")
    starter.stdin.flush()
    assert starter.stdout.readline() == "started\n"
    seen(home)
    starter.send_signal(signal.SIGHUP)
    starter.wait()
    state = provider.observe([one])[one.key]
    assert state.running
    assert state.started == provider.wanted(one, SECRETS)


class TestDeleting:
    """`delete`, `known` and `leftovers`."""

    def test_a_running_node_is_not_deleted(self, provider: LocalProvider, home: Path) -> None:
        started(provider, home)
        with pytest.raises(KdeployError, match="still runs; its data is not deleted"):
            provider.delete(node())
        assert (home / "config/server.properties").exists()

    def test_a_stopped_node_leaves_no_file_and_no_process(self, provider: LocalProvider, home: Path) -> None:
        started(provider, home)
        provider.stop(node())
        provider.delete(node())
        provider.delete(node())
        assert not home.parent.exists()
        assert not provider.observe([node()])["here/broker-1"].present

    def test_nodes_are_known_from_disk_coordination_first(self, provider: LocalProvider) -> None:
        nodes = [node("broker-2"), node("broker-10"), node("zookeeper-1")]
        provider.provision(blueprint(*nodes))
        for one in nodes[:2]:
            provider.apply(one, SECRETS)
        known = provider.known()
        assert [one.name for one in known] == ["zookeeper-1", "broker-2", "broker-10"]
        assert known[1] == nodes[0]
        assert (known[0].role, known[0].id, known[0].key) == ("zookeeper", 1, "here/zookeeper-1")

    def test_an_unfinished_node_is_known_and_can_be_deleted(
        self, provider: LocalProvider, tmp_path: Path
    ) -> None:
        provider.provision(blueprint(node("controller-1001")))
        (one,) = provider.known()
        assert one.role == "controller"
        provider.stop(one)
        provider.delete(one)
        assert provider.known() == ()

    def test_nodes_that_a_blueprint_does_not_know_are_left_over(self, provider: LocalProvider) -> None:
        nodes = [node("broker-1"), node("broker-2")]
        provider.provision(blueprint(*nodes))
        for one in nodes:
            provider.apply(one, SECRETS)
        assert provider.leftovers(blueprint(nodes[0])) == (nodes[1],)
        assert provider.leftovers(blueprint(*nodes)) == ()

    @pytest.mark.parametrize("name", ["..", "a/b", ""])
    def test_a_name_that_leads_elsewhere_is_refused(self, provider: LocalProvider, name: str) -> None:
        with pytest.raises(KdeployError, match="cannot be the name of a folder"):
            provider.delete(replace(node(), datacenter=name))
