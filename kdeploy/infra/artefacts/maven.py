"""Kafka from Maven coordinates, through jgo: exactly the jars pinned for a version.

Nothing is resolved at run time: `.ci/artefacts/pin.py` did that once, and
`kdeploy/infra/pins/VERSION.json` holds each jar's coordinates, size and SHA-256. jgo
knows where coordinates are served. Invariant: a jar with another hash is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from kdeploy.errors import Stopped
from kdeploy.infra.artefacts import transfer
from kdeploy.infra.artefacts.contents import Refused, check_kafka_jars

CONNECTIONS: Final = 4
"""Jars fetched at once: more did not make it faster (58 MB, two cores, measured 2026-11-25)."""


@dataclass(frozen=True)
class PinnedJar:
    """One jar that a version needs, and what it must be."""

    coordinate: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """File name: the artifact and its version."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pins(version: str) -> tuple[PinnedJar, ...]:
    """Every jar pinned for a version.

    Raises:
        Refused: None are.
    """
    file = files("kdeploy.infra") / "pins" / f"{version}.json"
    if not file.is_file():
        raise Refused(f"no jars are pinned for Kafka {version}")
    return tuple(PinnedJar(**jar) for jar in json.loads(file.read_text())["jars"])


def fill(
    version: str,
    libs: Path,
    mirror: str | None,
    patience: float,
    progress: Callable[[str, float, float], None],
) -> None:
    """Fetch every pinned jar; what an interrupted fetch brought already is kept where its hash is right.

    Args:
        version: Kafka's version.
        libs: Folder to fill; what does not belong is removed.
        mirror: Base URL of a Maven repository, or None for jgo's default.
        patience: Seconds for a first answer.
        progress: As `artefacts.Progress`.

    Raises:
        Refused: A jar cannot be had, or is not the pinned one.
    """
    wanted = pins(version)
    libs.mkdir(parents=True, exist_ok=True)
    missing = _keep_what_is_right(libs, wanted)
    total = sum(jar.size for jar in missing)
    came, lock = 0, threading.Lock()

    def count(more: int, _: int) -> None:
        nonlocal came
        with lock:
            came += more
            progress(f"Kafka {version} ({len(missing)} jars)", min(came, total), total)

    if missing:
        _fetch_all(missing, libs, _base(mirror), patience, count)
    check_kafka_jars([jar.name for jar in wanted], version)


def _base(mirror: str | None) -> str:
    """The base URL of the repository: jgo's own, unless another is named."""
    if mirror:
        return mirror
    from jgo.maven import MavenContext

    repositories: dict[str, str] = MavenContext(repo_cache=Path(os.devnull)).remote_repos
    return next(iter(repositories.values())).rstrip("/")


def _keep_what_is_right(libs: Path, wanted: tuple[PinnedJar, ...]) -> list[PinnedJar]:
    """Remove what is not a pinned jar; return the jars that lack, large ones first."""
    by_name = {jar.name: jar for jar in wanted}
    here = set()
    for file in libs.iterdir():
        jar = by_name.get(file.name)
        if jar and hashlib.sha256(file.read_bytes()).hexdigest() == jar.sha256:
            here.add(jar)
        else:
            file.unlink()
    return sorted((jar for jar in wanted if jar not in here), key=lambda jar: -jar.size)


def _fetch_all(
    jars: list[PinnedJar], libs: Path, base: str, patience: float, count: Callable[[int, int], None]
) -> None:
    pool = ThreadPoolExecutor(CONNECTIONS)
    with transfer.session() as opened:

        def fetch(jar: PinnedJar) -> None:
            group, artifact, version = jar.coordinate.split(":")
            url = f"{base}/{group.replace('.', '/')}/{artifact}/{version}/{jar.name}"
            part = libs / f"{jar.name}.part"
            digest = hashlib.sha256()
            transfer.save(opened, url, part, digest, patience, count)
            if digest.hexdigest() != jar.sha256:
                raise Refused(f"{jar.coordinate} is not the jar that kdeploy knows (its SHA-256 differs)")
            part.rename(libs / jar.name)

        try:
            for future in [pool.submit(fetch, jar) for jar in jars]:
                future.result()
        except Stopped:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
