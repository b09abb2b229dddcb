"""A stack without its engine: whose lock is cleared, whose is waited for, and whose is never touched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pulumi")

from pulumi.automation import (
    CommandError,
    CommandResult,
    ConcurrentUpdateError,
    Deployment,
    StackNotFoundError,
)

from kdeploy.infra.aws import stack as module
from kdeploy.infra.aws.failure import CloudError, StackLocked
from kdeploy.infra.aws.stack import Holder, Home, Stack, holders

HERE = socket.gethostname()


def refused(*lines: str, error: type[CommandError] = ConcurrentUpdateError) -> CommandError:
    return error(
        CommandResult("", "\n".join(["error: the stack is currently locked by 1 lock(s).", *lines]), 255)
    )


def lock(host: str, process: int) -> str:
    where = "file:///s/.pulumi/locks/organization/kdeploy/env/4f.json"
    return f"  {where}: created by root@{host} (pid {process}) at 2026-11-27T03:09:14Z"


class Engine:
    """Answers as it is told, one answer a call."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.cancelled, self.imported = list(answers), 0, list[Deployment]()

    def export_stack(self) -> Deployment:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Deployment(version=3, deployment=answer)

    def import_stack(self, state: Deployment) -> None:
        self.imported.append(state)

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def stack_with(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stack, list[str]]:
    (folder / "state").mkdir()
    told: list[str] = []
    home = Home("env", f"file://{folder}/state", "passphrase", folder / "work", "a passphrase")
    made = Stack(home, lambda: None, None, lambda phase, text: told.append(text))  # type: ignore[arg-type]
    monkeypatch.setattr(made, "_engine", lambda: engine)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    return made, told


def test_who_has_a_lock_is_read_from_what_the_engine_says() -> None:
    (found,) = holders(str(refused(lock("laptop", 812))))
    assert found == Holder("root", "laptop", 812, "2026-11-27T03:09:14Z")
    assert holders("[409] Conflict: Another update is currently in progress.") == ()


def test_the_lock_of_a_dead_engine_of_this_machine_is_cleared_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    engine = Engine(refused(lock(HERE, dead)), {})
    made, told = stack_with(engine, tmp_path, monkeypatch)
    assert made.state() is not None
    assert engine.cancelled == 1
    assert told == [f"clearing the lock that a killed engine left (process {dead} of root on {HERE} since 2026-11-27T03:09:14Z)"]  # fmt: skip


def test_the_lock_of_another_machine_is_left_and_explained_with_the_command_that_clears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    engine = Engine(refused(lock("laptop", dead)), {})
    made, _ = stack_with(engine, tmp_path, monkeypatch)
    with pytest.raises(StackLocked, match="root on laptop") as caught:
        made.state()
    assert "`kdeploy unlock env`" in str(caught.value)
    assert caught.value.exit_code == 6
    assert engine.cancelled == 0


def test_a_lock_that_does_not_say_whose_it_is_is_nobodys_to_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(refused("[409] Conflict: Another update is currently in progress."))
    made, _ = stack_with(engine, tmp_path, monkeypatch)
    with pytest.raises(StackLocked):
        made.state()
    assert engine.cancelled == 0


def test_an_engine_whose_kdeploy_was_killed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, True, True, False])
    monkeypatch.setattr(module, "_lives", lambda process: next(looks))
    engine = Engine(refused(lock(HERE, os.getpid())), {})
    made, told = stack_with(engine, tmp_path, monkeypatch)
    assert made.state() is not None
    assert engine.cancelled == 0
    assert "finishes what it had begun" in told[0]


def test_a_number_that_another_program_has_now_is_no_engine(dead: int) -> None:
    assert not module._lives(dead)
    assert not module._lives(os.getpid())


def test_a_stack_that_was_never_made_has_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = refused("error: no stack named 'env' found", error=StackNotFoundError)
    made, _ = stack_with(Engine(missing), tmp_path, monkeypatch)
    assert made.state() is None
    nowhere = Home("env", f"file://{tmp_path}/nothing", "passphrase", tmp_path / "work", "")
    assert Stack(nowhere, lambda: None, None, lambda *_: None).state() is None  # type: ignore[arg-type]
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("before", "after"), [('{"version": 3}', '{"version": 3}'), ("", None), (None, None)]
)
def test_a_state_that_a_kill_cut_short_is_put_back_from_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str | None
) -> None:
    cut = CommandError(CommandResult("", "error: failed to load checkpoint: EOF", 255))
    made, told = stack_with(Engine(cut, {}), tmp_path, monkeypatch)
    file = tmp_path / "state" / ".pulumi" / "stacks" / "kdeploy" / "env.json"
    file.parent.mkdir(parents=True)
    file.write_text("")
    if before is not None:
        file.with_name("env.json.bak").write_text(before)
    assert made.state() is not None
    assert (file.read_text() if file.exists() else None) == after
    assert "cut the state short" in told[0]


def test_a_state_that_is_whole_is_never_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = stack_with(
        Engine(CommandError(CommandResult("", "error: failed to load checkpoint: EOF", 255))),
        tmp_path,
        monkeypatch,
    )
    file = tmp_path / "state" / ".pulumi" / "stacks" / "kdeploy" / "env.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"version": 3}')
    with pytest.raises(CloudError, match="failed to load checkpoint"):
        made.state()
    assert file.read_text() == '{"version": 3}'


def test_what_else_the_engine_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = CommandError(CommandResult("", "error: incorrect passphrase", 255))
    made, _ = stack_with(Engine(failed), tmp_path, monkeypatch)
    with pytest.raises(CloudError, match="another passphrase than the vault's"):
        made.state()


def test_what_holds_data_may_be_deleted_only_once_its_state_says_so() -> None:
    volume = {"urn": "v", "protect": True, "retainOnDelete": True}
    engine = Engine({"resources": [volume, {"urn": "n"}]}, {"resources": [{"urn": "n"}]})
    module._unprotect(engine)  # type: ignore[arg-type]
    module._unprotect(engine)  # type: ignore[arg-type]
    (imported,) = engine.imported
    assert imported.deployment == {"resources": [{"urn": "v", "protect": False, "retainOnDelete": False}, {"urn": "n"}]}  # fmt: skip


def test_its_passphrase_is_not_in_what_it_prints() -> None:
    assert "hidden" not in repr(Home("env", "file:///s", "passphrase", Path(), "hidden"))
