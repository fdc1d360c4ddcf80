"""
Where workers wait before they send: for the gate, for room in flight, for the rate.

`pacing` decides, this file only waits. Who came first goes first, repetitions
included. Every wait ends at once when sending stops.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

from pipeline.pacing import Mark
from pipeline.verdict import TOO_MANY, is_failure, is_overload

if TYPE_CHECKING:
    from pipeline.pacing import Pacer, Ticket
    from pipeline.rates import Bucket
    from pipeline.records import Verdict
    from pipeline.retrying import Clock


class SharedLimiter(Protocol):
    """
    A limiter that other processes obey as well.

    Attributes:
        places: Those that this process may use, for `Pacer.leased`.
    """

    @property
    def places(self) -> Bucket:
        """See above."""

    async def ready(self, n_wanted: int) -> float:
        """
        See to it that *places* has one, if there is one.

        Returns:
            Seconds after which to ask again; 0 when there is a place.
        """

    def shut(self, seconds: float) -> None:
        """Tell the others that the service asks to be left alone."""


class Turnstile:
    """
    One for all workers of a delivery, or for all readers.

    Args:
        shared: Where the places of a rate come from, if others share them.

    Attributes:
        stopped: Set once, by `stop`; from then on nobody gets in.
        met: Set once the service was heard, or when nobody will be.
    """

    def __init__(
        self, pacer: Pacer, clock: Clock, shared: SharedLimiter | None = None
    ) -> None:
        self._pacer = pacer
        self._clock = clock
        self._shared = shared
        self._queue = asyncio.Lock()  # its holder is the one who is next
        self._changed: asyncio.Future[None] | None = None
        self.stopped = asyncio.Event()
        self.met = asyncio.Event()

    async def enter(self, *, cost: int = 0, is_suspect: bool = False) -> Ticket | None:
        """
        Wait for a place in flight; None when sending has stopped.

        Args:
            cost: What the budget pays for a repetition.
            is_suspect: As in `pacing.Ticket`.
        """
        async with self._queue:
            while not self.stopped.is_set():
                n_free = self._pacer.n_free(self._clock.now())
                if self._shared is not None and n_free:
                    wait_s = await self._shared.ready(n_free)
                    if wait_s > 0:
                        await self.pause(wait_s)
                        continue
                found = self._pacer.enter(
                    self._clock.now(),
                    self._clock.chance() if cost else 0.0,
                    cost=cost,
                    is_suspect=is_suspect,
                )
                if not isinstance(found, float):
                    return found
                if math.isinf(found):
                    self._changed = asyncio.get_running_loop().create_future()
                    await self._changed
                else:
                    await self.pause(found)
        return None

    def learn(self, ticket: Ticket, verdict: Verdict) -> None:
        """Learn from an answer; what it asks for is in force before others go."""
        now_s = self._clock.now()
        mark = Mark.FAILED if is_failure(verdict) else Mark.GOOD
        if verdict.status == TOO_MANY:
            mark = Mark.THROTTLED
        self._pacer.observe(
            ticket,
            now_s,
            mark,
            overloaded=is_overload(verdict),
            chance=self._clock.chance() if mark is not Mark.GOOD else 0.0,
        )
        if verdict.retry_after_s is not None:
            self._pacer.shut(now_s, verdict.retry_after_s)
            if self._shared is not None:
                self._shared.shut(verdict.retry_after_s)

    def leave(self, ticket: Ticket) -> None:
        """Give the place back."""
        self._pacer.leave(ticket)
        self._tell()

    def stop(self) -> None:
        """Let nobody in any more, and end every pause."""
        self.stopped.set()
        self.met.set()
        self._tell()

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

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
