"""From decided values to the text of files, by Jinja.

Invariant: templates decide nothing. An undefined name is an error, keys are sorted, and what
`java.util.Properties` reads back from a properties file is exactly what was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

NOTICE: Final = "Written by kdeploy. Change the environment instead: what is changed here is written over."

_ESCAPED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}
_UNPRINTABLE = re.compile(r"[^ -\[\]-~]")  # and the backslash
_UNESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def properties(settings: Mapping[str, str]) -> str:
    """A .properties file (java.util.Properties, Java 21), also the format of zoo.cfg."""
    return _render("properties.j2", settings=settings)


def sysctl(settings: Mapping[str, str]) -> str:
    """A file of sysctl.d (sysctl.d(5))."""
    return _render("sysctl.j2", settings=settings)


def limits(user: str, settings: Mapping[str, str]) -> str:
    """A file of limits.d (limits.conf(5))."""
    return _render("limits.j2", user=user, settings=settings)


def tmpfiles(settings: Mapping[str, str]) -> str:
    """A file of tmpfiles.d that writes values into files of the kernel at boot (tmpfiles.d(5))."""
    return _render("tmpfiles.j2", settings=settings)


def firewall(table: str, rules: Sequence[str]) -> str:
    """A file for nft that replaces a table (nft(8)); the order of the rules is kept."""
    return _render("firewall.j2", table=table, rules=rules)


def udev(rules: Sequence[str]) -> str:
    """A file of udev's rules (udev(7)); their order is kept."""
    return _render("udev.j2", rules=rules)


def unit(sections: Mapping[str, Mapping[str, str]]) -> str:
    """A systemd unit (systemd.syntax(7)); sections keep their order."""
    return _render("unit.j2", sections=sections)


def options(values: Sequence[str]) -> str:
    """A file of Java options for `java @file` (the java command, Java 21); their order is kept."""
    return _render("options.j2", options=values)


def parse_properties(text: str) -> dict[str, str]:
    """Read a .properties file as `java.util.Properties.load` does.

    Example:
        >>> parse_properties(properties({"log.dirs": "data/0"}))
        {'log.dirs': 'data/0'}
    """
    parsed = {}
    for line in _logical_lines(text):
        name, value = _split(line)
        parsed[_unescape(name)] = _unescape(value)
    return parsed


def property_name(text: str) -> str:
    """A key as it is written: what would end it, and what would make the line a comment, escaped."""
    return re.sub(r"[ =:#!]", lambda match: "\\" + match[0], _escape(text))


def property_value(text: str) -> str:
    """A value as it is written: only what is at its front could be lost or misread."""
    escaped = _escape(text)
    return "\\" + escaped if escaped.startswith(" ") else escaped


def argument(text: str) -> str:
    """An option as it stands in an argument file; quoted where it has a blank, a quote or a hash sign."""
    if not re.search(r"[\s\"'#\\]", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def comment(text: str) -> str:
    """A comment line."""
    return f"# {text}"


@cache
def _templates() -> Environment:
    # None of these files is HTML: escaping for it would damage them.
    environment = Environment(
        loader=PackageLoader("kdeploy.tuning"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (property_name, property_value, argument, comment)
    environment.filters.update({one.__name__: one for one in filters})
    return environment


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(notice=NOTICE, **values)


def _escape(text: str) -> str:
    """Backslashes, control characters, and what is not printable ASCII, as UTF-16 units."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character in _ESCAPED:
        return _ESCAPED[character]
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))


def _logical_lines(text: str) -> list[str]:
    """Lines without comments and blank ones, with continued ones joined."""
    lines, pending = [], ""
    for natural in re.split(r"\r\n|[\r\n]", text):
        line = natural.lstrip(" \t\f")
        if not pending and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending += line[:-1]
            continue
        lines.append(pending + line)
        pending = ""
    return [*lines, pending] if pending else lines


def _split(line: str) -> tuple[str, str]:
    """A logical line as its key and its value, both still escaped."""
    match = re.match(r"((?:\\.|[^\\ \t\f=:])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
    assert match is not None  # noqa: S101 - every part of the pattern may be empty
    return match[1], match[2]


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code, letter = match[1], match[2]
        return chr(int(code, 16)) if code else _UNESCAPED.get(letter, letter)

    units = re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", one, text, flags=re.DOTALL)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")
