"""What no single field can judge: whether the fields of an environment fit each other."""

from __future__ import annotations

from dataclasses import dataclass

from kdeploy.errors import Problem
from kdeploy.spec.model import Environment
from kdeploy.spec.source import Path_, Source


@dataclass(frozen=True)
class Finding:
    """Two or more settings that do not fit each other.

    Attributes:
        path: The setting to change.
        wrong: As `Problem.wrong`.
        right: As `Problem.right`.
        related: Other settings it is about, for its line where `path` is a default.
    """

    path: Path_
    wrong: str
    right: str
    related: tuple[Path_, ...] = ()

    def problem(self, source: Source) -> Problem:
        """The finding at its line."""
        return source.problem(self.path, self.wrong, self.right)


def check(environment: Environment) -> tuple[Finding, ...]:
    """Everything that does not fit; empty when all is well."""
    return ()
