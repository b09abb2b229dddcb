"""How each node of a ZooKeeper ensemble is: the four-letter word srvr, over mutual TLS.

Invariant: read-only. `srvr` is the one word that ZooKeeper's default whitelist allows
(4lw.commands.whitelist, ZooKeeper 3.8 administrator's guide); a node that does not
answer is a value with its reason, not an error.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from kdeploy.blueprint import Node
from kdeploy.cluster import Access, Proxy
from kdeploy.cluster.failure import ClusterError, reason
from kdeploy.cluster.wire import connected, context, until_closed

TIMEOUT: Final = 5.0
"""Seconds for each step of a question; a healthy node answers in milliseconds."""

SERVING: Final = ("leader", "follower", "standalone")
"""Modes in which a voting node serves."""

_FIGURE = re.compile(r"^(Mode|Outstanding|Connections|Node count): (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Member:
    """One node of an ensemble.

    Attributes:
        id: myid.
        name: The node's name.
        mode: leader, follower, standalone or observer; None when it does not serve.
        outstanding: Requests that wait in it.
        connections: Clients it has.
        znodes: znodes it holds.
        problem: Why it does not serve; empty when it does.
    """

    id: int
    name: str
    mode: str | None = None
    outstanding: int = 0
    connections: int = 0
    znodes: int = 0
    problem: str = ""

    @property
    def serves(self) -> bool:
        """Whether it takes part and answers clients."""
        return self.mode in SERVING


def ask(access: Access, nodes: Sequence[Node]) -> tuple[Member, ...]:
    """Ask every node how it is, all at once.

    Args:
        access: With `node_identity`, which ZooKeeper's client port demands.
        nodes: ZooKeeper nodes.

    Raises:
        ClusterError: There is no identity to ask with.
    """
    if access.node_identity is None:
        raise ClusterError("ZooKeeper nodes can be asked only with a certificate of the nodes' authority")
    if not nodes:
        return ()
    tls = context(access.authority, access.node_identity)
    with ThreadPoolExecutor(len(nodes), "kdeploy-zookeeper") as pool:
        return tuple(pool.map(lambda node: _ask(node, tls, access.proxy), nodes))


def read(node_id: int, name: str, answer: str) -> Member:
    """What an answer to srvr says.

    Args:
        node_id: myid of the node that gave it.
        name: The node's name.
        answer: All it sent.
    """
    figures = dict(_FIGURE.findall(answer))
    if "Mode" not in figures:
        said = answer.strip().splitlines()
        return Member(node_id, name, problem=said[0] if said else "it closed the connection")

    def number(figure: str) -> int:
        return int(figures.get(figure, 0))

    return Member(
        node_id,
        name,
        figures["Mode"],
        number("Outstanding"),
        number("Connections"),
        number("Node count"),
    )


def _ask(node: Node, tls: ssl.SSLContext, proxy: Proxy | None) -> Member:
    try:
        with connected(node.host, node.ports["secure"], tls, TIMEOUT, proxy) as channel:
            channel.sendall(b"srvr")
            return read(node.id, node.name, until_closed(channel).decode(errors="replace"))
    except OSError as error:
        return Member(node.id, node.name, problem=reason(error))
