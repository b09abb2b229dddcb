"""Whatever is typed: never a traceback, never exit code 1 for a person's own mistake."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdeploy.cli import COMMANDS, main
from kdeploy.cli.workload import OPTIONS

FLAGS = [flag for flag, _ in OPTIONS]
VALUES = st.one_of(
    st.sampled_from(
        [
            *("", "0", "-1", "1", "3", "nan", "inf", "-inf", "1e999", "10MB/s", "1EB/s", "7d", "0s", "1B"),
            *("lz4", "zone", "none", "kraft", "us-east-1", "eu-nowhere-1", "\0", "ä", "--", "-", "½", "٣"),
        ]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
NAMES = st.one_of(
    st.sampled_from(
        ["", ".", "..", "/", "local", "mine", "no-such", "a/b", "\0", "-x", "x" * 300, "ä ö", "~"]
    ),
    st.text(max_size=8),
)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command, in this process."""
    out, err = StringIO(), StringIO()
    with (
        mock.patch.object(sys, "argv", ["kdeploy", *arguments]),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return int(ended.value.code or 0), err.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A working directory and a state folder of its own, with one environment."""
    place, before = tmp_path_factory.mktemp("flags"), Path.cwd()
    folder = place / "environments" / "mine"
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text("datacenters: [{provider: local}]\n")
    os.chdir(place)
    with mock.patch.dict(os.environ, {"KDEPLOY_STATE_DIR": str(place / "state")}):
        yield
    os.chdir(before)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(FLAGS), VALUES), max_size=4))
def test_plan_answers_any_flags_with_a_plan_a_mistake_or_no_plan(flags: list[tuple[str, str]]) -> None:
    code, err = run("plan", *(word for pair in flags for word in pair))
    assert code in (0, 2, 3), err
    assert "Traceback" not in err
    assert (code == 2) == bool(err.strip()), err


READING = ["plan", "preview", "status", "render", "clients", "validate", "verify", "down"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(READING), NAMES.filter(lambda name: name not in ("local", "mine")))
def test_a_name_that_leads_nowhere_is_a_mistake(command: str, name: str) -> None:
    more = ["--to", "files"] if command == "render" else []
    code, err = run(command, *more, "--", name)
    assert (code, "Traceback" in err, "defect" in err) == (2, False, False), err


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(NAMES, NAMES)
def test_init_makes_an_environment_or_says_what_is_wrong(name: str, origin: str) -> None:
    code, err = run("init", "--from", origin, "--", name)
    assert code in (0, 2), err
    assert "Traceback" not in err


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([name for name in COMMANDS if name != "schema"]),
    st.sampled_from(["--output", "--user", "--to", "--vault-password-file", "--yes", "--no-such", "-x"]),
    VALUES.filter(lambda value: value not in ("text", "json", "markdown")),
)
def test_a_flag_that_is_wrong_is_a_mistake(command: str, flag: str, value: str) -> None:
    code, err = run(command, f"{flag}={value}", "no-such-environment")
    assert (code, "Traceback" in err) == (2, False), err
