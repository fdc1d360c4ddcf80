"""
An event loop whose time jumps to the next timer once nothing else is left to do.

Eight hours of waiting take seconds, and the same seed gives the same order of events.
Sockets work, but cost no time; threads are not known to the loop, so what is simulated
should have none.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")


class _JumpingSelector(selectors.DefaultSelector):  # an alias
    """Waits for nothing but for what is there already."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """Look once; when nothing is there, let the time pass at once."""
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer is set: a deadlock")
        events: list[tuple[Any, int]] = super().select(0)
        if not events and timeout > 0:
            self.now_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its `time` begins at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds of virtual time so far."""
        return self._jumping.now_s


def run_virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end on a loop of its own; what is left over is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
