"""How a list of changes looks: for a terminal of 80 columns, and for a pull request's comment.

Invariant: pure; both say the same. The comment is always below `LIMIT` characters, its first line is a marker
by which a pipeline finds it again, and nothing in a change can become markup of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from kdeploy.cli.report import WIDTH, filled
from kdeploy.operations.pending import LAYERS, Item, Layer, summary

if TYPE_CHECKING:
    from kdeploy.operations.preview import Preview

LIMIT: Final = 60_000
"""Characters of a comment: GitHub takes 65,536 (its API: "body is too long (maximum is 65536 characters)", seen in
2026), GitLab 1,000,000 (its application limits), Bitbucket 32,768 for each of its own texts and is not aimed at."""

TABLES: Final = 40_000
"""Characters of the comment that tables may take; what is left is for the files' differences."""

NOTES: Final = 10_000
"""Characters of the comment that notes may take: there is one for each topic that is no longer declared."""

MOST_LINES: Final = 40
"""Lines of one file's difference on a terminal; JSON has all."""

TITLES: Final[dict[Layer, str]] = {
    "resources": "resources",
    "host": "host settings",
    "files": "files",
    "nodes": "nodes",
    "settings": "settings of running brokers",
    "topics": "topics",
    "users": "users",
    "acls": "ACLs",
    "quotas": "quotas",
    "mirrors": "mirrors",
    "cost": "cost",
}
"""What a layer is called."""

UNSEEN: Final = "? "
"""Stands before a node that cannot be asked."""

SIGNS: Final = {"create": "+", "change": "~", "remove": "-", "start": ">", "restart": "!", "none": "~"}
"""Stands before a change, by its effect."""

NOT_COMPARED: Final = (
    "topics, users, ACLs, quotas and settings are compared once it is up; "
    "until then --expect lets through only what is made anew"
)


def preview_text(preview: Preview, flags: str = "") -> str:
    """What would change, layer by layer, and a summary as the last line but one.

    Args:
        preview: What would change.
        flags: What `up` has to be given for it, each word with a blank before it.
    """
    name = preview.environment
    notes = [filled(f"note: {note}", "  ") for note in preview.notes]
    if not preview.pending:
        return "\n".join([f"{name}: nothing to do, everything is as the environment says", *notes])
    lines = [f"{name}: what `kdeploy up {name}{flags}` would do"]
    several = len(preview.clusters) > 1
    for layer, items in _layers(preview.items):
        lines += ["", TITLES[layer], *_layer_lines(layer, items, several)]
    waiting = [one.datacenter for one in preview.clusters if not one.compared]
    if waiting:
        lines += ["", filled(f"{', '.join(waiting)}: {NOT_COMPARED}", "")]
    lines += ["", *notes] if notes else [""]
    said = summary(preview.items) or "nothing is known to change"
    return "\n".join([*lines, said, f"Carry it out with: kdeploy up {name}{flags}"])


def items_text(items: Sequence[Item]) -> str:
    """Changes that were made, layer by layer."""
    lines: list[str] = []
    for layer, alike in _layers(items):
        lines += [TITLES[layer], *_layer_lines(layer, alike, len({one.datacenter for one in items}) > 1)]
    return "\n".join(lines)


def _layers(items: Iterable[Item]) -> Iterator[tuple[Layer, list[Item]]]:
    found = list(items)
    for layer in LAYERS:
        alike = [one for one in found if one.layer == layer]
        if alike:
            yield layer, alike


def _layer_lines(layer: Layer, items: list[Item], several: bool) -> Iterator[str]:
    for group in _groups(items):
        first = group[0]
        sign, names = SIGNS[first.effect], _names(group, several)
        if first.path:
            hand = f" ({first.why})" if first.why else ""
            yield filled(f"{sign} {first.path} of {names}: {first.what}{hand}", "    ", "  ")
            yield from _shown(first.diff)
        elif first.kind == "unseen":
            yield filled(f"{UNSEEN}{names}: {first.why}", "    ", "  ")
        elif layer == "resources":
            why = f" ({first.why})" if first.why else ""
            yield filled(f"{sign} {first.what}: {_names(group, several=False)}{why}", "    ", "  ")
        elif layer == "nodes":
            yield filled(f"{sign} {first.kind} {names}: {first.why}", "    ", "  ")
        elif layer == "settings":
            why = f"; {first.why}" if first.why else ""
            yield filled(f"{sign} {first.what} (of {names}{why})", "    ", "  ")
        else:
            where = f" in {first.datacenter}" if several else ""
            why = f" ({first.why})" if first.why else ""
            yield filled(f"{sign} {first.what}{where}{why}", "    ", "  ")


def _groups(items: Iterable[Item]) -> list[list[Item]]:
    """Items that read alike but for the node's name, in the order of the first of each."""
    found: dict[object, list[Item]] = {}
    for one in items:
        alike: tuple[object, ...] = one.identity
        if one.layer == "nodes":
            alike = (one.kind, one.why)
        elif one.path:
            alike = (one.kind, one.path, one.what, one.why, _lines_changed(one.diff))
        elif one.layer in ("settings", "resources"):
            alike = (one.kind, one.what, one.why)
        found.setdefault(alike, []).append(one)
    return list(found.values())


def _lines_changed(diff: str) -> tuple[str, ...]:
    return tuple(line for line in diff.splitlines() if line[:1] in "+-")


def _names(group: Sequence[Item], several: bool) -> str:
    return ", ".join(f"{one.datacenter}/{one.name}" if several else one.name for one in group)


def _shown(diff: str) -> Iterator[str]:
    """A difference for a terminal: long lines and many lines are cut, and said to be."""
    lines = diff.splitlines()
    room = WIDTH - 6
    for line in lines[:MOST_LINES]:
        yield f"      {line if len(line) <= room else line[: room - 1] + '…'}"
    if len(lines) > MOST_LINES:
        yield f"      … {len(lines) - MOST_LINES} lines more; --output json has all of them"


def preview_markdown(preview: Preview) -> str:
    """The comment of a pull request: summary, tables, and each file's difference to be unfolded."""
    name = preview.environment
    head = [f"<!-- kdeploy preview {name} -->", f"### kdeploy preview: {escaped(name)}", ""]
    notes = [f"- {escaped(note)}" for note in preview.notes]
    if not preview.pending:
        said = [*head, "Nothing to do: everything is as the environment says."]
        return "\n".join(within(said, notes, NOTES))
    head += [f"**{summary(preview.items) or 'Nothing is known to change'}**", ""]
    waiting = [one.datacenter for one in preview.clusters if not one.compared]
    if waiting:
        head += [f"{escaped(', '.join(waiting))}: {NOT_COMPARED}.", ""]
    text = "\n".join(within(head, notes, NOTES))
    several = len(preview.clusters) > 1
    for layer, items in _layers(preview.items):
        text += _table(layer, items, several, TABLES - len(text))
    return text + _details(preview.items, several, LIMIT - len(text)) + "\n"


def within(text: Sequence[str], more: Sequence[str], room: int) -> list[str]:
    """Lines of markdown with as many more as there is room for, and how many were left out.

    Args:
        text: What stands in any case.
        more: What is added line by line.
        room: Characters of all of it at most, unless `text` alone has more.
    """
    used = sum(len(line) + 1 for line in text)
    for at, line in enumerate(more):
        used += len(line) + 1
        if used > room - CLOSING:
            count = len(more) - at
            word = "line is" if count == 1 else "lines are"
            return [
                *text,
                *more[:at],
                "",
                f"{count} more {word} left out here; `--output json` has all of them.",
            ]
    return [*text, *more]


def _table(layer: Layer, items: list[Item], several: bool, room: int) -> str:
    """A layer's table: as many rows as there is room for, and how many were left out."""
    title = TITLES[layer][0].upper() + TITLES[layer][1:]
    rows = [_row(layer, group, several) for group in _groups(items)]
    columns = {"nodes": ("Action", "Node", "Why"), "files": ("", "File", "Of", "Change")}
    columns["host"] = columns["files"]
    names = columns.get(layer, ("", "Change"))
    text = f"\n#### {title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
    for at, row in enumerate(rows):
        line = f"| {' | '.join(row)} |\n"
        if len(text) + len(line) + 100 > room:
            return text + f"\n{len(rows) - at} more are left out here; `--output json` has all of them.\n"
        text += line
    return text


def _row(layer: Layer, group: list[Item], several: bool) -> tuple[str, ...]:
    first, names = group[0], escaped(_names(group, several))
    sign = f"`{SIGNS[first.effect]}`"
    if layer == "nodes":
        return first.kind, names, escaped(first.why)
    if first.path:
        why = f" ({first.why})" if first.why else ""
        return sign, escaped(first.path), names, escaped(first.what + why)
    what = first.what
    if layer == "resources":
        what += f": {_names(group, several=False)}"
    elif layer == "settings":
        what += f" (of {_names(group, several)})"
    elif several:
        what += f" in {first.datacenter}"
    return sign, escaped(what + (f" ({first.why})" if first.why else ""))


CLOSING: Final = 200
"""Characters kept for what is said last."""


def _details(items: Iterable[Item], several: bool, room: int) -> str:
    """Differences of files, whole ones only, while there is room."""
    groups = _groups(one for one in items if one.diff)
    text, left = "", 0
    for group in groups:
        part = _detail(group, several)
        if len(text) + len(part) + CLOSING > room:
            left += 1
        else:
            text += part
    if left:
        word = "difference is" if left == 1 else "differences are"
        text += f"\n{left} {word} left out, to stay below this comment's limit; `--output json` has all of them.\n"
    return text


def _detail(group: list[Item], several: bool) -> str:
    first = group[0]
    longest = max((len(run) for run in re.findall("`+", first.diff)), default=0)
    fence = "`" * max(3, longest + 1)
    title = f"<code>{html.escape(first.path or '')}</code> of {html.escape(_names(group, several))}"
    return f"\n<details><summary>{title}</summary>\n\n{fence}diff\n{first.diff}\n{fence}\n\n</details>\n"


_SPECIAL: Final = re.compile(r"[&<>|`*_~\[\]@#\\!]")


def escaped(text: str) -> str:
    """Text that shows as itself in a table's cell, whatever is in it: no markup, no mention, no link."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))
