"""Whether a port is free, and who has it when it is not.

Invariant: looks only; a port is tried the way Java will open it (address reuse on), so
connections that are just closing do not count.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

from kdeploy.blueprint import Node
from kdeploy.errors import KdeployError


def refuse_taken(node: Node) -> None:
    """Refuse to start a node one of whose ports another program has.

    Raises:
        KdeployError: Names the port, what it is for, and the program.
    """
    for purpose, port in sorted(node.ports.items(), key=lambda item: item[1]):
        if not is_free(node.bind, port):
            raise KdeployError(
                f"{node.key}: its {purpose} port {port} on {node.bind} is taken by {holder(port)}\n"
                f"  end that program, or give datacenter {node.datacenter} another base_port"
            )


def is_free(address: str, port: int) -> bool:
    """Whether a program could listen on a port now."""
    family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def holder(port: int) -> str:
    """The program that has a port, in words. Never its arguments: they may hold secrets."""
    import psutil

    with suppress(psutil.Error, OSError):
        using = [one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port]
        using.sort(key=lambda one: one.status != psutil.CONN_LISTEN)
        for pid in (one.pid for one in using if one.pid):
            process = psutil.Process(pid)
            where = ""
            with suppress(psutil.Error, OSError):
                where = f", in {process.cwd()}"
            return f"{process.name()} (process {pid}{where})"
    return "a program of another user"
