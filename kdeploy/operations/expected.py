"""`--expect`: what a saved preview saw, held against what would be done now.

Invariant: only reads. Two previews agree where they list the same changes of the same clusters; reasons,
prices and notes do not count, since they change without anything to be done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations.pending import identity
from kdeploy.operations.preview import PREVIEW_SCHEMA

if TYPE_CHECKING:
    from kdeploy.operations.pending import Item
    from kdeploy.operations.preview import Preview

OF_NODES: Final = ("nodes", "files", "host", "settings")
"""Layers whose changes are each of one node, which can be left out."""

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


def refuse_other(expected: Expectation, found: Preview, without: Collection[str] = ()) -> None:
    """Refuse where `up` would do anything else than what the saved preview says, or where nobody knows.

    Args:
        expected: The saved preview.
        found: What would be done now.
        without: Nodes that are left as they are, and so are not in `found`, and datacenters (`site.Manner.without`);
            the saved preview may have them.

    Raises:
        Moved: Names what is new, what is gone, and which nodes cannot be asked.
    """
    items = [one for one in found.items if one.layer != "cost"]
    changes = [
        one
        for one in expected.changes
        if one[1] != "cost"
        and not (one[1] in OF_NODES and {one[3], one[0], f"{one[0]}/{one[3]}"} & set(without))
    ]
    compared = {one.datacenter for one in found.clusters if one.compared}
    environment = found.environment
    unlike = sorted(compared ^ expected.compared)
    looked = [
        f"- {name}: {'is up now, and was not' if name in compared else 'was up, and does not answer now'}"
        for name in unlike
    ]
    looked += [
        f"- {one.what}, so what would be done there is not known: {one.why.partition(': ')[2]}"
        for one in items
        if one.kind == "unseen"
        and not {one.name, one.datacenter, f"{one.datacenter}/{one.name}"} & set(without)
    ]
    _refuse(expected.file, environment, changes, items, looked)


def refuse_other_resources(expected: Expectation, environment: str, found: Iterable[Item]) -> None:
    """As `refuse_other`, of the layers alone that `apply` carries out."""
    changes = [one for one in expected.changes if one[1] in RESOURCES]
    _refuse(expected.file, environment, changes, list(found), [])


MAKES: Final = ("create-topic", "create-user", "create-acl")
"""Kinds that only make what is not there yet; a quota does, where there is no limit before."""


def refuse_beyond(expected: Expectation, environment: str, datacenter: str, found: Iterable[Item]) -> None:
    """Refuse what is about to be done to a cluster, now that its nodes are up, where the saved preview does not say it.

    Where the preview could not look at the cluster nobody has seen what would be changed or deleted there, so only
    what is made anew is let through. Settings of a broker that the preview itself starts or restarts are not held:
    they can only come to what its files say, which it shows.

    Args:
        expected: The saved preview.
        environment: The environment's name.
        datacenter: Whose cluster it is.
        found: What is about to be done to it.

    Raises:
        Moved: Names what is new; nothing of all this was done.
    """
    begun = {one[3] for one in expected.changes if one[:2] == (datacenter, "nodes") and one[2] in BEGINS}
    items = [one for one in found if one.layer != "settings" or one.name not in begun]
    seen = datacenter in expected.compared
    if seen:
        beyond = list((Counter(one.identity for one in items) - Counter(expected.changes)).elements())
        why = f"what is to be done to topics, users, ACLs, quotas and settings of {datacenter}"
        head = f"{why} is not what {expected.file} says; none of it was done, nodes were brought up to date before"
    else:
        beyond = [one.identity for one in items if not _makes(one)]
        head = (
            f"{datacenter} could not be looked at when {expected.file} was saved, which therefore allows only what "
            "is made anew; none of its topics, users, ACLs, quotas and settings was changed"
        )
    if beyond:
        raise Moved(_listed(head, [f"- new: {_words(one)}" for one in beyond], environment))


BEGINS: Final = ("create", "start", "restart")
"""What is done to a node whose process then begins with its files of now."""


def _makes(item: Item) -> bool:
    if item.layer == "settings":
        return item.before == item.after
    return item.kind in MAKES or (item.kind == "set-quota" and item.before is None)


def _refuse(
    file: Path, environment: str, expected: list[Identity], found: list[Item], more: list[str]
) -> None:
    # As many times as they are there: two removals of one kind may read alike.
    now, then = Counter(one.identity for one in found), Counter(expected)
    new = [f"- new: {_words(one)}" for one in (now - then).elements()]
    gone = [f"- gone: {_words(one)}" for one in (then - now).elements()]
    lines = [*more, *new, *gone]
    if lines:
        head = f"nothing was changed: what would be done is not what {file} says"
        raise Moved(_listed(head, lines, environment))


def _listed(head: str, lines: list[str], environment: str) -> str:
    shown = [f"  {line}" for line in lines[:NAMED]]
    shown += [f"  - and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    remedy = f"  look again with `kdeploy preview {environment}`, and save what you agree to"
    return "\n".join([head, *shown, remedy])


def _words(identity: Identity) -> str:
    """A change as a person reads it."""
    _, layer, kind, name, what, _, _, path = identity
    if path:
        return f"{kind}: {path} of {name}" + (f", {what}" if what else "")
    return f"{name}: {what}" if layer in ("settings", "resources") and kind else str(what)
