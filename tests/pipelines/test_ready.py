"""The ready files themselves: what they promise can be read in them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdeploy import __version__
from kdeploy.errors import UsageError
from kdeploy.pipelines import ready
from tests.e2e.pipelines import actions, gitlab

SCHEMAS = {
    "github": ["--builtin-schema", "vendor.github-workflows"],
    "gitlab": ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
PINS = {
    "actions/checkout": "v6",
    "actions/setup-python": "v6",
    "actions/cache": "v5",
    "actions/upload-artifact": "v6",
    "actions/download-artifact": "v7",
    "aws-actions/configure-aws-credentials": "v6",
}
GITHUB = actions.read(ready.pipeline("github"))
GITLAB = gitlab.read(ready.pipeline("gitlab"))
CLUSTERS = ("preview", "up", "drift")
"""Jobs that look at a cluster, and so have secrets."""


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in GITHUB["jobs"].items():
        for step in job["steps"]:
            yield name, step


def step(job: str, word: str) -> dict[str, Any]:
    (found,) = [one for name, one in steps() if name == job and word in str(one.get("uses", one.get("run")))]
    return found


@pytest.mark.parametrize("environments", [(), ("a", "b-2")])
@pytest.mark.parametrize("forge", sorted(SCHEMAS))
def test_it_is_what_the_forge_s_published_schema_asks_for(
    forge: str, environments: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.yml"
    file.write_text(ready.pipeline(forge, environments, ("local",)))
    command = [sys.executable, "-m", "check_jsonschema", *SCHEMAS[forge], str(file)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_what_is_filled_in_are_its_three_settings() -> None:
    for forge in SCHEMAS:
        plain, filled = (
            ready.pipeline(forge).splitlines(),
            ready.pipeline(forge, ("a", "b"), ("hosts", "aws")),
        )
        changed = [(old, new) for old, new in zip(plain, filled.splitlines(), strict=True) if old != new]
        assert [re.sub(r" *#.*", "", new).strip() for _, new in changed] == (
            ["ENVIRONMENTS: a b", "KDEPLOY_EXTRAS: aws,hosts"]
            if forge == "github"
            else ["KDEPLOY_EXTRAS: aws,hosts", "- ENVIRONMENT: [a, b]"]
        )
        assert f'KDEPLOY_VERSION: "{__version__}"' in filled


@pytest.mark.parametrize("name", ["a b", "$(id)", "a]", "", "Prod"])
def test_a_name_that_is_none_never_gets_into_a_pipeline(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an environment's name"):
        ready.pipeline("github", (name,))


def test_every_action_is_one_we_know_at_its_major_version() -> None:
    used = {one["uses"] for _, one in steps() if "uses" in one}
    assert used == {f"{name}@{version}" for name, version in PINS.items()}


def test_no_job_may_do_more_than_its_part() -> None:
    assert GITHUB["permissions"] == {}
    looking = {"contents": "read", "id-token": "write"}
    assert {name: job["permissions"] for name, job in GITHUB["jobs"].items()} == {
        "validate": {"contents": "read"},
        "preview": looking,
        "comment": {"pull-requests": "write"},
        "up": looking,
        "drift": looking,
        "issue": {"issues": "write"},
    }


def test_what_may_write_to_the_forge_neither_checks_out_nor_has_a_secret() -> None:
    for job in ("comment", "issue"):
        text = str(GITHUB["jobs"][job])
        assert "actions/checkout" not in text
        assert "secrets." not in text


def test_a_checkout_leaves_no_token_behind() -> None:
    for _, one in steps():
        if one.get("uses", "").startswith("actions/checkout"):
            assert one["with"] == {"persist-credentials": False}


def test_a_job_that_looks_at_a_cluster_asks_aws_for_a_role_by_open_id_connect() -> None:
    for job in CLUSTERS:
        asked = step(job, "aws-actions")
        assert asked["with"]["role-to-assume"] == "${{ vars.KDEPLOY_AWS_ROLE }}"
        assert asked["if"] == "vars.KDEPLOY_AWS_ROLE != ''"
        assert GITLAB[job]["id_tokens"] == {"KDEPLOY_AWS_TOKEN": {"aud": "sts.amazonaws.com"}}
    assert "AWS_SECRET" not in ready.pipeline("github") + ready.pipeline("gitlab")


def test_a_secret_is_in_a_step_s_variables_alone_never_in_its_text() -> None:
    for name, one in steps():
        assert "secrets." not in one.get("run", ""), name
        assert "${{" not in one.get("run", ""), "what others wrote would be run as a program"
    assert "secrets." not in str([job.get("env") for job in GITHUB["jobs"].values()])


def test_two_ups_never_run_at_once_and_none_is_ended_halfway() -> None:
    up = GITHUB["jobs"]["up"]["concurrency"]
    assert up == {"group": "kdeploy-up-${{ matrix.environment }}", "cancel-in-progress": False}
    assert GITHUB["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert GITLAB["up"]["resource_group"] == "kdeploy-$ENVIRONMENT"
    assert GITLAB["up"]["interruptible"] is False


def test_up_carries_out_what_the_preview_of_its_own_run_has_saved_and_nothing_else() -> None:
    names = [one.get("name", one.get("uses")) for one in GITHUB["jobs"]["up"]["steps"]]
    assert names.index("actions/download-artifact@v7") + 1 == names.index("Up")
    assert (
        step("up", "actions/download-artifact")["with"]["name"]
        == step("preview", "actions/upload-artifact")["with"]["name"]
    )
    (up,) = [one["run"] for one in GITHUB["jobs"]["up"]["steps"] if one.get("name") == "Up"]
    assert "--expect preview/preview.json" in up
    assert any(
        "--save preview/preview.json" in one.get("run", "") for one in GITHUB["jobs"]["preview"]["steps"]
    )
    saved = 'preview/$ENVIRONMENT/preview.json"'
    assert f'--save "{saved}' in str(GITLAB["preview"]["script"])
    assert f'--expect "{saved}' in str(GITLAB["up"]["script"])


def test_runs_on_main_go_one_after_the_other_so_that_none_previews_what_another_is_changing() -> None:
    group = GITHUB["concurrency"]["group"]
    request = {"pull_request": {"number": 12}}
    for event, content, expected in (
        ("push", {}, "kdeploy-refs/heads/main"),
        ("workflow_dispatch", {}, "kdeploy-refs/heads/main"),
        ("schedule", {}, "kdeploy-99"),
        ("pull_request", request, "kdeploy-12"),
    ):
        github = {"event_name": event, "event": content, "ref": "refs/heads/main", "run_id": 99}
        assert actions.filled(group, {"github": github}) == expected


def test_python_and_kafka_are_kept_between_runs() -> None:
    for job in ("validate", *CLUSTERS):
        assert step(job, "actions/setup-python")["with"]["cache"] == "pip"
    assert step("up", "actions/cache")["with"]["path"] == "~/.cache/kdeploy"
    assert GITLAB["up"]["cache"]["paths"] == [".cache/"]
    assert GITLAB["variables"]["KDEPLOY_CACHE_DIR"] == "$CI_PROJECT_DIR/.cache/kdeploy"


def of_request(repository: str, author: str) -> dict[str, Any]:
    return {"pull_request": {"head": {"repo": {"full_name": repository}}, "user": {"login": author}}}


@pytest.mark.parametrize(
    ("event", "content", "ref", "expected"),
    [
        (
            "pull_request",
            of_request("acme/kafka", "ann"),
            "refs/pull/1/merge",
            {"validate", "preview", "comment"},
        ),
        ("pull_request", of_request("eve/kafka", "eve"), "refs/pull/1/merge", {"validate"}),
        ("pull_request", of_request("acme/kafka", "dependabot[bot]"), "refs/pull/1/merge", {"validate"}),
        ("push", {}, "refs/heads/main", {"validate", "preview", "up"}),
        ("workflow_dispatch", {}, "refs/heads/main", {"validate", "preview", "up"}),
        ("workflow_dispatch", {}, "refs/heads/try", {"validate", "preview"}),
        ("schedule", {}, "refs/heads/main", {"validate", "drift", "issue"}),
    ],
)
def test_each_event_runs_its_jobs_and_no_others(
    event: str, content: dict[str, Any], ref: str, expected: set[str]
) -> None:
    assert jobs_of(event, content, ref, failing="") == expected


@pytest.mark.parametrize(
    ("failing", "expected"),
    [("validate", {"validate"}), ("preview", {"validate", "preview", "comment"})],
)
def test_after_a_failure_people_are_told_and_nothing_else_is_done(failing: str, expected: set[str]) -> None:
    content = of_request("acme/kafka", "ann")
    assert jobs_of("pull_request", content, "refs/pull/1/merge", failing) == expected
    assert "up" not in jobs_of("push", {}, "refs/heads/main", failing)


def jobs_of(event: str, content: dict[str, Any], ref: str, failing: str) -> set[str]:
    """The jobs that run on an event, where one of them fails."""
    github = {"event_name": event, "event": content, "ref": ref, "repository": "acme/kafka"}
    results: dict[str, str] = {}
    for name, job in GITHUB["jobs"].items():
        needed = job.get("needs", [])
        names = [needed] if isinstance(needed, str) else needed
        needs = {one: {"result": results[one]} for one in names}
        good = all(one["result"] == "success" for one in needs.values())
        status = {"success": good, "failure": not good, "always": True, "cancelled": False}
        runs = actions.holds(job.get("if", "success()"), {"github": github, "needs": needs}, status)
        results[name] = ("failure" if name == failing else "success") if runs else "skipped"
    return {name for name, result in results.items() if result != "skipped"}
