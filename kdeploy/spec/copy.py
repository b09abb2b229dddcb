"""A new environment from an existing one: its text, comments kept, made to stand beside it.

Invariant: nothing that exists is overwritten; what is written is valid, has the new
name, and on this machine ports that no other environment uses. It is an environment only when all its files are
whole: environment.yaml comes last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError, UsageError
from kdeploy.spec import load, schema
from kdeploy.spec.files import BESIDE, Kind, file_name
from kdeploy.spec.model import Datacenter, Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.ports import BLOCK, local_blocks, touch
from kdeploy.spec.source import Source, parse

_BASES: Final[tuple[int, ...]] = (
    *range(20_000, 29_000, BLOCK),
    *range(11_000, 19_000, BLOCK),
    *range(33_000, 60_000, BLOCK),
)
"""Where free ports are looked for: below 32768 first, above which Linux opens outgoing connections
(net.ipv4.ip_local_port_range, kernel documentation, ip-sysctl)."""

UNFINISHED: Final = f".{load.FILE_NAME}.new"
"""What the file is called until it is whole; a folder with it, and no more than files beside
it, was left by an `init` that was killed."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_SCHEMA_COMMENT = re.compile(r"^(#\s*yaml-language-server:\s*\$schema=)(\S+)", re.MULTILINE)


def copy(name: str, origin: load.Loaded) -> Path:
    """Make `environments/NAME/environment.yaml` from another environment, and the files beside it.

    Args:
        name: The new environment's name.
        origin: The environment to start from.

    Returns:
        The new file.

    Raises:
        UsageError: The name is none, or is taken.
        KdeployError: The file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be an environment's name\n"
            "  write lower case letters, digits and hyphens, at most 40, beginning with a letter"
        )
    folder = load.FOLDER / name
    if _is_taken(folder):
        raise UsageError(f"{folder} exists already, and nothing is overwritten\n  choose another name")
    _refuse_own_packs(folder, origin)
    text = adapted(name, origin, _taken())
    beside = {kind: _beside(name, origin, kind) for kind in BESIDE if _has(origin, kind)}
    file = folder / load.FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / UNFINISHED).write_text(_with_schema(text, folder, "environment"), encoding="utf-8")
        for kind, said in beside.items():
            (folder / file_name(kind)).write_text(_with_schema(said, folder, kind), encoding="utf-8")
        (folder / UNFINISHED).replace(file)
    except OSError as error:
        with suppress(OSError):
            for kind in beside:
                (folder / file_name(kind)).unlink(missing_ok=True)
            (folder / UNFINISHED).unlink(missing_ok=True)
            folder.rmdir()
        raise KdeployError(
            f"{folder} cannot be written: {error.strerror}\n  check the folder's permissions"
        ) from None
    return file


def _refuse_own_packs(folder: Path, origin: load.Loaded) -> None:
    """Refuse what would name policy packs that are not there from the copy's folder."""
    for one in origin.environment.aws.policy_packs:
        if not Path(os.path.normpath(folder / one)).is_dir():
            raise UsageError(
                f"{origin.environment.name} has the policy pack {one}, which would not be there from {folder}\n"
                "  keep packs in a folder beside the environments, and write `../PACK`"
            )


def _is_taken(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return folder.is_symlink() or folder.exists()
    names = {entry.name for entry in folder.iterdir()}
    ours = {UNFINISHED, *map(file_name, BESIDE)}
    return bool(names) and not (UNFINISHED in names and names <= ours)


def _has(origin: load.Loaded, kind: Kind) -> bool:
    return origin.folder / file_name(kind) in load.files(origin.folder)


def _beside(name: str, origin: load.Loaded, kind: Kind) -> str:
    """The text of a file beside environment.yaml; only comments that name commands follow."""
    text = (origin.folder / file_name(kind)).read_text(encoding="utf-8-sig")
    return _commands_renamed(text, origin, name)


def adapted(name: str, origin: load.Loaded, taken: Iterable[range]) -> str:
    """The text of an environment, changed as little as a copy of it needs.

    Args:
        name: The new name.
        origin: The environment to start from.
        taken: Ports that other local environments use.
    """
    text = (origin.folder / load.FILE_NAME).read_text(encoding="utf-8-sig")
    text = _renamed(text, origin, name)
    used = list(taken)
    for index, datacenter in enumerate(origin.environment.datacenters):
        if datacenter.provider == "local":
            base = free_base_port(origin.environment, used)
            text = _moved(text, index, datacenter, base)
            used += local_blocks(origin.environment, base)
    return text


def free_base_port(environment: Environment, taken: Iterable[range]) -> int:
    """A base port whose blocks touch no port that is taken.

    Raises:
        UsageError: There is none left.
    """
    used = list(taken)
    for base in _BASES:
        if not any(touch(block, other) for block in local_blocks(environment, base) for other in used):
            return base
    raise UsageError("no ports are left for another local environment\n  remove one that is not needed")


def _taken() -> Iterator[range]:
    """The ports of every local environment that is here or shipped; one that does not load uses none."""
    for name in load.available():
        try:
            environment = load.load(load.find(name)).environment
        except KdeployError:
            continue
        for datacenter in environment.datacenters:
            if datacenter.provider == "local":
                yield from local_blocks(environment, datacenter.base_port)


def _renamed(text: str, origin: load.Loaded, name: str) -> str:
    """The folder gives the name, so a `name:` of its own goes; comments that name commands follow."""
    line = origin.source.lines.get(("name",))
    lines = text.splitlines(keepends=True)
    if line is not None and re.match(r"name\s*:", lines[line - 1]):
        del lines[line - 1]
    return _commands_renamed("".join(lines), origin, name)


def _commands_renamed(text: str, origin: load.Loaded, name: str) -> str:
    old = re.escape(origin.environment.name)
    return re.sub(rf"(`kdeploy [a-z]+ (?:[a-z]+ )?){old}(?![\w-])", rf"\g<1>{name}", text)


def _moved(text: str, index: int, datacenter: Datacenter, base: int) -> str:
    """The text with another base port, and port numbers in the same line's comment moved along."""
    source = parse(text, "")
    place: Path_ = ("datacenters", index, "base_port")
    lines = text.splitlines(keepends=True)
    line = source.lines.get(place)
    if line is not None:
        shift = base - datacenter.base_port
        near = range(datacenter.base_port, datacenter.base_port + 5 * BLOCK)

        def move(match: re.Match[str]) -> str:
            return str(int(match.group()) + shift) if int(match.group()) in near else match.group()

        lines[line - 1] = re.sub(r"\b\d{4,5}\b", move, lines[line - 1])
        return "".join(lines)
    return _added(lines, source, index, base)


def _added(lines: list[str], source: Source, index: int, base: int) -> str:
    """The text with a base port where there was none."""
    setting = f"base_port: {base}"
    line = source.lines.get(("datacenters", index))
    if line is None:
        return "".join(lines).rstrip("\n") + f"\n\ndatacenters:\n  - {setting}\n"
    item = re.match(r"(\s*)- (?=[a-z_]+:)", lines[line - 1])
    if item is None:
        raise UsageError(
            f"the copy needs `{setting}`\n  write datacenters as a list with a hyphen each, then try again"
        )
    lines.insert(line - 1, f"{item.group()}{setting}\n")
    lines[line] = lines[line].replace("- ", "  ", 1)
    return "".join(lines)


def _with_schema(text: str, folder: Path, kind: Kind) -> str:
    """Point the editor's comment to a schema that is there, and write one where there is none."""
    comment = _SCHEMA_COMMENT.search(text)
    if comment is None or (folder / comment.group(2)).is_file():
        return text
    file = f"{kind}.schema.json"
    (folder.parent / file).write_text(schema.render(kind), encoding="utf-8")
    return _SCHEMA_COMMENT.sub(rf"\g<1>../{file}", text, count=1)
