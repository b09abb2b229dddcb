"""A connection through a SOCKS5 server (RFC 1928): one CONNECT, without authentication.

Invariant: the name of the other side is resolved by the server, never here: only there may it be known. The
server is this machine's own end of an SSH connection, so nobody else's rules of who may use it matter.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import Final

VERSION, NO_AUTHENTICATION, CONNECT = 5, 0, 1
"""Version of the protocol, the one method that is offered, and the one command (RFC 1928, sections 3 and 4)."""

IPV4, NAME, IPV6 = 1, 3, 4
"""Kinds of address (RFC 1928, section 5)."""

REPLIES: Final = {
    2: errno.EACCES,
    3: errno.ENETUNREACH,
    4: errno.EHOSTUNREACH,
    5: errno.ECONNREFUSED,
    6: errno.ETIMEDOUT,
}
"""What the server's replies mean (RFC 1928, section 6); any other is a failure of its own. OpenSSH says nothing when
it cannot connect: it closes the connection in place of a reply (channel_input_open_failure, OpenSSH 9.2), so that
counts as refused too."""

LONGEST_NAME: Final = 255
"""Bytes of a name that a request can hold."""


def connect(server: tuple[str, int], host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a port by way of a SOCKS5 server.

    Args:
        server: Host and port of the server.
        host: Name or address, as the server understands it.
        port: Its port.
        timeout: Seconds that each step may take; the socket that is returned keeps it.

    Raises:
        TimeoutError: The server itself does not answer, or nobody did in time.
        OSError: It is none, or could not connect.
    """
    wanted = _address(host) + struct.pack(">H", port)
    try:
        channel = socket.create_connection(server, timeout=timeout)
    except OSError as error:  # not the other side's refusal, which would be told as one
        raise TimeoutError(f"the SOCKS5 server does not answer ({error.strerror or error})") from None
    try:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.sendall(bytes((VERSION, 1, NO_AUTHENTICATION)))
        if _exactly(channel, 2) != bytes((VERSION, NO_AUTHENTICATION)):
            raise ConnectionError("what answers is not a SOCKS5 server that lets us in")
        channel.sendall(bytes((VERSION, CONNECT, 0)) + wanted)
        version, reply, _, kind = _exactly(channel, 4)
        if version != VERSION or reply:
            code = REPLIES.get(reply)
            raise OSError(code, os.strerror(code)) if code else ConnectionError("the SOCKS5 server failed")
        length = {IPV4: 4, IPV6: 16}.get(kind) or _exactly(channel, 1)[0]
        _exactly(channel, length + 2)
    except BaseException:
        channel.close()
        raise
    return channel


def _address(host: str) -> bytes:
    try:
        known = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna") if not host.isascii() else host.encode()
        if not 0 < len(name) <= LONGEST_NAME:
            raise OSError(errno.EINVAL, "the name is too long for SOCKS5") from None
        return bytes((NAME, len(name))) + name
    return bytes((IPV4 if known.version == 4 else IPV6,)) + known.packed


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = channel.recv(count - len(parts))
        if not part:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        parts += part
    return parts
