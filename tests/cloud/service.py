"""What keeps states of Pulumi in place of Pulumi Cloud: a server on this machine that answers the CLI as its service does.

Invariant: it answers only what the CLI (3.259.0, pkg/backend/httpstate/client) asks of it for kdeploy; anything else is not found
and is kept in `unanswered`. Nobody gets in without a token that was given out, a stack has one update at a time, and all that
was ever sent to it is kept, for tests to look through.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final

LEASE: Final = 300.0
"""Seconds after which an update that nobody renews is over (pkg/backend/httpstate/state.go: the CLI takes five minutes)."""

RESOURCES_LEFT: Final = "Bad Request: Stack still contains resources."
CONFLICT: Final = "Conflict: Another update is currently in progress."
OVER: Final = "Conflict: The Update has already completed"
"""The service's words: pkg/backend/httpstate/client.go, and issues 2073 and 5364 of pulumi/pulumi."""

Answer = tuple[int, Any]


@dataclass
class Update:
    """One run of an engine.

    Attributes:
        kind: update, preview, refresh or destroy.
        token: What its engine may write with.
        ends: When its lease does, in seconds of the monotonic clock.
        is_over: Whether it was completed or cancelled.
        result: How it ended: succeeded or failed; in-progress until then.
        began: When, in seconds of the epoch.
    """

    kind: str
    token: str = ""
    ends: float = 0.0
    is_over: bool = False
    result: str = "in-progress"
    began: int = field(default_factory=lambda: int(time.time()))

    @property
    def holds(self) -> bool:
        """Whether nobody else may change its stack meanwhile."""
        return (
            self.kind != "preview" and bool(self.token) and not self.is_over and time.monotonic() < self.ends
        )


@dataclass
class Kept:
    """One stack.

    Attributes:
        deployment: Its state, as the CLI sent it.
        tags: Its tags.
        updates: Its updates by id, the latest last.
    """

    deployment: dict[str, Any] = field(default_factory=lambda: {"version": 3, "deployment": {}})
    tags: dict[str, str] = field(default_factory=dict)
    updates: dict[str, Update] = field(default_factory=dict)

    @property
    def resources(self) -> list[dict[str, Any]]:
        return list((self.deployment.get("deployment") or {}).get("resources") or ())


class Service:
    """The server; a context manager.

    Args:
        folder: Where its certificate is kept.

    Attributes:
        url: Where it answers.
        tokens: Who may come in, by token; whose default organization is called as they are.
        closed: Organizations that those of `tokens` may see nothing of.
        stacks: What it keeps, by organization, project and name.
        sent: Everything that was sent: addresses, headers but for the token, bodies.
        unanswered: What it was asked and knows nothing of.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tokens: dict[str, str] = {}
        self.closed: set[str] = set()
        self.stacks: dict[str, Kept] = {}
        self.sent: list[str] = []
        self.unanswered: list[str] = []
        self._lock = threading.RLock()

    def __enter__(self) -> Service:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.authority = self._folder / "service.pem"
        key = _certified(self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def admit(self, who: str) -> str:
        """A token for somebody."""
        token = f"pul-{secrets.token_hex(20)}"
        self.tokens[token] = who
        return token

    def variables(self, token: str | None, home: Path) -> dict[str, str]:
        """What a CLI needs to reach it from a machine.

        Args:
            token: Who asks; None has none.
            home: The CLI's own folder on that machine.
        """
        own = {"SSL_CERT_FILE": str(self.authority), "PULUMI_HOME": str(home)}
        return own | ({"PULUMI_ACCESS_TOKEN": token} if token else {})

    def begin(self, stack: str) -> str:
        """Begin an update as somebody else's engine does; its id."""
        with self._lock:
            identity = secrets.token_hex(8)
            self.stacks[stack].updates[identity] = Update("update", "theirs", time.monotonic() + LEASE)
            return identity

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        """What is said to a request."""
        way, _, given = headers.get("Authorization", "").partition(" ")
        if way == "update-token":
            return self._of_update(method, path, given, body)
        if way != "token" or given not in self.tokens:
            return _refusal(401, "Unauthorized: No credentials provided or are invalid.")
        with self._lock:
            return self._of_person(method, path, self.tokens[given], body)

    def _of_person(self, method: str, path: str, who: str, body: Any) -> Answer:
        plain = {
            "GET /api/user": {"githubLogin": who, "name": who, "email": "", "organizations": []},
            "GET /api/user/organizations/default": {"GitHubLogin": who},
            "GET /api/capabilities": {"capabilities": []},
        }
        if f"{method} {path}" in plain:
            return 200, plain[f"{method} {path}"]
        found = re.fullmatch(r"/api/stacks/([^/]+)/([^/]+)(?:/([^/]+)(?:/(.*))?)?", path)
        if found is None:
            return self._unknown(method, path)
        organization, project, name, rest = found.groups()
        if organization != who and (organization in self.closed or not self._belongs(organization)):
            return _refusal(403, f"Forbidden: {who} has no access to {organization}")
        if name is None:
            return self._of_project(method, path, f"{organization}/{project}", body)
        return self._of_stack(method, f"{organization}/{project}/{name}", rest or "", body)

    def _belongs(self, organization: str) -> bool:
        """Organizations are open to all who come in, but for those that are closed, and the people themselves."""
        return organization not in self.tokens.values()

    def _of_project(self, method: str, path: str, project: str, body: Any) -> Answer:
        if method != "POST":
            return self._unknown(method, path)
        stack = f"{project}/{body['stackName']}"
        if stack in self.stacks:
            return _refusal(409, f"Conflict: Stack '{stack}' already exists")
        self.stacks[stack] = Kept(tags=dict(body.get("tags") or {}))
        if body.get("state"):
            self.stacks[stack].deployment = body["state"]
        return 200, {}

    def _of_stack(self, method: str, name: str, rest: str, body: Any) -> Answer:
        stack = self.stacks.get(name)
        if stack is None:
            return _refusal(404, f"Not Found: Stack '{name}' not found")
        for asked, say in ASKED.items():
            found = re.fullmatch(asked, f"{method} {rest}")
            if found:
                return say(self, name, stack, body, *found.groups())
        return self._unknown(method, f"{name}/{rest}")

    def _of_update(self, method: str, path: str, token: str, body: Any) -> Answer:
        found = re.fullmatch(r"/api/stacks/([^/]+/[^/]+/[^/]+)/update/([^/]+)/(.+)", path)
        with self._lock:
            stack = self.stacks.get(found[1]) if found else None
            update = stack.updates.get(found[2]) if found and stack else None
            if found is None or stack is None or update is None:
                return self._unknown(method, path)
            if token != update.token:
                return _refusal(403, "The provided update token is invalid.")
            if update.is_over or time.monotonic() > update.ends:
                return _refusal(403, "The provided update token has expired.")
            return self._written(method, found[3], stack, update, body)

    def _written(self, method: str, what: str, stack: Kept, update: Update, body: Any) -> Answer:
        if what == "renew_lease":
            update.ends = time.monotonic() + min(float(body["duration"]), LEASE)
            return 200, {"token": update.token}
        if what == "checkpoint":
            stack.deployment = {"version": body["version"], "deployment": body["deployment"]}
        elif what == "checkpointverbatim":
            stack.deployment = body["untypedDeployment"]
        elif what == "complete":
            update.is_over, update.result = True, body["status"]
        elif what != "events/batch":
            return self._unknown(method, what)
        return 200, {}

    def _unknown(self, method: str, path: str) -> Answer:
        self.unanswered.append(f"{method} {path}")
        return _refusal(404, "Not Found")


def _refusal(code: int, message: str) -> Answer:
    return code, {"code": code, "message": message}


def _looked(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    organization, project, own = name.split("/")
    return 200, {
        "id": name,
        "orgName": organization,
        "projectName": project,
        "stackName": own,
        "activeUpdate": next(
            (key for key, one in reversed(stack.updates.items()) if one.kind != "preview"), ""
        ),
        "tags": stack.tags,
        "version": len(stack.updates),
    }


def _removed(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    if stack.resources:
        return _refusal(400, RESOURCES_LEFT)
    del service.stacks[name]
    return 200, {}


def _exported(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    return 200, stack.deployment


def _imported(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    if any(one.holds for one in stack.updates.values()):
        return _refusal(409, CONFLICT)
    identity = secrets.token_hex(8)
    stack.updates[identity] = Update("import", is_over=True, result="succeeded")
    stack.deployment = body
    return 200, {"updateId": identity}


def _status(service: Service, name: str, stack: Kept, body: Any, identity: str) -> Answer:
    return 200, {"status": "succeeded" if stack.updates[identity].is_over else "running", "events": []}


def _history(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    """What was done, the latest first; all of it, whatever page is asked for."""
    done = [one for one in stack.updates.values() if one.kind != "preview"]
    told = [
        {
            "kind": one.kind,
            "startTime": one.began,
            "endTime": int(time.time()),
            "message": "",
            "environment": {},
            "config": {},
            "result": one.result,
            "version": version,
        }
        for version, one in enumerate(done, 1)
    ]
    return 200, {"updates": told[::-1]}


def _noted(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    """That secrets of another provider than the service's own were decrypted is told to its log."""
    return 200, {}


def _never(service: Service, name: str, stack: Kept, body: Any) -> Answer:
    return _refusal(404, "Not Found: no configuration is kept with it")


def _created(service: Service, name: str, stack: Kept, body: Any, kind: str) -> Answer:
    identity = secrets.token_hex(8)
    stack.updates[identity] = Update(kind)
    return 200, {"updateID": identity}


def _started(service: Service, name: str, stack: Kept, body: Any, identity: str) -> Answer:
    update = stack.updates[identity]
    if update.kind != "preview" and any(one.holds for one in stack.updates.values()):
        return _refusal(409, CONFLICT)
    stack.tags |= body.get("tags") or {}
    update.token, update.ends = secrets.token_hex(16), time.monotonic() + LEASE
    return 200, {"version": len(stack.updates), "token": update.token, "journalVersion": 0}


def _cancelled(service: Service, name: str, stack: Kept, body: Any, identity: str) -> Answer:
    if stack.updates[identity].is_over:
        return _refusal(409, OVER)
    stack.updates[identity].is_over = True
    return 200, {}


ASKED: Final[dict[str, Callable[..., Answer]]] = {
    r"GET ": _looked,
    r"DELETE ": _removed,
    r"GET export": _exported,
    r"POST import": _imported,
    r"GET updates/latest": _never,
    r"GET updates": _history,
    r"POST decrypt/log-(?:batch-)?decryption": _noted,
    r"POST (update|preview|refresh|destroy)": _created,
    r"POST update/([0-9a-f]+)": _started,
    r"GET update/([0-9a-f]+)": _status,
    r"POST update/([0-9a-f]+)/cancel": _cancelled,
}
"""What a person's CLI asks of a stack (pkg/backend/httpstate/client/api_endpoints.go)."""


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            head = {name: value for name, value in self.headers.items() if name != "Authorization"}
            service.sent.append(f"{self.command} {self.path}\n{head}\n{raw.decode()}")
            path = self.path.partition("?")[0]
            code, said = service.answer(self.command, path, self.headers, json.loads(raw) if raw else {})
            body = json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _take  # noqa: N815

        def log_message(self, format: str, *given: Any) -> None:  # noqa: A002 - as the library has it
            """Say nothing: `sent` has it."""

    return Handler


def _certified(file: Path) -> Path:
    """Write a certificate for this machine's loopback that whoever trusts it knows it by; the file of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "states of tests")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = file.with_suffix(".key")
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return private
