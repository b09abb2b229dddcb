"""A file replaced in one step, whatever happens meanwhile.

Invariant: whoever reads sees the old content or the new, whole; the file is private (0600)
until it is in its place. A replacement that is killed leaves at most one temporary file
beside it, which says by its name who wrote it, and which the next replacement removes.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put content in a file's place, on disk before this returns.

    Args:
        path: The file, or a link, which is replaced and not followed; its folder is there.
        content: All of it.
        mode: Permissions, as they are in the end.

    Raises:
        OSError: The folder cannot be written to; what was there is as it was.
    """
    clear(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    # Exclusive, and private from the first moment: nobody else can have it open.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def clear(path: Path) -> None:
    """Remove what killed replacements of a file left beside it; one that is still being written stays."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.[0-9a-f]{{8}}")
    for name in os.listdir(path.parent):
        found = ours.fullmatch(name)
        if found and not _alive(int(found[1])):
            path.with_name(name).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
