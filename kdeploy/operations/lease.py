"""One lease per environment: it keeps two operators apart.

Invariant: the lease is an exclusive lock of the operating system on a file in the
state folder, so it ends with the process that holds it, however that dies. The
text in the file only says who, for the message; it never decides.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError, LeaseHeld

FILE: Final = "lease"
"""Name of the file in an environment's state folder."""


@contextmanager
def lease(folder: Path, command: str) -> Iterator[None]:
    """Hold the environment's lease while the block runs.

    Args:
        folder: The environment's state folder; created with mode 0700.
        command: What is being done, for the one who is refused meanwhile.

    Raises:
        LeaseHeld: Another process holds it; says who, what and since when.
        KdeployError: The state folder cannot be written.
    """
    handle = _open(folder)
    try:
        _take(handle, folder, command)
        yield
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> KdeployError:
    return KdeployError(
        f"the state folder {folder} cannot be written: {error.strerror}\n"
        "  make it writable, or name another one in KDEPLOY_STATE_DIR"
    )


def _take(handle: int, folder: Path, command: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LeaseHeld(
            f"another kdeploy is at work on {folder.name}: {_holder(handle)}\n"
            "  wait until it has finished, or end that process, and run this again"
        ) from None
    except OSError as error:  # a file system without locks, as some that are shared over a network
        raise _unwritable(folder, error) from None
    if not _is_at(handle, folder / FILE):
        raise LeaseHeld(f"{folder.name} was being deleted just now\n  run this again")
    holder = {
        "command": command,
        "pid": os.getpid(),
        "user": _user(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder, sort_keys=True).encode(), 0)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _user() -> str:
    """Who runs this; their number where the system has no name for them, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file still is the one at `path`: `down --delete-data` deletes it while holding it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    try:
        who = json.loads(os.pread(handle, 4096, 0))
        return (
            f"{who['command']} by {who['user']} on {who['host']} (process {who['pid']}) since {who['since']}"
        )
    except (ValueError, KeyError, TypeError):
        return "it has not said who it is yet"
