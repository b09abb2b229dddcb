"""GitHub's workflow as written: two pushes to a pull request, the merge, what follows, on a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e import ports
from tests.e2e.pipelines.actions import Actions
from tests.e2e.pipelines.machine import Machine, Repository, environment, meddle, repository
from tests.pipelines import hub
from tests.pipelines.hub import TOKEN, Hub

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1800)]
"""A whole life of a cluster, in a dozen jobs, is one test."""

NAME = "shop"
FILE = f"environments/{NAME}/environment.yaml"
WORKFLOW = ".github/workflows/kdeploy.yml"
SECRET = "correct horse battery staple 77"

Run = Callable[..., Actions]


@pytest.fixture(scope="module")
def team(runner: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """A team's repository, with the workflow as `kdeploy pipeline show` prints it for their environment."""
    made = repository(tmp_path_factory.mktemp("team") / "repository")
    made.commit({FILE: environment("local-kraft", ports.GITHUB), "README.md": "Our Kafka\n"})
    runner.shell('pip install --quiet "kdeploy[local]"', made.folder, runner.variables())
    code, shown = runner.kdeploy(made.folder, "pipeline", "show", "github", NAME)
    assert code == 0
    sound = made.commit({WORKFLOW: shown})
    yield made
    made.git("checkout", "--quiet", "--force", "--detach", sound)
    runner.kdeploy(made.folder, "down", NAME, "--delete-data", "--yes")


@pytest.fixture(scope="module")
def forge() -> Iterator[Hub]:
    with hub.github() as there:
        for number in range(130):
            there.say(f"Talk {number} about something else")
        yield there


@pytest.fixture(scope="module")
def run(runner: Machine, team: Repository, forge: Hub) -> Run:
    def one(event: str, commit: str, *, fork: bool = False) -> Actions:
        request = {
            "number": 12,
            "head": {"sha": commit, "repo": {"full_name": "eve/kafka" if fork else "acme/kafka"}},
        }
        of_request = event == "pull_request"
        github = {
            "event_name": event,
            "event": {"pull_request": request} if of_request else {},
            "repository": "acme/kafka",
            "ref": "refs/pull/12/merge" if of_request else "refs/heads/main",
            "sha": commit,
            "run_id": 99,
            "token": TOKEN,
        }
        secrets = {} if fork else {"KDEPLOY_VAULT_PASSWORD": SECRET}
        found = Actions(runner, team, commit, github, secrets, {"GITHUB_API_URL": forge.api})
        found.run()
        return found

    return one


def ours(forge: Hub) -> list[str]:
    return [one["body"] for one in forge.comments if one["body"].startswith("<!-- kdeploy")]


def test_from_a_pull_request_to_a_cluster_and_on(
    runner: Machine, team: Repository, forge: Hub, run: Run
) -> None:
    team.git("switch", "--quiet", "--create", "change")
    first = run("pull_request", team.edit(FILE, "partitions: 6", "partitions: 7"))
    assert first.results == {
        "validate": "success",
        "preview": "success",
        "comment": "success",
        "up": "skipped",
        "drift": "skipped",
        "issue": "skipped",
    }
    assert first.granted["comment"] == {"pull-requests": "write"}
    (before,) = ours(forge)
    assert before.startswith(f"<!-- kdeploy preview {NAME} -->\n")
    assert "broker-1" in before
    assert "broker-1" in first.summaries

    second_commit = team.edit(FILE, "racks: [a, b, c]", "racks: [a, b, c, d]")
    second = run("pull_request", second_commit)
    assert second.results["comment"] == "success"
    (after,) = ours(forge)
    assert second_commit[:12] in after
    assert "broker-4" in after
    assert "broker-4" not in before

    team.git("revert", "--no-edit", "HEAD")
    team.git("switch", "--quiet", "main")
    team.git("merge", "--quiet", "--no-edit", "change")
    merged = team.git("rev-parse", "HEAD")
    up = run("push", merged)
    assert up.results == {
        "validate": "success",
        "preview": "success",
        "up": "success",
        "comment": "skipped",
        "drift": "skipped",
        "issue": "skipped",
    }
    assert runner.kdeploy(team.folder, "status", NAME)[0] == 0
    assert len(ours(forge)) == 1

    quiet = run("pull_request", team.edit(FILE, "Both can run at once", "Both can run"))
    assert quiet.results["comment"] == "success"
    (nothing,) = ours(forge)
    assert "Nothing to do" in nothing

    again = run("push", team.git("rev-parse", "HEAD"))
    assert again.results["up"] == "success"
    assert any("nothing to do" in said for said in runner.said[-4:])

    def night() -> list[str]:
        found = run("schedule", team.git("rev-parse", "HEAD"))
        assert {found.results[one] for one in ("validate", "drift", "issue")} == {"success"}
        return [one["state"] for one in forge.issues]

    assert night() == []
    meddle(runner, team.folder, NAME)
    assert night() == ["open"]
    assert "retention.ms" in forge.issues[0]["body"]
    assert run("push", team.git("rev-parse", "HEAD")).results["up"] == "success"
    assert night() == ["closed"]

    wrong = run("pull_request", team.edit(FILE, 'version: "4.3.1"', 'version: "3.9.2"'))
    assert wrong.results["preview"] == "failure"
    assert wrong.results["comment"] == "success"
    (failed,) = ours(forge)
    assert "failed with exit code 2" in failed

    invalid = run("push", team.edit(FILE, "partitions: 7", "partitions: seven"))
    assert invalid.results == {
        **dict.fromkeys(["preview", "comment", "up", "drift", "issue"], "skipped"),
        "validate": "failure",
    }
    everything = "".join([*runner.said, *ours(forge), up.summaries, first.summaries])
    assert SECRET not in everything
    assert TOKEN not in everything


def test_a_fork_s_pull_request_is_validated_and_sees_no_cluster(
    team: Repository, run: Run, forge: Hub
) -> None:
    team.git("switch", "--quiet", "--detach", "HEAD~2")
    before = len(forge.asked)
    found = run("pull_request", team.git("rev-parse", "HEAD"), fork=True)
    assert found.results == {
        **dict.fromkeys(["preview", "comment", "up", "drift", "issue"], "skipped"),
        "validate": "success",
    }
    assert len(forge.asked) == before
