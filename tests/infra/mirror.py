"""A small Apache mirror and Maven repository on this machine, with the faults a real one can have."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "3.9.2"
JARS = {
    f"kafka_2.13-{VERSION}.jar": b"broker",
    f"kafka-clients-{VERSION}.jar": b"clients",
    f"connect-mirror-{VERSION}.jar": b"mirror",
    "slf4j-reload4j-1.7.36.jar": b"logging",
}


def archive(jars: Mapping[str, bytes] = JARS, extra: Mapping[str, bytes] | None = None) -> bytes:
    """A release archive with these jars in libs/, and other members by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        members = {f"kafka_2.13-{VERSION}/libs/{name}": content for name, content in jars.items()}
        for path, content in {**members, **(extra or {})}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def gpg_style(content: bytes, name: str = f"kafka_2.13-{VERSION}.tgz") -> bytes:
    """A .sha512 file as Apache publishes it."""
    text = hashlib.sha512(content).hexdigest().upper()
    groups = [text[index : index + 8] for index in range(0, 128, 8)]
    return f"{name}: {' '.join(groups[:6])}\n {' '.join(groups[6:12])}\n {' '.join(groups[12:])}\n".encode()


@dataclass
class Mirror:
    """What the server gives, and what it was asked.

    Attributes:
        files: Content by path.
        hang: Paths that never get an answer.
        cut: Paths that get half their content, then the connection closes.
        asked: Paths in the order of requests.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def release(self, content: bytes, sha512: bytes | None = None) -> None:
        """Serve a release archive with its checksum file."""
        path = f"/{VERSION}/kafka_2.13-{VERSION}.tgz"
        self.files[path] = content
        self.files[f"{path}.sha512"] = gpg_style(content) if sha512 is None else sha512


@contextmanager
def serving() -> Iterator[Mirror]:
    """Serve on a free port until the block ends."""
    mirror, closing = Mirror(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.asked.append(self.path)
            if self.path in mirror.hang:
                closing.wait(30)
                return
            content = mirror.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("content-length", str(len(content or b"")))
            self.end_headers()
            if content is not None:
                self.wfile.write(content[: len(content) // 2] if self.path in mirror.cut else content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield mirror
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
