"""Letting a person edit a secret text in their own editor.

Invariant: the text lies in a file of mode 0600 in a folder of mode 0700, in memory
where the system has a place for that, and is overwritten and removed with whatever
the editor left beside it, however the editing ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError

MEMORY: Final = Path("/dev/shm")  # noqa: S108
"""Where Linux keeps files in memory only (tmpfs): what lies there never reaches a disk by itself."""

SECRET_VARIABLES: Final = ("KDEPLOY_VAULT_PASSWORD",)
"""Environment variables that no other process is to see."""


def revise(text: str) -> str:
    """Open an editor on a text, and give back what the person left.

    The editor is $VISUAL, $EDITOR, or vi.

    Raises:
        KdeployError: The editor cannot be started or reports a failure; the text is then as it was.
    """
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="kdeploy-", dir=parent))
    try:
        file = folder / "vault.yaml"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        _run(file)
        return _read(file)
    finally:
        _wipe(folder)


def _run(file: Path) -> None:
    command = _command()
    surroundings = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    try:
        with _ctrl_c_is_the_editors():
            code = subprocess.run([*command, str(file)], env=surroundings, check=False).returncode
    except OSError as error:
        raise KdeployError(
            f"the editor {command[0]} cannot be started: {error.strerror}\n  name another one in EDITOR"
        ) from None
    if code:
        raise KdeployError(
            f"the editor {command[0]} ended with code {code}: nothing was changed\n  edit it again"
        )


def _command() -> list[str]:
    """The editor as a program and its arguments, as a shell reads $VISUAL and $EDITOR."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        return shlex.split(named) or ["vi"]
    except ValueError as error:
        fault = str(error).lower()
    raise KdeployError(f"the editor {named!r} cannot be started: {fault}\n  name another one in EDITOR")


@contextmanager
def _ctrl_c_is_the_editors() -> Iterator[None]:
    """Leave Ctrl-C to the editor, where it is a command like any other; both of us get it from the terminal.

    A handler, not SIG_IGN: that the editor would inherit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        fault = "the edited file is gone, or is not text: nothing was changed\n  edit it again"
    raise KdeployError(fault)


def _wipe(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            with file.open("r+b") as stream:
                stream.write(bytes(file.stat().st_size))
                stream.flush()
                os.fsync(stream.fileno())
    shutil.rmtree(folder)
