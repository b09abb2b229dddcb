"""Pydantic's errors in the words of the field, with what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdeploy.errors import Problem
from kdeploy.spec.source import Source

if TYPE_CHECKING:
    from pydantic import ValidationError


def explain(error: ValidationError, source: Source, folder_name: str) -> list[Problem]:
    """All problems that pydantic found, each at its line."""
    return [source.problem(one["loc"], one["msg"], "") for one in error.errors(include_url=False)]
