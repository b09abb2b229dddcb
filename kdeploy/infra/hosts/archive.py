"""Archives for hosts: what a node gets as one file, and Kafka's jars as one file.

Invariant: the same content gives the same bytes, so a host that has it sees no difference; owners
and modes are in the archive, so a secret is never readable by others, not even for a moment.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kdeploy.blueprint import Node
from kdeploy.infra import Secrets

RECORD: Final = "/etc/kdeploy/node.json"
"""On a host: what was put there last, with a hash of each file."""

RECORD_SCHEMA: Final = "kdeploy.host/v1"

USER: Final = "kafka"

MOMENT: Final = 946_684_800
"""Every file's time of change, 2000-01-01: the time of writing would make equal archives differ."""

HOST_FILES: Final = (
    *("/etc/sysctl.d/", "/etc/security/", "/etc/tmpfiles.d/", "/etc/udev/"),
    *("/etc/kdeploy/", "/etc/systemd/system/kdeploy-", "/usr/local/lib/kdeploy/"),
)
"""Where files go that belong to the host, not to the node's service; so do units that mount."""


@dataclass(frozen=True)
class Entry:
    """A file in an archive."""

    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644


def config_folder(node: Node) -> str:
    """Folder of the node's configuration."""
    return os.path.dirname(node.arguments[0])


def is_of_host(path: str) -> bool:
    """Whether a rendered file belongs to the host rather than to the node's service."""
    return path.startswith(HOST_FILES) or path.endswith(".mount")


def host_entries(node: Node) -> list[Entry]:
    """Files of the host: kernel settings, limits, mounts."""
    return [Entry(file.path, file.text.encode()) for file in node.files if is_of_host(file.path)]


def secret_entries(secrets: Secrets) -> list[Entry]:
    """Key material: the node's user alone can read it."""
    return [Entry(path, secrets[path], USER, USER, 0o600) for path in sorted(secrets)]


def service_entries(
    node: Node, secrets: Secrets, applied: str, before: Mapping[str, Any] | None = None
) -> list[Entry]:
    """Configuration and unit, and at the end what says that all of it is there.

    Args:
        node: The node.
        secrets: Content of its secret files; only their hashes are written here.
        applied: As `Provider.wanted`.
        before: The record that is on the host.
    """
    own = [file for file in node.files if not is_of_host(file.path)]
    entries = [_service_file(node, file.path, file.text.encode()) for file in own]
    hashes = {file.path: file.sha256 for file in node.files} | {
        path: hashlib.sha256(content).hexdigest() for path, content in secrets.items()
    }
    live = sorted({*node.live, *(before or {}).get("live", ())})
    record = {
        "schema": RECORD_SCHEMA,
        "node": node.key,
        "files": hashes,
        "secrets": sorted(secrets),
        "live": live,
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    return [
        *entries,
        Entry(RECORD, text.encode(), "root", "root", 0o600),
        Entry(f"{config_folder(node)}/applied", f"{applied}\n".encode(), "root", USER, 0o640),
    ]


def _service_file(node: Node, path: str, content: bytes) -> Entry:
    if any(path.startswith(f"{folder}/") for folder in node.data_directories):
        return Entry(path, content, USER, USER, 0o640)
    if path.startswith(f"{config_folder(node)}/"):
        return Entry(path, content, "root", USER, 0o640)
    return Entry(path, content)


def hashes(entries: Iterable[Entry]) -> dict[str, str]:
    """SHA-256 of each entry by its path."""
    return {entry.path: hashlib.sha256(entry.content).hexdigest() for entry in entries}


def write(file: Path, entries: Iterable[Entry]) -> Path:
    """Write an archive that only its owner may read."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as opened, tarfile.open(fileobj=opened, mode="w") as archive:
        for entry in entries:
            _add(archive, entry)
    return file


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.path.lstrip("/"))
    member.size, member.mtime, member.mode = len(entry.content), MOMENT, entry.mode
    member.uname, member.gname = entry.owner, entry.group
    archive.addfile(member, io.BytesIO(entry.content))


def distribution(version: str, jars: Sequence[Path], folder: Path) -> Path:
    """Kafka's jars as one archive with their checksums; made once, whole or not at all.

    Args:
        version: Kafka's version.
        jars: Every jar.
        folder: Where archives are kept.
    """
    names = hashlib.sha256("\n".join(f"{jar.name} {jar.stat().st_size}" for jar in jars).encode())
    file = folder / f"kafka-{version}-{names.hexdigest()[:12]}.tar"
    if file.exists():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    sums = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    listing = "".join(f"{sums[name]}  libs/{name}\n" for name in sorted(sums))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{version}-", delete=False) as opened:
        with tarfile.open(fileobj=opened, mode="w") as archive:
            for jar in sorted(jars, key=lambda jar: jar.name):
                _add(archive, Entry(f"kafka/{version}/libs/{jar.name}", jar.read_bytes()))
            _add(archive, Entry(f"kafka/{version}/SHA256SUMS", listing.encode()))
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(opened.name, file)
    return file


def recorded(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Paths that a record says were put there."""
    return tuple(sorted((record or {}).get("files", {})))
