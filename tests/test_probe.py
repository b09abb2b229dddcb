"""Whether this machine can boot hosts is asked in a way that always gets an answer, in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdeploy.spec import load
from kdeploy.spec.check import check
from kdeploy.spec.copy import local_blocks
from tests import __main__ as everything
from tests.conftest import OVER
from tests.e2e import ports
from tests.fleet import base, fleet, probe

ENVIRONMENTS = Path(__file__).parents[1] / "environments"


def test_what_went_wrong_last_is_the_reason() -> None:
    program = "import sys; print('a mirror was asked'); sys.exit('no such release')"
    said = probe._answer([sys.executable, "-c", program], 60)
    assert said == "a host cannot be booted here: no such release"


def test_a_host_that_does_what_hosts_do_is_no_problem() -> None:
    assert probe._answer([sys.executable, "-c", "print('booted')"], 60) is None


def test_a_boot_that_never_ends_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"sleep 3600 & echo $! $$ >{pids}; wait"
    said = probe._answer(["sh", "-c", program], 1.0)
    assert said == "a host did not boot within 1 s"
    deadline = time.monotonic() + 10
    while any(runs(pid) for pid in pids.read_text().split()):  # a signal that was sent takes a moment
        assert time.monotonic() < deadline


def runs(pid: str) -> bool:
    """Whether a process goes on: it is there, and does not just wait to be noticed as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_is_known_beforehand_is_said_without_booting_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(base.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        shutil, "which", lambda tool: None if tool == "systemd-nspawn" else f"/usr/bin/{tool}"
    )
    assert probe.problem(tmp_path) == "a fleet of hosts needs the packages systemd-container"
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(base, "MEMORY", 2**50)
    said = probe.problem(tmp_path)
    assert said is not None
    assert said.startswith("a fleet of hosts needs 1048576 GiB of memory available, and ")
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    assert probe.problem(tmp_path) == "a fleet of hosts needs root"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_debootstrap_left_mounted_is_unmounted_first() -> None:
    mounts = (
        "proc /c/base.making/proc proc rw 0 0\nx /c/base.making/proc/sys x rw 0 0\nproc /proc proc rw 0 0\n"
    )
    found = base.mounts_below(Path("/c/base.making"), mounts)
    assert found == ["/c/base.making/proc/sys", "/c/base.making/proc"]
    assert base.mounts_below(Path("/c/base"), mounts) == []


def test_there_is_one_fleet_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bridge = tmp_path / "bridge"
    monkeypatch.setattr(fleet, "_bridge_folder", lambda: bridge)
    assert fleet.others() is None
    (bridge / "brif").mkdir(parents=True)
    assert fleet.others() is None, "a bridge that nothing is connected to is nobody's"
    (bridge / "brif/vb-broker-1").touch()
    assert fleet.others() == (
        "another fleet of hosts is up on this machine (bridge kdeploy0), and there can be one at a time"
    )


def test_what_is_not_tested_on_hosts_is_one_line_with_its_reason() -> None:
    lines = everything.lacking("a fleet of hosts needs root")
    assert lines[-1] == "real hosts: nothing is tested on them (a fleet of hosts needs root)"
    assert everything.lacking(None) == lines[:-1]


def test_an_engine_that_cannot_be_built_is_one_line_with_its_reason() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('it could not be built:\\nno such module')"]
    building = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    said = everything.built(building)
    assert said is not None
    assert said.startswith("Pulumi 3.")
    assert said.endswith(": no such module")
    assert said in everything.lacking(None, said)


def test_an_engine_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything, "BUILD_MINUTES", 0.01)
    building = subprocess.Popen(["sleep", "3600"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert "was not built within" in str(everything.built(building))
    assert building.returncode == -9


def test_clusters_of_tests_that_run_side_by_side_share_no_port() -> None:
    taken = [
        block.start // 100
        for name, port in ports.CLUSTERS
        for block in local_blocks(load.load(ENVIRONMENTS / name).environment, port)
    ]
    taken.append(ports.PROVIDER // 100)
    assert len(set(taken)) == len(taken), sorted(one for one in set(taken) if taken.count(one) > 1)
    assert min(taken) > 191
    assert max(taken) < 327


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("local-two-dc-passive", ports.PASSIVE),
        ("local-two-dc-active", ports.ACTIVE),
        ("local-three-dc-active", ports.THREE),
        ("local-three-dc-passive", ports.THREE_PASSIVE),
    ],
)
def test_datacenters_of_a_test_have_ports_that_their_environment_takes(
    name: str, bases: tuple[int, ...]
) -> None:
    environment = load.load(ENVIRONMENTS / name).environment
    there = zip(environment.datacenters, bases, strict=True)
    datacenters = tuple(one.model_copy(update={"base_port": base}) for one, base in there)
    assert check(environment.model_copy(update={"datacenters": datacenters})) == ()


REPORT = f"""<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="tests.test_a" name="test_two"><failure message="assert 1 == 2&#10;  more">long</failure></testcase>
<testcase classname="tests.test_b" name="test_three"><error message="failed on setup">long</error></testcase>
<testcase classname="tests.test_b" name="test_four"><skipped message="{OVER}">long</skipped></testcase>
<testcase classname="tests.test_b" name="test_five"><skipped message="a tool is missing">long</skipped></testcase>
</testsuite></testsuites>"""


def test_the_end_of_a_run_repeats_what_failed_and_what_it_said(tmp_path: Path) -> None:
    parts = everything.Parts(tmp_path)

    def fail(more: list[str]) -> int:
        (argument,) = more
        Path(argument.removeprefix("--junitxml=")).write_text(REPORT)
        return 1

    parts.run("one cluster", fail)
    parts.run("hosts", lambda _: 0)
    assert parts.codes == [1, 0]
    assert parts.lines == [
        "one cluster: failed (exit code 1) in 0.0 min",
        f"  1 of 5 tests were left out: {OVER}",
        "  tests.test_a::test_two\n    assert 1 == 2\n      more",
        "  tests.test_b::test_three\n    failed on setup",
        "hosts: passed in 0.0 min",
    ]


def test_a_part_begins_no_test_after_its_minute_and_says_why(tmp_path: Path) -> None:
    test = tmp_path / "test_one.py"
    test.write_text(
        "import pytest\n\ndef test_one(): pass\n\n@pytest.mark.takes(10)\ndef test_long(): pass\n"
    )
    for minute, outcome in ((-1, "2 skipped"), (5, "1 passed, 1 skipped"), (15, "2 passed")):
        env = {**everything.until(minute), "KDEPLOY_TESTS_UNTIL": str(time.time() + 60 * minute)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-rs",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            str(test),
        ]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert outcome in done.stdout
        assert (OVER in done.stdout) == (minute < 10)
    assert float(everything.until(48)["KDEPLOY_TESTS_UNTIL"]) == everything.BEGAN + 48 * 60


def test_every_test_on_real_kafka_or_an_engine_is_in_a_row() -> None:
    chosen = " ".join((*everything.MIRRORED, *everything.OTHERS, *everything.CLOUD))
    for file in sorted(everything.HERE.rglob("test_*.py")):
        name = f"tests/{file.relative_to(everything.HERE).as_posix()}"
        if name != "tests/test_probe.py" and any(
            f"mark.{one}" in file.read_text() for one in ("kafka", "cloud")
        ):
            assert name in chosen or name.rpartition("/")[0] in chosen.split(), name
