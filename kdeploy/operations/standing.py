"""What stands when somebody stops an operation half-way.

Invariant: only looks; the operation's own end is what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kdeploy.errors import KdeployError, Stopped
from kdeploy.operations import places
from kdeploy.operations.progress import Progress


@contextmanager
def told(environment: str, progress: Progress) -> Iterator[None]:
    """Say which nodes of an environment run, where the block is stopped by a person or the system.

    Args:
        environment: Its name.
        progress: Where to say it.
    """
    try:
        yield
    except Stopped:
        with suppress(KdeployError, OSError):  # a terminal that is gone hears nothing
            progress.step("stopped", _standing(environment))
        raise


def _standing(environment: str) -> str:
    from kdeploy.infra.local.provider import LocalProvider

    if places.hosts_folder(environment).exists():
        return f"what runs on hosts goes on running; `kdeploy status {environment}` shows it"
    provider = LocalProvider(places.nodes_folder(environment))
    nodes = provider.known()
    states = provider.observe(nodes)
    running = [node.name for node in nodes if states[node.key].running]
    if not running:
        return "no node runs"
    return f"{len(running)} of {len(nodes)} nodes run, and go on running: {', '.join(running)}"
