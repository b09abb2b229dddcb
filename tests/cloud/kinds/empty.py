"""A resource of nothing: it has no inputs, and no call makes it.

What an engine needs for it is what it needs for any resource, so benchmarks count in it.
"""

from __future__ import annotations

from tests.cloud.kinds.base import Aws, Kind, Values


class Empty(Kind):
    """Nothing; the real provider has none."""

    type = "aws:benchmark/empty:Empty"
    noun = "Empty"
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        return "empty"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        return {}

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        """Nothing."""
