"""A server of a few lines, for tests of whoever connects to it.

Invariant: nothing of it is left when the block ends.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is served by a thread of its own."""
    threads = []

    def accept() -> None:
        while True:
            try:
                taken = server.accept()[0]
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(taken,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    accepting.join()
    for one in threads:
        one.join()
