"""A node's folder on this machine: what is in it, and how files get there.

    DATACENTER/NODE/
        config/ secrets/ data/ logs/   as the Blueprint says, paths relative to this folder
        node.json      the node as it was last applied, and a hash of each file
        process.json   the process that was last started (written by itself, before Java)
        node.lock      held by the running process as long as it lives

Invariants: a file is replaced whole or not at all; nobody but its owner can read any of
it, from the moment it exists; `node.json` names every file that was ever put there until
it is removed, so nothing stays behind whenever kdeploy is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from kdeploy.blueprint import Node, RenderedFile, SecretFile
from kdeploy.errors import KdeployError
from kdeploy.spec.lock import Role

RECORD_SCHEMA: Final = "kdeploy.node/v2"

READABLE: Final = ("kdeploy.node/v1", RECORD_SCHEMA)
"""v1 did not know `live`."""

_SCHEMA: Final = re.compile(r"kdeploy\.node/v([0-9]{1,9})")


@dataclass(frozen=True)
class Record:
    """What was last applied to a node's folder.

    Attributes:
        node: The node.
        kafka_version: The version it runs.
        applied: `Provider.wanted` of what is there; None while files are being replaced.
        hashes: SHA-256 of each file by path.
        stale: Paths that are to be removed.
        live: Names that were ever in the node's `Node.live`.
    """

    node: Node
    kafka_version: str
    applied: str | None
    hashes: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    live: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values with its schema."""
        return {"schema": RECORD_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Record:
        """The record that `to_json` gave.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: On anything else.
        """
        if document.pop("schema") not in READABLE:
            raise ValueError("another schema")
        node = document.pop("node")
        files = tuple(
            RenderedFile(**file | {"live": tuple(file.get("live", ()))}) for file in node.pop("files")
        )
        secrets = tuple(SecretFile(**secret) for secret in node.pop("secrets"))
        others: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in node.items()
        }
        document |= {name: tuple(document.get(name, ())) for name in ("stale", "live")}
        return cls(node=Node(**others, files=files, secrets=secrets), **document)


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def make(folder: Path) -> None:
    """Make a folder, and those above it that lack, that only their owner can enter."""
    for place in (*reversed(folder.parents), folder):
        if not place.is_dir():
            place.mkdir(mode=0o700, exist_ok=True)


def read_record(folder: Path) -> Record | None:
    """What was last applied, or None where that is nothing or cannot be read.

    Raises:
        KdeployError: A newer kdeploy wrote it: what it says of the node may not be lost.
    """
    try:
        document = json.loads((folder / "node.json").read_bytes())
        _refuse_newer(folder / "node.json", document["schema"])
        return Record.from_json(document)
    except (FileNotFoundError, NotADirectoryError, AttributeError, ValueError, KeyError, TypeError):
        return None


def _refuse_newer(file: Path, schema: object) -> None:
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match and int(match.group(1)) > int(RECORD_SCHEMA.rpartition("/v")[2]):
        raise KdeployError(
            f"{file} is of a newer kdeploy ({schema})\n  upgrade kdeploy to at least the one that wrote it"
        )


def write_record(folder: Path, record: Record) -> None:
    """Replace the record."""
    put(folder / "node.json", json.dumps(record.to_json(), indent=1, sort_keys=True).encode())


def put(file: Path, content: bytes) -> None:
    """Put a file in place, whole or not at all, readable by its owner alone.

    Safe against a crash of the machine: content is on disk before it gets its name.
    """
    make(file.parent)
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(handle)
    new.rename(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def apply(folder: Path, record: Record, secrets: Mapping[str, bytes]) -> None:
    """Bring a node's files up to date; files that are right already are not touched.

    Args:
        folder: The node's folder.
        record: What it is to be; `hashes`, `stale` and `live` are found here.
        secrets: Content of its secret files by path.

    Raises:
        KdeployError: A path would leave the node's folder.
    """
    contents = {file.path: file.text.encode() for file in record.node.files} | dict(secrets)
    for path in (*contents, *record.node.data_directories):
        _refuse_outside(record.node, path)
    before = read_record(folder)
    ever = {*before.hashes, *before.stale} if before else set[str]()
    stale = tuple(sorted(ever - contents.keys()))
    hashes = {path: digest(content) for path, content in contents.items()}
    live = tuple(sorted({*record.node.live, *(before.live if before else ())}))
    write_record(folder, Record(record.node, record.kafka_version, None, hashes, stale, live))
    for path, content in contents.items():
        if read_private(folder / path) != content:
            put(folder / path, content)
    for path in stale:
        (folder / path).unlink(missing_ok=True)
    for path in (*record.node.data_directories, "logs"):
        make(folder / path)
    write_record(folder, Record(record.node, record.kafka_version, record.applied, hashes, live=live))


def is_as_applied(folder: Path, record: Record) -> bool:
    """Whether every file still is what was applied: none changed, missing, or open to others."""
    contents = ((read_private(folder / path), wanted) for path, wanted in record.hashes.items())
    return all(content is not None and digest(content) == wanted for content, wanted in contents)


def read_private(file: Path) -> bytes | None:
    """A file's content; None where it is missing or others than its owner may read it."""
    try:
        return None if file.stat().st_mode & 0o077 else file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refuse_outside(node: Node, path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise KdeployError(f"{node.key}: {path!r} is not inside the node's folder; refusing to write there")


def unfinished(home: Path) -> Node:
    """What the name of a folder says of a node whose files were never completed."""
    kind, _, number = home.name.rpartition("-")
    roles: dict[str, Role] = {"zookeeper": "zookeeper", "controller": "controller", "mirror": "mirror"}
    return Node(
        datacenter=home.parent.name,
        name=home.name,
        role=roles.get(kind, "broker"),
        id=int(number) if number.isdigit() else 0,
        rack="",
        host="localhost",
        bind="127.0.0.1",
        ports={},
        cores=0,
        memory=0.0,
        data_directories=(),
        format_arguments=(),
        java_options=(),
        main_class="",
        arguments=(),
        files=(),
        secrets=(),
    )
