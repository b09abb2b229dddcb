"""The documents say what the commands say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from kdeploy.cli import COMMANDS, kdeploy

ROOT = Path(__file__).parents[1]
GENERATED = runpy.run_path(str(ROOT / "docs" / "generate.py"))["documents"]()


@pytest.mark.parametrize("path", sorted(GENERATED), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_document_is_current(path: Path) -> None:
    assert path.read_text() == GENERATED[path], "run `make docs`"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_each_command_has_a_real_example(name: str) -> None:
    shown = CliRunner().invoke(kdeploy, [name, "--help"], terminal_width=80).stdout
    assert re.search(rf"Example: kdeploy {name}\b", shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_every_exit_code_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for code in range(8):
        assert re.search(rf"^\| {code} \|", readme, re.MULTILINE)


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target
