"""A connection to one port, byte by byte: for questions that Kafka clients cannot ask.

A Kafka client retries for ever where a listener refuses it, and cannot tell a refusal
from a failure. Invariant: no socket outlives its block, and nothing is changed by asking. `connected` is
the one door: where a cluster is reached through a proxy, no connection goes past it.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kdeploy.cluster import Proxy, socks
from kdeploy.cluster.failure import ClusterError, reason

METADATA: Final = 3
"""API key of Metadata (Kafka protocol guide). A broker answers it only after authentication."""

METADATA_VERSION: Final = 4
"""A version of Metadata that every Kafka from 0.11 to 4.3 serves."""

NO_TOPICS: Final = struct.pack(">ib", 0, 0)
"""Body of a Metadata request, version 4: an empty list of topics, none to be created."""

_CORRELATION: Final = 0x6B64706C
LARGEST_FRAME: Final = 100 * 2**20
"""Longest answer that is believed, in bytes: socket.request.max.bytes' default (Kafka documentation)."""


def context(authority: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """TLS as a client: trusts one authority, checks host names, shows a certificate if given.

    Args:
        authority: PEM file of the authority to trust.
        certificate: PEM file with a certificate and its key.

    Raises:
        ClusterError: A file is missing or holds something else.
    """
    try:
        made = ssl.create_default_context(cafile=str(authority))
        if certificate is not None:
            made.load_cert_chain(str(certificate))
    except (OSError, ValueError) as error:
        files = " or ".join(str(file) for file in (authority, certificate) if file is not None)
        raise ClusterError(
            f"cannot read {files}: {reason(error)}\n  run `kdeploy up`, which writes them anew from the vault"
        ) from None
    return made


def addresses(bootstrap: str) -> tuple[tuple[str, int], ...]:
    """`host:port,...` as pairs; an IPv6 address may stand in brackets."""
    pairs = (address.strip().rpartition(":") for address in bootstrap.split(",") if address.strip())
    return tuple((host.strip("[]"), int(port)) for host, _, port in pairs)


class Refused(ConnectionError):
    """The other side closed the connection, or does not speak Kafka's protocol to us."""


@contextmanager
def connected(
    host: str, port: int, tls: ssl.SSLContext | None, timeout: float, proxy: Proxy | None
) -> Iterator[socket.socket]:
    """A connection for the block.

    Args:
        host: Name or address; with TLS its certificate must be for it.
        port: Its port.
        tls: How to speak TLS; None for plaintext.
        timeout: Seconds that each step may take.
        proxy: What to go through; None to go straight there.

    Raises:
        OSError: The connection, TLS (`ssl.SSLError`) or the wait (`TimeoutError`) failed.
        KdeployError: There is no proxy to go through.
    """
    with _opened(host, port, timeout, proxy) as plain:
        # Several small messages each way: with Nagle's algorithm each would wait 40 ms for an acknowledgement.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            yield plain
            return
        with tls.wrap_socket(plain, server_hostname=host) as channel:
            yield channel


def _opened(host: str, port: int, timeout: float, proxy: Proxy | None) -> socket.socket:
    if proxy is None:
        return socket.create_connection((host, port), timeout=timeout)
    return socks.connect(proxy(), host, port, timeout)


def speaks_tls(host: str, port: int, timeout: float, proxy: Proxy | None) -> bool:
    """Whether something speaks TLS there, as every node does, whatever it thinks of us.

    A port that only lets itself be connected to does not count: it may be a proxy's.
    """
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with connected(host, port, anybody, timeout, proxy):
            return True
    except ssl.SSLEOFError:
        return False
    except ssl.SSLError as error:
        return "ALERT" in str(error.reason)  # it was asked for a certificate of ours, and said so
    except OSError:
        return False


def call(channel: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send one Kafka request (header version 1, no client id) and return the body of its answer.

    Raises:
        Refused: The connection was closed, or the answer is not Kafka's.
        OSError: As `connected`.
    """
    request = struct.pack(">hhih", api, version, _CORRELATION, -1) + body
    channel.sendall(struct.pack(">i", len(request)) + request)
    size, correlation = struct.unpack(">ii", _exactly(channel, 8))
    if correlation != _CORRELATION or not 4 <= size <= LARGEST_FRAME:
        raise Refused("the answer is not Kafka's")
    return _exactly(channel, size - 4)


def until_closed(channel: socket.socket) -> bytes:
    """All that the other side sends before it closes."""
    parts = []
    while part := channel.recv(65536):
        parts.append(part)
    return b"".join(parts)


def ask(host: str, port: int, tls: ssl.SSLContext | None, proxy: Proxy | None, timeout: float = 5.0) -> None:
    """Ask a broker's listener for metadata without any SASL; returns when it answered.

    Raises:
        Refused: As `call`.
        OSError: As `connected`.
    """
    with connected(host, port, tls, timeout, proxy) as channel:
        call(channel, METADATA, METADATA_VERSION, NO_TOPICS)


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = channel.recv(min(65536, count - len(parts)))
        if not part:
            raise Refused("the connection was closed")
        parts += part
    return bytes(parts)
