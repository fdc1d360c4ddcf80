"""A worker's limiter: what is met is told first, and silence ends the sending."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pipeline.distributed.hub import Hub, Orders, Told, Turn
from pipeline.distributed.limiting import ClusterLimiter
from pipeline.distributed.pace import Lot, SharedPace
from pipeline.stopping import StopSignal


@dataclass
class Wire:
    """A link that keeps what was said, and may be cut."""

    hub: Hub = field(default_factory=lambda: Hub(SharedPace()))
    said: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    is_cut: bool = False

    async def begin(self, number: int) -> Turn:
        return self.hub.begin(number)

    async def lease(self, turn: Turn, n_wanted: int) -> Lot:
        self._use("lease")
        return self.hub.lease(0.0, turn, n_wanted)

    async def tell(self, turn: Turn, told: Told) -> Orders:
        self._use("tell")
        self.told.append(told)
        return self.hub.tell(0.0, turn, told)

    def _use(self, what: str) -> None:
        if self.is_cut:
            raise ConnectionError
        self.said.append(what)


def limiter(wire: Wire) -> tuple[ClusterLimiter, StopSignal]:
    stop = StopSignal()
    return ClusterLimiter(wire, wire.hub.begin(1), stop, lambda: 0.0), stop


def test_places_are_leased_once_and_used_up() -> None:
    async def scenario() -> None:
        wire = Wire()
        own, _ = limiter(wire)
        assert await own.ready(3) == await own.ready(3) == 0.0
        assert wire.said == ["lease"]
        for _ in range(3):
            own.places.take(0.0)
        assert await own.ready(3) == 0.0
        assert wire.said == ["lease", "lease"]

    asyncio.run(scenario())


def test_a_429_is_told_before_another_place_is_asked_for() -> None:
    async def scenario() -> None:
        wire = Wire()
        own, _ = limiter(wire)
        own.places.succeed(0.0)
        own.places.cut(0.0)
        own.shut(7.0)
        own.shut(2.0)

        assert await own.ready(3) == 1.0  # shut: look again, but not only after 7 s
        assert wire.said == ["tell", "lease"]
        (told,) = wire.told
        assert (told.n_good, told.is_throttled, told.shut_s) == (1, True, 7.0)
        await own.tell()
        assert (wire.told[1].n_good, wire.told[1].is_throttled) == (0, False)

    asyncio.run(scenario())


def test_a_retry_after_is_told_at_once() -> None:
    async def scenario() -> None:
        wire = Wire()
        own, _ = limiter(wire)
        beat = asyncio.create_task(own.beat())
        await asyncio.sleep(0)
        own.shut(5.0)
        for _ in range(5):
            await asyncio.sleep(0)
        beat.cancel()

        assert [told.shut_s for told in wire.told] == [5.0]

    asyncio.run(scenario())


def test_orders_are_obeyed() -> None:
    async def scenario() -> None:
        wire = Wire()
        own, stop = limiter(wire)
        wire.hub.n_stops = 2
        await own.tell()

        assert (stop.n_requests, own.lost) == (2, None)

    asyncio.run(scenario())


def test_a_partition_that_another_one_has_is_let_go() -> None:
    async def scenario() -> None:
        wire = Wire()
        own, stop = limiter(wire)
        wire.hub.begin(1)
        await own.tell()

        assert stop.n_requests == 1
        assert "gave the partition to another worker" in str(own.lost)
        assert await own.ready(1) == 1.0
        await own.tell()
        assert wire.said == ["tell"]  # whoever is lost says nothing more

    asyncio.run(scenario())


def test_a_worker_that_hears_nothing_stops() -> None:
    async def scenario() -> None:
        wire = Wire(is_cut=True)
        own, stop = limiter(wire)

        assert await own.ready(1) == 1.0
        assert stop.n_requests == 1
        assert "does not answer" in str(own.lost)
        await own.beat()  # over at once

    asyncio.run(scenario())
