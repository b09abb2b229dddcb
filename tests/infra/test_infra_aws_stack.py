"""A stack without its engine: whose lock is cleared, whose is waited for, and whose is never touched."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
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

from kdeploy.infra.aws import remains
from kdeploy.infra.aws import stack as module
from kdeploy.infra.aws.failure import CloudError, NotLetThrough, StackLocked
from kdeploy.infra.aws.remains import Holder, holders
from kdeploy.infra.aws.stack import Home, Stack

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


@pytest.mark.parametrize(
    "said",
    [
        "error: stack acme/env has never been updated",
        "error: [409] Conflict: The Update has already completed",
        "error: the stack is not currently locked",
    ],
)
def test_unlocking_what_nobody_has_locked_is_no_failure_and_any_other_refusal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    engine = Engine()
    made, _ = stack_with(engine, tmp_path, monkeypatch)

    def refuse() -> None:
        raise CommandError(CommandResult("", said, 1))

    monkeypatch.setattr(engine, "cancel", refuse)
    made.unlock()
    said = "error: [403] Forbidden: somebody has no access to acme"
    with pytest.raises(CloudError, match="keeps this from whoever the token is of"):
        made.unlock()


def test_a_stack_of_pulumi_cloud_is_called_with_its_organization_and_says_when_its_lock_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home("env", "https://api.pulumi.com", "passphrase", tmp_path / "work", "p", organization="acme")
    assert home.stack == "acme/kdeploy/env"
    assert Home("env", home.backend, "passphrase", tmp_path / "work", "p").stack == "env"
    made = Stack(home, lambda: None, None, lambda *_: None)  # type: ignore[arg-type]
    engine = Engine(refused("[409] Conflict: Another update is currently in progress."))
    monkeypatch.setattr(made, "_engine", lambda: engine)
    with pytest.raises(StackLocked, match="ends a killed one by itself after five minutes"):
        made.state()


def test_an_engine_whose_kdeploy_was_killed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, True, True, False])
    monkeypatch.setattr(remains, "lives", lambda process: next(looks))
    engine = Engine(refused(lock(HERE, os.getpid())), {})
    made, told = stack_with(engine, tmp_path, monkeypatch)
    assert made.state() is not None
    assert engine.cancelled == 0
    assert "finishes what it had begun" in told[0]


def test_a_number_that_another_program_has_now_is_no_engine(dead: int) -> None:
    assert not remains.lives(dead)
    assert not remains.lives(os.getpid())


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


def test_what_the_engine_noted_of_a_file_and_a_kill_cut_short_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = CommandError(CommandResult("", "error: failed to load checkpoint: EOF", 255))
    made, told = stack_with(Engine(cut, {}), tmp_path, monkeypatch)
    file = tmp_path / "state" / ".pulumi" / "stacks" / "kdeploy" / "env.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"version": 3}')
    noted, whole = file.with_name("env.json.attrs"), file.with_name("env.json.bak.attrs")
    noted.write_text("")
    whole.write_text('{"md5": ""}')
    assert made.state() is not None
    assert (file.read_text(), noted.exists(), whole.exists()) == ('{"version": 3}', False, True)
    assert told == []


def test_what_an_engine_that_lives_is_just_writing_is_not_mended_but_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = CommandError(CommandResult("", "error: failed to load checkpoint: EOF", 255))
    made, told = stack_with(Engine(cut, {}), tmp_path, monkeypatch)
    monkeypatch.setattr(remains, "left_running", lambda folder: (os.getpid(),))
    file = tmp_path / "state" / ".pulumi" / "stacks" / "kdeploy" / "env.json"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert made.state() is not None
    assert (file.read_text(), told) == ("", [])


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


class Judging(Engine):
    """An engine that runs packs: it tells what they hold against a resource, and fails where one is mandatory."""

    def __init__(self, level: str, *said: str) -> None:
        super().__init__()
        self.level, self.said, self.packs = level, said, None

    def preview(self, on_event: Any, policy_packs: Any, **_: Any) -> None:
        self.packs = policy_packs
        kinds = dict.fromkeys(("resource_pre_event", "res_outputs_event", "diagnostic_event", "policy_event"))
        violation = SimpleNamespace(
            policy_pack_name="house",
            policy_name="small",
            resource_urn="urn:pulumi:env::kdeploy::aws:ec2/instance:Instance::broker-1",
            message="too large",
            enforcement_level=self.level,
        )
        on_event(SimpleNamespace(**kinds | {"policy_event": violation}))
        for line in self.said:
            failed = SimpleNamespace(severity="error", urn="", message=line)
            on_event(SimpleNamespace(**kinds | {"diagnostic_event": failed}))
        if self.level == "mandatory":
            raise CommandError(CommandResult("", "error: preview failed", 255))


def judged(engine: Judging, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    made, _ = stack_with(engine, folder, monkeypatch)
    made._home = dataclasses.replace(made._home, policy_packs=(Path("packs/house"),))
    return made


def test_a_mandatory_policy_that_is_violated_is_told_instead_of_that_the_preview_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Judging("mandatory", "preview failed")
    with pytest.raises(
        NotLetThrough, match=r"broker-1 \(Instance\): policy small of pack house: too large"
    ) as told:
        judged(engine, tmp_path, monkeypatch).preview()
    assert "preview failed" not in str(told.value)
    assert engine.packs == [str(Path("packs/house").absolute())], "the engine works in a folder of its own"


def test_what_else_failed_beside_a_violated_policy_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Judging("mandatory", "api error UnauthorizedOperation: not allowed")
    with pytest.raises(NotLetThrough, match="lack a right"):
        judged(engine, tmp_path, monkeypatch).preview()


def test_what_a_policy_advises_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (advised,) = judged(Judging("advisory"), tmp_path, monkeypatch).preview().advised
    assert str(advised) == "broker-1 (Instance): policy small of pack house: too large"


def test_what_a_killed_run_left_is_waited_for_until_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, told = stack_with(Engine(), tmp_path, monkeypatch)
    made.settle()
    assert told == []
    work = tmp_path / "work"
    work.mkdir()
    program, own = [sys.executable, "-c", "import time; time.sleep(600)"], {"PULUMI_BACKEND_URL": "file:///s"}
    engine = subprocess.Popen(program, cwd=work, env={**os.environ, **own})
    somebody = subprocess.Popen(program, cwd=work)
    elsewhere = subprocess.Popen(program, cwd=tmp_path, env={**os.environ, **own})
    try:
        assert remains.left_running(work) == (engine.pid,)
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        with pytest.raises(StackLocked, match=f"process {engine.pid}\n.*kill {engine.pid}"):
            made.settle()
        monkeypatch.setattr(module, "PATIENCE", 60)
        monkeypatch.setattr(module.time, "sleep", lambda _: (engine.kill(), engine.wait()))
        made.settle()
        assert engine.returncode is not None
        assert told == ["waiting for what a killed run had begun in AWS"] * 2
    finally:
        for one in (engine, somebody, elsewhere):
            one.kill()
            one.wait()
