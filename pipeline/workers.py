"""Several workers at one list of things to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

Thing = TypeVar("Thing")


async def work_through(
    things: Iterable[Thing], work: Callable[[Thing], Awaitable[None]], n_workers: int
) -> None:
    """
    Do the work for each thing, *n_workers* at a time; they are taken in their order.

    Raises:
        The first error of any work; the others are cancelled then.
    """
    left = iter(things)

    async def serve() -> None:
        for thing in left:
            await work(thing)

    tasks = [asyncio.create_task(serve()) for _ in range(n_workers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
