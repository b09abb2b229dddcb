"""GitLab's pipeline as written: two pushes to a merge request, the merge, what follows, on a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e import ports
from tests.e2e.pipelines.gitlab import Pipeline
from tests.e2e.pipelines.machine import Machine, Repository, environment, meddle, repository
from tests.pipelines import hub
from tests.pipelines.hub import TOKEN, Hub

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1800)]
"""A whole life of a cluster, in a dozen jobs, is one test."""

NAME = "depot"
FILE = f"environments/{NAME}/environment.yaml"
SECRET = "correct horse battery staple 78"

Run = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def team(runner: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """A team's repository, with the pipeline as `kdeploy pipeline show` prints it for their environment."""
    made = repository(tmp_path_factory.mktemp("team") / "repository")
    made.commit({FILE: environment("local-kraft", ports.GITLAB), "README.md": "Our Kafka\n"})
    runner.shell('pip install --quiet "kdeploy[local]"', made.folder, runner.variables())
    code, shown = runner.kdeploy(made.folder, "pipeline", "show", "gitlab", NAME)
    assert code == 0
    sound = made.commit({".gitlab-ci.yml": shown})
    yield made
    made.git("checkout", "--quiet", "--force", "--detach", sound)
    runner.kdeploy(made.folder, "down", NAME, "--delete-data", "--yes")


@pytest.fixture(scope="module")
def forge() -> Iterator[Hub]:
    with hub.gitlab() as there:
        for number in range(130):
            there.say(f"Talk {number} about something else")
        yield there


@pytest.fixture(scope="module")
def run(runner: Machine, team: Repository, forge: Hub) -> Run:
    def one(source: str, commit: str, *, fork: bool = False) -> Pipeline:
        of_request = source == "merge_request_event"
        predefined = {
            "CI_PIPELINE_SOURCE": source,
            "CI_COMMIT_BRANCH": "" if of_request else "main",
            "CI_DEFAULT_BRANCH": "main",
            "CI_COMMIT_SHA": commit,
            "CI_API_V4_URL": forge.api,
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_IID": "12" if of_request else "",
            "CI_MERGE_REQUEST_PROJECT_ID": "5" if of_request else "",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": ("6" if fork else "5") if of_request else "",
            "CI_PIPELINE_URL": "https://forge.test/pipelines/99",
        }
        given = {"KDEPLOY_VAULT_PASSWORD": SECRET, "KDEPLOY_GITLAB_TOKEN": TOKEN}
        found = Pipeline(runner, team, commit, predefined, given)
        found.run()
        return found

    return one


def ours(forge: Hub) -> list[str]:
    return [one["body"] for one in forge.comments if one["body"].startswith("<!-- kdeploy")]


def test_from_a_merge_request_to_a_cluster_and_on(
    runner: Machine, team: Repository, forge: Hub, run: Run
) -> None:
    team.git("switch", "--quiet", "--create", "change")
    first = run("merge_request_event", team.edit(FILE, "partitions: 6", "partitions: 7"))
    assert first.results == {"validate": "success", "preview": "success", "comment": "success"}
    (before,) = ours(forge)
    assert before.startswith(f"<!-- kdeploy preview {NAME} -->\n")
    assert "broker-1" in before

    wider = team.edit(FILE, "racks: [a, b, c]", "racks: [a, b, c, d]")
    second = run("merge_request_event", wider)
    assert second.results == {"validate": "success", "preview": "success", "comment": "success"}
    (after,) = ours(forge)
    assert wider[:12] in after
    assert "broker-4" in after
    assert "broker-4" not in before

    team.git("revert", "--no-edit", "HEAD")
    team.git("switch", "--quiet", "main")
    team.git("merge", "--quiet", "--no-edit", "change")
    up = run("push", team.git("rev-parse", "HEAD"))
    assert up.results == {"validate": "success", "preview": "success", "up": "success"}
    assert runner.kdeploy(team.folder, "status", NAME)[0] == 0

    quiet = run("merge_request_event", team.edit(FILE, "Both can run at once", "Both can run"))
    assert quiet.results["comment"] == "success"
    (nothing,) = ours(forge)
    assert "Nothing to do" in nothing

    def night() -> Pipeline:
        return run("schedule", team.git("rev-parse", "HEAD"))

    assert night().results == {"drift": "success"}
    meddle(runner, team.folder, NAME)
    drifted = night()
    assert drifted.results == {"drift": "failure"}
    assert "retention.ms" in drifted.reports["drift"]
    assert "1234567" in drifted.reports["drift"]
    back = run("push", team.git("rev-parse", "HEAD"))
    assert back.results == {"validate": "success", "preview": "success", "up": "success"}
    assert night().results == {"drift": "success"}

    wrong = run("merge_request_event", team.edit(FILE, 'version: "4.3.1"', 'version: "3.9.2"'))
    assert wrong.results == {"validate": "success", "preview": "failure", "comment": "success"}
    (failed,) = ours(forge)
    assert "failed with exit code 2" in failed

    invalid = run("push", team.edit(FILE, "partitions: 7", "partitions: seven"))
    assert invalid.results == {"validate": "failure", "preview": "skipped", "up": "skipped"}
    everything = "".join([*runner.said, *ours(forge)])
    assert SECRET not in everything
    assert TOKEN not in everything


def test_a_fork_s_merge_request_is_validated_and_sees_no_cluster(
    team: Repository, run: Run, forge: Hub
) -> None:
    team.git("switch", "--quiet", "--detach", "HEAD~2")
    before = len(forge.asked)
    found = run("merge_request_event", team.git("rev-parse", "HEAD"), fork=True)
    assert found.results == {"validate": "success"}
    assert len(forge.asked) == before
