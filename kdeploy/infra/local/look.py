"""How a node is, seen from its folder and its lock alone.

Invariant: read-only, and quick enough to be asked again and again: no other process is
looked at, only what this node's folder holds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kdeploy.blueprint import Node
from kdeploy.infra import NodeState, Standing, Strayed, stray
from kdeploy.infra.local import ending, folder, process
from kdeploy.infra.local.folder import Record


def look(home: Path, node: Node) -> NodeState:
    """A node's state.

    Args:
        home: Its folder.
        node: As it should be.
    """
    running = process.is_running(home)
    record, started = folder.read_record(home), process.read_started(home)
    return NodeState(
        present=record is not None,
        running=running,
        applied=_applied(home, record, node) if record else None,
        started=started.started if running and started else None,
        detail=_detail(home, node, running, started),
        live=record.live if record else (),
    )


def strayed(home: Path, node: Node) -> tuple[Strayed, ...]:
    """Files of a node that are not as they were put there.

    Args:
        home: Its folder.
        node: As it should be.
    """
    record = folder.read_record(home)
    if record is None or record.applied is None:  # never applied, or in the middle of it: `up` goes on
        return ()
    texts = {file.path: file.text for file in record.node.files}
    secret = {one.path for one in (*record.node.secrets, *node.secrets)}
    seen = ((path, wanted, _read(home / path)) for path, wanted in sorted(record.hashes.items()))
    return tuple(
        stray(path, texts.get(path), content, path in secret)
        for path, wanted, content in seen
        if content is None or folder.digest(content) != wanted or folder.read_private(home / path) is None
    )


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def standing(home: Path) -> Standing | None:
    """What stands of a node; None where nothing was ever put there.

    Args:
        home: Its folder.
    """
    record = folder.read_record(home)
    if record is None:
        return None
    secret = {one.path for one in record.node.secrets}
    files = {path: _text(home / path) for path in sorted({*record.hashes, *record.stale} - secret)}
    contents = {path: folder.read_private(home / path) for path in record.hashes}
    wrong = (
        path for path, content in contents.items() if folder.digest(content or b"") != record.hashes[path]
    )
    node = record.node
    return Standing(
        files=files,
        secrets={path: record.hashes[path] for path in sorted(secret & record.hashes.keys())},
        by_hand=tuple(sorted(wrong)),
        command=(*node.java_options, node.main_class, *node.arguments),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _applied(home: Path, record: Record, node: Node) -> str | None:
    """What is applied; None where a file is not as applied, or one that takes no restart is outdated."""
    soft = {file.path: file.sha256 for file in node.files if file.live or not file.restart}
    if any(record.hashes.get(path) != wanted for path, wanted in soft.items()):
        return None
    return record.applied if folder.is_as_applied(home, record) else None


def _detail(home: Path, node: Node, running: bool, started: process.Started | None) -> str:
    if started is None:
        return "starting" if running else "never started"
    if running:
        return f"process {started.pid} since {_when(home / 'process.json')}"
    if started.stopping:
        how = "by kdeploy" if started.stopping == "controlled" else "by kdeploy, at once"
        return f"stopped {how} at {_when(home / 'process.json')}"
    said = ending.last_words(home, [secret.path for secret in node.secrets])
    return (
        f"ended by itself; its logs last say: {said}"
        if said
        else "ended by itself, without a word in its logs"
    )


def _when(file: Path) -> str:
    try:
        seconds = file.stat().st_mtime
    except FileNotFoundError:
        return "just now"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
