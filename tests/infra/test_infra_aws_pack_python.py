"""A policy pack in Python that cannot run is refused before an engine waits for it, with the command that mends it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kdeploy.infra.aws import pack_python
from kdeploy.infra.aws.pack_python import PackLacks, refuse_lacking

HAS_BOTH = "#!/bin/sh\necho\n"
LACKS_ONE = "#!/bin/sh\necho pulumi_policy\n"
LACKS_BOTH = "#!/bin/sh\necho pulumi pulumi_policy\n"
BROKEN = "#!/bin/sh\nexit 3\n"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "house"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: {name: python, options: {virtualenv: venv}}\n")
    return folder


def interpreter(place: Path, said: str, mode: int = 0o755) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(said)
    place.chmod(mode)
    return place


def refused(pack: Path) -> str:
    with pytest.raises(PackLacks) as caught:
        refuse_lacking([pack])
    return str(caught.value)


def test_one_that_has_all_is_let_through_also_by_a_whole_path(pack: Path, tmp_path: Path) -> None:
    interpreter(pack / "venv" / "bin" / "python", HAS_BOTH)
    refuse_lacking([pack])
    elsewhere = interpreter(tmp_path / "other" / "bin" / "python", HAS_BOTH).parents[1]
    (pack / "PulumiPolicy.yaml").write_text(
        f"runtime: {{name: python, options: {{virtualenv: {elsewhere}}}}}\n"
    )
    (pack / "venv" / "bin" / "python").unlink()
    refuse_lacking([pack])


def test_without_its_virtual_environment_the_command_that_makes_it_is_told(pack: Path) -> None:
    said = refused(pack)
    assert said.splitlines() == [
        f"the policy pack house cannot run: there is no Python in {pack}/venv",
        f"  make it: `python3 -m venv {pack}/venv && {pack}/venv/bin/pip install pulumi-policy`",
    ]
    (pack / "requirements.txt").write_text("pulumi-policy\n")
    assert f"install -r {pack}/requirements.txt`" in refused(pack)
    interpreter(pack / "venv" / "bin" / "python", HAS_BOTH, mode=0o644)
    assert "there is no Python in" in refused(pack)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (LACKS_ONE, "lacks the package pulumi_policy"),
        (LACKS_BOTH, "lacks the package pulumi and the package pulumi_policy"),
        (BROKEN, "lacks whatever makes it run"),
    ],
    ids=["one", "both", "broken"],
)
def test_packages_that_are_missing_are_named_with_the_command_that_installs_them(
    pack: Path, said: str, words: str
) -> None:
    python = interpreter(pack / "venv" / "bin" / "python", said)
    told = refused(pack)
    assert f"the policy pack house cannot run: {python} {words}" in told
    assert f"install them: `{pack}/venv/bin/pip install pulumi-policy`" in told


def test_the_first_python_on_path_runs_one_that_names_no_environment(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\n")
    on_path = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.delenv("PULUMI_PYTHON_CMD", raising=False)
    assert "there is no python3 on PATH" in refused(pack)
    interpreter(on_path / "python3", LACKS_ONE)
    monkeypatch.setenv("PATH", f"{on_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    said = refused(pack)
    assert f"{on_path}/python3 lacks the package pulumi_policy" in said
    assert "options: {virtualenv: venv}" in said
    interpreter(on_path / "python3", HAS_BOTH)
    refuse_lacking([pack])
    monkeypatch.setenv("PULUMI_PYTHON_CMD", "python-of-ours")
    assert "there is no python-of-ours on PATH" in refused(pack)


@pytest.mark.parametrize(
    "text",
    [
        "runtime: nodejs\n",
        "runtime: {name: python, options: {toolchain: uv}}\n",
        "runtime: [\n",
        "nothing of it\n",
        "\xff\n",
    ],
)
def test_other_languages_other_installers_and_what_cannot_be_read_are_left_to_the_engine(
    pack: Path, text: str
) -> None:
    (pack / "PulumiPolicy.yaml").write_bytes(text.encode("latin-1"))
    refuse_lacking([pack])


def test_a_lock_of_uv_above_means_that_uv_sees_to_it(pack: Path) -> None:
    (pack.parent / "uv.lock").write_text("")
    refuse_lacking([pack])


def test_a_real_interpreter_answers_the_question() -> None:
    assert pack_python._lacking(sys.executable) in ("", "the package pulumi_policy")
