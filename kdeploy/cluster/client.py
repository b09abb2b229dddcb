"""The one door to kafka-python: loaded late, once, and quiet.

Invariant: nothing else in kdeploy imports `kafka`. Its loggers stay silent, since
at debug level they print whole configurations with passwords in them; what went
wrong is said by our own errors.
"""

from __future__ import annotations

import logging
import socket
import warnings
from functools import cache
from typing import Any, Final, TypeAlias

from kdeploy.cluster import Proxy
from kdeploy.errors import KdeployError

Foreign: TypeAlias = Any
"""A value of kafka-python's, which has no types."""

DIRECT: Final = "kdeploy://direct"
"""Value of `proxy_url` for connections that go straight there and close their socket when that fails."""

THROUGH: Final = "kdeploy-socks5h"
"""Scheme of a `proxy_url` for connections through one of `_proxies`, whose number stands after it."""

_proxies: Final[list[Proxy]] = []
"""What connections go through: the client takes text alone, and a proxy can come back at another port."""


def way(proxy: Proxy | None) -> str:
    """The value of kafka-python's `proxy_url` for connections through a proxy, or straight there."""
    if proxy is None:
        return DIRECT
    if proxy not in _proxies:
        _proxies.append(proxy)
    return f"{THROUGH}://{_proxies.index(proxy)}"


@cache
def kafka() -> Foreign:
    """kafka-python, with its admin client and protocol classes.

    Raises:
        ModuleNotFoundError: It is not installed; the command line names the extra.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # 3.0.12 reads its schemas through importlib.resources.read_text, deprecated in Python 3.11.
        warnings.simplefilter("ignore", DeprecationWarning)
        import kafka
        import kafka.admin
        import kafka.errors
        import kafka.net.compat
        import kafka.protocol.admin
        from kafka.net.inet import KafkaNetSocket
        from kafka.net.socks5 import Socks5Proxy

    class Closing(KafkaNetSocket):  # type: ignore[misc]
        """Closes the socket of a failed attempt, which 3.0.12 leaves to the garbage collector."""

        SCHEMES: tuple[str, ...] = ()

        def socket(self, *arguments: Foreign, **named: Foreign) -> Foreign:
            self.opened = super().socket(*arguments, **named)
            return self.opened

        async def connect(self, *arguments: Foreign, **named: Foreign) -> Foreign:
            try:
                return await super().connect(*arguments, **named)
            except BaseException:
                self.opened.close()
                raise

    class Direct(Closing):
        """Chosen by the scheme of `DIRECT`, the client's own way to choose how to connect."""

        SCHEMES = (DIRECT.partition(":")[0],)

    class Through(Closing, Socks5Proxy):  # type: ignore[misc]
        """Goes through one of `_proxies`, asked anew for each connection; names are resolved on its far side."""

        SCHEMES = (THROUGH,)

        def _get_proxy_addr(self) -> Foreign:
            try:
                server = _proxies[int(self._proxy_url.hostname)]()
            except KdeployError as error:
                raise kafka.errors.KafkaConnectionError(str(error).splitlines()[0]) from None
            return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", server)

        def _use_remote_lookup(self) -> bool:
            return True

    return kafka
