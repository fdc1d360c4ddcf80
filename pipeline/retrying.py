"""
The one retry policy: tenacity obeys verdicts, pacing decides the wait and the end.

One `AsyncRetrying` a batch, never shared. What is repeated is a positive list: the
verdict `again` and nothing else. No exception is: a cancelled task, a full disk or a
defect pass straight through (catch-all predicates of tenacity swallow Ctrl-C, measured
with 9.2). Clock, sleep and chance are handed in, so tests neither wait nor guess.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tenacity import AsyncRetrying, retry_if_result
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from pipeline.pacing import delay_s
from pipeline.records import Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Time and chance as a flow sees them.

    Attributes:
        now: Seconds; never goes back.
        sleep: Must end early when the task is cancelled.
        chance: A random number, 0 ≤ chance < 1.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


SYSTEM_CLOCK: Final = Clock()


class _Wait(wait_base):
    """Full jitter; at least what the service asked for."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = _verdict_of(retry_state)
        return delay_s(
            retry_state.attempt_number,
            throttled=verdict.is_throttled,
            asked_s=verdict.retry_after_s,
            chance=self._chance(),
        )


class _Stop(stop_base):
    """As told; tenacity's own stops read a clock that cannot be given."""

    def __init__(self, is_over: Callable[[Verdict, float], bool]) -> None:
        self._is_over = is_over

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._is_over(_verdict_of(retry_state), retry_state.upcoming_sleep)


async def persist(
    attempt: Callable[[], Awaitable[Verdict]],
    *,
    clock: Clock,
    is_over: Callable[[Verdict, float], bool],
) -> Verdict:
    """
    Attempt until the verdict is another than `again`, or patience ends.

    Args:
        attempt: Asked once or several times; its exceptions pass through at once.
        clock: Its `sleep` bridges the time between attempts.
        is_over: Whether patience ends with this verdict, given the wait that would
            come next; asked once after every attempt that failed.

    Returns:
        The last verdict; `again` in it means that patience ended.
    """
    first = [await attempt()]
    if not _is_again(first[0]):
        return first[0]  # nearly always; tenacity would cost a tenth of the call

    async def next_attempt() -> Verdict:
        return first.pop() if first else await attempt()

    retrying = AsyncRetrying(
        retry=retry_if_result(_is_again),
        wait=_Wait(clock.chance),
        stop=_Stop(is_over),
        sleep=clock.sleep,
        retry_error_callback=_verdict_of,
    )
    return await retrying(next_attempt)


def _is_again(verdict: Verdict) -> bool:
    return verdict.step is Step.AGAIN


def _verdict_of(retry_state: RetryCallState) -> Verdict:
    if retry_state.outcome is None:
        raise TypeError("the policy was asked before the first attempt")
    verdict: Verdict = retry_state.outcome.result()
    return verdict
