"""
A slow iterator of batches, read ahead by one thread, handed out on the event loop.

The thread encodes while the loop sends. It is never more than a few batches and bytes
ahead: what is not asked for is not made.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.records import MAIN_LANE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Batch

AHEAD_BYTES: Final = 32_000_000
LAST_BATCH_S: Final = 30.0


class BatchFeed(Protocol):
    """
    Where workers get their batches from.

    Attributes:
        error: What ended it early; nothing is handed out after it.
    """

    error: BaseException | None

    async def take(self) -> Batch | None:
        """Return the next batch, waiting for it; None when there is no further one."""

    def settle(self) -> None:
        """Say that a batch and all its parts are through."""

    def stop(self) -> None:
        """Hand out nothing more."""

    async def aclose(self, patience_s: float | None = None) -> None:
        """Stop, and give back what is held."""


class Feed:
    """
    Batches in the order of the iterator, lane after lane.

    A batch of another lane is handed out only when none of the lane before is open,
    its parts and repetitions included; but the folded rows follow the main lane at
    once, since a profile stands in one of the two only.

    Attributes:
        error: What the iterator raised; nothing is handed out after it.

    Args:
        batches: Run and closed in a thread of its own.
        max_batches: Read ahead at most.
        max_bytes: Of their bodies; a single larger one passes all the same.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        *,
        max_batches: int,
        max_bytes: int = AHEAD_BYTES,
    ) -> None:
        self.error: BaseException | None = None
        self._batches = batches
        self._most = (max_batches, max_bytes)
        self._room = threading.Condition()
        self._n_ahead = 0  # guarded by _room, as the next two
        self._bytes_ahead = 0
        self._is_stopped = False
        self._ready: deque[Batch] = deque()  # the rest belongs to the loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._n_open = 0
        self._lane = -1
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        thread = threading.Thread(target=self._read, name="batches", daemon=True)
        thread.start()

    # -- on the event loop -------------------------------------------------------------

    async def take(self) -> Batch | None:
        """Return the next batch, waiting for it; None when there is no further one."""
        while not self._is_stopped:
            if self._ready and self._may_begin(self._ready[0].lane):
                self._lane = self._ready[0].lane
                return self._pop()
            if self._ended.is_set() and not self._ready:
                return None
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter
        return None

    def settle(self) -> None:
        """Say that a batch and all its parts are through."""
        self._n_open -= 1
        if self._n_open == 0:
            self._wake_all()

    def stop(self) -> None:
        """Hand out nothing more; the thread ends after the batch it works on."""
        with self._room:
            self._is_stopped = True
            self._room.notify()
        self._ready.clear()
        self._wake_all()

    async def aclose(self, patience_s: float | None = None) -> None:
        """
        Stop, and wait for the thread, though not for ever: it dies with us.

        Args:
            patience_s: In place of half a minute.
        """
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(
                LAST_BATCH_S if patience_s is None else patience_s
            ):
                await self._ended.wait()

    def _may_begin(self, lane: int) -> bool:
        is_joined = self._lane >= MAIN_LANE and lane >= MAIN_LANE
        return self._n_open == 0 or lane == self._lane or is_joined

    def _pop(self) -> Batch:
        batch = self._ready.popleft()
        self._n_open += 1
        with self._room:
            self._n_ahead -= 1
            self._bytes_ahead -= len(batch.body)
            if self._is_half_empty():
                self._room.notify()
        return batch

    def _add(self, batch: Batch) -> None:
        if not self._is_stopped:
            self._ready.append(batch)
        if self._waiting:
            _wake(self._waiting.popleft())

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self._ended.set()
        if error is not None:
            self.stop()
        self._wake_all()

    def _wake_all(self) -> None:
        while self._waiting:
            _wake(self._waiting.popleft())

    # -- in the thread -----------------------------------------------------------------

    def _read(self) -> None:
        error: BaseException | None = None
        iterator = iter(self._batches)
        try:
            for batch in iterator:
                if not self._offer(batch):
                    break
        except BaseException as caught:  # noqa: BLE001 - raised again by the consumer
            error = caught
        close = getattr(iterator, "close", None)
        try:
            if close is not None:
                close()
        except BaseException as caught:  # noqa: BLE001 - as above
            error = error or caught
        with suppress(RuntimeError):  # the loop is gone, and everybody with it
            self._loop.call_soon_threadsafe(self._end, error)

    def _offer(self, batch: Batch) -> bool:
        """Wait for room, then hand over; False when nobody wants any more."""
        n_bytes = len(batch.body)
        with self._room:
            if not self._has_room(n_bytes):
                # Waking for every single place would cost two switches a batch.
                self._room.wait_for(self._is_half_empty)
            while not self._has_room(n_bytes):
                self._room.wait()
            if self._is_stopped:
                return False
            self._n_ahead += 1
            self._bytes_ahead += n_bytes
        self._loop.call_soon_threadsafe(self._add, batch)
        return True

    def _has_room(self, n_bytes: int) -> bool:
        max_batches, max_bytes = self._most
        fits = self._n_ahead < max_batches and self._bytes_ahead + n_bytes <= max_bytes
        return fits or self._n_ahead == 0 or self._is_stopped

    def _is_half_empty(self) -> bool:
        max_batches, max_bytes = self._most
        return self._is_stopped or (
            self._n_ahead <= max_batches // 2 and self._bytes_ahead <= max_bytes // 2
        )


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
