"""Two namespaces of this machine with a line between them, and what a connection over it gets.

Invariant: every byte that arrives is compared with what was sent; namespaces are gone after their block.
"""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.fleet.wan import End, Shape, Wan, inside

WEST: Final = "10.99.0.1"
EAST: Final = "10.99.0.2"

PATIENCE: Final = 60.0
"""Seconds that a step over the line may take."""


@contextmanager
def namespaces(west: str, east: str) -> Iterator[tuple[str, str]]:
    """Two network namespaces, each called after its side."""
    try:
        for name in (west, east):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        yield west, east
    finally:
        for name in (west, east):
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def line(names: tuple[str, str], shape: Shape) -> Wan:
    """A line between two namespaces, which have an address each by it."""
    west, east = names
    made = Wan((End(west, west), End(east, east)), shape, seed=1)
    for name, own, other in ((west, WEST, EAST), (east, EAST, WEST)):
        _run("ip", "-n", name, "address", "add", f"{own}/32", "dev", name)
        _run("ip", "-n", name, "route", "add", f"{other}/32", "dev", name, "src", own)
    return made


def opened(
    namespace: str, kind: socket.SocketKind, buffer: int | None = None, congestion: str | None = None
) -> socket.socket:
    """A socket in a namespace.

    Args:
        namespace: Which.
        kind: SOCK_STREAM or SOCK_DGRAM.
        buffer: Bytes of its buffer to receive; as the kernel sizes it when left out.
        congestion: How TCP takes losses; as this machine does when left out.
    """
    with inside(namespace):
        found = socket.socket(socket.AF_INET, kind)
    found.settimeout(PATIENCE)
    if buffer:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    if congestion:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    return found


def connected(
    names: tuple[str, str], buffer: int | None = None, congestion: str | None = None
) -> tuple[socket.socket, socket.socket]:
    """A connection from the west, whose buffer to receive may be given, and its end in the east."""
    west, east = names
    with opened(east, socket.SOCK_STREAM, congestion=congestion) as server:
        server.bind((EAST, 0))
        server.listen()
        client = opened(west, socket.SOCK_STREAM, buffer, congestion)
        client.connect(server.getsockname())
        other, _ = server.accept()
    return client, other


def echo(names: tuple[str, str], times: int = 10) -> list[float]:
    """Seconds of questions of one byte and their answers, one after the other."""
    client, other = connected(names)
    found = []
    with client, other:
        for one in (client, other):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            began = time.monotonic()
            client.sendall(b"?")
            other.sendall(other.recv(1))
            client.recv(1)
            found.append(time.monotonic() - began)
    return found


def received(
    names: tuple[str, str], amount: int, buffer: int | None = None, congestion: str | None = None
) -> float:
    """Bytes per second at which the west gets so many from the east over one connection."""
    client, other = connected(names, buffer, congestion)
    sent = random.Random(5).randbytes(amount)
    sending = threading.Thread(target=lambda: (other.sendall(sent), other.shutdown(socket.SHUT_WR)))
    with client, other:
        began = time.monotonic()
        sending.start()
        parts = []
        while part := client.recv(2**20):
            parts.append(part)
        took = time.monotonic() - began
        sending.join()
    if b"".join(parts) != sent:
        raise AssertionError("what arrived is not what was sent")
    return amount / took


def _run(*words: str) -> None:
    subprocess.run(words, check=True)
