"""Kafka's release archive, or an unpacked release, on this machine.

Invariant: only plain files named libs/NAME.jar leave an archive, whatever else is in it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import zlib
from pathlib import Path

from kdeploy.infra.artefacts.contents import Refused, check_kafka_jars, is_runtime_jar

BLOCK = 1 << 20
"""Bytes read at once while hashing."""


def locate(path: Path, version: str) -> Path:
    """The archive or unpacked release of a version that a named path leads to.

    Raises:
        Refused: There is none.
    """
    if path.is_file():
        return path
    inside = path / f"kafka_2.13-{version}"
    for found in (path, inside):
        if (found / "libs").is_dir():
            return found
    packed = inside.with_name(f"{inside.name}.tgz")
    if packed.is_file():
        return packed
    if path.is_dir():
        raise Refused(f"the folder has no libs/, no {packed.name} and no {inside.name}/")
    raise Refused("there is no such file")


def jars_in(folder: Path, version: str) -> tuple[Path, ...]:
    """The class path of an unpacked release, used where it lies."""
    jars = tuple(sorted(jar for jar in (folder / "libs").iterdir() if is_runtime_jar(jar.name)))
    check_kafka_jars([jar.name for jar in jars], version)
    return jars


def identity(archive: Path) -> str:
    """A short name for this very file, so that a replaced archive is unpacked anew."""
    seen = archive.stat()
    text = f"{archive.resolve()}\n{seen.st_size}\n{seen.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def unpack_named(archive: Path, version: str, libs: Path) -> str:
    """Unpack an archive that a person named; a .sha512 beside it is checked.

    Returns:
        The archive's path.
    """
    beside = archive.with_name(f"{archive.name}.sha512")
    if beside.is_file() and sha512_of(archive) != read_sha512(beside.read_text(errors="replace")):
        raise Refused(f"its checksum is not the one in {beside.name}")
    unpack(archive, version, libs)
    return str(archive)


def sha512_of(file: Path) -> str:
    """SHA-512 of a file, in hex."""
    digest = hashlib.sha512()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_sha512(text: str) -> str:
    """The hash in a .sha512 file, in hex.

    Apache's files have `NAME: 9CC5 0A14 ...` over several lines (gpg --print-md), others
    `HASH  NAME` (sha512sum).

    Raises:
        Refused: There is no hash in it.
    """
    packed = re.sub(r"\s", "", text.rpartition(":")[2])
    found = re.match(r"[0-9a-fA-F]{128}", packed)
    if not found:
        raise Refused("its .sha512 file holds no SHA-512")
    return found.group(0).lower()


def unpack(archive: Path, version: str, libs: Path) -> None:
    """Take a release's jars out of its archive.

    Args:
        archive: The .tgz.
        version: The Kafka version that must be in it.
        libs: Folder to fill; emptied first.

    Raises:
        Refused: It is damaged or holds another version.
    """
    shutil.rmtree(libs, ignore_errors=True)
    libs.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                content = tar.extractfile(member) if member.isfile() else None
                if content and folder.rpartition("/")[2] == "libs" and is_runtime_jar(name):
                    with (libs / name).open("xb") as file:
                        shutil.copyfileobj(content, file, BLOCK)
    except (tarfile.TarError, EOFError, zlib.error, FileExistsError) as error:
        raise Refused(f"the archive is damaged ({type(error).__name__}: {error})") from None
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile: not the file system's error
            raise Refused(f"the archive is damaged ({error})") from None
        raise
    check_kafka_jars([jar.name for jar in libs.iterdir()], version)
