"""Whether this machine has room for the nodes that are to run on it, asked before anything starts.

Invariant: looks only. It refuses what cannot work; what merely is tight is the planner's business.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kdeploy.blueprint import Node
from kdeploy.errors import KdeployError
from kdeploy.units import format_bytes

BESIDE_THE_HEAP: Final = 192 * 2**20
"""Bytes a JVM takes beside its heap: classes, code, threads, network buffers. A broker with a heap of
512 MiB that was not full had 310 MB resident (three brokers, Kafka 3.9.1, measured 2026-11)."""

DISK_PER_NODE: Final = 256 * 2**20
"""Bytes a new node needs to start and serve: logs, metadata, and the first segments with their indexes
(segment.index.bytes preallocates 10 MiB each, Kafka 3.9 documentation)."""

OPEN_FILES: Final = 4096
"""Files a broker with few partitions has open: its jars, three per segment, its connections.
For production Kafka's documentation (3.9, Operations, OS) recommends 100,000; systemd's default hard
limit is 524,288."""

HEAP: Final = re.compile(r"-Xmx(\d+)([kKmMgG]?)")
FACTOR: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def preflight(root: Path, nodes: Sequence[Node]) -> None:
    """Refuse to start nodes that this machine cannot hold.

    Args:
        root: The folder they are kept under; need not exist yet.
        nodes: Those that do not run yet.

    Raises:
        KdeployError: Says what lacks, how much there is, and what to do.
    """
    if not nodes:
        return
    problems = [*_memory(nodes), *_disk(root, nodes), *_open_files()]
    if problems:
        raise KdeployError(f"this machine cannot hold {len(nodes)} more nodes:\n" + "\n".join(problems))


def heap_of(node: Node) -> int:
    """The largest heap a node may take, in bytes; a quarter of its memory where no option says (the JVM's default)."""
    found = [HEAP.fullmatch(option) for option in node.java_options]
    sizes = [int(match.group(1)) * FACTOR[match.group(2).lower()] for match in found if match]
    return sizes[-1] if sizes else int(node.memory / 4)


def _memory(nodes: Sequence[Node]) -> list[str]:
    import psutil

    needed = sum(heap_of(node) + BESIDE_THE_HEAP for node in nodes)
    available = psutil.virtual_memory().available
    if needed <= available:
        return []
    return [
        f"  memory: they take up to {format_bytes(needed)}, {format_bytes(available)} are available\n"
        "    end other programs, or give the nodes smaller heaps"
    ]


def _disk(root: Path, nodes: Sequence[Node]) -> list[str]:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    needed, free = len(nodes) * DISK_PER_NODE, shutil.disk_usage(place).free
    if needed <= free:
        return []
    return [
        f"  disk: they need {format_bytes(needed)} to begin with, {format_bytes(free)} are free at {place}\n"
        "    make room, or keep the state elsewhere with KDEPLOY_STATE_DIR"
    ]


def _open_files() -> list[str]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES:
        return []
    return [
        f"  open files: a process may have {hard} open, a broker needs {OPEN_FILES}\n"
        f"    raise the hard limit of user {os.getuid()} (ulimit -H -n, /etc/security/limits.d)"
    ]
