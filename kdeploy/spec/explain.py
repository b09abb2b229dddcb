"""What pydantic found wrong, in the words of the field, with what would be right.

Invariant: every error of pydantic becomes a problem at its line; what would be right
comes from the published schema (`kdeploy.spec.schema`), so that messages, editors and
documentation say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import Problem
from kdeploy.spec import schema
from kdeploy.spec.files import BESIDE, Kind, file_name
from kdeploy.spec.plain import Path_
from kdeploy.spec.source import Source
from kdeploy.spec.wording import did_you_mean, either, nearest, shown

if TYPE_CHECKING:
    from pydantic import ValidationError

_PATTERNS: Final = {
    r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$": (
        "lower case letters, digits and hyphens, at most 40, beginning with a letter and not ending with a hyphen"
    ),
    r"^[A-Za-z0-9._-]{1,249}$": "letters, digits, dots, hyphens and underscores, at most 249 (Kafka's own rule)",
    r"^[A-Za-z0-9._-]{1,64}$": "letters, digits, dots, hyphens and underscores, at most 64",
    r"^[A-Za-z0-9.:-]{1,253}$": "a host name or an address, without port and user",
    r"^[0-9A-Fa-f.:]{1,45}(/[0-9]{1,3})?$": "an address or a network, like 10.1.2.3 or 10.0.0.0/8",
    r"^[a-z_][a-z0-9_-]{0,31}$": "the name of a user of the machine: lower case letters, digits, hyphens",
    r"^[A-Za-z0-9._-]+$": "letters, digits, dots, hyphens and underscores",
    r"^[A-Za-z0-9._*?\[\]!-]{1,249}$": "a topic's name, in which * stands for any characters and ? for one",
    r'^[^"\s]+$': "the path of a file, without blanks and quotes",
    r"""^[^"'\s]+$""": "the path of a folder, without blanks and quotes",
    r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$": "an IPv4 network with its length, like 10.20.0.0/16",
    r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$": (
        "a name with its domain, like kafka.example.com: lower case letters, digits, hyphens and dots"
    ),
    r"^[0-9A-Z]{1,32}$": "the id of a hosted zone of Route 53, like Z0123456789ABCDEFGHIJ",
    r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$": "the id of a machine image, like ami-0123456789abcdef0",
    r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$": "the id of a subnet, like subnet-0123456789abcdef0",
    r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$": "the id of a VPC, like vpc-0123456789abcdef0",
    r"^arn:aws[a-z-]*:kms:\S+$": "the ARN of a key, like arn:aws:kms:REGION:ACCOUNT:key/ID",
    r"^arn:aws[a-z-]*:sns:\S+$": "the ARN of a topic of SNS, like arn:aws:sns:REGION:ACCOUNT:NAME",
    r"^(s3|file|https|gs|azblob)://\S+$": "s3://BUCKET?region=REGION, file://FOLDER or https://api.pulumi.com",
    r"^(passphrase|(awskms|gcpkms|azurekeyvault|hashivault)://\S+)$": (
        "passphrase, or awskms://alias/NAME?region=REGION"
    ),
    r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$": "https://HOST or https://HOST:PORT, without a path and a user",
    r"^[0-9]{12}$": "the twelve digits of the account, in quotes",
    r"^[A-Za-z0-9 _.:/=+@-]{0,256}$": "letters, digits, blanks and _.:/=+@-, at most 256 (AWS's own rule)",
    r"^[A-Za-z0-9._@:,\[\]-]+$": "USER@HOST:PORT, more than one separated by commas",
}
"""What each pattern of the model asks for; a test holds that none is missing."""

_KINDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map of keys and values",
}
"""JSON Schema's types, as people call them."""

_EXAMPLES: Final = {
    "integer": "3",
    "number": "2.5",
    "array": "[a, b]",
}
MANY: Final = 10_000
"""A number without its unit that is more than this was meant in the smallest unit, as Kafka's own settings are."""

_NEAR_TRUTH: Final = frozenset(("yes", "no", "on", "off", "y", "n"))
"""Words that YAML 1.1 read as true or false and YAML 1.2 reads as text."""


def explain(
    error: ValidationError, source: Source, folder_name: str, kind: Kind = "environment"
) -> list[Problem]:
    """All problems that pydantic found, each at its line.

    Args:
        error: What pydantic raised for the document in `source`.
        source: The document.
        folder_name: The environment's name where the document has none.
        kind: Which file the document is.
    """
    errors: dict[Path_, Mapping[str, Any]] = {}
    for one in error.errors(include_url=False):
        errors.setdefault(_place(one, source), one)
    return [
        _problem(path, one, source, folder_name, kind)
        for path, one in errors.items()
        if not (one["type"] == "too_short" and _is_inside(path, errors))
    ]


def _place(error: Mapping[str, Any], source: Source) -> Path_:
    """The error's place in the document: pydantic also names types of a union and the word `[key]`."""
    location: Path_ = error["loc"]
    value: Any = source.data
    known = 0
    for step in location:
        if not _has(value, step):
            break
        value = value[step]
        known += 1
    if error["type"] == "missing" or location == ("name",):
        return location
    return location[:known]


def _has(value: object, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _is_inside(path: Path_, errors: Mapping[Path_, object]) -> bool:
    """Whether something deeper is wrong too: pydantic then also counts a list as empty."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in errors)


def _problem(path: Path_, error: Mapping[str, Any], source: Source, folder_name: str, kind: Kind) -> Problem:
    part = schema.at(path, kind) or {}
    if kind == "environment" and path == ("name",) and "name" not in source.data:
        right = f"rename the folder {folder_name}, or add `name:` with {_PATTERNS[part['pattern']]}"
        return source.problem((), "the folder's name cannot be the environment's name", right)
    wrong, right = _words(path, error, part, source, kind)
    return source.problem(path, wrong, right)


def _words(
    path: Path_, error: Mapping[str, Any], part: schema.Schema, source: Source, file: Kind
) -> tuple[str, str]:
    kind = str(error["type"])
    value = error["input"]
    if kind == "missing":
        return f"{path[-1]} is missing", _wanted(part)
    if kind == "extra_forbidden":
        return _unknown_key(path, file)
    if "[key]" in error["loc"]:
        return _unknown_key(path, file)
    if value is None:
        return "it has no value", f"{_wanted(part)}, or leave the key out"
    if kind == "literal_error":
        return f"{shown(value)} is not known here", _one_of(value, part)
    if kind == "value_error":
        return _quantity(value, error, part)
    if kind == "string_pattern_mismatch":
        noun = _noun(_named(path, file))
        return f"{shown(value)} is not a valid {noun}", f"write {_PATTERNS[error['ctx']['pattern']]}"
    if kind in ("too_short", "too_long", "string_too_long"):
        return _length(value, error)
    if kind.startswith(("greater_than", "less_than")):
        return _range(value, error, part)
    return _type(path, value, part, source)


def _unknown_key(path: Path_, file: Kind) -> tuple[str, str]:
    around = schema.at(path[:-1], file) or {}
    names = around.get("properties") or around.get("propertyNames", {}).get("enum") or ()
    wrong = f"there is no setting called {shown(path[-1])} here"
    if file != "environment" and len(path) == 1 and path[0] in (schema.at(()) or {})["properties"]:
        return wrong, f"write it into {file_name('environment' if path[0] not in BESIDE else path[0])}"
    elsewhere = [place for place, _ in schema.fields(file) if place.rpartition(".")[2] == path[-1]]
    if elsewhere and not nearest(str(path[-1]), names, 0.8):
        elsewhere.sort(key=lambda place: place.count("."))
        return wrong, f"it is {either(f'`{place}`' for place in elsewhere[:3])}"
    return wrong, did_you_mean(str(path[-1]), names)


def _one_of(value: object, part: schema.Schema) -> str:
    known = [str(one) for one in part.get("enum", ())]
    return f"write {either(known)}" if len(known) <= 4 else did_you_mean(str(value), known)


def _wanted(part: schema.Schema) -> str:
    """What a field takes, with an example."""
    kind = schema.kind_of_quantity(part)
    if kind:
        return f"write a {kind} with its unit, for example {part['examples'][0]}"
    if "enum" in part:
        return f"write {either(map(str, part['enum'][:8]))}"
    if part.get("pattern") in _PATTERNS:
        return f"write {_PATTERNS[part['pattern']]}"
    if part.get("type") == "array" and part["items"].get("type", "object") == "object":
        return "write a list, each item beginning with a hyphen"
    if part.get("type") == "object":
        return "write its settings below it, each as `key: value`"
    name = _kind(part)
    example = f", for example {_EXAMPLES[name]}" if name in _EXAMPLES else ""
    return f"write {_KINDS.get(name, 'a text, a number, true or false')}{example}"


def _quantity(value: object, error: Mapping[str, Any], part: schema.Schema) -> tuple[str, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        kind = schema.kind_of_quantity(part)
        # What is as large as this is counted in the smallest unit.
        usual = re.sub(r"[\d.]", "", part["examples"][0])
        unit = {"d": "ms", "GiB": "B", "MB/s": "B/s"}.get(usual, usual) if value >= MANY else usual
        return f"{shown(value)} has no unit", f"write the {kind} with its unit, for example {value}{unit}"
    wrong, _, right = str(error["ctx"]["error"]).partition("; ")
    return wrong, right or _wanted(part)


def _range(value: object, error: Mapping[str, Any], part: schema.Schema) -> tuple[str, str]:
    kind = str(error["type"])
    bound = next(iter(error["ctx"].values()))
    limit = schema.written(part, float(bound)) if schema.kind_of_quantity(part) else f"{bound:g}"
    if isinstance(bound, int) and not schema.kind_of_quantity(part):
        limit = str(bound)
    words = {
        "greater_than": ("too small", f"more than {limit}"),
        "greater_than_equal": ("too small", f"{limit} or more"),
        "less_than": ("too large", f"less than {limit}"),
        "less_than_equal": ("too large", f"{limit} or less"),
    }[kind]
    return f"{shown(value)} is {words[0]}", f"write {words[1]}"


def _length(value: object, error: Mapping[str, Any]) -> tuple[str, str]:
    count = len(value) if isinstance(value, list | tuple) else 0
    if error["type"] == "too_short":
        least = error["ctx"]["min_length"]
        return "the list is empty" if not count else f"{count} are too few", f"write at least {least}"
    most = error["ctx"]["max_length"]
    if isinstance(value, str):
        return f"it has {len(value)} characters", f"write at most {most}"
    return f"{count} are too many", f"write at most {most}"


def _type(path: Path_, value: object, part: schema.Schema, source: Source) -> tuple[str, str]:
    text = source.text.get(path)
    if part.get("type") == "string" and isinstance(value, int | float) and text is not None:
        kind = "as true or false" if isinstance(value, bool) else f"as the number {value}"
        return f"{text} is read {kind}", f'put it in quotes, like "{_quoted(text, part)}"'
    if part.get("type") == "boolean" and str(value).lower() in _NEAR_TRUTH:
        return f"{shown(value)} is a text in YAML 1.2", "write true or false"
    if isinstance(value, dict):
        found = "a map stands here"
    elif isinstance(value, list | tuple):
        found = "a list stands here"
    else:
        found = f"{shown(value)} is not {_KINDS.get(_kind(part), 'a plain value')}"
    return found, _wanted(part)


def _kind(part: schema.Schema) -> str:
    """The type of a field; of one that also takes a range as text the first."""
    kind = part.get("type")
    return str(kind[0] if isinstance(kind, list) else kind)


def _quoted(text: str, part: schema.Schema) -> str:
    """What was probably meant by a number where a text belongs: the first known one that begins like it."""
    known: list[str] = part.get("enum", [text])
    for beginning in (text, text.partition(".")[0] + ".", ""):
        for one in known:
            if one.startswith(beginning):
                return one
    return text


def _named(path: Path_, file: Kind) -> Path_:
    """The place that says what a value is: of one under a free key, the map's, as an item of it."""
    around = schema.at(path[:-1], file) or {}
    return (*path[:-1], 0) if isinstance(around.get("additionalProperties"), dict) else path


def _noun(path: Path_) -> str:
    """What a place holds, in one word: the last key, in the singular for an item of a list."""
    keys = [step for step in path if isinstance(step, str)]
    name = keys[-1].replace("_", " ") if keys else "value"
    return name.removesuffix("s") if path and isinstance(path[-1], int) else name
