"""A connection to a real cluster, by kafka-python over mutual TLS: asked again, or told once.

Invariant: questions are asked again when a broker goes away under them, changes are sent
once at most; every foreign error becomes one of `failure`; after `close` no thread and no socket
is left, also when connecting failed.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from kdeploy.cluster import Access, Proxy
from kdeploy.cluster.client import Foreign, kafka, way
from kdeploy.cluster.failure import (
    AuthenticationFailed,
    AuthorisationFailed,
    ClusterError,
    Unreachable,
    reason,
    translate,
)
from kdeploy.cluster.login import AT_ONCE
from kdeploy.cluster.wire import addresses, ask, context

T = TypeVar("T")

REQUEST_TIMEOUT: Final = 20.0
"""Seconds a broker has for one answer; Kafka's own clients take 30 (request.timeout.ms)."""

QUESTION_TIMEOUT: Final = 3 * REQUEST_TIMEOUT
"""Seconds for a whole question, which may take several requests and a new connection."""

RETRY_FOR: Final = 60.0
"""Seconds to ask again when brokers go away, as Kafka's own administrator does (default.api.timeout.ms, Kafka 4.1): a
controlled shutdown hands over leaders in well under 10, and a broker on a starved machine may say nothing for as long."""

CONNECTED_WITHIN: Final = 10.0
"""Seconds that a connection has to be made, the first and every later one (socket.connection.setup.timeout.ms, Kafka 4.1):
a later one would have up to 30, of which `RETRY_FOR` holds two."""

SILENT_AFTER: Final = 3.0
"""Seconds after which a broker that says nothing counts as dead; a healthy one answers in milliseconds."""


SLOW: Final = 5.0
"""Seconds that each step of the first answer may take on a machine that is busy."""


class KafkaConnection:
    """A connection, and how to ask and to tell over it. Safe to use from several threads."""

    def __init__(self, access: Access, timeout: float = 10.0) -> None:
        self.access = access
        self._tls = context(access.authority, access.certificate)
        answering = _answering(access, self._tls, timeout)
        made: list[Foreign] = []

        def remember(**config: Foreign) -> Foreign:
            """Keep hold of the network client: when bootstrap fails, its constructor leaves a thread behind."""
            longest = {"socket_connection_setup_timeout_max_ms": int(CONNECTED_WITHIN * 1000)}
            made.append(kafka().net.compat.KafkaNetClient(**config, **longest))
            return made[0]

        try:
            self._kafka = kafka().admin.KafkaAdminClient(
                bootstrap_servers=answering,
                client_id="kdeploy",
                security_protocol="SSL",
                ssl_context=self._tls,
                proxy_url=way(access.proxy),
                kafka_client=remember,
                bootstrap_timeout_ms=int(timeout * 1000),
                request_timeout_ms=int(REQUEST_TIMEOUT * 1000),
                reconnect_backoff_max_ms=1000,
            )
        except BaseException as error:
            for client in made:
                client.close()
            if not isinstance(error, kafka().errors.KafkaError | RuntimeError | OSError):
                raise
            raise translate(error, f"connect to {', '.join(answering)}") from None
        limit(self._kafka._manager, QUESTION_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the client's thread."""
        self._kafka.close()

    def _each(self, verb: str, results: Sequence[Mapping[str, Any]]) -> None:
        for one in results:
            if one["error_code"]:
                raise refused(f"{verb} {one['name']}", one["error_code"], one.get("error_message"))

    def _ask(self, doing: str, question: Callable[[], T]) -> T:
        """Ask, and ask again while brokers come and go."""
        errors = kafka().errors
        deadline = time.monotonic() + RETRY_FOR
        while True:
            try:
                return question()
            except (errors.IncompatibleBrokerVersion, errors.SecurityDisabledError) as error:
                raise NotOffered(f"this Kafka cannot {doing}: {reason(error)}") from None
            except (errors.KafkaError, RuntimeError, OSError) as error:
                again = isinstance(error, errors.RetriableError | errors.UnknownBrokerIdError)
                if not again or time.monotonic() > deadline:
                    raise translate(error, doing) from None
                self._kafka._controller_id = None  # it may be the broker that went away
                if isinstance(error, errors.UnknownBrokerIdError):
                    self._learn_brokers()
                time.sleep(0.1)

    def _learn_brokers(self) -> None:
        """Have the client ask who is there: it would look again after minutes, not when a broker is back."""
        with suppress(kafka().errors.KafkaError, RuntimeError, OSError):
            self._kafka._manager.run(self._kafka._manager.cluster.refresh_metadata)

    def _change(self, doing: str, change: Callable[[], T]) -> T:
        """Send a change once: whether one was carried out whose answer was lost, reading back tells.

        What could not be sent, for want of a connection, is sent later.
        """
        errors = kafka().errors
        deadline = time.monotonic() + RETRY_FOR
        while True:
            try:
                return change()
            except (errors.KafkaError, RuntimeError, OSError) as error:
                self._kafka._controller_id = None
                if not isinstance(error, errors.NodeNotReadyError) or time.monotonic() > deadline:
                    raise translate(error, doing) from None
                time.sleep(0.1)


def limit(manager: Foreign, seconds: float, connecting: float = CONNECTED_WITHIN) -> None:
    """Let no question wait for ever, and give up the connections that are not made in time.

    kafka-python (3.0) sets no limit to a TLS handshake: a broker that is frozen accepts connections, by its kernel, and
    never says a word.

    Args:
        manager: The client's manager of connections.
        seconds: For each question.
        connecting: Seconds for a connection to be made.
    """
    run, connect = manager.run, manager._connect
    errors = kafka().errors

    async def within(question: Callable[..., Foreign], *given: Foreign) -> Foreign:
        return await manager.wait_for(manager.call_soon(question, *given), int(seconds * 1000))

    async def made(node: Foreign, connection: Foreign, **given: Foreign) -> None:
        try:
            making = manager.call_soon(partial(connect, node, connection, **given))
            await manager.wait_for(making, int(connecting * 1000))
        except errors.KafkaTimeoutError:
            if not connection.connected:
                manager.update_backoff(node.node_id)
                known = isinstance(node.node_id, int)
                who = node.node_id if known else f"{node.host}:{node.port} does not answer"
                connection.close(errors.NodeNotReadyError(who))

    manager.run = lambda question, *given: run(within, question, *given)
    manager._connect = made


class NotOffered(ClusterError):
    """The brokers' version, mode or settings do not have this question."""


def refused(doing: str, code: int, message: str | None) -> ClusterError:
    """The error that says what Kafka's code, and its message if it has one, say of what was being done."""
    kind = kafka().errors.for_code(code)
    error = kind(message) if message else kind()
    if isinstance(error, kafka().errors.AuthorizationError):
        return AuthorisationFailed(f"not allowed to {doing}: {reason(error)}")
    return ClusterError(f"the cluster refused to {doing}: {reason(error)}")


def _answering(access: Access, tls: ssl.SSLContext, timeout: float) -> list[str]:
    """The admin listeners that answer now: the client would try the others too, and say nothing of why.

    Raises:
        Unreachable: None did in time; or AuthenticationFailed, when all of them turned us away.
    """
    # Twice at most, so that all of it ends when it was said to, whatever brokers swallow what is sent to them.
    deadline, patience = time.monotonic() + timeout, max(min(timeout, SLOW), timeout / 2)
    while True:
        brokers = addresses(access.bootstrap)
        with ThreadPoolExecutor(min(AT_ONCE, len(brokers)), "kdeploy-connect") as pool:
            found = list(pool.map(lambda one: why_not(one[0], one[1], tls, patience, access.proxy), brokers))
        if not all(found):
            return [f"{host}:{port}" for (host, port), why in zip(brokers, found, strict=True) if not why]
        if time.monotonic() > deadline:
            said = "\n".join(
                f"  {host}:{port}: {why}" for (host, port), why in zip(brokers, found, strict=True)
            )
            if all(str(why).startswith("TLS") or "not trusted" in str(why) for why in found):
                raise AuthenticationFailed(
                    f"no broker accepts the administrator's certificate\n{said}\n"
                    "  nodes that run with certificates of an earlier vault get the new ones by `kdeploy down`, "
                    "then `kdeploy up`"
                )
            raise Unreachable(
                f"no broker could be reached within {timeout:g} s\n{said}\n"
                "  see which nodes run with `kdeploy status`, and start them with `kdeploy up`"
            )
        time.sleep(0.2)


def why_not(host: str, port: int, tls: ssl.SSLContext, timeout: float, proxy: Proxy | None) -> str | None:
    """None when a broker answers there, else why not."""
    try:
        ask(host, port, tls, proxy, timeout)
    except OSError as error:
        return reason(error)
    return None
