"""A node's process: started so that it is recognised whatever dies, stopped without hitting another.

The running process holds a lock of the operating system on `node.lock`. It inherits the
open file that kdeploy locked, so the lock passes from kdeploy to it without a gap and ends
with it: a crash of kdeploy between starting it and noting its pid leaves nothing unknown,
and after a reboot, or when a pid is used again, nothing is held. The pid is written by the
process itself before it becomes Java.

Invariant: locked means running; a signal is sent only to a process whose working
directory is the node's folder while that folder's lock is held.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kdeploy.errors import KdeployError
from kdeploy.infra.local.folder import put

if TYPE_CHECKING:
    import psutil

LAUNCH: Final = """\
umask 077
cd "$1" || exit 1
ulimit -c 0
ulimit -n "$(ulimit -H -n)"
printf '{"pid": %d, "started": "%s", "stopping": null}' "$$" "$2" >.process.json.new || exit 1
mv .process.json.new process.json || exit 1
shift 2
exec "$@"
"""
"""Run by sh, with the folder and what the process is started with as its first arguments.

No core dumps: they would hold keys. As many open files as the machine allows: "we recommend
at least 100000 allowed file descriptors for the broker processes" (Kafka 3.9 documentation,
Operations, OS).
"""

LOCK_DESCRIPTOR: Final = 9
"""The number under which the process holds its lock; the highest that POSIX sh leaves alone."""

RECORD_PATIENCE: Final = 30.0
"""Seconds for a process to write its pid; it takes milliseconds unless the machine is overloaded, as by six
Java machines that start on two slow processors."""

KILL_PATIENCE: Final = 30.0
"""Seconds for a killed process to be gone: the kernel frees its memory first."""


@dataclass(frozen=True)
class Started:
    """What `process.json` says of the process last started.

    Attributes:
        pid: Its process id then.
        started: `Provider.wanted` of what it was started with.
        stopping: How kdeploy stopped it, None where it did not.
    """

    pid: int
    started: str
    stopping: Literal["controlled", "now"] | None


def read_started(folder: Path) -> Started | None:
    """The process last started, or None where there was none."""
    try:
        return Started(**json.loads((folder / "process.json").read_bytes()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def is_locked(file: Path) -> bool:
    """Whether a process holds a lock file."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def is_running(folder: Path) -> bool:
    """Whether the node's process is up."""
    return is_locked(folder / "node.lock")


@contextmanager
def holding(file: Path, patience: float = 1.0) -> Iterator[int | None]:
    """Hold a lock file; gives its descriptor, or None where another process has it.

    It is asked for again for a moment: whoever only looks holds it too, for microseconds.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle if _take(handle, patience) else None
    finally:
        os.close(handle)


def _take(handle: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def launch(
    folder: Path, lock: int, command: Sequence[str], environment: Mapping[str, str], started: str
) -> None:
    """Start a process in a session of its own; returns when it has written its pid.

    Args:
        folder: The node's folder.
        lock: Descriptor of its held lock, which the process inherits.
        command: Program and arguments.
        environment: The whole environment of the process.
        started: Noted as what it was started with; a hash.

    Raises:
        KdeployError: It ended before it wrote its pid.
    """
    (folder / "process.json").unlink(missing_ok=True)
    console = folder / "logs" / "console.log"
    with suppress(FileNotFoundError):
        console.rename(console.with_name("console.log.1"))
    opened = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", LAUNCH, "sh", str(folder), started, *command],
        dict(environment),
        file_actions=[
            # First, because its own number could be one of those that are opened next.
            (os.POSIX_SPAWN_DUP2, lock, LOCK_DESCRIPTOR),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(console), opened | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT],
    )
    deadline = time.monotonic() + RECORD_PATIENCE
    while not (folder / "process.json").exists():
        if _has_ended(pid) or time.monotonic() > deadline:
            raise KdeployError(f"{folder.name} did not start\n  see why in {console}, then run this again")
        time.sleep(0.005)


def stop(folder: Path, how: Literal["controlled", "now"], patience: float) -> None:
    """Stop the node's process and wait until it is gone. No-op when it is not running.

    Args:
        folder: The node's folder.
        how: SIGTERM, or SIGKILL.
        patience: Seconds to wait.

    Raises:
        KdeployError: It is still there after that, or cannot be found.
    """
    if not is_running(folder):
        _reap(folder)
        return
    process = _find(folder)
    if process is None:
        if not is_running(folder):
            return
        raise KdeployError(
            f"{folder.name}: a process holds {folder / 'node.lock'} but cannot be found\n"
            f"  see who does with: fuser {folder / 'node.lock'}"
        )
    _note_stopping(folder, process.pid, how)
    _signal(process, signal.SIGTERM if how == "controlled" else signal.SIGKILL)
    if not _wait_until_gone(folder, process, patience):
        raise KdeployError(
            f"{folder.name} (process {process.pid}) did not stop within {patience:g} s; it still runs\n"
            f"  see {folder / 'logs'} for what it waits for, then run this again"
        )


def _note_stopping(folder: Path, pid: int, how: Literal["controlled", "now"]) -> None:
    """Note first that it is kdeploy who stops it, so that this does not look like a crash."""
    before = read_started(folder)
    noted = Started(pid, before.started if before else "", how)
    put(folder / "process.json", json.dumps(asdict(noted)).encode())


def _signal(process: psutil.Process, number: int) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _find(folder: Path) -> psutil.Process | None:
    """The process that runs in a folder: by its noted pid, else by looking at all of them."""
    import psutil

    deadline = time.monotonic() + RECORD_PATIENCE
    while is_running(folder):
        noted = read_started(folder)
        pids = [noted.pid] if noted else []
        for pid in pids + (psutil.pids() if time.monotonic() > deadline or pids else []):
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE and _is_in(process, folder):
                    return process
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None


def _is_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process works in the folder and has its lock open."""
    lock = (folder / "node.lock").stat()
    if not os.path.samefile(process.cwd(), folder):
        return False
    return any(os.path.samestat(os.stat(file.path), lock) for file in process.open_files())


def _wait_until_gone(folder: Path, process: psutil.Process, patience: float) -> bool:
    import psutil

    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        _reap_pid(process.pid)
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        if not is_running(folder):
            return True
        time.sleep(0.05)
    return False


def _reap(folder: Path) -> None:
    noted = read_started(folder)
    if noted:
        _reap_pid(noted.pid)


def _reap_pid(pid: int) -> None:
    """Let go of an ended child of this very kdeploy, which else would stay a zombie as long as it lives."""
    _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether a child of this process has ended; False for any other process."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
