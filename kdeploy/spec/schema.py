"""The published JSON Schema of `environment.yaml` and of each file beside it: what editors complete and check with.

Invariant: it accepts every file that kdeploy accepts in its documented
spelling, describes every field, and closes every object to unknown keys. It is made
from the model, so it cannot say anything else than the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final

from kdeploy.spec.descriptions import descriptions
from kdeploy.spec.files import MODELS, Kind
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.regions import AWS_REGIONS
from kdeploy.spec.versions import SUPPORTED
from kdeploy.units import format_bytes, format_duration, format_rate, format_share

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
"""A JSON Schema, or a part of one."""


def document(kind: Kind = "environment") -> Schema:
    """The schema of a file, as JSON values. It is the same at every call, and the caller's own."""
    return deepcopy(_document(kind))


@cache
def _document(kind: Kind) -> Schema:
    model = Environment if kind == "environment" else MODELS[kind]
    schema = model.model_json_schema()
    for name, part in {model.__name__: schema, **schema.get("$defs", {})}.items():
        _describe(name, part)
    _tidy(schema)
    if kind == "environment":
        _name_what_is_known(schema)
    return {"$schema": DIALECT, "title": f"kdeploy {kind}", **schema}


def _name_what_is_known(schema: Schema) -> None:
    """Lists of names that live elsewhere than in the model; and the environment's name, which its folder has."""
    schema["required"] = [name for name in schema.get("required", []) if name != "name"]
    if not schema["required"]:
        del schema["required"]
    schema["$defs"]["Kafka"]["properties"]["version"]["enum"] = list(SUPPORTED)
    schema["$defs"]["Datacenter"]["properties"]["region"]["anyOf"][0]["enum"] = list(AWS_REGIONS)
    schema["properties"]["accept_risks"]["items"]["enum"] = _risk_names()


def render(kind: Kind = "environment") -> str:
    """The text of a schema's file."""
    return json.dumps(document(kind), indent=2, sort_keys=True) + "\n"


def at(path: Path_, kind: Kind = "environment") -> Schema | None:
    """The part of the schema that a place in a file answers to.

    Args:
        path: Keys and list positions.
        kind: Which file.

    Returns:
        The part, without references and without the choice of leaving it out; None where
        the schema knows no such place.
    """
    root = _document(kind)
    part: Schema | None = root
    for step in path:
        part = part and _step(_resolved(part, root), step)
    return _resolved(part, root) if part is not None else None


def fields(kind: Kind = "environment") -> Iterator[tuple[str, Schema]]:
    """Every field of a file by its dotted path (`[]` for a list's items, `NAME` for a free key), in order."""
    root = _document(kind)
    yield from _fields("", root, root)


def kind_of_quantity(part: Schema) -> str | None:
    """Whether a field is a `size`, `rate`, `duration` or `share`; None when it is no quantity."""
    pattern = str(part.get("pattern", ""))
    if part.get("type") != "string" or r"\d" not in pattern:
        return None
    if "%" in pattern:
        return "share"
    return "duration" if "ms|s|min" in pattern else "rate" if "/s" in pattern else "size"


def written(part: Schema, value: object) -> str:
    """A value as a person would write it into the file."""
    printers = {
        "size": format_bytes,
        "rate": format_rate,
        "duration": format_duration,
        "share": format_share,
    }
    kind = kind_of_quantity(part)
    if kind and isinstance(value, int | float):
        return printers[kind](value).replace(" ", "").replace(",", "")
    return json.dumps(value)


def _describe(name: str, part: Schema) -> None:
    """Give the fields of a class the texts that stand under them in the model."""
    for field, text in descriptions().get(name, {}).items():
        part["properties"][field]["description"] = text


def _risk_names() -> list[str]:
    from kdeploy.spec.risks import RISKS

    return sorted(RISKS)


def _tidy(part: Any) -> None:  # noqa: ANN401
    """Drop titles that only repeat names, and show a field's default as a person writes it."""
    if isinstance(part, list):
        for one in part:
            _tidy(one)
        return
    if not isinstance(part, dict):
        return
    for name, one in part.items():
        if name == "properties":
            for field in one.values():
                _tidy_field(field)
        elif name != "default":
            _tidy(one)
    if "properties" in part:
        part.pop("title", None)


def _tidy_field(field: Schema) -> None:
    field.pop("title", None)
    default = field.get("default")
    if default is None or isinstance(default, dict) or any(isinstance(one, dict) for one in _items(default)):
        field.pop("default", None)
    elif kind_of_quantity(field):
        field["default"] = written(field, default)
        field["examples"] = [field["default"]]
    _tidy(field)


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _resolved(part: Schema, root: Schema) -> Schema:
    """A part with its reference followed and its null alternative gone; its own description wins."""
    own = {key: value for key, value in part.items() if key not in ("$ref", "anyOf")}
    if "$ref" in part:
        return {**root["$defs"][part["$ref"].rpartition("/")[2]], **own}
    choices = [one for one in part.get("anyOf", []) if one.get("type") != "null"]
    if len(choices) == 1:
        return {**_resolved(choices[0], root), **own}
    return {**own, "anyOf": choices} if choices else own


def _step(part: Schema, step: str | int) -> Schema | None:
    if isinstance(step, int):
        items = part.get("items")
        return items if isinstance(items, dict) else None
    known: Mapping[str, Schema] = part.get("properties", {})
    if step in known:
        return known[step]
    free = part.get("additionalProperties")
    return free if isinstance(free, dict) else None


def _fields(prefix: str, part: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    for name, field in part.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        resolved = _resolved(field, root)
        yield path, resolved
        yield from _fields(path, resolved, root)
        items = resolved.get("items")
        if isinstance(items, dict):
            yield from _fields(f"{path}[]", _resolved(items, root), root)
        free = resolved.get("additionalProperties")
        if isinstance(free, dict):
            yield from _fields(f"{path}.NAME", _resolved(free, root), root)
