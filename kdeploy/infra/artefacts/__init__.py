"""Kafka's jars and a Java: fetched once into a shared cache, then the same for every environment.

    1. a path that a person named: a release archive, an unpacked release, or a folder of them
    2. the Apache archive (or a mirror of it), checked against its SHA-512
    3. Maven coordinates, each jar checked against the SHA-256 pinned in `kdeploy/infra/pins`

Invariant: a distribution appears whole or not at all, whatever dies while it is fetched,
and two that fetch at once get the same one. A named path is never silently replaced by
another source.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError
from kdeploy.infra.artefacts import apache, archive, java, maven, store
from kdeploy.infra.artefacts.contents import Refused, needed

Progress = Callable[[str, float, float], None]
"""Told how far a transfer is: what is fetched, bytes done, bytes in all."""

APACHE_ARCHIVE: Final = "https://archive.apache.org/dist/kafka"
"""Where the Apache Software Foundation keeps every release (https://kafka.apache.org/downloads, 2026-11)."""


@dataclass(frozen=True)
class Distribution:
    """A Kafka that can be started.

    Attributes:
        version: Kafka's version.
        class_path: Every jar, absolute, in a stable order.
        java: The Java program that runs it.
    """

    version: str
    class_path: tuple[Path, ...]
    java: Path

    @property
    def class_path_text(self) -> str:
        """The class path as Java reads it from CLASSPATH or `-cp`."""
        return os.pathsep.join(map(str, self.class_path))


@dataclass(frozen=True)
class Sources:
    """Where to look for Kafka and Java.

    Attributes:
        path: A release archive (.tgz), an unpacked release (with libs/), or a folder that
            holds one of these per version; None to use the network.
        mirror: Base URL that has `VERSION/kafka_2.13-VERSION.tgz` and its `.sha512`.
        maven_mirror: Base URL of a Maven repository; None for the Maven client's own default.
        java: A Java program or the home of one; None for the one that comes with kdeploy.
        patience: Seconds for a server's first answer; a transfer may stall three times as long.
    """

    path: Path | None = None
    mirror: str = APACHE_ARCHIVE
    maven_mirror: str | None = None
    java: Path | None = None
    patience: float = 8.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Sources:
        """The sources that KDEPLOY_KAFKA_ARCHIVE, _KAFKA_MIRROR, _MAVEN_MIRROR and _JAVA name."""
        return cls(
            path=_path(environ.get("KDEPLOY_KAFKA_ARCHIVE")),
            mirror=(environ.get("KDEPLOY_KAFKA_MIRROR") or APACHE_ARCHIVE).rstrip("/"),
            maven_mirror=(environ.get("KDEPLOY_MAVEN_MIRROR") or "").rstrip("/") or None,
            java=_path(environ.get("KDEPLOY_JAVA")),
        )


def _path(text: str | None) -> Path | None:
    return Path(os.path.expanduser(text)).absolute() if text else None


def default_cache() -> Path:
    """The shared cache: $KDEPLOY_CACHE_DIR, or the platform's own cache folder."""
    chosen = _path(os.environ.get("KDEPLOY_CACHE_DIR"))
    if chosen:
        return chosen
    from platformdirs import user_cache_path

    return user_cache_path("kdeploy")


def quiet(text: str, done: float, total: float) -> None:
    """A progress that shows nothing."""


def fetch(version: str, cache: Path, sources: Sources, progress: Progress = quiet) -> Distribution:
    """A distribution of one Kafka version, from the cache or the first source that gives it.

    Args:
        version: Kafka's version.
        cache: Folder that all environments of this user share.
        sources: Where to look.
        progress: Told how far transfers are.

    Raises:
        KdeployError: No source gives it, the cache cannot be written, or Java does not fit.
    """
    program = java.find(version, sources.java)
    found = jars(version, cache, sources, progress)
    unusable = [jar for jar in found if os.pathsep in str(jar)]
    if unusable:
        raise KdeployError(
            f"{unusable[0].parent} has a {os.pathsep} in its name, which Java cannot read in a class path\n"
            "  name another cache folder in KDEPLOY_CACHE_DIR"
        )
    return Distribution(version, found, program)


def jars(version: str, cache: Path, sources: Sources, progress: Progress = quiet) -> tuple[Path, ...]:
    """The jars of one Kafka version alone, for machines that have a Java of their own; as `fetch`."""
    if sources.path is not None:
        return _from_path(version, cache, sources.path, progress)
    return store.obtain(
        cache / "kafka" / version,
        lambda libs: _from_network(version, libs, sources, progress),
        progress,
        needed(version),
    )


def _from_path(version: str, cache: Path, path: Path, progress: Progress) -> tuple[Path, ...]:
    try:
        found = archive.locate(path, version)
        if found.is_dir():
            return archive.jars_in(found, version)
        folder = cache / "kafka" / f"{version}-{archive.identity(found)}"
        return store.obtain(
            folder, lambda libs: archive.unpack_named(found, version, libs), progress, needed(version)
        )
    except Refused as refused:
        raise KdeployError(
            f"{path} does not give Kafka {version}: {refused}\n"
            "  KDEPLOY_KAFKA_ARCHIVE names the release archive, an unpacked release, "
            "or a folder that holds one per version"
        ) from None


def without_password(url: str) -> str:
    """A URL as it may be shown: without the user and password that a mirror may need, also one with a slash."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _from_network(version: str, libs: Path, sources: Sources, progress: Progress) -> str:
    passed_over = []
    patience = sources.patience
    attempts: tuple[tuple[str, Callable[[], None]], ...] = (
        (
            without_password(sources.mirror),
            partial(apache.fill, version, libs, sources.mirror, patience, progress),
        ),
        ("Maven", partial(maven.fill, version, libs, sources.maven_mirror, patience, progress)),
    )
    for name, attempt in attempts:
        try:
            attempt()
        except Refused as refused:
            passed_over.append(f"  {name}: {refused}")
        else:
            return name
    raise KdeployError(
        f"Kafka {version} could not be fetched:\n" + "\n".join(passed_over) + "\n"
        f"  bring kafka_2.13-{version}.tgz to this machine by hand and name it in KDEPLOY_KAFKA_ARCHIVE,\n"
        "  or name a mirror in KDEPLOY_KAFKA_MIRROR, or a proxy in HTTPS_PROXY"
    )
