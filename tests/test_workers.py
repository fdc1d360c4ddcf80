"""Several workers at one list: done in its order, or the first error ends it."""

import asyncio

import pytest

from pipeline.workers import work_through


@pytest.mark.anyio
@pytest.mark.parametrize("n_workers", [1, 3, 20])
async def test_everything_is_begun_once_and_in_order(n_workers: int) -> None:
    begun: list[int] = []
    at_work = most = 0

    async def work(thing: int) -> None:
        nonlocal at_work, most
        begun.append(thing)
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    await work_through(range(10), work, n_workers)

    assert begun == list(range(10))
    assert most == min(n_workers, 10)


@pytest.mark.anyio
async def test_the_first_error_cancels_the_others() -> None:
    begun: list[int] = []
    cancelled: list[int] = []

    async def work(thing: int) -> None:
        begun.append(thing)
        if thing == 2:
            await asyncio.sleep(0)
            raise ValueError(thing)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(thing)
            raise

    with pytest.raises(ValueError, match="2"):
        await work_through(range(10), work, 3)

    assert begun == [0, 1, 2]
    assert cancelled == [0, 1]
