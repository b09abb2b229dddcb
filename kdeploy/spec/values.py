"""Parts of an environment from plain values without a schema, where there is nothing to object to.

Pydantic builds a schema before it reads its first value, which takes longer than a plan does. Where
every value is a number, a choice or a text that its field's own bounds allow, the schema has nothing to
say, and none is built. Invariant: what is made here equals what `model_validate` makes of the same
values; anything else, and whatever is not understood, is None and left to it, with its messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema, WrapValidator
from pydantic.fields import FieldInfo

from kdeploy.spec.frozen import Frozen

Part = TypeVar("Part", bound=Frozen)

BOUNDS: Final[dict[type, Callable[[Any, Any], bool]]] = {
    Ge: lambda value, bound: value >= bound.ge,
    Gt: lambda value, bound: value > bound.gt,
    Le: lambda value, bound: value <= bound.le,
    Lt: lambda value, bound: value < bound.lt,
    MinLen: lambda value, bound: len(value) >= bound.min_length,
    MaxLen: lambda value, bound: len(value) <= bound.max_length,
    StringConstraints: lambda value, bound: (
        bound == StringConstraints(pattern=bound.pattern)
        and re.search(bound.pattern, value) is not None
        and "\n" not in value
    ),
}
"""Whether a value is within a bound. Of texts only a pattern is understood."""


WITHOUT_EFFECT: Final = (BeforeValidator, WrapValidator, PlainSerializer, WithJsonSchema)
"""What bounds no value: readers of text are called, what wraps them lets ranges through besides."""


class _Unsure(Exception):
    """A value that is not read here: it is pydantic's to judge."""


def plain(kind: type[Part], values: Mapping[str, Any]) -> Part | None:
    """A part made of values, nested as in environment.yaml.

    Args:
        kind: What to make.
        values: By field; what is left out stands at its default.

    Returns:
        The part; None where pydantic has to judge.
    """
    try:
        return _part(kind, values)
    except (_Unsure, ValueError, OverflowError):
        return None


def _part(kind: type[Part], values: Mapping[str, Any]) -> Part:
    fields = kind.model_fields
    for name, field in fields.items():
        if name not in values and field.is_required():
            raise _Unsure
    if not values.keys() <= fields.keys():
        raise _Unsure
    made = {
        name: _value(value, fields[name].annotation, fields[name].metadata) for name, value in values.items()
    }
    return cast("Part", kind.model_construct(**made))


def _value(value: Any, kind: Any, metadata: Iterable[Any]) -> Any:  # noqa: ANN401
    """A value as its field has it.

    Raises:
        _Unsure: It is not read here.
        ValueError: It is no such quantity.
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        if len(others) != 1:
            raise _Unsure
        return None if value is None else _value(value, others[0], metadata)
    if origin is Annotated:
        kind, *more = get_args(kind)
        return _value(value, kind, (*_flat(more), *metadata))
    return _bounded(_read(value, kind, metadata), metadata)


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else (one,)


def _read(value: Any, kind: Any, metadata: Iterable[Any]) -> Any:  # noqa: ANN401
    readers = [one.func for one in metadata if isinstance(one, BeforeValidator)]
    if kind is float and readers and isinstance(value, str):
        (read,) = readers
        return read(value)  # type: ignore[call-arg]
    if kind is float and not readers and (type(value) in (int, float) or _is_number(value)):
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    if get_origin(kind) is Literal and type(value) is str and value in get_args(kind):
        return value
    if isinstance(kind, type) and issubclass(kind, Frozen) and isinstance(value, dict):
        return _part(kind, value)
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,) and isinstance(value, list | tuple):
        return tuple(_value(one, get_args(kind)[0], ()) for one in value)
    raise _Unsure


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", value) is not None


def _bounded(value: Any, metadata: Iterable[Any]) -> Any:  # noqa: ANN401
    for one in metadata:
        if type(one) in BOUNDS:
            if not BOUNDS[type(one)](value, one):
                raise _Unsure
        elif not isinstance(one, WITHOUT_EFFECT):
            raise _Unsure
    return value
