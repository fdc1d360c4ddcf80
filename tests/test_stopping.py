"""Somebody asks to stop: from a signal, a thread, before or in the middle."""

import asyncio
import os
import signal
import threading

import pytest

from pipeline.errors import InterruptedRunError, StoppedError, TerminatedRunError
from pipeline.stopping import StopSignal


def test_the_first_signal_names_the_error() -> None:
    stop = StopSignal()
    stop.check()
    stop.request(signal.SIGTERM)
    stop.request(signal.SIGINT)

    assert type(stop.error()) is TerminatedRunError
    assert stop.n_requests == 2
    with pytest.raises(StoppedError):
        stop.check()
    stop = StopSignal()
    stop.request()
    assert type(stop.error()) is InterruptedRunError


def test_listeners_are_told_on_their_loop_of_past_and_later_requests() -> None:
    stop = StopSignal()
    told: list[int] = []
    home = threading.get_ident()

    def listener() -> None:
        told.append(threading.get_ident())

    async def main() -> None:
        stop.request()
        with stop.listening(listener):
            await asyncio.to_thread(stop.request)
            await asyncio.sleep(0)
        stop.request()
        await asyncio.sleep(0)

    asyncio.run(main())
    stop.request()  # nobody listens any more, and that loop is closed
    assert told == [home, home]


def test_a_listener_whose_loop_is_closed_hurts_nobody() -> None:
    stop = StopSignal()

    async def main() -> None:
        stop.listening(lambda: None).__enter__()

    asyncio.run(main())
    stop.request()

    assert stop.n_requests == 1


def test_it_may_be_asked_from_a_signal_handler() -> None:
    stop = StopSignal()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.request(signal.SIGTERM))

    async def main() -> None:
        told = asyncio.Event()
        with stop.listening(told.set):
            os.kill(os.getpid(), signal.SIGUSR1)
            async with asyncio.timeout(10):
                await told.wait()

    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert type(stop.error()) is TerminatedRunError
