"""One comment a pull request and environment, one issue a drift, whatever runs how often."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdeploy.errors import UsageError
from kdeploy.pipelines import forge, telling
from tests.pipelines import hub
from tests.pipelines.hub import TOKEN, Hub

MARK = "<!-- kdeploy preview prod-eu -->"


@pytest.fixture
def github() -> Iterator[Hub]:
    with hub.github() as there:
        yield there


@pytest.fixture
def gitlab() -> Iterator[Hub]:
    with hub.gitlab() as there:
        yield there


def in_github(there: Hub, folder: Path, **more: str) -> forge.GitHub:
    """Ourselves in a job of GitHub Actions, for pull request 12."""
    event = folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 12, "head": {"sha": "5eed" * 10}}}))
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": there.api,
        "GITHUB_REPOSITORY": "acme/kafka",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "0bad" * 10,
        "GITHUB_SERVER_URL": "https://forge.test",
        "GITHUB_RUN_ID": "99",
        "GITHUB_TOKEN": TOKEN,
    }
    found = forge.here({**variables, **more})
    assert isinstance(found, forge.GitHub)
    return found


def in_gitlab(there: Hub, **more: str) -> forge.GitLab:
    """Ourselves in a job of GitLab CI, for merge request 12."""
    variables = {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": there.api,
        "CI_PROJECT_ID": "5",
        "CI_MERGE_REQUEST_IID": "12",
        "CI_COMMIT_SHA": "5eed" * 10,
        "CI_PIPELINE_URL": "https://forge.test/pipelines/99",
        "KDEPLOY_GITLAB_TOKEN": TOKEN,
    }
    found = forge.here({**variables, **more})
    assert isinstance(found, forge.GitLab)
    return found


@pytest.fixture(params=["github", "gitlab"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Hub, forge.Forge]:
    there: Hub = request.getfixturevalue(request.param)
    return there, in_github(there, tmp_path) if request.param == "github" else in_gitlab(there)


Place = tuple[Hub, forge.Forge]


def test_the_first_preview_makes_a_comment_and_the_second_updates_it(place: Place) -> None:
    there, here = place
    assert telling.preview(here, "prod-eu", "one change", 4).what == "created"
    assert telling.preview(here, "prod-eu", "two changes", 4).what == "updated"
    (only,) = there.comments
    assert only["body"].startswith(f"{MARK}\ntwo changes\n")


def test_our_comment_is_found_behind_more_than_a_page_of_others(place: Place) -> None:
    there, here = place
    telling.preview(here, "prod-eu", "one change", 4)
    there.comments[:0] = [{**there.say(f"talk {number}")} for number in range(230)]
    del there.comments[231:]
    assert telling.preview(here, "prod-eu", "two changes", 4).what == "updated"
    assert len([one for one in there.comments if MARK in one["body"]]) == 1


def test_where_nothing_is_to_do_no_comment_is_made_but_an_old_one_says_so(place: Place) -> None:
    there, here = place
    assert telling.preview(here, "prod-eu", "Nothing to do", 0).what == "none"
    assert there.comments == []
    telling.preview(here, "prod-eu", "one change", 4)
    assert telling.preview(here, "prod-eu", "Nothing to do", 0).what == "updated"
    assert "Nothing to do" in there.comments[0]["body"]


def test_each_environment_has_a_comment_of_its_own(place: Place) -> None:
    there, here = place
    for name in ("prod-eu", "prod", "prod-eu"):
        telling.preview(here, name, f"change of {name}", 4)
    assert [one["body"].splitlines()[0] for one in there.comments] == [MARK, "<!-- kdeploy preview prod -->"]


def test_what_is_said_already_is_not_written_again(place: Place) -> None:
    there, here = place
    telling.preview(here, "prod-eu", "one change", 4)
    assert telling.preview(here, "prod-eu", "one change", 4).what == "unchanged"
    assert len(there.writes()) == 1


def test_a_person_s_text_with_our_marker_is_left_alone(place: Place) -> None:
    there, here = place
    theirs = there.say(f"{MARK}\nnothing to see here")
    assert telling.preview(here, "prod-eu", "one change", 4).what == "created"
    assert theirs["body"] == f"{MARK}\nnothing to see here"


def test_a_marker_that_kdeploy_printed_itself_is_not_doubled(place: Place) -> None:
    there, here = place
    telling.preview(here, "prod-eu", f"{MARK}\none change", 4)
    assert there.comments[0]["body"].count(MARK) == 1


def test_a_preview_that_failed_is_said_with_its_last_words(place: Place) -> None:
    there, here = place
    errors = "x" * 9000 + "\nkdeploy: environments/prod-eu/lock.yaml is older than the environment"
    telling.preview(here, "prod-eu", "", 6, errors)
    body = there.comments[0]["body"]
    assert "failed with exit code 6" in body
    assert body.count("is older than the environment") == 1
    assert len(body) < 9000


def test_the_comment_says_which_commit_it_is_for_and_where_the_log_is(place: Place) -> None:
    there, here = place
    telling.preview(here, "prod-eu", "one change", 4)
    assert "For commit 5eed5eed5eed, from [this run](https://forge.test/" in there.comments[0]["body"]


def test_a_text_that_is_too_long_is_refused_before_it_is_sent(place: Place) -> None:
    there, here = place
    with pytest.raises(UsageError, match="characters, and Git"):
        telling.preview(here, "prod-eu", "x" * here.limit, 4)
    assert there.asked == []


@pytest.mark.parametrize("code", [403, 500])
def test_a_refusal_is_one_message_without_the_token(place: Place, code: int) -> None:
    there, here = place
    there.answer = code
    with pytest.raises(
        forge.ForgeError, match=f"refused GET .*{code}.*not accessible by integration"
    ) as error:
        telling.preview(here, "prod-eu", "one change", 4)
    assert TOKEN not in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_the_token_is_not_carried_to_another_address(place: Place) -> None:
    there, here = place
    with hub.github() as elsewhere:
        there.moved = f"{elsewhere.api}/user"
        with pytest.raises(forge.ForgeError, match="302"):
            telling.preview(here, "prod-eu", "one change", 4)
        assert elsewhere.asked == []


def test_a_forge_that_is_not_there_is_named(tmp_path: Path) -> None:
    with hub.github() as there:
        here = in_github(there, tmp_path)
    with pytest.raises(forge.ForgeError, match=r"GitHub cannot be reached at http://127.0.0.1"):
        telling.preview(here, "prod-eu", "one change", 4)


def test_drift_opens_one_issue_keeps_it_and_closes_it(github: Hub, tmp_path: Path) -> None:
    here = in_github(github, tmp_path)
    request = {"number": 12, "id": 1, "body": "<!-- kdeploy drift prod-eu -->", "user": {"type": "Bot"}}
    github.issues.append({**request, "state": "open", "pull_request": {"url": "…"}})
    said = [
        telling.drift(here, "prod-eu", text, code).what for text, code in (("none", 0), ("a", 4), ("b", 4))
    ]
    assert said == ["none", "created", "updated"]
    assert telling.drift(here, "prod-eu", "", 1).what == "none"
    (issue,) = github.issues[1:]
    assert (issue["title"], issue["state"]) == ("prod-eu differs from git", "open")
    assert issue["body"].startswith("<!-- kdeploy drift prod-eu -->\nb\n")
    assert telling.drift(here, "prod-eu", "no drift", 0).what == "closed"
    assert issue["state"] == "closed"
    assert telling.drift(here, "prod-eu", "again", 4).what == "created"
    assert len(github.issues) == 3


@pytest.mark.parametrize(
    ("lacking", "right"), [("GITHUB_TOKEN", "github.token"), ("GITHUB_REPOSITORY", "GitHub sets it")]
)
def test_what_github_s_job_lacks_is_named(github: Hub, tmp_path: Path, lacking: str, right: str) -> None:
    with pytest.raises(UsageError, match=rf"{lacking} is not set\n.*{right}"):
        in_github(github, tmp_path, **{lacking: ""})


def test_what_gitlab_s_job_lacks_is_named(gitlab: Hub) -> None:
    with pytest.raises(UsageError, match=r"KDEPLOY_GITLAB_TOKEN is not set\n.*scope api"):
        in_gitlab(gitlab, KDEPLOY_GITLAB_TOKEN="")
    with pytest.raises(UsageError, match=r"CI_MERGE_REQUEST_IID is not set"):
        telling.preview(in_gitlab(gitlab, CI_MERGE_REQUEST_IID=""), "prod-eu", "x", 4)


def test_outside_of_a_pipeline_there_is_nobody_to_tell() -> None:
    with pytest.raises(UsageError, match="no job of GitHub Actions or GitLab CI"):
        forge.here({})
