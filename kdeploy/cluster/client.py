"""The one door to kafka-python: loaded late, once, and quiet.

Invariant: nothing else in kdeploy imports `kafka`. Its loggers stay silent, since
at debug level they print whole configurations with passwords in them; what went
wrong is said by our own errors.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache
from typing import Any, Final, TypeAlias

Foreign: TypeAlias = Any
"""A value of kafka-python's, which has no types."""

DIRECT: Final = "kdeploy://direct"
"""Value of `proxy_url` for connections that go straight there and close their socket when that fails."""


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

    class Direct(KafkaNetSocket):  # type: ignore[misc]
        """Closes the socket of a failed attempt, which 3.0.12 leaves to the garbage collector.

        Chosen by the scheme of `DIRECT`, the client's own way to choose how to connect.
        """

        SCHEMES = (DIRECT.partition(":")[0],)

        def socket(self, *arguments: Foreign, **named: Foreign) -> Foreign:
            self.opened = super().socket(*arguments, **named)
            return self.opened

        async def connect(self, *arguments: Foreign, **named: Foreign) -> Foreign:
            try:
                return await super().connect(*arguments, **named)
            except BaseException:
                self.opened.close()
                raise

    return kafka
