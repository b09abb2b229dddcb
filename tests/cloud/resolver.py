"""The name server of every network: private zones as Route 53 holds them, and AWS's own names of instances.

Invariant: an answer depends on which network asks: a zone is answered only in the networks that it
is associated with, as on AWS.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

A, PTR, ANY = 1, 12, 255
HEADER: Final = struct.Struct("!HHHHHH")
TTL: Final = 60
REFUSED, MISSING = 5, 3

Lookup = Callable[[str, str, int], "list[str] | None"]
"""Asker's address, name without the last dot, type; what it leads to, or None when there is no such name."""


def question(packet: bytes) -> tuple[int, str, int, bytes]:
    """Number, name, type and the question itself (RFC 1035, sections 4.1.1 and 4.1.2)."""
    number = HEADER.unpack_from(packet)[0]
    at, labels = HEADER.size, []
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
        at += packet[at] + 1
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return number, ".".join(labels).lower(), kind, packet[HEADER.size : at + 5]


def reply(number: int, asked: bytes, kind: int, found: list[str] | None) -> bytes:
    """The packet that answers; without records where the name is there but has none of that type."""
    code = MISSING if found is None else 0
    records = [_record(kind, one) for one in found or []]
    # A response (0x8000), authoritative (0x0400), to who asked for recursion and gets it (0x0180).
    head = HEADER.pack(number, 0x8580 | code, 1, len(records), 0, 0)
    return head + asked + b"".join(records)


def _record(kind: int, value: str) -> bytes:
    data = ipaddress.IPv4Address(value).packed if kind == A else _name(value)
    # 0xC00C points to the name in the question.
    return struct.pack("!HHHIH", 0xC00C, kind, 1, TTL, len(data)) + data


def _name(value: str) -> bytes:
    parts = value.rstrip(".").split(".")
    return b"".join(bytes([len(part)]) + part.encode() for part in parts) + b"\0"


def serve(address: str, lookup: Lookup) -> None:
    """Answer on an address of this machine for as long as the process lives."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 53))

    def loop() -> None:
        while True:
            packet, asker = opened.recvfrom(512)
            try:
                number, name, kind, asked = question(packet)
                opened.sendto(reply(number, asked, kind, lookup(asker[0], name, kind)), asker)
            except (IndexError, struct.error):
                continue

    threading.Thread(target=loop, daemon=True).start()


def reverse(name: str) -> str | None:
    """The address that a name below in-addr.arpa stands for."""
    if not name.endswith(".in-addr.arpa"):
        return None
    return ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
