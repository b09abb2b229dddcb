"""What each field of the model means: the text that stands under it in the source.

Invariant: read from the source only when someone asks (the schema, the documentation),
so that importing the model stays cheap; every field of the model has such a text.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=1)
def descriptions() -> dict[str, dict[str, str]]:
    """Descriptions by class and field, with their line ends as the source has them, unindented."""
    from inspect import cleandoc

    tree = ast.parse(resources.files("kdeploy.spec").joinpath("model.py").read_text("utf-8"))
    found: dict[str, dict[str, str]] = {}
    for part in tree.body:
        if not isinstance(part, ast.ClassDef):
            continue
        fields = found.setdefault(part.name, {})
        for field, text in zip(part.body, part.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                fields[field.target.id] = cleandoc(text.value.value)
    return found
