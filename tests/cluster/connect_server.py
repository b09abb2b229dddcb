"""A Connect worker of a few lines, over mutual TLS: HTTP before a `FakeConnect`, and as unwilling as it is told.

Invariant: nothing of it is left when the block ends.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kdeploy.cluster import Access
from kdeploy.cluster.connect import Declined
from kdeploy.cluster.fake_connect import FakeConnect
from kdeploy.security.authority import issue, new_authority
from tests.sockets import listening


@dataclass(frozen=True)
class Certificates:
    """Files of the two authorities, as kdeploy writes them; `stranger` is signed by neither."""

    access: Access
    stranger: Access
    server: Path
    clients: Path

    @classmethod
    def made(cls, folder: Path) -> Certificates:
        now = datetime.now(UTC)
        nodes, clients = new_authority("CN=nodes", now), new_authority("CN=clients", now)
        server = issue(nodes, "CN=mirror-1", "node", now, 1, ["localhost"], ["127.0.0.1"])
        admin = issue(clients, "CN=admin", "client", now, 1)
        stranger = issue(new_authority("CN=others", now), "CN=admin", "client", now, 1)
        texts = {
            "nodes.pem": nodes.certificate,
            "clients.pem": clients.certificate,
            "server.pem": server.certificate + server.key,
            "admin.pem": admin.certificate + admin.key,
            "stranger.pem": stranger.certificate + stranger.key,
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        access = Access("localhost:1", folder / "nodes.pem", folder / "admin.pem", "localhost:1")
        other = Access("localhost:1", folder / "nodes.pem", folder / "stranger.pem", "localhost:1")
        return cls(access, other, folder / "server.pem", folder / "clients.pem")


@dataclass
class Worker:
    """One worker.

    Attributes:
        fake: What it answers from.
        before: Statuses and messages that it answers with first, one each.
        silent: Requests that it carries out without an answer, at first.
        starting: Requests at first before which it has not read which connectors there are.
        asked: Method, path and body of each request.
    """

    fake: FakeConnect = field(default_factory=FakeConnect)
    before: list[tuple[int, str]] = field(default_factory=list)
    silent: int = 0
    starting: int = 0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        steps = [unquote(step) for step in path.strip("/").split("/")]
        try:
            match method, steps:
                case "GET", ["health"]:
                    return 200, {"status": "healthy", "message": "Worker has completed startup"}
                case "GET", ["connectors"]:
                    assert query == "expand=status&expand=info"
                    return 200, {name: self._expanded(name) for name in self.fake.connectors()}
                case "POST", ["connectors"]:
                    stopped = body.get("initial_state") == "STOPPED"
                    self.fake.create(body["name"], body["config"], stopped=stopped)
                    return 201, {"name": body["name"], "config": body["config"]}
                case "PUT", ["connector-plugins", _, "config", "validate"]:
                    found = self.fake.validate(body)
                    values = [{"value": {"name": key, "errors": list(found.get(key, ()))}} for key in body]
                    return 200, {"error_count": len(found), "configs": values}
                case "DELETE", ["connectors", name]:
                    if name not in self.fake.found:
                        raise Declined(f"Connector {name} not found", 404)
                    self.fake.delete(name)
                    return 204, None
                case _, ["connectors", name, what]:
                    return self._of_one(method, name, what, query, body)
        except Declined as error:
            return error.status, {"error_code": error.status, "message": str(error)}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _of_one(self, method: str, name: str, what: str, query: str, body: Any) -> tuple[int, Any]:
        match method, what:
            case "GET", "config":
                return 200, {**self.fake.found[name].config, "name": name}
            case "PUT", "config":
                self.fake.put(name, body)
                return 200, {"name": name}
            case "PUT", "stop" | "pause" | "resume":
                getattr(self.fake, what)(name)
                return (204 if what == "stop" else 202), None
            case "POST", "restart":
                assert query == "includeTasks=true&onlyFailed=true"
                self.fake.restart_failed(name)
                return 202, {"name": name}
            case "GET", "offsets":
                found = self.fake.offsets(name)
                return 200, {"offsets": [{"partition": place, "offset": offset} for place, offset in found]}
            case "PATCH", "offsets":
                self.fake.set_offsets(name, [(one["partition"], one["offset"]) for one in body["offsets"]])
                return 200, {"message": "The offsets for this connector have been altered successfully"}
            case "DELETE", "offsets":
                self.fake.forget_offsets(name)
                return 200, {"message": "The offsets for this connector have been reset successfully"}
        return 405, {"error_code": 405, "message": "HTTP 405 Method Not Allowed"}

    def _expanded(self, name: str) -> dict[str, Any]:
        one = self.fake.found[name]
        tasks = [
            {
                "id": task.id,
                "state": task.state,
                "worker_id": task.worker,
                **({"trace": task.trace} if task.trace else {}),
            }
            for task in one.tasks
        ]
        status = {"name": name, "connector": {"state": one.state, "worker_id": one.worker}, "tasks": tasks}
        return {"info": {"name": name, "config": {**one.config, "name": name}, "tasks": []}, "status": status}

    def serve(self, plain: socket.socket, tls: ssl.SSLContext) -> None:
        """One connection with one request."""
        with (
            plain,
            suppress(OSError),
            tls.wrap_socket(plain, server_side=True) as channel,
            channel.makefile("rb") as lines,
        ):
            method, target, _ = lines.readline().decode().split(" ", 2)
            length = 0
            while header := lines.readline().strip():
                name, _, value = header.decode().partition(": ")
                length = int(value) if name.lower() == "content-length" else length
            body = json.loads(lines.read(length)) if length else None
            self.asked.append((method, target, body))
            status, found = self._unwilling(target) or self.answer(method, target, body)
            if self.silent:
                self.silent -= 1
                return
            text = found if isinstance(found, bytes) else b"" if found is None else json.dumps(found).encode()
            head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            channel.sendall(head.encode() + text)

    def _unwilling(self, target: str) -> tuple[int, Any] | None:
        if self.starting > 0:
            self.starting -= 1
            starts = {"status": "starting", "message": "Worker is still starting up."}
            return (503, starts) if target == "/health" else (200, {})
        if not self.before:
            return None
        status, said = self.before.pop(0)
        return status, said.encode() if status == 502 else {"error_code": status, "message": said}


@contextmanager
def serving(worker: Worker, certificates: Certificates) -> Iterator[int]:
    """A port where a worker answers clients of the clients' authority alone."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.server)
    tls.load_verify_locations(certificates.clients)
    tls.verify_mode = ssl.CERT_REQUIRED
    with listening(lambda taken: worker.serve(taken, tls)) as port:
        yield port
