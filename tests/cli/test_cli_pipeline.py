"""`pipeline`, and `plan --check` over all environments, as a person or a job runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy import cli
from kdeploy.errors import KdeployError
from kdeploy.operations import site
from kdeploy.spec.load import Loaded

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


def test_a_pipeline_is_for_every_environment_here_that_is_not_of_this_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "refuse_undeployable", lambda loaded: None)
    have("prod-eu", "datacenter-zk", "local")
    code, out, err = run("pipeline", "show", "github")
    assert (code, err) == (0, "")
    assert "ENVIRONMENTS: datacenter-zk prod-eu  #" in out
    assert "KDEPLOY_EXTRAS: aws,hosts  #" in out


@pytest.fixture
def without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of kdeploy that does not deploy provider aws."""

    def refuse(loaded: Loaded) -> None:
        if any(one.provider == "aws" for one in loaded.environment.datacenters):
            raise KdeployError("datacenter dc1 has provider aws, which this version does not deploy\n  other")

    monkeypatch.setattr(site, "refuse_undeployable", refuse)


@pytest.mark.usefixtures("without_aws")
def test_what_this_version_does_not_deploy_is_left_out_of_the_pipeline_and_said_so(run: Run) -> None:
    have("prod-eu", "datacenter-zk")
    code, out, err = run("pipeline", "show", "github")
    assert code == 0
    assert "ENVIRONMENTS: datacenter-zk  #" in out
    assert err == (
        "warning: prod-eu is left out of it: datacenter dc1 has provider aws, which this version does not deploy\n"
    )


@pytest.mark.usefixtures("without_aws")
@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_what_is_named_and_this_version_does_not_deploy_is_warned_of(run: Run, forge: str) -> None:
    have("prod-eu")
    code, out, err = run("pipeline", "show", forge, "prod-eu")
    assert code == 0
    assert "prod-eu" in out
    assert err.startswith(
        "warning: prod-eu is in it, and its jobs preview, up and drift will fail: datacenter"
    )


def test_a_preview_that_is_printed_for_people_is_saved_for_expect_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdeploy.operations import expected

    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(Path("state").absolute()))
    have("local")
    code, out, _ = run("preview", "local", "--save", "preview.json", "--output", "markdown")
    assert (code, out.splitlines()[0]) == (4, "<!-- kdeploy preview local -->")
    assert len(expected.read(Path("preview.json"), "local").changes) == 6
    code, _, err = run("preview", "local", "--save", "nowhere/preview.json")
    assert (code, err.splitlines()[0]) == (
        2,
        "kdeploy: nowhere/preview.json cannot be written: No such file or directory",
    )


def test_a_dry_run_of_up_is_a_preview_and_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(Path("state").absolute()))
    have("local")
    before = sorted(Path().rglob("*"))
    assert run("up", "local", "--dry-run") == run("preview", "local")
    code, out, _ = run("up", "local", "--dry-run", "--output", "json")
    assert (code, json.loads(out)["pending"]) == (4, True)
    assert sorted(Path().rglob("*")) == before
    Path("saved.json").touch()
    for more in (["--expect", "saved.json"], ["--canary"]):
        code, _, err = run("up", "local", "--dry-run", *more)
        assert (code, f"without {more[0]}: leave one out" in err) == (2, True)


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
