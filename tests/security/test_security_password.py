"""Where the vault's password comes from, and that it shows nowhere."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError
from kdeploy.security import password


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(password.FILE_VARIABLE, raising=False)
    monkeypatch.delenv(password.VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    typed: list[str] = []
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    return typed


@pytest.mark.parametrize(
    ("option", "variable_file", "variable", "expected"),
    [
        ("from option", "from file", "from variable", "from option"),
        (None, "from file", "from variable", "from file"),
        (None, None, "from variable", "from variable"),
        (None, None, None, "typed"),
    ],
)
def test_the_nearest_source_wins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[str],
    option: str | None,
    variable_file: str | None,
    variable: str | None,
    expected: str,
) -> None:
    answers.append("typed")
    file = None
    if option:
        file = tmp_path / "option"
        file.write_text(f"  {option}\n\n")
    if variable_file:
        (tmp_path / "variable").write_text(variable_file)
        monkeypatch.setenv(password.FILE_VARIABLE, str(tmp_path / "variable"))
    if variable:
        monkeypatch.setenv(password.VARIABLE, variable)
    assert password.ask(file) == expected


def test_without_a_terminal_one_message_says_what_to_do() -> None:
    with pytest.raises(KdeployError, match="no terminal to ask on") as caught:
        password.ask()
    for remedy in ("--vault-password-file", password.FILE_VARIABLE, password.VARIABLE):
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b" \n", "it is empty"), (b"\xff\xfe", "it is not text")]
)
def test_a_password_file_that_gives_none_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KdeployError, match=message) as caught:
        password.ask(file)
    assert str(file) in str(caught.value)


def test_a_new_password_is_typed_twice_and_not_short(answers: list[str]) -> None:
    long = "sixteen letters!"
    answers += [long, long]
    assert password.ask(new=True) == long
    answers += [long, long + "x"]
    with pytest.raises(KdeployError, match="differ"):
        password.ask(new=True)
    answers += ["only fifteen ch", "only fifteen ch"]
    with pytest.raises(KdeployError, match="too short") as caught:
        password.ask(new=True)
    assert "only fifteen" not in str(caught.value)


def test_an_empty_answer_is_no_password(answers: list[str]) -> None:
    answers.append("")
    with pytest.raises(KdeployError, match="empty"):
        password.ask()


def test_a_local_password_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "vault.key"
    first = password.local_password(file)
    assert len(first) >= 43
    assert password.local_password(file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert password.local_password(tmp_path / "other" / "vault.key") != first


def test_a_lost_local_password_is_not_replaced_while_its_vault_is_there(tmp_path: Path) -> None:
    (tmp_path / "vault.yaml").write_text("$ANSIBLE_VAULT")
    with pytest.raises(KdeployError, match=r"vault\.key is gone"):
        password.local_password(tmp_path / "vault.key")
    assert not (tmp_path / "vault.key").exists()


def test_an_end_of_input_at_the_prompt_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", ended)
    with pytest.raises(KdeployError, match="no password was typed"):
        password.ask()


def test_a_variable_that_is_no_text_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(password.VARIABLE, "secret\udcff")
    with pytest.raises(KdeployError, match="is not UTF-8 text") as refused:
        password.ask()
    assert "secret" not in str(refused.value)
