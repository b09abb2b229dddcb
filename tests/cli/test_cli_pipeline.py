"""`pipeline`, and `plan --check` over all environments, as a person or a job runs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy import cli

SHIPPED = Path(__file__).parents[2] / "environments"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run kdeploy in an empty folder, in no pipeline: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITLAB_CI", raising=False)

    def kdeploy(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["kdeploy", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int | None)
        return code or 0, shown.out, shown.err

    return kdeploy


def have(*names: str) -> None:
    for name in names:
        shutil.copytree(SHIPPED / name, Path("environments") / name)


def test_a_pipeline_is_for_every_environment_here_that_is_not_of_this_machine(run: Run) -> None:
    have("prod-eu", "datacenter-zk", "local")
    code, out, err = run("pipeline", "show", "github")
    assert (code, err) == (0, "")
    assert "ENVIRONMENTS: datacenter-zk prod-eu  #" in out
    assert "KDEPLOY_EXTRAS: aws,hosts  #" in out


def test_a_pipeline_is_for_the_environments_that_are_named(run: Run) -> None:
    have("prod-eu", "local")
    code, out, _ = run("pipeline", "show", "gitlab", "local")
    assert code == 0
    assert "ENVIRONMENT: [local]  #" in out
    assert "KDEPLOY_EXTRAS: local  #" in out


def test_where_there_is_no_environment_the_pipeline_is_shown_as_shipped_and_said_so(run: Run) -> None:
    code, out, err = run("pipeline", "show", "github")
    assert code == 0
    assert "ENVIRONMENTS: prod-eu  #" in out
    assert "there is no environment here" in err


@pytest.mark.parametrize("command", ["comment", "issue"])
def test_outside_of_a_pipeline_nothing_is_told(run: Run, command: str) -> None:
    Path("text.md").write_text("one change")
    code, _, err = run("pipeline", command, "prod-eu", "text.md", "--exit-code", "4")
    assert code == 2
    assert "this is no job of GitHub Actions or GitLab CI" in err


def test_an_issue_in_gitlab_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text.md").write_text("one change")
    for name, value in (
        ("GITLAB_CI", "true"),
        ("KDEPLOY_GITLAB_TOKEN", "x"),
        ("CI_API_V4_URL", "https://g.test"),
    ):
        monkeypatch.setenv(name, value)
    code, _, err = run("pipeline", "issue", "prod-eu", "text.md", "--exit-code", "4")
    assert code == 2
    assert "issues are kept in GitHub alone" in err


def test_the_locks_of_all_environments_are_checked_at_once(run: Run) -> None:
    have("prod-eu", "datacenter-kraft", "local")
    for name in ("prod-eu", "datacenter-kraft"):
        assert run("plan", name, "--lock")[0] == 0
    code, out, err = run("plan", "--check")
    assert (code, err) == (0, "")
    assert out == (
        "OK datacenter-kraft (environments/datacenter-kraft/lock.yaml)\nOK prod-eu (environments/prod-eu/lock.yaml)\n"
    )


def test_a_lock_that_is_older_than_its_environment_is_named_with_what_to_do(run: Run) -> None:
    have("prod-eu", "datacenter-kraft")
    assert run("plan", "prod-eu", "--lock")[0] == 0
    code, out, err = run("plan", "--check")
    assert code == 4
    assert out == "OK prod-eu (environments/prod-eu/lock.yaml)\n"
    assert "environments/datacenter-kraft/lock.yaml: there was no lock yet" in err
    assert "kdeploy plan datacenter-kraft --lock" in err


def test_where_there_is_no_environment_there_is_no_lock_to_check(run: Run) -> None:
    code, _, err = run("plan", "--check")
    assert code == 2
    assert "there is no environment here" in err


@pytest.mark.parametrize("words", [("--check", "--lock"), ("--check", "--throughput", "1MB/s"), ("--lock",)])
def test_what_needs_one_environment_still_asks_for_it(run: Run, words: tuple[str, ...]) -> None:
    code, _, err = run("plan", *words)
    assert code == 2
    assert "need an environment" in err
