"""A program of many resources: it ends when they are registered, and what fails in it is still raised."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, settings, stack

from kdeploy.infra.aws.haste import hastened

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
"""Threads of the SDK leave event loops of their own open, and coroutines of what failed."""

MANY = 40


class Heard(mocks.MockEngine):
    """An engine that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.said: list[str] = []

    def Log(self, request: Any) -> Any:  # noqa: N802
        self.said.append(request.message)


class Nothing(pulumi.runtime.Mocks):
    """Resources without outputs; one of them cannot be made."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.name == "refused":
            raise ValueError("it is refused")
        return f"{args.name}-id", {}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


class Ran:
    """A program that ran: what the engine was told, and how many outputs were not there yet when it ended."""

    def __init__(self, declare: Callable[[], None]) -> None:
        self.engine, self.left = Heard(), -1
        self.program = hastened(declare)

    async def __call__(self) -> None:
        await self.program()
        self.left = sum(not one.done() for one in settings.SETTINGS.outputs)


def many(*more: str) -> None:
    parent = pulumi.ComponentResource("test:index:Parent", "parent")
    for name in (*map(str, range(MANY)), *more):
        pulumi.CustomResource("test:index:One", name, {}, pulumi.ResourceOptions(parent=parent))


@pytest.fixture
def run() -> Iterator[Callable[[Ran], None]]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def whole(ran: Ran) -> None:
        mocks.set_mocks(Nothing(), project="test", stack="test", preview=False)
        settings.configure(
            settings.Settings("test", "test", engine=ran.engine, monitor=settings.get_monitor())
        )
        settings.set_root_resource(None)
        loop.run_until_complete(stack.run_in_stack(ran))

    yield whole
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()
    gc.collect()


def test_little_is_left_to_wait_for_when_the_program_ends(run: Callable[[Ran], None]) -> None:
    ran = Ran(many)
    run(ran)
    # The parent has one more, and its name and each other's are known.
    assert 0 <= ran.left < MANY


def test_the_engine_is_told_nothing_that_it_shows_to_nobody(run: Callable[[Ran], None]) -> None:
    ran = Ran(many)
    run(ran)
    assert ran.engine.said == []


def test_what_cannot_be_registered_is_raised(run: Callable[[Ran], None]) -> None:
    with pytest.raises(ValueError, match="it is refused"):
        run(Ran(lambda: many("refused")))


def test_a_program_without_resources_ends(run: Callable[[Ran], None]) -> None:
    run(Ran(lambda: None))
