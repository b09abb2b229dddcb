"""The playbook runs for real, on this very machine: what it does is read, and no secret gets into its log."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import Stopped
from kdeploy.playbooks import runner as runner_module
from kdeploy.playbooks.runner import Runner, _Telling

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
    assert played.failures
    assert "hunter2" not in runner.log.read_text() + str(played)


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
