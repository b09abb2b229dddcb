"""`render` writes every file of every node, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kdeploy.cli.render import render
from kdeploy.errors import InvalidEnvironment


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "environments" / "mine").mkdir(parents=True)
    (folder / "environments" / "mine" / "environment.yaml").write_text(text)


def test_render_writes_every_node_and_says_how_many_files(here: Path) -> None:
    write(here, "datacenters: [{provider: local}]\n")
    result = CliRunner().invoke(render, ["mine", "--to", "out"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "27 files of 6 nodes of mine" in result.output
    assert (here / "out" / "dc1" / "broker-1" / "config" / "server.properties").is_file()
    assert (here / "out" / "dc1" / "zookeeper-3" / "node.json").is_file()


def test_a_misspelt_override_is_refused_at_its_line(here: Path) -> None:
    write(here, "overrides:\n  broker:\n    num.io.threads: 8\n    num.io.thread: 8\n")
    with pytest.raises(InvalidEnvironment) as caught:
        CliRunner().invoke(render, ["mine", "--to", "out"], catch_exceptions=False)
    (problem,) = caught.value.problems
    assert problem.line == 4
    assert problem.right == "did you mean num.io.threads?"
    assert not (here / "out").exists()
