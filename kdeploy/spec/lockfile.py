"""`lock.yaml` on disk: small, sorted, readable in a review, written whole or not at all.

Invariant: what `write_lock` wrote, `read_lock` reads back equal; a file that says
anything else than a lock of this schema is one clear problem and never a guess.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, Final

from kdeploy.errors import InvalidEnvironment, KdeployError, Problem
from kdeploy.spec.lock import LOCK_SCHEMA, Lock
from kdeploy.spec.ports import PURPOSES
from kdeploy.spec.replacing import replace
from kdeploy.spec.scalars import scalar
from kdeploy.spec.source import Source, read

HEADER: Final = """\
# What kdeploy decided for this environment: node ids, shapes, ports, versions.
# Commit it and review its changes. kdeploy writes it; do not edit it by hand.
"""

_RESTORE: Final = "restore the file from git; the ids of running nodes are in it"
_PLAIN = re.compile(r"[A-Za-z0-9_./]([A-Za-z0-9_./+=@ -]*[A-Za-z0-9_./+=@-])?")
"""Text that means itself in YAML without quotes, wherever it stands."""

_SCHEMA = re.compile(r"kdeploy\.lock/v([0-9]{1,9})")


def read_lock(file: Path) -> Lock | None:
    """Read a lock.

    Returns:
        The lock; None when there is no such file.

    Raises:
        InvalidEnvironment: The file is damaged, or from a newer kdeploy.
    """
    from pydantic import ValidationError

    if not file.exists():
        return None
    source = read(file, str(file))
    _check_schema(source)
    document = {key: value for key, value in source.data.items() if key != "schema"}
    try:
        return Lock.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise InvalidEnvironment([_problem(source, error)]) from None


def write_lock(file: Path, lock: Lock) -> None:
    """Write a lock, atomically: readers see the old one or the new one, whole.

    Raises:
        KdeployError: The folder cannot be written to.
    """
    content = render(lock).encode()
    try:
        replace(file, content, 0o644)
    except OSError as error:
        raise KdeployError(
            f"{file} cannot be written: {error.strerror or error}\n"
            "  the lock remembers node ids, so nothing goes on without it"
        ) from None


def render(lock: Lock) -> str:
    """The text of a lock's file. The same lock gives the same bytes."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, ScalarNode
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Maps of numbers (ports) on one line; text that would be read as something else in quotes."""

    def represent_map(representer: Representer, value: dict[str, Any]) -> MappingNode:
        in_line = all(isinstance(one, int) for one in value.values())
        return representer.represent_mapping("tag:yaml.org,2002:map", value, flow_style=in_line)

    def represent_text(representer: Representer, value: str) -> ScalarNode:
        style = None if isinstance(scalar(value), str) and _PLAIN.fullmatch(value) else '"'
        return representer.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Representer.add_representer(dict, represent_map)
    Representer.add_representer(str, represent_text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = False
    yaml.width = 10_000
    stream = io.StringIO()
    document = {"schema": LOCK_SCHEMA, **lock.model_dump(mode="json", exclude_defaults=True)}
    yaml.dump(_tidy(document), stream)
    return HEADER + stream.getvalue()


def _tidy(value: Any) -> Any:  # noqa: ANN401
    """Keys in order, and whole amounts without a fraction."""
    if isinstance(value, dict):
        return {key: _tidy(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_tidy(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() and value < 2**53 else value


def _check_schema(source: Source) -> None:
    found = source.data.get("schema")
    if found == LOCK_SCHEMA:
        return
    match = _SCHEMA.fullmatch(found) if isinstance(found, str) else None
    current = int(LOCK_SCHEMA.rpartition("/v")[2])
    if match and int(match.group(1)) > current:
        wrong, right = (
            f"the lock is of a newer kdeploy ({found})",
            "upgrade kdeploy to at least the one that wrote it",
        )
    else:
        wrong, right = f"this is not a lock: its schema is {found!r}, not {LOCK_SCHEMA}", _RESTORE
    raise InvalidEnvironment([source.problem(("schema",), wrong, right)])


def refuse_lacking_ports(file: Path, lock: Lock) -> None:
    """Refuse a lock in which a node lacks one of its ports: a slip of an editor's, found before anything is drawn.

    Raises:
        InvalidEnvironment: Names the node, the port and the line.
    """
    for at, datacenter in enumerate(lock.datacenters):
        every = [("nodes", *one) for one in enumerate(datacenter.nodes)]
        every += [("mirrors", *one) for one in enumerate(datacenter.mirrors)]
        for kind, place, node in every:
            lacking = [purpose for purpose in PURPOSES[node.role] if purpose not in node.ports]
            if lacking:
                path = ("datacenters", at, kind, place, "ports")
                wrong = f"the lock is damaged: {node.name} has no {lacking[0]} port"
                source = read(file, str(file))
                raise InvalidEnvironment([source.problem(path, wrong, _RESTORE)])


def _problem(source: Source, error: Any) -> Problem:  # noqa: ANN401
    """The first thing wrong; one is enough for a file that no person should have edited."""
    first = error.errors(include_url=False, include_context=False)[0]
    reason = str(first["msg"])
    return source.problem(first["loc"], f"the lock is damaged: {reason[0].lower()}{reason[1:]}", _RESTORE)
