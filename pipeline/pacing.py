"""
How fast: requests in flight, the gate, the rate, the wait before a repetition.

A state machine without a clock: every method is told the time (seconds on any clock
that never goes back) and, where chance matters, a random number from 0 to 1.

Sources: full jitter after AWS; AIMD with a failure threshold, simulated: 44 batches/s
on a free service, and twice the goodput of plain AIMD under 5 % of stray errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

START_LIMIT: Final = 4
MAX_LIMIT: Final = 16
CUT: Final = 0.7
SMOOTHING: Final = 0.4
FIRST_WINDOW_S: Final = 1.0  # while nothing has succeeded yet
SLACK_S: Final = 0.020  # differences below this are noise
DEVIATIONS: Final = 2.5
CALM: Final = 1.05
FAILED_SHARE: Final = 0.1
FAILED_SAMPLES: Final = 10

SILENCE_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 20_000
LONGEST_ATTEMPT_S: Final = 180.0

BASE_S: Final = 0.5
THROTTLED_BASE_S: Final = 2.0
LONGEST_DELAY_S: Final = 60.0
SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long one batch is tried before it stays pending."""

    attempts: int = 8
    seconds: float = 900.0


# While nothing of the service was ever heard.
FIRST_CONTACT: Final = Patience(attempts=3, seconds=30.0)


def deadline_s(n_bytes: int) -> float:
    """
    Return how long one attempt with a body of *n_bytes* may take in all.

    A timeout of the HTTP library bounds a silence, not a request: a body that drips
    runs on for ever (measured with httpx 0.28).
    """
    return min(LONGEST_ATTEMPT_S, SILENCE_S + n_bytes / SLOWEST_BYTES_PER_S)


def delay_s(n: int, *, throttled: bool, asked_s: float | None, chance: float) -> float:
    """
    Return the wait after the n-th attempt (from 1): full jitter, Retry-After obeyed.

    At least *asked_s* and at most a tenth above it, where the jitter is not longer.

    Args:
        asked_s: What the service asked for, None when it did not.
        chance: A random number, 0 ≤ chance < 1.
    """
    base_s = THROTTLED_BASE_S if throttled else BASE_S
    # 2**7 half seconds are past the ceiling; a larger exponent is pointless.
    jitter_s = chance * min(LONGEST_DELAY_S, base_s * 2.0 ** min(n - 1, 7))
    if asked_s is None:
        return jitter_s
    return max(jitter_s, asked_s * (1.0 + SPREAD * chance))


@dataclass(slots=True)
class _Window:
    """What happened since the last decision about the limit."""

    began_s: float
    n_requests: int = 0
    n_failed: int = 0
    sum_s: float = 0.0
    is_overloaded: bool = False
    was_full: bool = False

    @property
    def n_answered(self) -> int:
        return self.n_requests - self.n_failed


@dataclass(slots=True)
class Pacer:
    """
    One for all workers of a run.

    Attributes:
        concurrency: Requests in flight, fixed; None lets it find its own number.
        rate: Requests per second at most; spaced evenly, so that no window of a second
            sees a burst.
        limit: Requests that may be in flight now.
        in_flight: Requests that are.
    """

    concurrency: int | None = None
    rate: float | None = None
    limit: int = field(default=START_LIMIT, init=False)
    in_flight: int = field(default=0, init=False)
    _shut_until_s: float = field(default=float("-inf"), init=False)
    _slot_s: float = field(default=float("-inf"), init=False)
    _window: _Window | None = field(default=None, init=False)
    _mean_s: float | None = field(default=None, init=False)
    _deviation_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.concurrency is not None:
            self.limit = self.concurrency

    @property
    def most(self) -> int:
        """The highest limit there can be."""
        return MAX_LIMIT if self.concurrency is None else self.concurrency

    def book_s(self, now_s: float) -> float:
        """Book the next place under the rate; return the seconds until it comes."""
        if self.rate is None:
            return 0.0
        slot_s = max(now_s, self._slot_s)
        self._slot_s = slot_s + 1.0 / self.rate
        return slot_s - now_s

    def shut_s(self, now_s: float) -> float:
        """Return for how long the gate stays shut; 0 when it is open."""
        return max(0.0, self._shut_until_s - now_s)

    def shut(self, now_s: float, seconds: float) -> None:
        """Shut the gate for all workers; never shortens a longer wait."""
        self._shut_until_s = max(self._shut_until_s, now_s + seconds)

    def enter(self, now_s: float) -> bool:
        """Count a request as in flight, if there is room."""
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        if self._window is None:
            self._window = _Window(now_s)
        self._window.was_full |= self.in_flight >= self.limit
        return True

    def leave(self) -> None:
        """Count a request as no longer in flight."""
        self.in_flight -= 1

    def observe(
        self, now_s: float, *, took_s: float, failed: bool, overloaded: bool
    ) -> None:
        """
        Learn from a finished request; the limit may change at the end of a window.

        Args:
            now_s: When it ended.
            took_s: From the first byte sent to the verdict.
            failed: No answer, or one that is to be asked again.
            overloaded: 429 or a timeout.
        """
        window = self._window
        if self.concurrency is not None or window is None:
            return
        window.n_requests += 1
        window.n_failed += failed
        window.sum_s += 0.0 if failed else took_s
        window.is_overloaded |= overloaded
        length_s = FIRST_WINDOW_S if self._mean_s is None else self._mean_s
        if now_s - window.began_s >= length_s:
            self._decide(window)
            self._window = _Window(now_s)

    def _decide(self, window: _Window) -> None:
        mean_s = window.sum_s / window.n_answered if window.n_answered else None
        if self._is_too_much(window, mean_s):
            self.limit = max(1, int(CUT * self.limit))
        elif window.was_full and self._is_calm(mean_s):
            self.limit = min(MAX_LIMIT, self.limit + 1)
        if mean_s is None:
            return
        if self._mean_s is None:
            self._mean_s = mean_s
            return
        off_s = mean_s - self._mean_s
        self._mean_s += SMOOTHING * off_s
        self._deviation_s += SMOOTHING * (abs(off_s) - self._deviation_s)

    def _is_too_much(self, window: _Window, mean_s: float | None) -> bool:
        if window.is_overloaded:
            return True
        if (
            window.n_requests >= FAILED_SAMPLES
            and window.n_failed >= FAILED_SHARE * window.n_requests
        ):
            return True
        if mean_s is None or self._mean_s is None:
            return False
        return mean_s >= self._mean_s + DEVIATIONS * self._deviation_s + SLACK_S

    def _is_calm(self, mean_s: float | None) -> bool:
        if mean_s is None:
            return False
        return self._mean_s is None or mean_s <= CALM * self._mean_s
