"""Write a blueprint's files to a folder, to be read, compared or carried by other means.

Invariant: only a folder that is new, empty, or written by this before is touched, and in it
only files that this wrote; afterwards it holds exactly the blueprint's files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.blueprint import Blueprint

LISTING: Final = ".kdeploy-rendered"
"""File that lists what was written, one path a line."""


def write(blueprint: Blueprint, folder: Path) -> tuple[str, ...]:
    """Write every file of every node, as `Blueprint.tree` names them.

    Args:
        blueprint: What to write.
        folder: Where; made when it does not exist.

    Returns:
        The paths written, relative to the folder, sorted.

    Raises:
        UsageError: The folder holds something else.
    """
    tree = blueprint.tree()
    for stale in sorted(_written_before(folder) - set(tree), reverse=True):
        _remove(folder, stale)
    folder.mkdir(parents=True, exist_ok=True)
    # First the list: a run that is killed half-way leaves a folder that the next one may finish.
    (folder / LISTING).write_text("".join(f"{path}\n" for path in sorted(tree)))
    for path, text in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tuple(sorted(tree))


def _written_before(folder: Path) -> set[str]:
    listing = folder / LISTING
    if listing.is_file():
        return set(listing.read_text().splitlines())
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty, and not a folder that `kdeploy render` wrote\n"
            "  name another one with --to, or empty it first"
        )
    return set()


def _remove(folder: Path, path: str) -> None:
    """Delete a file written before, and the folders that are empty without it."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        return
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == folder or any(parent.iterdir()):
            return
        parent.rmdir()
