"""What the SDK does slowly in a program of thousands of resources, done otherwise.

Invariant: what is declared, and what becomes of it, is the same with and without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pulumi import Resource, ResourceTransformationArgs, log
from pulumi.runtime import register_stack_transformation


def hastened(declare: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    """A program that ends when its resources are registered, for the SDK to find little left to wait for.

    After a program the SDK waits for any one of all outputs, of which a machine alone has fifty, and begins anew each
    time: half of what the program of 300 brokers took (SDK 3.272, `pulumi.runtime.stack.wait_for_rpcs`, read 2026-11-27).

    Args:
        declare: Declares every resource.
    """

    async def declared() -> None:
        log.debug = _unsaid
        resources: list[Resource] = []

        def note(one: ResourceTransformationArgs) -> None:
            resources.append(one.resource)

        register_stack_transformation(note)
        declare()
        waiting = [asyncio.ensure_future(one.urn.future()) for one in resources]
        if waiting:
            # What fails is raised where the SDK asks for it.
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
            for one in done:
                one.exception()

    return declared


def _unsaid(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as the SDK's own
    """Say nothing: five calls to the engine for each resource, which shows them to nobody (SDK 3.272, `pulumi.log`)."""
