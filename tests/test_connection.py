"""The first words with the service: they may be cut short, and say nothing twice."""

import asyncio

import httpx
import pytest

from benchmarks.virtual_time import run_virtually
from pipeline.connection import Connector, connected
from pipeline.errors import InterruptedRunError
from pipeline.retrying import Clock
from pipeline.stopping import StopSignal
from wire import REMOTE, Service, Step


@pytest.mark.parametrize("answer", [503, (503, {"Retry-After": "600"}, b"")])
@pytest.mark.parametrize("at_s", [0.0, 40.0])
def test_a_stop_ends_the_first_question_at_once(answer: Step, at_s: float) -> None:
    async def main() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        service = Service(lambda _: answer)
        clock = Clock(loop.time, asyncio.sleep, lambda: 0.9)
        stop = StopSignal()
        loop.call_at(at_s, stop.request)
        with pytest.raises(InterruptedRunError):
            async with connected(Connector(REMOTE, service, clock), stop=stop):
                pass
        return loop.time(), len(service.requests)

    ended_s, n_requests = run_virtually(main())

    assert ended_s == pytest.approx(at_s)
    assert n_requests <= 8


def test_who_cancels_the_question_is_not_told_of_a_stop() -> None:
    async def main() -> None:
        def hang(_: httpx.Request) -> Step:
            return httpx.ConnectError("")

        connector = Connector(REMOTE, Service(hang), Clock(sleep=_for_ever))

        async def ask() -> None:
            async with connected(connector, stop=StopSignal()):
                pass

        task = asyncio.create_task(ask())
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())


async def _for_ever(_: float) -> None:
    await asyncio.sleep(1e6)
