"""
Where workers wait before they send: for the rate, for the gate, for room in flight.

`pacing` decides, this file only waits. Every wait ends at once when sending stops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.pacing import Pacer
    from pipeline.retrying import Clock


class Turnstile:
    """
    One for all workers of a delivery.

    Attributes:
        stopped: Set once, by `stop`; from then on nobody gets in.
    """

    def __init__(self, pacer: Pacer, clock: Clock) -> None:
        self._pacer = pacer
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.stopped = asyncio.Event()

    async def enter(self) -> bool:
        """Wait for a place in flight; False when sending has stopped."""
        await self.pause(self._pacer.book_s(self._clock.now()))
        while not self.stopped.is_set():
            shut_s = self._pacer.shut_s(self._clock.now())
            if shut_s > 0:
                await self.pause(shut_s)
            elif self._pacer.enter(self._clock.now()):
                return True
            else:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter
        return False

    def leave(self) -> None:
        """Give the place back; the limit may have moved by more than one."""
        self._pacer.leave()
        for _ in range(self._pacer.limit - self._pacer.in_flight):
            self._wake_one()

    def stop(self) -> None:
        """Let nobody in any more, and end every pause."""
        self.stopped.set()
        while self._waiting:
            self._wake_one()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond a stop."""
        if seconds <= 0 or self.stopped.is_set():
            return
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        stop = asyncio.ensure_future(self.stopped.wait())
        try:
            await asyncio.wait((sleep, stop), return_when=asyncio.FIRST_COMPLETED)
            if sleep.done():
                sleep.result()
        finally:
            sleep.cancel()
            stop.cancel()

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
