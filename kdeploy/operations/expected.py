"""`--expect`: what a saved preview saw, held against what would be done now.

Invariant: only reads. Two previews agree where they list the same changes of the same clusters; reasons,
prices and notes do not count, since they change without anything to be done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations.pending import identity
from kdeploy.operations.preview import PREVIEW_SCHEMA

if TYPE_CHECKING:
    from kdeploy.operations.pending import Item
    from kdeploy.operations.preview import Preview

RESOURCES: Final = ("topics", "users", "acls", "quotas")
"""Layers that `apply` carries out."""

NAMED: Final = 20
"""Differences that the message names."""

Identity = tuple[str | None, ...]


class Moved(KdeployError):
    """What would be done is not what the saved preview says: the files or the cluster changed in between."""

    exit_code = 6


@dataclass(frozen=True)
class Expectation:
    """What a saved preview says.

    Attributes:
        file: Where it is saved.
        changes: Each change, as `Item.identity` has it.
        compared: Datacenters whose topics, users, ACLs and settings it looked at.
    """

    file: Path
    changes: tuple[Identity, ...]
    compared: frozenset[str]


def read(file: Path, environment: str) -> Expectation:
    """Read a saved preview.

    Args:
        file: What `kdeploy preview ENV --output json` printed.
        environment: The environment that it has to be of.

    Raises:
        UsageError: It cannot be read, is no preview, one of another environment, or one of another version.
    """
    save = f"save one with `kdeploy preview {environment} --output json > preview.json`"
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}\n  {save}") from None
    except ValueError:
        raise UsageError(f"{file} is not JSON, so it is no saved preview\n  {save}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != PREVIEW_SCHEMA:
        said = f"its schema is {schema!r}, not {PREVIEW_SCHEMA!r}" if schema else "it names no schema"
        raise UsageError(f"{file} is not a preview of this version of kdeploy: {said}\n  {save}")
    if document.get("environment") != environment:
        raise UsageError(
            f"{file} is a preview of {document.get('environment')}, not of {environment}\n  {save}"
        )
    try:
        return _of_document(file, document)
    except (KeyError, TypeError, AttributeError):
        raise UsageError(f"{file} is a damaged preview\n  {save}") from None


def _of_document(file: Path, document: dict[str, Any]) -> Expectation:
    changes = tuple(identity(one) for one in document["changes"])
    compared = frozenset(one["datacenter"] for one in document["clusters"] if one["compared"])
    for value in (value for one in changes for value in one):
        if not isinstance(value, str | None):
            raise TypeError(value)
    return Expectation(file, changes, compared)


def refuse_other(expected: Expectation, found: Preview) -> None:
    """Refuse where `up` would do anything else than what the saved preview says.

    Raises:
        Moved: Names what is new and what is gone.
    """
    items = [one for one in found.items if one.layer != "cost"]
    changes = [one for one in expected.changes if one[1] != "cost"]
    compared = {one.datacenter for one in found.clusters if one.compared}
    environment = found.environment
    unlike = sorted(compared ^ expected.compared)
    looked = [
        f"- {name}: {'is up now, and was not' if name in compared else 'was up, and does not answer now'}"
        for name in unlike
    ]
    _refuse(expected.file, environment, changes, items, looked)


def refuse_other_resources(expected: Expectation, environment: str, found: Iterable[Item]) -> None:
    """As `refuse_other`, of the layers alone that `apply` carries out."""
    changes = [one for one in expected.changes if one[1] in RESOURCES]
    _refuse(expected.file, environment, changes, list(found), [])


def _refuse(
    file: Path, environment: str, expected: list[Identity], found: list[Item], more: list[str]
) -> None:
    # As many times as they are there: two removals of one kind may read alike.
    now, then = Counter(one.identity for one in found), Counter(expected)
    new = [f"- new: {_words(one)}" for one in (now - then).elements()]
    gone = [f"- gone: {_words(one)}" for one in (then - now).elements()]
    lines = [*more, *new, *gone]
    if not lines:
        return
    shown = [f"  {line}" for line in lines[:NAMED]]
    shown += [f"  - and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    raise Moved(
        f"nothing was changed: what would be done is not what {file} says\n"
        + "\n".join(shown)
        + f"\n  look again with `kdeploy preview {environment}`, and save what you agree to"
    )


def _words(identity: Identity) -> str:
    """A change as a person reads it."""
    _, layer, kind, name, what, _, _, path = identity
    if path:
        return f"{kind}: {path} of {name}" + (f", {what}" if what else "")
    return f"{name}: {what}" if layer in ("settings", "resources") and kind else str(what)
