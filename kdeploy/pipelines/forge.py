"""GitHub and GitLab over their REST APIs: texts on the pull request, merge request or issue of a pipeline.

Invariant: the token goes to the API's own address alone (redirects are not followed, a next page elsewhere is
refused), and is in no error.

Sources, read 2026-11-26: GitHub REST API version 2022-11-28, "Issue comments", "Issues" and "Using pagination";
GitLab REST API v4, "Notes API" and "Pagination". Both give 100 entries a page at most and name the next page in
the Link header.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from kdeploy.errors import KdeployError, UsageError

PATIENCE: Final = 30.0
"""Seconds that one answer may take."""

GITHUB_LIMIT: Final = 65_536
"""Characters of one comment or issue that GitHub takes: it answers "Body is too long (maximum is 65536
characters)" (github/community discussion 27190)."""

GITLAB_LIMIT: Final = 1_000_000
"""Characters of one note that GitLab takes (GitLab docs, "Application limits", size of comments)."""


class ForgeError(KdeployError):
    """The forge refused something, or cannot be reached."""


@dataclass(frozen=True)
class Text:
    """A comment, note or issue.

    Attributes:
        id: What the forge calls it.
        body: Its markdown.
        url: Where a person reads it; empty where the forge does not say.
        ours: Whether a machine of ours can have written it: a person's text is never changed.
    """

    id: int
    body: str
    url: str
    ours: bool


@dataclass(frozen=True)
class Run:
    """The run of the pipeline that speaks.

    Attributes:
        commit: What it looked at; as people know it, not the merge that GitHub makes for a test.
        url: Where a person reads its log.
    """

    commit: str
    url: str


class Forge(Protocol):
    """A host of repositories, as seen from one run of a pipeline."""

    name: str
    limit: int

    @property
    def run(self) -> Run:
        """The run that speaks."""
        ...

    def comments(self) -> Iterator[Text]:
        """All comments of the pull request, oldest first."""
        ...

    def comment(self, body: str) -> Text:
        """Write a new comment."""
        ...

    def rewrite_comment(self, text: Text, body: str) -> Text:
        """Give a comment another body."""
        ...


def here(variables: Mapping[str, str] = os.environ) -> GitHub | GitLab:
    """The forge whose pipeline runs this process.

    Raises:
        UsageError: None does, or it lacks what is needed to speak to it.
    """
    if variables.get("GITHUB_ACTIONS") == "true":
        return GitHub(variables)
    if variables.get("GITLAB_CI") == "true":
        return GitLab(variables)
    raise UsageError(
        "this is no job of GitHub Actions or GitLab CI\n"
        "  it is for the pipelines that `kdeploy pipeline show` prints; there is nobody to tell here"
    )


class GitHub:
    """GitHub, from a job of GitHub Actions.

    Comments of people are never ours: the token of a job writes as a bot.
    """

    name = "GitHub"
    limit = GITHUB_LIMIT

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        token = _needed(variables, "GITHUB_TOKEN", "give the step `GITHUB_TOKEN: ${{ github.token }}`")
        self._api = _Api(
            self.name,
            _needed(variables, "GITHUB_API_URL", "GitHub's runner sets it"),
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        self._repository = f"/repos/{_needed(variables, 'GITHUB_REPOSITORY', 'GitHub sets it')}"

    @property
    def run(self) -> Run:
        """The commit is the pull request's own, where there is one."""
        request = self._event().get("pull_request", {})
        server, number = (
            self._variables.get("GITHUB_SERVER_URL", ""),
            self._variables.get("GITHUB_RUN_ID", ""),
        )
        repository = self._variables["GITHUB_REPOSITORY"]
        url = f"{server}/{repository}/actions/runs/{number}" if server and number else ""
        return Run(request.get("head", {}).get("sha", self._variables.get("GITHUB_SHA", "")), url)

    def comments(self) -> Iterator[Text]:
        """All comments of the pull request."""
        return map(_github_text, self._api.pages(f"{self._repository}/issues/{self._number()}/comments"))

    def comment(self, body: str) -> Text:
        """Write a new comment; needs the permission pull-requests: write."""
        path = f"{self._repository}/issues/{self._number()}/comments"
        return _github_text(self._api.ask("POST", path, {"body": body}))

    def rewrite_comment(self, text: Text, body: str) -> Text:
        """Give a comment another body."""
        path = f"{self._repository}/issues/comments/{text.id}"
        return _github_text(self._api.ask("PATCH", path, {"body": body}))

    def issues(self) -> Iterator[Text]:
        """All open issues; GitHub lists pull requests among them, which are left out."""
        found = self._api.pages(f"{self._repository}/issues", "state=open&")
        return (_github_text(one) for one in found if "pull_request" not in one)

    def issue(self, title: str, body: str) -> Text:
        """Open an issue; needs the permission issues: write."""
        found = self._api.ask("POST", f"{self._repository}/issues", {"title": title, "body": body})
        return _github_text(found)

    def rewrite_issue(self, text: Text, body: str, *, close: bool = False) -> Text:
        """Give an open issue another body, and close it where asked."""
        new = {"body": body, **({"state": "closed", "state_reason": "completed"} if close else {})}
        return _github_text(self._api.ask("PATCH", f"{self._repository}/issues/{text.id}", new))

    def _event(self) -> dict[str, Any]:
        file = self._variables.get("GITHUB_EVENT_PATH", "")
        found = json.loads(Path(file).read_text()) if file else {}
        return found if isinstance(found, dict) else {}

    def _number(self) -> int:
        number = self._event().get("pull_request", {}).get("number")
        if not isinstance(number, int):
            raise UsageError("this run is not of a pull request\n  run it on the event pull_request")
        return number


class GitLab:
    """GitLab, from a job of GitLab CI; the token's own user is who we are."""

    name = "GitLab"
    limit = GITLAB_LIMIT

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        right = "make an access token with scope api and role Reporter, and give it as a masked variable"
        token = _needed(variables, "KDEPLOY_GITLAB_TOKEN", right)
        api = _needed(variables, "CI_API_V4_URL", "GitLab's runner sets it")
        self._api = _Api(self.name, api, {"PRIVATE-TOKEN": token})

    @property
    def run(self) -> Run:
        """The commit and pipeline of this job."""
        return Run(self._variables.get("CI_COMMIT_SHA", ""), self._variables.get("CI_PIPELINE_URL", ""))

    def comments(self) -> Iterator[Text]:
        """All notes of the merge request, oldest first."""
        me = self._api.ask("GET", "/user")["id"]
        for one in self._api.pages(self._notes(), "sort=asc&order_by=created_at&"):
            yield Text(one["id"], one["body"], "", one["author"]["id"] == me)

    def comment(self, body: str) -> Text:
        """Write a new note."""
        found = self._api.ask("POST", self._notes(), {"body": body})
        return Text(found["id"], found["body"], "", ours=True)

    def rewrite_comment(self, text: Text, body: str) -> Text:
        """Give a note another body."""
        found = self._api.ask("PUT", f"{self._notes()}/{text.id}", {"body": body})
        return Text(found["id"], found["body"], "", ours=True)

    def _notes(self) -> str:
        project = _needed(self._variables, "CI_PROJECT_ID", "GitLab's runner sets it")
        right = "run it in a pipeline of a merge request"
        number = _needed(self._variables, "CI_MERGE_REQUEST_IID", right)
        return f"/projects/{project}/merge_requests/{number}/notes"


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow none."""


class _Api:
    """JSON over HTTP, to one address.

    Args:
        name: The forge's, for messages.
        address: What every path begins with.
        headers: Sent with each request; they hold the token.
    """

    def __init__(self, name: str, address: str, headers: Mapping[str, str]) -> None:
        if not address.startswith(("https://", "http://")):
            raise UsageError(
                f"{address!r} is not the address of {name}'s API\n  its runner gives one with https"
            )
        self._name, self._address = name, address.rstrip("/")
        self._headers = {**headers, "User-Agent": "kdeploy", "Content-Type": "application/json"}
        self._opener = urllib.request.build_opener(_Stay)

    def ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """One request, and the document that answers it."""
        return self._send(method, self._address + path, content)[0]

    def pages(self, path: str, query: str = "") -> Iterator[Any]:
        """The entries of a list, over all of its pages."""
        url = f"{self._address}{path}?{query}per_page=100"
        while url:
            entries, link = self._send("GET", url, None)
            yield from entries
            following = re.search(r'<([^<>]+)>;\s*rel="next"', link)
            url = following.group(1) if following else ""
            if url and not url.startswith(self._address + "/"):
                raise ForgeError(
                    f"{self._name} says that the next page is at another address\n  nothing was asked there"
                )

    def _send(self, method: str, url: str, content: Mapping[str, Any] | None) -> tuple[Any, str]:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(url, data, dict(self._headers), method=method)  # noqa: S310  # checked above
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return json.load(answer), answer.headers.get("Link", "")
        except urllib.error.HTTPError as error:
            raise self._refused(error, method, url) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ForgeError(
                f"{self._name} cannot be reached at {self._address}: {reason}\n  run the job again"
            ) from None
        except ValueError:
            raise ForgeError(
                f"{self._address} does not answer as {self._name} does\n  run the job again"
            ) from None

    def _refused(self, error: urllib.error.HTTPError, method: str, url: str) -> ForgeError:
        with error:
            try:
                said = str(json.load(error).get("message", ""))[:200].replace("\n", " ")
            except (ValueError, AttributeError, OSError):
                said = ""
        place = url.removeprefix(self._address).partition("?")[0]
        right = (
            "give the job's token the permission for it; docs/pipelines.md names each"
            if error.code in (401, 403, 404)
            else "run the job again"
        )
        why = f": {said}" if said else ""
        return ForgeError(f"{self._name} refused {method} {place} ({error.code}){why}\n  {right}")


def _github_text(found: Mapping[str, Any]) -> Text:
    """A comment by its id, an issue by its number."""
    name = found["number"] if "number" in found else found["id"]
    bot = (found.get("user") or {}).get("type") == "Bot"
    return Text(name, found.get("body") or "", found.get("html_url", ""), bot)


def _needed(variables: Mapping[str, str], name: str, right: str) -> str:
    value = variables.get(name, "")
    if not value:
        raise UsageError(f"{name} is not set\n  {right}")
    return value
