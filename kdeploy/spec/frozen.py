"""What every part of an environment and of a lock is made of.

Invariant: a value that exists was checked, cannot be changed, and has no unknown key.
"""

from __future__ import annotations

from typing import Self, cast

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """What every part of an environment is: immutable, and closed to unknown keys.

    The text under each field describes it in the schema; `kdeploy.spec.descriptions` reads it
    there when it is asked for, since pydantic would read it at every import.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def default(cls) -> Self:
        """The part with nothing said about it. Nothing is checked, so nothing is built to check it with."""
        return cast("Self", cls.model_construct())
