"""
How fast: requests in flight, the gate, the wait before a repetition, when to give up.

A state machine without a clock: every method is told the time (seconds on any clock
that never goes back) and, where chance matters, a random number from 0 to 1.

Sources: full jitter after AWS; AIMD with a failure threshold, simulated: 44 batches/s
on a free service, and twice the goodput of plain AIMD under 5 % of stray errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.breaker import Breaker, Budget
from pipeline.rates import RateBucket

if TYPE_CHECKING:
    from pipeline.rates import Bucket
    from pipeline.records import Verdict

START_LIMIT: Final = 4
MAX_LIMIT: Final = 16
CUT: Final = 0.7
SMOOTHING: Final = 0.4
FIRST_WINDOW_S: Final = 1.0  # while nothing has succeeded yet
SLACK_S: Final = 0.020  # differences below this are noise
DEVIATIONS: Final = 2.5
CALM: Final = 1.05
FAILED_SHARE: Final = 0.2  # a tenth would take 5 % of stray errors for overload
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
    """
    How often and how long one batch is tried before it stays pending.

    Attributes:
        attempts: That count: not those that only asked whether the service is back,
            and not those that were told to come later.
        seconds: While the service could be asked at all.
    """

    attempts: int = 8
    seconds: float = 900.0

    def is_over(self, n: int, spent_s: float, wait_s: float) -> bool:
        """Return whether to give up after *n* attempts, *wait_s* before the next."""
        return n >= self.attempts or spent_s + wait_s > self.seconds


@dataclass(slots=True)
class Tries:
    """
    What was tried of one batch or call.

    Attributes:
        n: Attempts, all of them.
        n_counted: Those that use up patience.
    """

    n: int = 0
    n_counted: int = 0
    _by_code: dict[str, int] = field(default_factory=dict)

    def count(self, verdict: Verdict, *, counts: bool = True) -> None:
        """Count an attempt; *counts* is False when it used up no patience."""
        self.n += 1
        self.n_counted += counts
        self._by_code[verdict.code] = self._by_code.get(verdict.code, 0) + 1

    def is_over(
        self, verdict: Verdict, patience: Patience, *, spent_s: float, wait_s: float
    ) -> bool:
        """Return whether to give up after this verdict, *wait_s* before the next."""
        most = verdict.max_tries
        if most is not None and self._by_code.get(verdict.code, 0) >= most:
            return True
        return patience.is_over(self.n_counted, spent_s, wait_s)


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


class Mark(StrEnum):
    """What a finished request says of the service."""

    GOOD = "good"
    FAILED = "failed"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Ticket:
    """
    A place in flight.

    Attributes:
        is_probe: Asks whether a failing service is back.
        is_suspect: Its body failed before while others passed: another failure of it
            says nothing of the service.
    """

    began_s: float
    is_probe: bool = False
    is_suspect: bool = False


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
        max_wait_s: How long the service may be down before the run gives up.
        leased: Where the places of a rate come from that others share; it takes the
            place of *rate*.
        limit: Requests that may be in flight now.
        in_flight: Requests that are.
    """

    concurrency: int | None = None
    rate: float | None = None
    max_wait_s: float = 900.0
    leased: Bucket | None = None
    limit: int = field(default=START_LIMIT, init=False)
    in_flight: int = field(default=0, init=False)
    breaker: Breaker = field(default_factory=Breaker, init=False)
    budget: Budget = field(default_factory=Budget, init=False)
    bucket: Bucket = field(init=False)
    _shut_from_s: float = field(default=-math.inf, init=False)
    _shut_until_s: float = field(default=-math.inf, init=False)
    _shut_before_s: float = field(default=0.0, init=False)
    _is_hopeless: bool = field(default=False, init=False)
    _is_starting: bool = field(default=True, init=False)
    _window: _Window | None = field(default=None, init=False)
    _mean_s: float | None = field(default=None, init=False)
    _deviation_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.bucket = RateBucket(self.rate) if self.leased is None else self.leased
        if self.concurrency is not None:
            self.limit = self.concurrency

    @property
    def most(self) -> int:
        """The highest limit there can be."""
        return MAX_LIMIT if self.concurrency is None else self.concurrency

    @property
    def is_hopeless(self) -> bool:
        """Whether the service was down for longer than the run may wait."""
        return self._is_hopeless

    # -- the gate ----------------------------------------------------------------------

    def shut_s(self, now_s: float) -> float:
        """Return for how long the gate stays shut; 0 when it is open."""
        return max(0.0, self._shut_until_s - now_s)

    def shut(self, now_s: float, seconds: float) -> None:
        """Shut the gate for all workers; never shortens a longer wait."""
        if now_s >= self._shut_until_s:
            self._shut_before_s = self.shut_in_all_s(now_s)
            self._shut_from_s = now_s
        self._shut_until_s = max(self._shut_until_s, now_s + seconds)

    def shut_in_all_s(self, now_s: float) -> float:
        """Return how long the gate was shut until now; no patience runs meanwhile."""
        shut_s = min(now_s, self._shut_until_s) - self._shut_from_s
        return self._shut_before_s + (shut_s if shut_s > 0 else 0.0)

    def _open_breaker(self, now_s: float, chance: float) -> None:
        """
        Leave the service alone for a while.

        The last probe is at the very end of the wait, with no other shortly before.
        """
        seconds = self.breaker.open_s(now_s, chance)
        left_s = self.max_wait_s - self.breaker.down_s(now_s)
        self._is_hopeless = left_s <= 0
        self.shut(now_s, seconds if left_s > 2 * seconds else max(0.0, left_s))

    # -- a request ---------------------------------------------------------------------

    def enter(
        self, now_s: float, chance: float, *, cost: int = 0, is_suspect: bool = False
    ) -> Ticket | float:
        """
        Count a request as in flight, if it may leave now.

        Args:
            now_s: The time.
            chance: A random number, used when an empty budget shuts the gate.
            cost: What the budget pays for a repetition.
            is_suspect: As in `Ticket`.

        Returns:
            A ticket; or the seconds to wait, infinite until another request is over.
        """
        wait_s = self._wait_s(now_s)
        if wait_s > 0:
            return wait_s
        is_probe = self.breaker.is_open
        if not is_probe and not self.budget.take(cost):
            self._open_breaker(now_s, chance)
            return self.shut_s(now_s)
        self.breaker.is_probing = is_probe
        return self._admit(Ticket(now_s, is_probe=is_probe, is_suspect=is_suspect))

    def n_free(self, now_s: float) -> int:
        """Return how many requests may leave now, but for their rate."""
        if self.shut_s(now_s) > 0:
            return 0
        if self.breaker.is_open:
            return 0 if self.breaker.is_probing else 1
        return max(0, self.limit - self.in_flight)

    def _wait_s(self, now_s: float) -> float:
        if self.shut_s(now_s) > 0:
            return self.shut_s(now_s)
        if self.n_free(now_s) == 0:
            return math.inf
        return 0.0 if self.breaker.is_open else self.bucket.wait_s(now_s)

    def _admit(self, ticket: Ticket) -> Ticket:
        self.in_flight += 1
        self.bucket.take(ticket.began_s)
        if self._window is None:
            self._window = _Window(ticket.began_s)
        self._window.was_full |= self.in_flight >= self.limit
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Count a request as no longer in flight, observed or not."""
        self.in_flight -= 1
        if ticket.is_probe:
            self.breaker.is_probing = False

    def observe(
        self,
        ticket: Ticket,
        now_s: float,
        mark: Mark,
        *,
        overloaded: bool = False,
        chance: float = 0.0,
    ) -> None:
        """
        Learn from a finished request; the limit may change at the end of a window.

        Args:
            ticket: Of the request, before it leaves.
            now_s: When it ended.
            mark: What it says of the service.
            overloaded: 429 or a timeout.
            chance: A random number, for how long the gate is shut.
        """
        if mark is Mark.GOOD:
            self.bucket.succeed(now_s)
            if self.breaker.succeed(is_probe=ticket.is_probe):
                self._restart()
        elif not ticket.is_suspect or ticket.is_probe:
            is_throttled = mark is Mark.THROTTLED
            if is_throttled:
                self.bucket.cut(now_s)
            if self.breaker.fail(is_throttled=is_throttled, is_probe=ticket.is_probe):
                self._open_breaker(now_s, chance)
        else:
            return
        self._look(ticket, now_s, failed=mark is not Mark.GOOD, overloaded=overloaded)

    def _restart(self) -> None:
        """Begin again at half, as if nothing had been learnt of the last seconds."""
        self._window = None
        self._is_starting = False
        if self.concurrency is None:
            self.limit = max(1, self.limit // 2)

    # -- the limit ---------------------------------------------------------------------

    def _look(
        self, ticket: Ticket, now_s: float, *, failed: bool, overloaded: bool
    ) -> None:
        window = self._window
        if self.concurrency is not None or window is None or self.breaker.is_open:
            return
        window.n_requests += 1
        window.n_failed += failed
        window.sum_s += 0.0 if failed else now_s - ticket.began_s
        window.is_overloaded |= overloaded
        length_s = FIRST_WINDOW_S if self._mean_s is None else self._mean_s
        if now_s - window.began_s >= length_s:
            self._decide(window)
            self._window = _Window(now_s)

    def _decide(self, window: _Window) -> None:
        mean_s = window.sum_s / window.n_answered if window.n_answered else None
        if self._is_too_much(window, mean_s):
            self.limit = max(1, int(CUT * self.limit))
            self._is_starting = False
        elif window.was_full and self._is_calm(mean_s):
            step = self.limit if self._is_starting else 1
            self.limit = min(MAX_LIMIT, self.limit + step)
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
