"""
The limiter of a worker: places come from the scheduler, what is met goes to it.

A worker that does not hear from the scheduler stops sending by itself, so one that was
cut off does not send beside the one that took its place for long.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.distributed.hub import Told
from pipeline.distributed.pace import LeasedPlaces
from pipeline.errors import PatienceEndedError
from pipeline.stopping import StopSignal
from pipeline.tally import DeliveryReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline.distributed.hub import Orders, Turn
    from pipeline.distributed.pace import Lot
    from pipeline.errors import PipelineError

BEAT_S: Final = 0.25
ANSWER_S: Final = 10.0
SILENT: Final = "does not answer"
_LOOK_AGAIN_S: Final = 1.0


class Link(Protocol):
    """The way to a `hub.Hub`; every call raises `OSError` when there is none."""

    async def begin(self, number: int) -> Turn:
        """Take a partition."""

    async def lease(self, turn: Turn, n_wanted: int) -> Lot:
        """Ask for places."""

    async def tell(self, turn: Turn, told: Told) -> Orders:
        """Say what was met."""


def gone(what: str, number: int) -> PatienceEndedError:
    """Return what a worker ends with that hears no more of the scheduler."""
    return PatienceEndedError(
        f"the scheduler of the cluster {what}; the rest of partition {number} is "
        "pending."
    )


class ClusterLimiter:
    """
    A `turnstile.SharedLimiter`; `beat` runs beside the delivery.

    Attributes:
        turn: What the scheduler knows this work by.
        counts: Of the delivery so far; set by whoever delivers.
        lost: Why this worker may send no more, although nobody asked it to stop.

    Args:
        stop: Asked when the run is to stop, or this worker alone.
    """

    def __init__(
        self, link: Link, turn: Turn, stop: StopSignal, now: Callable[[], float]
    ) -> None:
        self.turn = turn
        self.counts = DeliveryReport()
        self.lost: PipelineError | None = None
        self._link = link
        self._stop = stop
        self._now = now
        self._places = LeasedPlaces()
        self._shut_s = 0.0
        self._is_urgent = asyncio.Event()

    @property
    def places(self) -> LeasedPlaces:
        """What was leased and not used."""
        return self._places

    async def ready(self, n_wanted: int) -> float:
        """Lease places when none is held; return the seconds until to ask again."""
        if self._places.has_any(self._now()):
            return 0.0
        if self._places.is_throttled or self._is_urgent.is_set():
            await self.tell()  # or the others would send at a rate that was refused
        if self.lost is not None:
            return _LOOK_AGAIN_S
        try:
            async with asyncio.timeout(ANSWER_S):
                lot = await self._link.lease(self.turn, n_wanted)
        except (OSError, TimeoutError):
            self._lose(SILENT)
            return _LOOK_AGAIN_S
        self._places.add(self._now(), lot)
        return 0.0 if lot.n_places else min(lot.wait_s, _LOOK_AGAIN_S)

    def shut(self, seconds: float) -> None:
        """Tell the others at once that the service asks to be left alone."""
        self._shut_s = max(self._shut_s, seconds)
        self._is_urgent.set()

    async def beat(self) -> None:
        """Tell the scheduler what is met, and obey, until cancelled."""
        while self.lost is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._is_urgent.wait()
            await self.tell()

    async def tell(self) -> None:
        """Tell the scheduler what was met, and obey; nothing when it is lost."""
        if self.lost is not None:
            return
        places, shut_s = self._places, self._shut_s
        told = Told(asdict(self.counts), places.n_good, places.is_throttled, shut_s)
        places.n_good, places.is_throttled, self._shut_s = 0, False, 0.0
        self._is_urgent.clear()
        try:
            async with asyncio.timeout(ANSWER_S):
                orders = await self._link.tell(self.turn, told)
        except (OSError, TimeoutError):
            self._lose(SILENT)
            return
        if orders.is_over:
            self._lose("gave the partition to another worker")
        while self._stop.n_requests < orders.n_stops:
            self._stop.request()

    def _lose(self, what: str) -> None:
        if self.lost is None:
            self.lost = gone(what, self.turn.number)
            self._stop.request()


@asynccontextmanager
async def taken_on(
    link: Link, number: int, now: Callable[[], float]
) -> AsyncIterator[tuple[ClusterLimiter, StopSignal]]:
    """
    Take a partition on; until the block ends, obey the scheduler, and tell it things.

    Whoever had the partition before lets go of it.

    Raises:
        PatienceEndedError: The scheduler does not answer.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            turn = await link.begin(number)
    except (OSError, TimeoutError):
        raise gone(SILENT, number) from None
    stop = StopSignal()
    limiter = ClusterLimiter(link, turn, stop, now)
    beat = asyncio.create_task(limiter.beat())
    try:
        yield limiter, stop
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat
        await limiter.tell()  # the last counts
