"""A small GitHub and a small GitLab on the loopback address, as far as comments and issues go.

They behave as documented: lists come in pages that are named in the Link header, a body that is too long is
refused (422, 400), a wrong token too (401), and GitLab lets nobody change another's note (403).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-forge-1f8a"


@dataclass
class Hub:
    """What the forge remembers.

    Attributes:
        comments: Of the one pull request, oldest first, as the API gives them.
        issues: All issues.
        asked: Each request: method and path.
        moved: Answers every request with a redirect to there, where given.
        answer: Answers every request with this code, where given.
    """

    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    api: str = ""
    moved: str = ""
    answer: int = 0

    def say(self, body: str, *, bot: bool = False, author: int = 7) -> dict[str, Any]:
        """Somebody comments."""
        kind = {"login": "github-actions[bot]", "type": "Bot"} if bot else {"login": "ann", "type": "User"}
        number = 100 + len(self.comments)
        one = {"id": number, "body": body, "user": kind, "author": {"id": author}}
        self.comments.append({**one, "html_url": f"https://forge.test/comments/{number}"})
        return self.comments[-1]

    def writes(self) -> list[str]:
        """The requests that changed something."""
        return [f"{method} {path}" for method, path in self.asked if method != "GET"]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    limit: int
    too_long: int

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as its base has it
        """Say nothing."""

    def _handle(self) -> None:
        split = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append((self.command, split.path))
        if self.hub.moved:
            self.send_response(302)
            self.send_header("Location", self.hub.moved)
            self.end_headers()
        elif self.hub.answer:
            self._give(self.hub.answer, {"message": "Resource not accessible by integration"})
        elif not self._known():
            self._give(401, {"message": "Bad credentials"})
        else:
            given = json.loads(content) if content else {}
            if len(given.get("body", "")) > self.limit:
                self._give(
                    self.too_long, {"message": f"Body is too long (maximum is {self.limit} characters)"}
                )
            else:
                code, document = self.route(self.command, split.path, given)
                self._pages(code, document, split.path, {k: v[0] for k, v in parse_qs(split.query).items()})

    do_GET = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815

    def _known(self) -> bool:
        raise NotImplementedError

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        raise NotImplementedError

    def _pages(self, code: int, document: Any, path: str, query: dict[str, str]) -> None:
        link = ""
        if isinstance(document, list):
            size, page = min(100, int(query.get("per_page", "20"))), int(query.get("page", "1"))
            rest = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")
            here = f"{self.hub.api}{path}?{rest}"
            last = max(1, -(-len(document) // size))
            if page < last:
                link = f'<{here}&page={page + 1}>; rel="next", <{here}&page={last}>; rel="last"'
            document = document[(page - 1) * size : page * size]
        self._give(code, document, link)

    def _give(self, code: int, document: Any, link: str = "") -> None:
        content = json.dumps(document).encode()
        self.send_response(code)
        if link:
            self.send_header("Link", link)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _GitHub(_Handler):
    limit, too_long = 65_536, 422

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        hub = self.hub
        match (method, path):
            case ("GET", "/repos/acme/kafka/issues/12/comments"):
                return 200, hub.comments
            case ("POST", "/repos/acme/kafka/issues/12/comments"):
                return 201, hub.say(given["body"], bot=True)
            case ("GET", "/repos/acme/kafka/issues"):
                return 200, [one for one in hub.issues if one["state"] == "open"]
            case ("POST", "/repos/acme/kafka/issues"):
                number = 30 + len(hub.issues)
                url = f"https://forge.test/issues/{number}"
                new = {"id": 9000 + number, "number": number, "state": "open", "user": {"type": "Bot"}}
                hub.issues.append({**new, "html_url": url, **given})
                return 201, hub.issues[-1]
        found = re.fullmatch(r"/repos/acme/kafka/issues/(comments/)?(\d+)", path)
        if method == "PATCH" and found:
            texts, key = (hub.comments, "id") if found[1] else (hub.issues, "number")
            for one in texts:
                if one[key] == int(found[2]):
                    one.update(given)
                    return 200, one
        return 404, {"message": "Not Found"}


class _GitLab(_Handler):
    limit, too_long = 1_000_000, 400
    me = 42

    def _known(self) -> bool:
        return self.headers.get("PRIVATE-TOKEN") == TOKEN

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        notes = "/projects/5/merge_requests/12/notes"
        match (method, path):
            case ("GET", "/user"):
                return 200, {"id": self.me, "username": "project_5_bot"}
            case ("GET", str() as asked) if asked == notes:
                return 200, self.hub.comments
            case ("POST", str() as asked) if asked == notes:
                return 201, self.hub.say(given["body"], author=self.me)
        found = re.fullmatch(rf"{notes}/(\d+)", path)
        if method == "PUT" and found:
            for one in self.hub.comments:
                if one["id"] == int(found[1]):
                    if one["author"]["id"] != self.me:
                        return 403, {"message": "403 Forbidden"}
                    one.update(given)
                    return 200, one
        return 404, {"message": "404 Not found"}


@contextmanager
def _serving(kind: type[_Handler]) -> Iterator[Hub]:
    hub = Hub()
    handler = type("Handler", (kind,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.api = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def github() -> Any:
    """A GitHub with one pull request, number 12 of acme/kafka."""
    return _serving(_GitHub)


def gitlab() -> Any:
    """A GitLab with one merge request, number 12 of project 5."""
    return _serving(_GitLab)
