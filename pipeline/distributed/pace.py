"""
One pace for many workers: who may send, when, and how all of them hear of a 429.

The scheduler hosts a `SharedPace`; each worker takes places from it in small lots and
uses them up by itself (`LeasedPlaces`). A lot is short in time and in number, so what
one worker learns is in force for all when the lots that are out have been used up: half
a second, and at most eight requests a worker. No place is good for later: what was not
used in its time is lost, and who was slow never sends a burst.

State machines without a clock, as `pacing`: every method is told the time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from pipeline.rates import RateBucket

MOST_PLACES: Final = 8
LOT_S: Final = 0.5
LATE_S: Final = 0.02  # how much later than its time a place may be used at least


@dataclass(frozen=True, slots=True)
class Lot:
    """
    Places of one worker, counted from the moment at which it hears of them.

    Attributes:
        n_places: 0 when there is none now; then *wait_s* says when to ask again.
        wait_s: Until the first place.
        step_s: Between two of them; 0 where no rate is known: all last `LOT_S`.
    """

    n_places: int
    wait_s: float = 0.0
    step_s: float = 0.0


@dataclass(slots=True)
class SharedPace:
    """
    One for all workers of a run.

    Attributes:
        asked: Requests a second of all workers together at most; None is no such limit.
    """

    asked: float | None = None
    bucket: RateBucket = field(init=False)
    _shut_until_s: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        self.bucket = RateBucket(self.asked)

    def lease(self, now_s: float, n_wanted: int) -> Lot:
        """Give places, *n_wanted* at most; none while the service asks for quiet."""
        shut_s = self._shut_until_s - now_s
        if shut_s > 0:
            return Lot(0, shut_s)
        n_most = min(n_wanted, MOST_PLACES)
        rate = self.bucket.rate(now_s)
        if rate is None:
            return Lot(n_most)
        wait_s = self.bucket.wait_s(now_s)
        if wait_s >= LOT_S:  # a place so far away could not be shifted any more
            return Lot(0, wait_s - LOT_S / 2)
        n_places = max(1, min(n_most, int(LOT_S * rate)))
        for _ in range(n_places):
            self.bucket.take(now_s)
        return Lot(n_places, wait_s, 1.0 / rate)

    def learn(
        self, now_s: float, n_good: int, *, is_throttled: bool, shut_s: float
    ) -> None:
        """
        Learn what one worker met.

        Args:
            n_good: Requests that were let in since it last said so.
            is_throttled: Whether it met a 429.
            shut_s: For how long the service asked to be left alone; 0 when it did not.
        """
        for _ in range(n_good):
            self.bucket.succeed(now_s)
        if is_throttled:
            self.bucket.cut(now_s)
        self._shut_until_s = max(self._shut_until_s, now_s + shut_s)


class LeasedPlaces:
    """
    The places that a worker holds; a `rates.Bucket` for its pacing.

    Attributes:
        n_good: Requests that were let in, until somebody is told.
        is_throttled: Whether a 429 came, until somebody is told.
    """

    def __init__(self) -> None:
        self._places: deque[tuple[float, float]] = deque()  # from, until
        self.n_good = 0
        self.is_throttled = False

    def add(self, now_s: float, lot: Lot) -> None:
        """Keep the places of a lot."""
        lasts_s = max(lot.step_s, LATE_S) if lot.step_s else LOT_S
        for n in range(lot.n_places):
            from_s = now_s + lot.wait_s + n * lot.step_s
            self._places.append((from_s, from_s + lasts_s))

    def has_any(self, now_s: float) -> bool:
        """Return whether a place is held, now or later; old ones are given up."""
        while self._places and self._places[0][1] <= now_s:
            self._places.popleft()
        return bool(self._places)

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next place, or until to look again."""
        if not self.has_any(now_s):
            return LATE_S
        return max(0.0, self._places[0][0] - now_s)

    def take(self, now_s: float) -> None:
        """Use the place that is there now."""
        del now_s
        if self._places:  # a probe of a failing service goes without
            self._places.popleft()

    def succeed(self, now_s: float) -> None:
        """Count a request that was let in."""
        del now_s
        self.n_good += 1

    def cut(self, now_s: float) -> None:
        """Note a 429; what is held is given up, the rate is another one now."""
        del now_s
        self.is_throttled = True
        self._places.clear()
