"""
Requests a second: a rate that was asked for, and one that is learnt from 429.

Learnt in the way of CUBIC: a refusal cuts the rate to 0.7 of what was measured, it
comes back quickly to that measure, stays close to it, and only then feels its way up,
slowly at first. Time is relative, not CUBIC's own: a limit per second has no round
trip to adapt to, and a slow search costs fewer refusals (both measured in
`benchmarks/pacing.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

CUT: Final = 0.7
RETURN_S: Final = 3.0
SEARCH_S: Final = 25.0
SEARCH_SHARE: Final = 0.1
LEAST_SEARCH: Final = 0.1
FLOOR: Final = 0.5
CUT_SPACING_S: Final = 1.0
MEASURE_S: Final = 8.0
MEASURE_MOST: Final = 256
LEAST_SAMPLES: Final = 2


class Bucket(Protocol):
    """When the next request may leave; found here, or given by others."""

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next place."""

    def take(self, now_s: float) -> None:
        """Take the place that is there now."""

    def succeed(self, now_s: float) -> None:
        """Count a request that was let in."""

    def cut(self, now_s: float) -> None:
        """Learn from a 429."""


@dataclass(slots=True)
class RateBucket:
    """
    When the next request may leave; places are evenly spaced, a pause gives no credit.

    Attributes:
        asked: Requests a second at most, from the operator; None means no such limit.
        peak: The measured rate at the last 429; None before the first.
    """

    asked: float | None = None
    peak: float | None = None
    _cut_s: float = 0.0
    _slot_s: float = float("-inf")
    _done: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURE_MOST))

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next place."""
        return max(0.0, self._slot_s - now_s)

    def take(self, now_s: float) -> None:
        """Take the place that is there now."""
        rate = self.rate(now_s)
        if rate is not None:
            self._slot_s = max(now_s, self._slot_s) + 1.0 / rate

    def rate(self, now_s: float) -> float | None:
        """Return the requests a second that are allowed now; None is no limit."""
        if self.peak is None:
            return self.asked
        learnt = self._learnt(self.peak, now_s - self._cut_s)
        return learnt if self.asked is None else min(self.asked, learnt)

    def succeed(self, now_s: float) -> None:
        """Count a request that was let in."""
        self._done.append(now_s)

    def cut(self, now_s: float) -> None:
        """
        Learn from a 429; those that come within a second tell the same.

        Nothing is learnt while there is nothing to measure: then the waits after each
        refusal and fewer requests in flight have to do.
        """
        is_same = self.peak is not None and now_s - self._cut_s < CUT_SPACING_S
        measured = self.measured(now_s)
        if is_same or (self.peak is None and not measured):
            return
        self.peak = max(FLOOR, measured)
        self._cut_s = now_s

    def measured(self, now_s: float) -> float:
        """Return the requests a second that were let in lately."""
        while self._done and now_s - self._done[0] > MEASURE_S:
            self._done.popleft()
        if len(self._done) < LEAST_SAMPLES:
            return 0.0
        n_gaps = len(self._done) - 1  # the first one begins the time, and ends none
        return n_gaps / max(CUT_SPACING_S, now_s - self._done[0])

    @staticmethod
    def _learnt(peak: float, age_s: float) -> float:
        if age_s < RETURN_S:
            missing = (1.0 - max(0.0, age_s) / RETURN_S) ** 3
            return max(FLOOR, peak * (1.0 - (1.0 - CUT) * missing))
        step = max(LEAST_SEARCH, SEARCH_SHARE * peak)
        return peak + step * ((age_s - RETURN_S) / SEARCH_S) ** 3
