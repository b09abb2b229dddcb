"""The Pulumi CLI is found, judged by its version, and fetched only where somebody agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.infra.aws import command


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Pulumi CLI."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(command.VARIABLE, raising=False)
    monkeypatch.delenv(command.FETCH, raising=False)
    return tmp_path


def program(file: Path, says: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\necho {says}\n")
    file.chmod(0o755)
    return file


def test_it_is_found_on_the_path_in_the_cache_or_where_it_is_named(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.find() is None
    cached = program(command.root() / "bin" / "pulumi", "v3.259.0")
    assert command.find() == cached
    on_path = program(nowhere / "bin" / "pulumi", "v3.259.0")
    monkeypatch.setenv("PATH", str(nowhere / "bin"))
    assert command.find() == on_path
    named = program(nowhere / "mine", "v3.259.0")
    monkeypatch.setenv(command.VARIABLE, str(named))
    assert command.find() == named


def test_where_it_is_missing_the_message_says_how_to_get_it_and_nothing_is_fetched_unasked(
    nowhere: Path,
) -> None:
    asked: list[str] = []
    for ask in (None, lambda text: bool(asked.append(text))):
        with pytest.raises(command.NoEngine, match=r"is missing.*\n.*KDEPLOY_PULUMI"):
            command.command(ask)
    assert len(asked) == 1
    assert not command.root().exists()


def test_where_nobody_can_be_asked_a_variable_agrees_that_it_is_fetched(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    class Automation:
        class PulumiCommand:
            @staticmethod
            def install(root: str) -> None:
                fetched.append(root)
                program(Path(root) / "bin" / "pulumi", "v3.259.0")

    monkeypatch.setattr(command, "_automation", lambda: Automation)
    monkeypatch.setenv(command.FETCH, "0")
    with pytest.raises(command.NoEngine, match="KDEPLOY_FETCH_PULUMI=1 agrees to that elsewhere"):
        command.command()
    monkeypatch.setenv(command.FETCH, "1")
    assert command.command().command == str(command.root() / "bin" / "pulumi")
    assert fetched == [str(command.root())]


@pytest.mark.parametrize(
    ("says", "wrong"),
    [
        ("v3.100.0", "too old: it is 3.100.0"),
        ("v4.0.0", "of a later major version: it is 4.0.0"),
        ("hello", "no Pulumi CLI"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_what_is_wrong_and_what_is_needed(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, says: str, wrong: str
) -> None:
    monkeypatch.setenv(command.VARIABLE, str(program(nowhere / says, says)))
    with pytest.raises(command.NoEngine, match=wrong) as caught:
        command.command()
    assert "3.206.0" in str(caught.value)


def test_a_name_that_leads_nowhere_is_refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(command.VARIABLE, str(nowhere / "gone"))
    with pytest.raises(command.NoEngine, match=r"names .*gone, which is no program"):
        command.command()
