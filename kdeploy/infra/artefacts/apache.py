"""The Apache archive, or a mirror laid out like it.

Invariant: nothing is unpacked before its SHA-512 is the one in the .sha512 file beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from kdeploy.infra.artefacts import archive, transfer
from kdeploy.infra.artefacts.contents import Refused


def fill(
    version: str, libs: Path, mirror: str, patience: float, progress: Callable[[str, float, float], None]
) -> None:
    """Fetch a release and take its jars out.

    Args:
        version: Kafka's version.
        libs: Folder to fill.
        mirror: Base URL, without a slash at its end.
        patience: Seconds for the first answer.
        progress: As `artefacts.Progress`.

    Raises:
        Refused: It cannot be had from there, or is not what its checksum says.
    """
    name = f"kafka_2.13-{version}.tgz"
    packed = libs.with_name(name)
    digest = hashlib.sha512()
    with transfer.session() as opened:
        # The small file first: it tells within the patience whether there is anyone.
        wanted = archive.read_sha512(transfer.text(opened, f"{mirror}/{version}/{name}.sha512", patience))
        came = 0

        def count(more: int, total: int) -> None:
            nonlocal came
            came += more
            progress(f"Kafka {version}", came, total)

        transfer.save(opened, f"{mirror}/{version}/{name}", packed, digest, patience, count)
    if digest.hexdigest() != wanted:
        raise Refused(f"the checksum of {name} is not the one in its .sha512 file")
    archive.unpack(packed, version, libs)
    packed.unlink()
