"""A file system that is smaller than its disk is seen, whatever grew the disk; everything else is left alone."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kdeploy.infra.hosts import remote

GIB = 2**30


@pytest.mark.parametrize(
    ("magic", "blocks", "size", "seen"),
    [
        (b"XFSB", GIB // 4096, 2 * GIB, [["size of /data", "2.0 GiB", "1.0 GiB"]]),
        (b"XFSB", GIB // 4096, GIB, []),
        (b"XFSB", GIB // 4096, GIB + 2**20, []),
        (b"\0\0\0\0", GIB // 4096, 2 * GIB, []),
    ],
    ids=["grown", "whole", "what mkfs leaves over", "no file system"],
)
def test_a_disk_that_grew_is_told_from_one_that_is_full(
    tmp_path: Path, magic: bytes, blocks: int, size: int, seen: list[list[str]]
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(magic + struct.pack(">IQ", 4096, blocks))
    with disk.open("r+b") as opened:
        opened.truncate(size)
    assert remote.size_drift({str(disk): "/data"}) == seen


def test_a_disk_that_is_not_there_is_named_elsewhere(tmp_path: Path) -> None:
    assert remote.size_drift({str(tmp_path / "gone"): "/data"}) == []
