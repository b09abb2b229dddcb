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

    room = resources.files("kdeploy.spec")
    files = [
        ast.parse(room.joinpath(name).read_text("utf-8"))
        for name in (
            "model.py",
            "planning.py",
            "aws.py",
            "firewall.py",
            "mirroring.py",
            "resources.py",
            "files.py",
        )
    ]
    found: dict[str, dict[str, str]] = {}
    for part in (part for file in files for part in file.body):
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
