"""
How somebody outside asks a run to stop: a signal handler, another thread, a test.

The first request drains: nothing new is admitted, what is in flight is awaited and
recorded. The second ends it: what is in flight is cancelled and stays unknown in the
journal. Both leave a run that can be continued.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.errors import InterruptedRunError, TerminatedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.errors import StoppedError


class StopSignal:
    """
    A request to stop; one for a run.

    `request` may be called at any time and from anywhere, also from a signal handler
    that interrupts the event loop: it takes no lock.
    """

    def __init__(self) -> None:
        self._asked: list[int] = []
        self._listeners: tuple[
            tuple[asyncio.AbstractEventLoop, Callable[[], None]], ...
        ] = ()

    @property
    def n_requests(self) -> int:
        """How often somebody asked."""
        return len(self._asked)

    def request(self, signal_no: int = signal.SIGINT) -> None:
        """Ask to stop; listeners are told on their own event loops."""
        self._asked.append(signal_no)
        for loop, listener in self._listeners:
            with suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(listener)

    def check(self) -> None:
        """
        For loops without awaits: stop here, if somebody asked.

        Raises:
            StoppedError: Somebody did.
        """
        if self._asked:
            raise self.error()

    def error(self) -> StoppedError:
        """Return what a run ends with that was asked to stop."""
        if signal.SIGTERM in self._asked[:1]:
            return TerminatedRunError("terminated by a signal; nothing is lost.")
        return InterruptedRunError("interrupted; nothing is lost.")

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call *listener* on this event loop at every request, past ones included."""
        loop = asyncio.get_running_loop()
        entry = (loop, listener)
        self._listeners = (*self._listeners, entry)
        for _ in range(self.n_requests):
            loop.call_soon(listener)
        try:
            yield
        finally:
            self._listeners = tuple(e for e in self._listeners if e is not entry)
