"""The cache's shelf: a folder of jars that appears whole, once, for everyone.

    cache/kafka/3.9.2/libs/*.jar, manifest.json     whole, or not there
    cache/kafka/.3.9.2.making/                      being made by the holder of the lock
    cache/kafka/.3.9.2.lock                         the lock; it ends with its holder

Invariant: what is under its final name was synced to disk before it got that name.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kdeploy.errors import KdeployError

MANIFEST_SCHEMA = "kdeploy.distribution/v1"


def obtain(
    folder: Path,
    fill: Callable[[Path], str],
    progress: Callable[[str, float, float], None],
    needed: Collection[str] = (),
) -> tuple[Path, ...]:
    """The jars in a folder of the cache, made first where they are missing or damaged.

    Args:
        folder: The distribution's final folder.
        fill: Puts jars into the folder given, and returns where they came from.
        progress: Told when another process is waited for.
        needed: Names of jars without which it is of an earlier kdeploy, and made anew.

    Raises:
        KdeployError: The cache cannot be written, or what `fill` raises.
    """
    try:
        jars = stored(folder, needed)
        if jars:
            return jars
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder, progress):
            return stored(folder, needed) or _make(folder, fill)
    except OSError as error:
        raise KdeployError(
            f"the cache {folder.parent} cannot be used: {error.strerror or error}\n"
            "  make room or make it writable, or name another folder in KDEPLOY_CACHE_DIR"
        ) from None


def stored(folder: Path, needed: Collection[str] = ()) -> tuple[Path, ...]:
    """The jars of a whole distribution, sorted; empty where a jar is missing, or has another size, or one that is
    needed was not put there.
    """
    try:
        sizes = json.loads((folder / "manifest.json").read_bytes())["sizes"]
        right = all((folder / "libs" / name).stat().st_size == size for name, size in sizes.items())
        right = right and set(needed) <= set(sizes)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(folder / "libs" / name for name in sorted(sizes)) if right else ()


def _make(folder: Path, fill: Callable[[Path], str]) -> tuple[Path, ...]:
    making = folder.with_name(f".{folder.name}.making")
    libs = making / "libs"
    libs.mkdir(parents=True, exist_ok=True)  # what an interrupted fetch left may be of use to `fill`
    source = fill(libs)
    for left_over in making.iterdir():
        if left_over != libs:  # an archive that an interrupted or refused download left
            left_over.unlink()
    sizes = {jar.name: jar.stat().st_size for jar in sorted(libs.iterdir())}
    manifest = {"schema": MANIFEST_SCHEMA, "sizes": sizes, "source": source}
    (making / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
    for path in [*libs.iterdir(), making / "manifest.json", libs, making]:
        _sync(path)
    _replace(folder, making)
    return tuple(folder / "libs" / name for name in sizes)


def _replace(folder: Path, making: Path) -> None:
    """Give the new folder its name; a damaged one of that name is moved away first, then deleted."""
    damaged = folder.with_name(f".{folder.name}.damaged")
    shutil.rmtree(damaged, ignore_errors=True)
    if folder.exists():
        folder.rename(damaged)
    making.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(damaged, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(folder: Path, progress: Callable[[str, float, float], None]) -> Iterator[None]:
    handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"Kafka {folder.name}: another kdeploy fetches it, waiting", 0, 1)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
