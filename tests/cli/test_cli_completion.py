"""The shell completes commands and environments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shipped import SHIPPED

KDEPLOY = Path(sys.executable).with_name("kdeploy")
ROOT = Path(__file__).parents[2]


def completions(words: str) -> set[str]:
    environment = {
        **os.environ,
        "_KDEPLOY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    run = subprocess.run(
        [str(KDEPLOY)], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return {line.partition(",")[2] for line in run.stdout.splitlines()}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("kdeploy sta", {"status"}),
        (
            "kdeploy up local",
            {one for one in SHIPPED if one.startswith("local")},
        ),
        ("kdeploy plan prod", {"prod-eu", "prod-us-kraft"}),
        ("kdeploy plan --zon", {"--zones"}),
    ],
)
def test_what_was_begun_is_completed(words: str, found: set[str]) -> None:
    assert completions(words) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    environment = {**os.environ, "_KDEPLOY_COMPLETE": f"{shell}_source"}
    run = subprocess.run([str(KDEPLOY)], env=environment, capture_output=True, text=True, check=True)
    assert "_kdeploy_completion" in run.stdout
