"""What a secure cluster must refuse, proved by trying: each of them is let in nowhere.

A refusal counts only where somebody listens and says no: a port that nobody answers on
proves nothing, unless it is one that a host's firewall keeps for peers; that peers use it is
proved by the partitions that are in sync. Invariant: nothing is changed by trying; what an environment has switched
off by name is reported as not applicable, never as passed in silence.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from kdeploy.blueprint import ClusterBlueprint, Node
from kdeploy.cluster import Access, Check, Proxy, wire, zookeeper
from kdeploy.cluster.failure import reason
from kdeploy.cluster.login import AT_ONCE
from kdeploy.tuning.firewall import for_peers_alone

ASKED_FOR_PLAINTEXT: Final = "not applicable: asked for by name (security.client_listener: PLAINTEXT)"
"""Why clients are not asked who they are."""

ASKED_FOR_NO_ACLS: Final = "not applicable: asked for by name (security.authorization: false)"
"""Why clients may do everything."""

GUARDED: Final = ("external", "internal", "admin", "secure")
"""Ports that nobody comes in by without saying who it is, whatever clients inside were let off."""

PLAIN_QUESTION: Final = b"srvr".ljust(16)
"""ZooKeeper's question, with room after it: TLS decides on the first 5 bytes of a record (RFC 8446, 5.1)."""


@dataclass(frozen=True)
class Port:
    """A port to try.

    Attributes:
        name: The node, and what the port is for.
        ask: Raises OSError when it is refused, and returns when it was answered.
        guarded: Whether a firewall is to refuse us before anything listens.
    """

    name: str
    ask: Callable[[ssl.SSLContext | None], None]
    guarded: bool = False


def ports(cluster: ClusterBlueprint, purposes: Sequence[str], proxy: Proxy | None) -> tuple[Port, ...]:
    """The brokers' listeners for some purposes, and with `secure` the ZooKeeper nodes' client ports."""
    brokers = [
        Port(
            f"{node.name} {purpose}",
            _kafka(node.host, node.ports[purpose], proxy),
            _guarded(node, purpose),
        )
        for node in cluster.brokers
        for purpose in purposes
        if purpose in node.ports
    ]
    ensemble = [
        Port(
            node.name,
            _zookeeper(node.host, node.ports["secure"], proxy),
        )
        for node in cluster.coordinators
        if node.role == "zookeeper" and "secure" in purposes
    ]
    return (*brokers, *ensemble)


def unauthenticated(access: Access, cluster: ClusterBlueprint, plaintext: bool) -> Check:
    """A client that does not say who it is is refused: no SASL, no certificate.

    Args:
        access: With the authority to trust.
        cluster: Whose ports to try.
        plaintext: Whether the client listener was asked to be open.
    """
    purposes = GUARDED if plaintext else ("client", *GUARDED)
    tried = ports(cluster, purposes, access.proxy)
    found = _let_in(tried, wire.context(access.authority))
    return _check("unauthenticated client refused", found, tried, plaintext)


def in_plaintext(access: Access, cluster: ClusterBlueprint, plaintext: bool) -> Check:
    """A client that does not speak TLS is refused; arguments as `unauthenticated`."""
    purposes = GUARDED if plaintext else ("client", *GUARDED)
    tried = ports(cluster, purposes, access.proxy)
    return _check("plaintext client refused", _let_in(tried, None), tried, plaintext)


def _guarded(node: Node, purpose: str) -> bool:
    return node.firewall is not None and for_peers_alone(node.role, purpose)


def _let_in(tried: Sequence[Port], tls: ssl.SSLContext | None) -> tuple[str, ...]:
    """Ports that answered, or where nothing was proved."""
    if not tried:
        return ()
    with ThreadPoolExecutor(AT_ONCE, "kdeploy-refusals") as pool:
        return tuple(found for found in pool.map(lambda port: _try(port, tls), tried) if found)


def _try(port: Port, tls: ssl.SSLContext | None) -> str | None:
    try:
        port.ask(tls)
    except ConnectionRefusedError as error:
        return None if port.guarded else f"{port.name} proves nothing: {reason(error)}"
    except (TimeoutError, socket.gaierror, ssl.SSLCertVerificationError) as error:
        return f"{port.name} proves nothing: {reason(error)}"
    except OSError:
        return None
    return f"{port.name} let it in"


def _check(name: str, found: Iterable[str], tried: Sequence[Port], plaintext: bool) -> Check:
    wrong = "; ".join(found)
    right = f"{len(tried)} ports"
    if guarded := sum(port.guarded for port in tried):
        right += f", {guarded} of them behind the hosts' firewall"
    if plaintext:
        right += f"; client listener {ASKED_FOR_PLAINTEXT}"
    return Check(name, not wrong, wrong or right)


def _kafka(host: str, port: int, proxy: Proxy | None) -> Callable[[ssl.SSLContext | None], None]:
    return lambda tls: wire.ask(host, port, tls, proxy)


def _zookeeper(host: str, port: int, proxy: Proxy | None) -> Callable[[ssl.SSLContext | None], None]:
    def ask(tls: ssl.SSLContext | None) -> None:
        with wire.connected(host, port, tls, zookeeper.TIMEOUT, proxy) as channel:
            channel.sendall(PLAIN_QUESTION)
            if zookeeper.read(0, "", wire.until_closed(channel).decode(errors="replace")).mode is None:
                raise wire.Refused("the connection was closed")

    return ask
