"""`down`: stop an environment's nodes, brokers first; data stays unless a person says otherwise.

Invariant: deleting is its own step after everything has stopped, and only `delete_data`
starts it. A `down` that was killed is finished by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError
from kdeploy.operations import belonging, places, site
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import FILE, lease
from kdeploy.operations.progress import Progress
from kdeploy.operations.standing import told

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.spec.load import Loaded


def down(
    loaded: Loaded, progress: Progress, password_file: Path | None = None, *, delete_data: bool
) -> tuple[str, ...]:
    """Stop every node; afterwards, where asked, delete all that `up` made.

    Works from what is on disk, so that it also ends an environment whose file no longer
    loads into a plan.

    Args:
        loaded: The environment.
        progress: Where to report.
        password_file: File with the vault's password; only AWS cannot be asked without it.
        delete_data: Whether to delete.

    Returns:
        Names of the nodes that were stopped.

    Raises:
        KdeployError: A provider that nothing can be stopped of yet; or something could not be.
    """
    site.refuse_undeployable(loaded)
    if not places.is_local(loaded):
        from kdeploy.operations import hosts

        return hosts.down(loaded, progress, password_file, delete_data=delete_data)
    from kdeploy.infra.local.provider import LocalProvider

    belonging.refuse_other(loaded)
    name = loaded.environment.name
    if places.is_untouched(name):
        return ()
    folder = places.state_folder(name)
    with lease(folder, "down"), told(name, progress):
        provider = LocalProvider(places.nodes_folder(name), progress=progress.bar)
        nodes = provider.known()
        running = {key for key, state in provider.observe(nodes).items() if state.running}
        stopping = [node for node in nodes if node.key in running]
        brokers = [node for node in stopping if node.role == "broker"]
        mirrors = [node for node in stopping if node.role == "mirror"]
        others = [node for node in stopping if node.role not in ("broker", "mirror")]
        stop_all(provider.stop, mirrors, progress)
        kill_point("mirrors-stopped")
        stop_all(provider.stop, brokers, progress)
        kill_point("brokers-stopped")
        stop_all(provider.stop, others, progress)
        kill_point("coordination-stopped")
        if delete_data:
            progress.step("delete", str(folder))
            for node in nodes:
                provider.delete(node)
                kill_point("first-node-deleted")
            _delete(folder)
    return tuple(node.name for node in stopping)


def _delete(folder: Path) -> None:
    """Delete the state folder, its lease last: while that is there, nobody begins anything new in the folder."""
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != FILE:
                entry.unlink()
        (folder / FILE).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        raise KdeployError(
            f"{folder} could not be deleted whole: {error.filename or folder}: {error.strerror}\n"
            "  what is left is deleted when you run this again"
        ) from None


def stop_all(stop: Callable[[Node], None], nodes: list[Node], progress: Progress) -> None:
    """Stop several nodes at once."""
    if nodes:
        progress.step("stop", ", ".join(node.name for node in nodes))
        site.in_parallel(stop, nodes)
