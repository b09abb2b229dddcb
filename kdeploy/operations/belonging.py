"""Which folder an environment's nodes on this machine belong to: state is kept by name, and two folders may share one.

Invariant: only of provider local, which keeps nodes here; machines elsewhere belong to whoever has their lock and
their vault, from whatever checkout. Nothing is refused where nobody could lose anything: what was brought up before
this was kept, whose folder is gone, and what a pipeline checks out, anew for each of its runs, goes on as before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import InvalidEnvironment, UsageError
from kdeploy.operations import places

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.lock import Lock

FILE: Final = "folder"
"""Name of the file in an environment's state folder that says whose it is."""

SHIPPED: Final = "came with kdeploy"
"""What stands there for an environment that came with kdeploy: its folder is another one with each installation."""

PIPELINE: Final = "CI"
"""Environment variable that says that a pipeline runs this: GitHub Actions and GitLab set it (their lists of default
and of predefined variables, 2026)."""


def refuse_other(loaded: Loaded) -> None:
    """Refuse to work on nodes of this machine that belong to another folder.

    Raises:
        UsageError: Names that folder and what can be done.
    """
    owner = _other(loaded)
    if owner is None:
        return
    name = loaded.environment.name
    if owner == SHIPPED:
        whose, there = "the environment of that name that came with kdeploy", f"kdeploy status {name}"
        there += ", from where no ./environments has one of that name"
    else:
        whose, there = owner, f"kdeploy status {owner}"
    raise UsageError(
        f"{name} on this machine belongs to {whose}, and not to {_said(loaded)}: "
        "its nodes and their data were made from there\n"
        f"  work on it there: {there}\n"
        "  or, for a cluster of its own, give this environment another name and other ports; "
        f"{places.STATE_VARIABLE} names another state folder\n"
        f"  or, where this folder takes the place of that one, let it have nodes and data: "
        f"kdeploy up {name} --take-over"
    )


def lock(loaded: Loaded) -> Lock | None:
    """What was decided before about an environment; nothing where that was about one of another folder."""
    from kdeploy.spec import lockfile

    return None if _other(loaded) is not None else lockfile.read_lock(places.lock_file(loaded))


def remember(loaded: Loaded) -> str | None:
    """Note that the nodes belong to this folder from now on; the caller holds the environment's lease.

    Returns:
        The folder that they belonged to, where that was another one.
    """
    if not places.is_local(loaded) or os.environ.get(PIPELINE):
        return None
    from kdeploy.security.files import write_secret

    before = _owner(loaded)
    write_secret(_file(loaded), f"{_folder(loaded)}\n".encode())
    return before if before != _folder(loaded) else None


def _other(loaded: Loaded) -> str | None:
    """The other folder that the nodes of this name belong to; None where there is none."""
    if not places.is_local(loaded) or os.environ.get(PIPELINE):
        return None
    owner, name = _owner(loaded), loaded.environment.name
    if owner is None or owner == _folder(loaded):
        return None
    made = places.lock_file(loaded).exists() or places.nodes_folder(name).exists()
    return owner if made and (owner == SHIPPED or _is_there(Path(owner), name)) else None


def _owner(loaded: Loaded) -> str | None:
    try:
        return _file(loaded).read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{_file(loaded)} cannot be read: {error}\n  it names the folder of an environment"
        ) from None


def _is_there(folder: Path, name: str) -> bool:
    """Whether a folder still has a local environment of this name; one that nobody can read counts as there."""
    from kdeploy.spec import load

    try:
        found = load.load(folder)
    except InvalidEnvironment:
        return (folder / load.FILE_NAME).exists()
    except OSError:
        return True
    return found.environment.name == name and places.is_local(found)


def _file(loaded: Loaded) -> Path:
    return places.state_folder(loaded.environment.name) / FILE


def _folder(loaded: Loaded) -> str:
    return SHIPPED if loaded.shipped else str(loaded.folder.resolve())


def _said(loaded: Loaded) -> str:
    return "the one that came with kdeploy" if loaded.shipped else _folder(loaded)
