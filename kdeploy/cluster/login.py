"""Whether a listener accepts a user's password: SASL SCRAM-SHA-512 by hand (RFC 5802, RFC 7677).

Kafka cannot be asked for a password, so the only way to know whether the one in the
vault is in force is to log in with it. Invariant: one connection per question, closed
after it; the password is never sent, logged or kept, and the server has to prove that
it knows it too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from kdeploy.cluster import Access, Proxy
from kdeploy.cluster.failure import ClusterError, Unreachable, translate
from kdeploy.cluster.wire import METADATA, METADATA_VERSION, Refused, addresses, call, connected, context

MECHANISM: Final = "SCRAM-SHA-512"
"""The one SASL mechanism of the client listener."""

SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36
"""API keys (Kafka protocol guide); version 1 of both is served from Kafka 2.0 to 4.3."""

SASL_AUTHENTICATION_FAILED: Final = 58
"""Kafka's error code for a wrong name or password (Kafka protocol guide, error codes)."""

AT_ONCE: Final = 8
"""Logins at the same time: enough to hide the brokers' latency, few enough not to crowd their threads."""

MOST_LOGINS: Final = 150
"""Logins up to which every broker is asked about every user; above, each user is asked for at one broker, in turn.
A login takes some 10 ms of a processor here, of which SCRAM's 8192 rounds are half: hundreds of users at every
broker took longer than all other questions together (200 users, 20,000 ACLs, 5,000 topics, 2026-11-27)."""


def accepted(
    host: str,
    port: int,
    tls: ssl.SSLContext,
    user: str,
    password: str,
    *,
    proxy: Proxy | None,
    timeout: float = 10.0,
) -> bool:
    """Log in once and leave.

    Returns:
        Whether the broker accepted the name and the password.

    Raises:
        ClusterError: Neither is known: unreachable, TLS failed, or SCRAM is not offered.
    """
    try:
        with connected(host, port, tls, timeout, proxy) as channel, _intelligible():
            return _scram(channel, user, password)
    except OSError as error:
        raise translate(error, f"log in as {user} at {host}:{port}") from None


def topic_error(
    host: str,
    port: int,
    tls: ssl.SSLContext,
    user: str,
    password: str,
    topic: str,
    *,
    proxy: Proxy | None,
    timeout: float = 10.0,
) -> int | None:
    """Log in and ask for one topic.

    Returns:
        Kafka's error code for the topic (0: it is there and may be seen), or None when the
        broker did not accept the password.

    Raises:
        ClusterError: As `accepted`.
    """
    name = topic.encode()
    body = struct.pack(">ih", 1, len(name)) + name + b"\0"
    try:
        with connected(host, port, tls, timeout, proxy) as channel, _intelligible():
            if not _scram(channel, user, password):
                return None
            return _first_topic_error(call(channel, METADATA, METADATA_VERSION, body))
    except OSError as error:
        raise translate(error, f"ask for topic {topic} as {user} at {host}:{port}") from None


def logins(access: Access, passwords: Mapping[str, str]) -> dict[str, bool]:
    """For each user, whether the cluster accepts its password.

    Every broker that answers is asked, since one can have forgotten what the others know
    (see `temporary`); of a cluster with very many users and brokers only one for each user.

    Raises:
        ClusterError: No broker could say.
    """
    if not passwords:
        return {}
    tls, brokers = context(access.authority), addresses(access.client_bootstrap)
    thorough = len(passwords) * len(brokers) <= MOST_LOGINS

    def ask(position: int, user: str) -> bool:
        failures = []
        answers: list[bool] = []
        for step in range(len(brokers)):
            host, port = brokers[(position + step) % len(brokers)]
            try:
                answers.append(accepted(host, port, tls, user, passwords[user], proxy=access.proxy))
            except ClusterError as error:
                failures.append(str(error))
            if answers and (not thorough or not answers[-1]):
                break
        if not answers:
            raise Unreachable("\n".join(failures))
        return all(answers)

    with ThreadPoolExecutor(AT_ONCE, "kdeploy-login") as pool:
        asked = [pool.submit(ask, position, user) for position, user in enumerate(passwords)]
        return {user: one.result() for user, one in zip(passwords, asked, strict=True)}


@contextmanager
def _intelligible() -> Iterator[None]:
    """Turns what cannot be read as an answer of Kafka's into a refusal: it came from something else."""
    try:
        yield
    except OSError:  # also one of TLS that is a ValueError too
        raise
    except (struct.error, KeyError, ValueError):
        raise Refused("the answer is not Kafka's") from None


def _scram(channel: socket.socket, user: str, password: str) -> bool:
    name = MECHANISM.encode()
    answer = call(channel, SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
    if struct.unpack_from(">h", answer)[0] != 0:
        raise ClusterError(f"the listener does not offer {MECHANISM}")
    nonce = base64.b64encode(secrets.token_bytes(24)).decode()
    bare = f"n={user},r={nonce}"
    first = _step(channel, f"n,,{bare}")
    if first is None:
        return False
    said = _attributes(first)
    if not said["r"].startswith(nonce):
        raise ClusterError("the broker answered another login's question")
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(said["s"]), int(said["i"]))
    without_proof = f"c=biws,r={said['r']}"
    proved = f"{bare},{first},{without_proof}".encode()
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha512(client_key).digest(), proved)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    last = _step(channel, f"{without_proof},p={base64.b64encode(proof).decode()}")
    if last is None:
        return False
    expected = _hmac(_hmac(salted, b"Server Key"), proved)
    if not hmac.compare_digest(base64.b64decode(_attributes(last).get("v", "")), expected):
        raise ClusterError("the broker did not prove that it knows the password")
    return True


def _step(channel: socket.socket, message: str) -> str | None:
    """One SaslAuthenticate round; None when the broker says no."""
    token = message.encode()
    answer = call(channel, SASL_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
    code, length = struct.unpack_from(">hh", answer)
    if code == SASL_AUTHENTICATION_FAILED:
        return None
    if code != 0:
        raise ClusterError(f"the broker answered a login with error {code}")
    position = 4 + max(length, 0)
    (size,) = struct.unpack_from(">i", answer, position)
    return answer[position + 4 : position + 4 + size].decode()


def _attributes(message: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in message.split(",") if part[1:2] == "="}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha512")


def _first_topic_error(answer: bytes) -> int:
    """The error code of the first topic in a Metadata answer, version 4 (Kafka protocol guide)."""
    position = 4

    def number(form: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(form, answer, position)
        position += struct.calcsize(form)
        return int(value)

    def skip_text() -> None:
        nonlocal position
        length = number(">h")
        position += max(length, 0)

    for _ in range(number(">i")):
        number(">i")
        skip_text()
        number(">i")
        skip_text()
    skip_text()
    number(">i")
    number(">i")
    return number(">h")
