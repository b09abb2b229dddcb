"""When the machine, or somebody else, says no: one message, the documented exit code, nothing half-done."""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdeploy.operations import places
from kdeploy.security import issue, vault
from kdeploy.security.password import local_password
from kdeploy.spec import lockfile
from kdeploy.spec.load import load
from tests.fake_machine import Ended, Machine, finish
from tests.infra.mirror import VERSION, Mirror, archive, serving
from tests.infra.nodes import listening

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


def refused(ended: Ended, code: int, *words: str) -> None:
    """One message that holds each of these, no result, and this exit code."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.count("kdeploy: ") == 1, ended.err
    assert "defect" not in ended.err
    for word in words:
        assert word in ended.err, ended.err


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def small_files(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.fixture
def decided(machine: Machine) -> Machine:
    """A machine whose environment has a lock and a vault, and no node yet."""
    refused(machine.run("up", "demo", prepare=few_files), 1, "open files: a process may have 256 open")
    assert (machine.state / "vault.yaml").exists()
    assert no_node(machine)
    return machine


def no_node(machine: Machine) -> bool:
    return not list(machine.state.glob("nodes/*/*"))


def tree(machine: Machine) -> dict[str, bytes]:
    """Every file of the state but the lease, which says who looked last."""
    files = (file for file in machine.state.rglob("*") if file.is_file() and file.name != "lease")
    return {str(file.relative_to(machine.state)): file.read_bytes() for file in files}


def test_whoever_comes_second_is_told_who_is_at_work_since_when(machine: Machine) -> None:
    first = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, first)
    who = rf"at work on demo: up by \S+ on \S+ \(process {first.pid}\) since 20\d\d-\d\d-\d\dT"
    for command in (["up", "demo"], ["down", "demo"], ["down", "demo", "--delete-data", "--yes"]):
        second = machine.run(*command)
        refused(second, 6)
        assert re.search(who, second.err), second.err
    assert len(machine.running()) == 3, "nothing was stopped meanwhile"
    first.send_signal(signal.SIGKILL)
    finish(first)
    assert f'"pid": {first.pid}' in (machine.state / "lease").read_text()
    assert machine.run("down", "demo").code == 0, "what a dead process left holds nobody up"


def test_a_port_that_is_taken_is_named_before_anything_starts(machine: Machine) -> None:
    with listening(machine.port + 20):
        ended = machine.run("up", "demo")
    port = machine.port + 20
    refused(ended, 1, f"broker-2: its client port {port}", f"(process {os.getpid()}", "base_port")
    assert no_node(machine)


@pytest.mark.parametrize("size", [0, 200, 1500, 4000])
def test_a_disk_that_takes_no_more_is_one_message_and_then_finished_by_the_same_command(
    machine: Machine, size: int
) -> None:
    ended = machine.run("up", "demo", prepare=small_files(size))
    refused(ended, 1, "File too large")
    assert machine.running() == []
    assert not [file for file in machine.state.rglob(".*") if file.is_file()], "no half a file stays"
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(signal.SIGINT)
    assert finish(up).code == 130


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_state_folder_that_cannot_be_is_named_with_its_variable(machine: Machine, command: str) -> None:
    (machine.root / "state").write_text("a file in the way")
    refused(machine.run(command, "demo"), 1, str(machine.root / "state"), "KDEPLOY_STATE_DIR")


def of_the_network(machine: Machine, kafka: str) -> None:
    del machine.variables["KDEPLOY_KAFKA_ARCHIVE"]
    machine.variables.update(KDEPLOY_KAFKA_MIRROR=kafka, KDEPLOY_MAVEN_MIRROR=NOWHERE)


def nothing_fetched(machine: Machine) -> bool:
    return not (machine.root / "cache" / "kafka" / VERSION).exists() and no_node(machine)


def test_no_network_and_no_cache_says_how_to_bring_kafka_by_hand(machine: Machine) -> None:
    of_the_network(machine, NOWHERE)
    ended = machine.run("up", "demo")
    refused(
        ended, 1, f"{NOWHERE}: it cannot be reached", "Maven: it cannot be reached", "KDEPLOY_KAFKA_ARCHIVE"
    )
    assert nothing_fetched(machine)


def cut(mirror: Mirror) -> None:
    mirror.release(archive())
    mirror.cut.add(f"/{VERSION}/kafka_2.13-{VERSION}.tgz")


def corrupt(mirror: Mirror) -> None:
    mirror.release(archive())
    mirror.files[f"/{VERSION}/kafka_2.13-{VERSION}.tgz"] = archive({"other.jar": b"x"})


def hang(mirror: Mirror) -> None:
    mirror.hang.add(f"/{VERSION}/kafka_2.13-{VERSION}.tgz.sha512")


@pytest.mark.parametrize(
    ("fault", "words"),
    [(cut, "the transfer broke off"), (corrupt, "the checksum of"), (hang, "no answer in 8 s")],
)
def test_a_bad_mirror_is_told_and_leaves_nothing_in_the_cache(
    machine: Machine, fault: Callable[[Mirror], None], words: str
) -> None:
    with ExitStack() as stack:
        mirror = stack.enter_context(serving())
        fault(mirror)
        of_the_network(machine, mirror.url)
        refused(machine.run("up", "demo"), 1, words)
    assert nothing_fetched(machine)


def test_ctrl_c_does_not_wait_for_a_mirror_that_hangs(machine: Machine) -> None:
    with serving() as mirror:
        hang(mirror)
        of_the_network(machine, mirror.url)
        up = machine.start("up", "demo")
        machine.wait_for(lambda: bool(mirror.asked), up)
        up.send_signal(signal.SIGINT)
        ended = finish(up, patience=4)
    assert (ended.code, "no node runs" in ended.err) == (130, True)


def test_too_little_memory_says_how_much_there_is(machine: Machine) -> None:
    greedy = "base_port: ", "brokers: {count: 99, memory: 64GiB}, base_port: "
    machine.file.write_text(machine.file.read_text().replace(*greedy))
    refused(machine.run("up", "demo"), 1, "memory: they take up to", "are available")
    assert no_node(machine)


def test_an_unknown_version_is_a_mistake_in_the_file(machine: Machine) -> None:
    machine.file.write_text(machine.file.read_text().replace("3.9.2", "3.8.0"))
    ended = machine.run("up", "demo")
    refused(ended, 2, "environment.yaml:1: kafka.version", "3.9.2")
    assert not machine.state.exists()


def test_a_java_that_is_too_old_is_named_with_what_is_needed(machine: Machine) -> None:
    machine.write_java('JAVA_VERSION="1.8.0_402"\n')
    refused(machine.run("up", "demo"), 1, "is Java 8; brokers of Kafka 3.9.2 need Java 11", "KDEPLOY_JAVA")
    assert no_node(machine)


def edited_by_hand(state: Path) -> None:
    file = state / "vault.yaml"
    lines = file.read_text().splitlines()
    lines[2] = lines[2][:-1]
    file.write_text("\n".join(lines))


def no_vault(state: Path) -> None:
    (state / "vault.yaml").write_text("passwords: {alice: hunter2-hunter2}\n")


def another_key(state: Path) -> None:
    (state / "vault.key").write_text("not the password of this vault\n")


def no_key(state: Path) -> None:
    (state / "vault.key").unlink()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (edited_by_hand, "it is cut off or damaged"),
        (no_vault, "it is not a vault"),
        (another_key, "the password is wrong"),
        (no_key, "vault.key is gone"),
    ],
)
def test_a_vault_that_cannot_be_opened_is_told_and_left_as_it_is(
    decided: Machine, break_it: Callable[[Path], None], words: str
) -> None:
    break_it(decided.state)
    before = tree(decided)
    for command in ("up", "status", "preview", "clients"):
        ended = decided.run(command, "demo")
        refused(ended, 1, words, str(decided.state))
        assert "hunter2" not in ended.err
        assert tree(decided) == before


@pytest.fixture
def expired(decided: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The vault as if it had been made five years ago."""
    monkeypatch.setenv("KDEPLOY_STATE_DIR", decided.variables["KDEPLOY_STATE_DIR"])
    loaded = load(decided.file.parent)
    lock = lockfile.read_lock(places.lock_file(loaded))
    assert lock is not None
    needed = issue.requirements(loaded.environment, lock)
    then = datetime.now(UTC).replace(year=datetime.now(UTC).year - 5)
    key = local_password(places.vault_key_file(loaded))
    vault.write(places.vault_file(loaded), issue.complete(None, needed, then), key)
    return decided


@pytest.mark.parametrize("command", ["up", "preview", "verify"])
def test_an_expired_certificate_is_named_with_how_to_have_a_new_one(expired: Machine, command: str) -> None:
    before = tree(expired)
    ended = expired.run(command, "demo")
    refused(ended, 1, "certificates of demo have ended", "node/dc1/broker-1 ended on 20", "rm '")
    assert "authority/nodes" not in ended.err, "that one lives on"
    assert {path: text for path, text in tree(expired).items() if not path.startswith("admin/")} == {
        path: text for path, text in before.items() if not path.startswith("admin/")
    }


def test_status_shows_an_expired_certificate_as_a_check_that_fails(expired: Machine) -> None:
    ended = expired.run("status", "demo")
    assert ended.code == 5
    assert re.search(r"FAIL  certificates: ended: .*administrator on 20", ended.out)


def test_what_an_expired_certificate_is_answered_with_works(expired: Machine) -> None:
    (expired.state / "vault.yaml").unlink()
    up = expired.start("up", "demo")
    expired.wait_for(lambda: len(expired.running()) == 3, up)
    up.send_signal(signal.SIGINT)
    assert finish(up).code == 130


NEWER = {
    "lock.yaml": ("kdeploy.lock/v1", "kdeploy.lock/v2", 2),
    "nodes/dc1/broker-1/node.json": ("kdeploy.node/v2", "kdeploy.node/v3", 1),
}


@pytest.mark.parametrize("name", NEWER)
def test_the_state_of_a_newer_kdeploy_is_refused_and_not_changed(machine: Machine, name: str) -> None:
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(signal.SIGKILL)
    finish(up)
    machine.run("down", "demo")
    old, new, code = NEWER[name]
    file = machine.state / name
    file.write_text(file.read_text().replace(old, new))
    before = tree(machine)
    for command in ("up", "status", "preview", *(["down"] if "node" in name else [])):
        refused(machine.run(command, "demo"), code, new, "upgrade kdeploy")
        assert tree(machine) == before
    file.write_text(file.read_text().replace(new, old))


def test_a_state_folder_with_spaces_and_letters_of_any_alphabet_works(machine: Machine) -> None:
    machine.variables["KDEPLOY_STATE_DIR"] = str(machine.root / "Größe und 状態 'x' $HOME")
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(signal.SIGINT)
    assert finish(up).code == 130
    assert len(machine.running()) == 3
    assert machine.run("down", "demo").code == 0
    assert machine.running() == []
