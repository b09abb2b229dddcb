"""Property values as they travel between the engine and the provider, and how two of them differ.

Invariant: two values are equal here when AWS cannot tell them apart: a list of texts is a set
for it, and 3 is 3.0 since every number travels as a float.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format, struct_pb2

from tests.cloud.kinds.base import ABSENT, Values

if TYPE_CHECKING:
    from tests.cloud.kinds.base import Kind

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that is known only after something was made (Pulumi's plugin protocol)."""


def read(struct: Any) -> Values:
    """Properties from the wire; whole numbers as such."""
    found: Values = _whole(json_format.MessageToDict(struct))
    return {key: value for key, value in found.items() if not key.startswith("__")}


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def write(properties: Values) -> struct_pb2.Struct:
    """Properties for the wire."""
    struct = struct_pb2.Struct()
    struct.update({key: value for key, value in properties.items() if value is not None})
    return struct


def config(properties: Values) -> Values:
    """A provider's configuration, in which everything but text travels as JSON."""
    return {key: _parsed(value) for key, value in properties.items()}


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def is_unknown(value: Any) -> bool:
    """Whether a value is not known yet."""
    return bool(value == UNKNOWN)


def has_unknown(value: Any) -> bool:
    """Whether anything in a value is not known yet."""
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return is_unknown(value)


def same(one: Any, other: Any) -> bool:
    """Whether AWS could not tell two values apart."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        if all(not isinstance(each, (dict, list)) for each in [*one, *other]):
            return sorted(map(str, one)) == sorted(map(str, other))
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if one in ABSENT and other in ABSENT:
        return True
    if _is_document(one) and _is_document(other):
        return bool(json.loads(one) == json.loads(other))
    return bool(one == other)


def _is_document(value: Any) -> bool:
    """Whether a text is a policy: spaces in it mean nothing."""
    if not isinstance(value, str) or value[:1] != "{":
        return False
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def changed(old: Values, new: Values) -> set[str]:
    """Properties in which two differ."""
    keys = {key for key in old.keys() | new.keys() if not key.startswith("__")}
    return {key for key in keys if not same(old.get(key), new.get(key))}


def wanted(old: Values, new: Values, computed: frozenset[str]) -> set[str]:
    """Inputs in which a resource is to change: what AWS chose and nobody asks for stays as it is.

    Args:
        old: Inputs as they were, or as AWS has them.
        new: Inputs as they are to be.
        computed: Inputs that AWS chooses when they are left out.
    """
    seen = {
        key: {part: value[part] for part in value if part in new[key]}
        if _is_block(key, value, new)
        else value
        for key, value in old.items()
        if key in new or key not in computed
    }
    return changed(seen, new)


def _is_block(key: str, value: Any, new: Values) -> bool:
    """Whether a property is a block of settings, each of which AWS chooses when it is left out; tags are not."""
    return key not in ("tags", "dimensions") and isinstance(value, dict) and isinstance(new.get(key), dict)


def details(old: Values, new: Values, keys: list[str]) -> Iterator[tuple[str, str]]:
    """Where exactly they differ, one level below the properties, and how: ADD, DELETE, UPDATE."""
    for key in keys:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            for part in sorted(changed(before, after)):
                yield f"{key}{_step(part)}", _sort(before.get(part), after.get(part))
        else:
            yield key, _sort(before, after)


def _step(part: str) -> str:
    return f".{part}" if part.isidentifier() else f'["{part}"]'


def _sort(before: Any, after: Any) -> str:
    if before is None:
        return "ADD"
    return "DELETE" if after is None else "UPDATE"


def projected(wanted: Any, actual: Any) -> Any:
    """What AWS has, seen through what was asked for: what nobody asked for is not shown."""
    if same(wanted, actual):
        return wanted
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return {key: projected(value, actual[key]) for key, value in wanted.items() if key in actual}
    lists = isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual)
    if lists and any(isinstance(one, dict) for one in wanted):
        return [projected(a, b) for a, b in zip(wanted, actual, strict=True)]
    return actual


def importable(kind: Kind, now: Values) -> list[str]:
    """Properties of what AWS has that are inputs: those that one has to write down to get it."""
    inputs = {
        *kind.required,
        *kind.changes,
        *kind.defaults,
        *kind.inputs,
        *([kind.named] if kind.named else []),
    }
    return [key for key, value in now.items() if key in inputs and value not in ABSENT]
