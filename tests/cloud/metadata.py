"""Runs on a host that is an instance: answers about it as EC2's metadata service does, to sessions alone (IMDSv2).

It knows the credentials of the machine's role, and nothing else of it. Invariant: it is heard inside the host alone, on its
own loopback, so that this machine's real metadata service, where it has one, stays what it is.

python3 metadata.py FILE [ADDRESS [PORT]]
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ADDRESS = "169.254.169.254"
TTL, TOKEN = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"
LONGEST = 21600
ROLES = "/latest/meta-data/iam/security-credentials/"
VALID = datetime.timedelta(hours=6)


def server(known: dict[str, str], address: str, port: int) -> ThreadingHTTPServer:
    """What answers; `known` has `role`, `key`, `secret` and `token`."""
    sessions: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, code: int, text: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self) -> None:
            wanted = self.headers.get(TTL, "")
            if self.path != "/latest/api/token" or "X-Forwarded-For" in self.headers:
                self.answer(403)
            elif not wanted.isdecimal() or not 1 <= int(wanted) <= LONGEST:
                self.answer(400)
            else:
                token = secrets.token_urlsafe(40)
                sessions.add(token)
                self.answer(200, token)

        def do_GET(self) -> None:
            if self.headers.get(TOKEN) not in sessions:
                self.answer(401)
            elif self.path == ROLES:
                self.answer(200, known["role"])
            elif self.path == ROLES + known["role"]:
                self.answer(200, json.dumps(credentials(known)))
            else:
                self.answer(404)

        def log_message(self, *_: Any) -> None:
            """It says nothing."""

    return ThreadingHTTPServer((address, port), Handler)


def credentials(known: dict[str, str]) -> dict[str, str]:
    """What a role has for some hours (Amazon EC2 User Guide, Retrieve security credentials from instance metadata)."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "Code": "Success",
        "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Type": "AWS-HMAC",
        "AccessKeyId": known["key"],
        "SecretAccessKey": known["secret"],
        "Token": known["token"],
        "Expiration": (now + VALID).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main(file: str, address: str = ADDRESS, port: str = "80") -> None:
    with open(file) as opened:
        known = json.load(opened)
    opened = server(known, address, int(port))
    say_ready()
    opened.serve_forever()


def say_ready() -> None:
    """Let whoever started it go on (sd_notify(3)); nothing where nobody waits."""
    waiting = os.environ.get("NOTIFY_SOCKET", "")
    if waiting:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(b"READY=1", f"\0{waiting[1:]}" if waiting.startswith("@") else waiting)


if __name__ == "__main__":
    main(*sys.argv[1:])
