"""The playbook runs for real, on this very machine: what it does is read, and no secret gets into its log."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import KdeployError, Stopped
from kdeploy.playbooks import runner as runner_module
from kdeploy.playbooks.runner import SILENT_TASK, Runner, _Telling
from tests import sshd

HERE: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
}


def questions(**changes: Any) -> dict[str, Any]:
    asked = {
        "disks": ["/nowhere"],
        "ports": [1],
        "names": ["localhost"],
        "time_units": [],
        "service": "kafka.service",
    }
    return {**HERE, "preflight_questions": {**asked, **changes}}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def runner(tmp_path: Path, said: list[str]) -> Runner:
    return Runner(tmp_path / "hosts", lambda phase, text: said.append(f"{phase} {text}"))


def test_what_a_host_answers_is_given_back(runner: Runner, said: list[str], tmp_path: Path) -> None:
    import json

    played = runner.play("preflight", {"dc1.broker-1": questions()})
    assert played.failures == []
    assert played.changed == {}
    facts = json.loads(played.output["dc1.broker-1"]["Look at the host"])
    assert facts["disks"]["/nowhere"]["exists"] is False
    assert facts["memory"] > 0
    assert facts["names"]["localhost"]["addresses"]
    assert said == ["hosts preflight: Look at the host"]
    assert runner.log.stat().st_mode & 0o777 == 0o600
    left = {path.name for path in (tmp_path / "hosts").iterdir()}
    assert left == {"ansible.log", "dc1.broker-1.lock"}


def test_a_task_is_told_once_it_does_something_and_never_when_it_is_skipped() -> None:
    said: list[str] = []
    telling = _Telling(lambda _, text: said.append(text))
    with telling:
        for task in ("skipped", "done", "skipped too"):
            telling.begins(task)
            if task == "done":
                telling.works()
                telling.works()
    assert said == ["done"]


def test_a_task_that_goes_on_is_told_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "SKIPS_WITHIN", 0.0)
    told = threading.Event()
    telling = _Telling(lambda *_: told.set())
    with telling:
        telling.begins("copies")
        assert told.wait(60)


def test_a_failure_names_host_task_and_reason(runner: Runner) -> None:
    played = runner.play(
        "preflight", {"good": questions(), "bad": {**questions(), "preflight_questions": {}}}
    )
    (failure,) = played.failures
    assert failure.host == "bad"
    assert "missing required arguments: disks" in failure.reason
    assert list(played.output) == ["good"]


def test_key_material_is_in_no_log(runner: Runner, tmp_path: Path) -> None:
    archive = tmp_path / "secrets.tar"
    archive.write_bytes(b"hunter2 is no archive")
    variables = {
        **HERE,
        "security_hashes": {},
        "service_hashes": {},
        "security_archive": str(archive),
        "service_name": "x",
        "service_archive": str(archive),
    }
    played = runner.play("apply", {"host": variables})
    (failure,) = played.failures
    assert failure.task == "Put key material in place"
    assert failure.reason.startswith("what it said is not shown, since it carries secrets")
    assert "hunter2" not in runner.log.read_text() + str(played)


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {asked}
case "$*" in *show*) printf 'Id=x.service\\nLoadState=loaded\\nUnitFileState=enabled\\nActiveState=active\\n' ;; esac
"""


@dataclass
class Node:
    """What is carried to this very machine, below a folder of the test's own, with a systemctl that only notes."""

    folder: Path
    files: dict[str, str]

    @property
    def place(self) -> Path:
        return self.folder / "etc"

    def variables(self, **changes: Any) -> dict[str, Any]:
        paths = {str(self.place / name): text.encode() for name, text in self.files.items()}
        given: dict[str, Any] = {**HERE, "service_name": "x.service", "service_known": True}
        for role, chosen in (("security", "key"), ("service", "conf")):
            mine = {path: content for path, content in paths.items() if path.endswith(chosen)}
            given[f"{role}_hashes"] = {path: hashlib.sha256(one).hexdigest() for path, one in mine.items()}
            given[f"{role}_archive"] = str(self._carried(role, mine))
        return {**given, **changes}

    def _carried(self, role: str, files: dict[str, bytes]) -> Path:
        archive = self.folder / f"{role}.tar"
        with tarfile.open(archive, "w") as tar:
            for path, content in files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(content), 0o600
                entry.uid, entry.gid = os.getuid(), os.getgid()
                tar.addfile(entry, io.BytesIO(content))
        return archive

    def put(self) -> None:
        """Have everything in place, as the roles put it."""
        for name, text in self.files.items():
            (self.place / name).write_text(text)
            (self.place / name).chmod(0o600)

    def there(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.place.glob("*"))}


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path / "host", {"a.conf": "a=1\n", "b.conf": "b=1\n", "c.key": "secret\n"})
    made.place.mkdir(parents=True)
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(asked=tmp_path / "asked"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return made


FILES, STALE = "Say which files would be put in place", "Remove files that are no longer wanted"


def test_check_mode_changes_nothing_and_says_just_what_would_be_changed(runner: Runner, placed: Node) -> None:
    def would_change(**changes: Any) -> list[str]:
        before = placed.there()
        played = runner.play("apply", {"host": placed.variables(**changes)}, check=True)
        assert played.failures == []
        assert placed.there() == before
        return sorted(played.changed.get("host", []))

    # Of key material only the number is told, so that its task is one that says nothing.
    assert would_change() == [FILES, SILENT_TASK]
    placed.put()
    assert would_change() == [], "all is as it should be"
    (placed.place / "c.key").write_text("another\n")
    assert would_change(service_stale=[str(placed.place / "b.conf")]) == [STALE, SILENT_TASK]


def test_when_ansible_is_killed_it_is_one_message_and_the_same_again_finishes(
    runner: Runner, placed: Node, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    waits = ["/bin/sh", "-c", f"echo $$ > {begun}; exec sleep 600"]
    variables = placed.variables(service_format=waits, service_formatted=str(tmp_path / "never"))
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(runner.play, "apply", {"host": variables})
        deadline = time.monotonic() + 120
        while not begun.exists() or not begun.read_text():
            assert time.monotonic() < deadline
            assert not playing.done(), playing
            time.sleep(0.05)
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            if _is_of(cmdline, tmp_path) and b"ansible-playbook" in cmdline.read_bytes():
                os.kill(int(cmdline.parent.name), signal.SIGKILL)
        with pytest.raises(KdeployError, match="Ansible was ended before it had finished") as refused:
            playing.result(120)
    with suppress(ProcessLookupError):
        os.kill(int(begun.read_text()), signal.SIGKILL)
    assert "run the same command again" in str(refused.value)
    assert str(runner.log) in str(refused.value)
    played = runner.play("apply", {"host": placed.variables()})
    assert played.failures == []
    assert placed.there() == placed.files


@pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))
def test_a_connection_that_breaks_off_is_made_again_and_where_there_is_none_the_same_again_finishes(
    runner: Runner, placed: Node, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    once = f"echo $$ >> {begun}; [ $(wc -l < {begun}) -gt 1 ] || exec sleep 600"
    given = {"service_format": ["/bin/sh", "-c", once], "service_formatted": str(tmp_path / "never")}

    def over_ssh(server: sshd.Server, **changes: Any) -> dict[str, Any]:
        shell = server.shell(host_keys="unchecked")
        way = {"ansible_host": sshd.HOST, "ansible_ssh_common_args": f"-F '{shell.configuration}'"}
        return {**placed.variables(**changes), "ansible_connection": "ssh", **way}

    programs = {"SetEnv": f"PATH={os.environ['PATH']}"}
    with sshd.serving(tmp_path / "sshd", programs) as server:
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(runner.play, "apply", {"host": over_ssh(server, **given)})
            deadline = time.monotonic() + 120
            while not begun.exists() or not begun.read_text():
                assert time.monotonic() < deadline
                assert not playing.done(), playing
                time.sleep(0.05)
            server.cut()
            played = playing.result(120)
        os.kill(int(begun.read_text().split()[0]), signal.SIGKILL)  # what was begun first goes on there
        assert played.failures == [], "it was done once more by itself"
        assert placed.there() == placed.files
        gone = over_ssh(server)
        server.cut()  # connections that are kept open would outlive it
    (placed.place / "a.conf").unlink()
    (failure,) = runner.play("apply", {"host": gone}).failures
    assert (failure.host, failure.task) == ("host", "")
    assert failure.reason == "the connection could not be made, or broke off", "the task must say nothing"
    with sshd.serving(tmp_path / "again", programs) as server:
        assert runner.play("apply", {"host": over_ssh(server)}).failures == []
    assert placed.there() == placed.files


def test_when_somebody_stops_kdeploy_nothing_of_ansible_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes as an exception in the middle of the run, as the signal handler of kdeploy raises it."""
    import time

    from kdeploy.playbooks import runner

    # On a slow machine the timer's thread would tell it, and a signal is never handled there.
    monkeypatch.setattr(runner, "SKIPS_WITHIN", 3600.0)

    def stop(phase: str, text: str) -> None:
        raise Stopped(15)

    with pytest.raises(Stopped):
        Runner(tmp_path / "hosts", stop).play("preflight", {"host": questions()})
    deadline = time.monotonic() + 10
    while left := [one for one in Path("/proc").glob("[0-9]*/cmdline") if _is_of(one, tmp_path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _is_of(cmdline: Path, folder: Path) -> bool:
    try:
        return str(folder / "hosts").encode() in cmdline.read_bytes()
    except OSError:
        return False


def test_a_second_run_on_the_same_host_waits_for_the_first(tmp_path: Path, said: list[str]) -> None:
    import fcntl
    import threading

    folder = tmp_path / "hosts"
    folder.mkdir()
    with (folder / "host.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.5, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        runner = Runner(folder, lambda phase, text: said.append(text))
        assert runner.play("preflight", {"host": questions()}).failures == []
    assert said[0] == "host: waiting until what an earlier run began there has ended"
