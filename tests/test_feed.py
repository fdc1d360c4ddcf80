"""One thread reads ahead, within bounds; lanes follow one another."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import polars as pl
import pytest

from pipeline.feed import Feed
from pipeline.records import Batch

ROWS = pl.DataFrame({"source_no": [0], "row_no": [1]})


def batch(no: int, lane: int = 2, n_bytes: int = 10) -> Batch:
    return Batch(no, lane, ROWS, b"x" * n_bytes, "digest")


def with_feed(
    batches: Iterator[Batch] | list[Batch],
    use: Callable[[Feed], Awaitable[None]],
    max_batches: int = 4,
    max_bytes: int = 1000,
) -> Feed:
    async def main() -> Feed:
        feed = Feed(batches, max_batches=max_batches, max_bytes=max_bytes)
        try:
            async with asyncio.timeout(20):
                await use(feed)
        finally:
            await feed.aclose()
        return feed

    return asyncio.run(main())


def test_all_batches_come_in_order_from_another_thread() -> None:
    threads = set()
    taken: list[int] = []

    def batches() -> Iterator[Batch]:
        for no in range(1, 101):
            threads.add(threading.get_ident())
            yield batch(no)

    async def use(feed: Feed) -> None:
        while (found := await feed.take()) is not None:
            taken.append(found.batch_no)
            feed.settle()

    with_feed(batches(), use)
    assert taken == list(range(1, 101))
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


@pytest.mark.parametrize(
    ("max_batches", "max_bytes", "n_made"),
    # One more is made than is handed over: it waits in the thread.
    [(4, 1000, 5), (100, 30, 4), (100, 5, 2)],
)
def test_it_reads_ahead_no_further_than_told(
    max_batches: int, max_bytes: int, n_made: int
) -> None:
    made: list[int] = []
    reached = threading.Event()

    def batches() -> Iterator[Batch]:
        for no in range(1, 50):
            made.append(no)
            if len(made) == n_made:
                reached.set()
            yield batch(no)

    async def use(feed: Feed) -> None:
        assert await asyncio.to_thread(reached.wait, 10)
        await asyncio.to_thread(threading.Event().wait, 0.05)
        assert len(made) == n_made
        assert await feed.take() is not None

    with_feed(batches(), use, max_batches, max_bytes)


def test_a_lane_waits_until_the_one_before_is_through() -> None:
    async def use(feed: Feed) -> None:
        first, second = await feed.take(), await feed.take()
        assert (first and first.batch_no, second and second.batch_no) == (1, 2)
        third = asyncio.ensure_future(feed.take())
        for _ in range(2):
            await asyncio.sleep(0.01)
            assert not third.done()
            feed.settle()
        found = await third
        assert found is not None
        assert found.batch_no == 3

    with_feed([batch(1, 0), batch(2, 0), batch(3, 1)], use)


def test_folded_rows_do_not_wait_for_the_main_lane() -> None:
    async def use(feed: Feed) -> None:
        first, folded = await feed.take(), await feed.take()
        assert (first and first.lane, folded and folded.lane) == (2, 3)

    with_feed([batch(1, 2), batch(2, 3)], use)


def test_what_the_iterator_raises_ends_the_feed() -> None:
    def batches() -> Iterator[Batch]:
        yield batch(1)
        raise ValueError("the file changed")

    async def use(feed: Feed) -> None:
        while await feed.take() is not None:
            feed.settle()

    feed = with_feed(batches(), use)
    assert isinstance(feed.error, ValueError)


def test_a_stopped_feed_closes_its_iterator() -> None:
    closed = threading.Event()

    def batches() -> Iterator[Batch]:
        try:
            for no in range(1, 1000):
                yield batch(no)
        finally:
            closed.set()

    async def use(feed: Feed) -> None:
        await feed.take()
        feed.stop()
        assert await feed.take() is None

    with_feed(batches(), use)
    assert closed.is_set()


def test_a_failure_to_close_is_told() -> None:
    def batches() -> Iterator[Batch]:
        try:
            for no in range(1, 1000):
                yield batch(no)
        finally:
            raise OSError("cannot close")

    async def use(feed: Feed) -> None:
        await feed.take()

    assert isinstance(with_feed(batches(), use).error, OSError)
