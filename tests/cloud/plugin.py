"""What a program that the engine starts has in common with its others: its port, and its end.

Invariant: none outlives the engine that started it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Final

import grpc

PARENT: Final = os.getppid()
"""The engine, unless it has ended already."""

UNBOUNDED: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""Messages may be as large as a state is."""


def serve(register: Callable[[grpc.Server], object], workers: int) -> None:
    """Serve on a port of this machine's own loopback, and say which on the standard output.

    Args:
        register: Adds what is served.
        workers: Calls at once.
    """
    threading.Thread(target=_follow, args=(PARENT,), daemon=True).start()
    server = grpc.server(futures.ThreadPoolExecutor(workers), options=UNBOUNDED)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


def _follow(parent: int) -> None:
    """End when the engine has ended, so that a killed engine leaves nothing behind."""
    while os.getppid() == parent and parent != 1:
        time.sleep(0.5)
    os._exit(1)
