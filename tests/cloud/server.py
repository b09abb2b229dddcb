"""The emulated AWS: moto behind a door that counts calls, lets in one key, and refuses what it is told to.

Invariant: moto's state is this process's: when it ends, the account is gone. What tests steer is
below `/cloud/`; everything else is AWS.

python -m tests.cloud.server KEY [--machines FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.cloud.machines import Machines

os.environ.setdefault("MOTO_ENABLE_AMI_VALIDATION", "true")
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tests.cloud import calls, images, launch, strict, troubles

ADJUSTED: Final = (launch, strict)
"""What changes moto as it is imported."""

Start = Callable[[str, list[tuple[str, str]]], Any]


class Door:
    """A WSGI application in front of moto's."""

    def __init__(self, machines: Machines | None) -> None:
        self.machines = machines
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.counted: Counter[str] = Counter()
        self.needed: set[str] = set()
        self.regions: set[str] = set()
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path.startswith("/cloud/"):
            return self.steered(path.removeprefix("/cloud/"), environ, start)
        call = calls.read(environ)
        if call is not None:
            with self.lock:
                self.counted[call.name] += 1
                if calls.LOOKER not in environ.get("HTTP_USER_AGENT", ""):
                    self.needed.add(calls.right(call.name))
                refusal = troubles.SETTINGS.refusal(call)
                if refusal is None and call.region not in self.regions:
                    self.regions.add(call.region)
                    images.publish(DEFAULT_ACCOUNT_ID, call.region)
            if refusal is not None:
                status, headers, body = troubles.answer(refusal, call)
                start(status, headers)
                return [body]
            time.sleep(troubles.SETTINGS.slow.get(call.name, 0))
        answer: Iterable[bytes] = self.moto(environ, start)
        return answer

    def steered(self, what: str, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """What tests ask and set."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        given = json.loads(body) if body else {}
        with self.lock:
            answer = getattr(self, f"on_{what}")(given)
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def on_calls(self, given: dict[str, Any]) -> dict[str, int]:
        """Calls counted since the start, or since the last time when asked to forget them."""
        found = dict(self.counted)
        if given.get("forget"):
            self.counted.clear()
        return found

    def on_needed(self, given: dict[str, Any]) -> list[str]:
        """Rights that all calls since the start needed, but for those of tests that look."""
        return sorted(self.needed)

    def on_settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the account is like, after setting what was given."""
        troubles.configure(given)
        return troubles.SETTINGS.to_json()

    def on_hosts(self, given: dict[str, Any]) -> list[dict[str, str]]:
        """Hosts of instances: which, where, and the folder that holds each."""
        found = self.machines.all() if self.machines else []
        return [{"instance": one.instance, "address": one.address, "folder": one.folder} for one in found]

    def on_remove(self, given: dict[str, Any]) -> None:
        """End all hosts."""
        if self.machines:
            self.machines.remove()

    def on_publish(self, given: dict[str, Any]) -> dict[str, str]:
        """Put out newer images."""
        return images.publish(DEFAULT_ACCOUNT_ID, given["region"], given["build"])


def _follow(parent: int, machines: Machines | None) -> None:
    """End, with all hosts, when whoever started this has ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    if machines:
        machines.remove()
    os._exit(0)


def main() -> None:
    """Serve on a port of this machine's own loopback, and say which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("key")
    parser.add_argument("--machines")
    asked = parser.parse_args()
    troubles.configure({"key": asked.key})
    machines: Machines | None = None
    if asked.machines:
        from tests.cloud.machines import install

        machines = install(asked.machines)
    door = Door(machines)
    if machines:
        machines.account = door
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=_follow, args=(os.getppid(), machines), daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
