"""An account of AWS as tests use it: an emulated one (`cloud.Cloud`), or a real one (`real.Real`).

Invariant: what a test changes in it is its environment's own, whatever else there is in the account.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ENVIRONMENT: Final = "cloudy"
"""The tests' environment, in an account where nothing else is."""

PASSWORD: Final = "a password for tests alone"


class Account(ABC):
    """One account; a context manager.

    Attributes:
        emulated: Whether it counts calls, and can be told to refuse some.
        name: The environment that tests have in it.
        password: Of that environment's vault.
        folder: Everything on this machine that belongs to it.
        environment: Variables with which a process is this account's user.
    """

    emulated: bool
    name: str
    password: str
    folder: Path
    environment: dict[str, str]

    @abstractmethod
    def client(self, service: str, region: str = "eu-west-1") -> Any:
        """A boto3 client of this account."""

    @abstractmethod
    def mine(self, region: str) -> Callable[[Mapping[str, Any]], bool]:
        """What tells the tests' own things from others', as AWS describes them."""
