"""
Questions to the service at the pace it bears: one gate for all who ask.

The same pacing as for batches: requests in flight are found by the answers, a 429
teaches a rate, `Retry-After` holds every reader back, repetitions draw on a budget.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.breaker import cost_of_retry
from pipeline.endings import fatal
from pipeline.errors import PatienceEndedError
from pipeline.pacing import Pacer, Patience, Tries
from pipeline.records import Step
from pipeline.retrying import persist
from pipeline.turnstile import Turnstile
from pipeline.verdict import STOPPED, TOO_MANY, NoReplyError, classify, of_fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from pipeline.records import Reply, Verdict
    from pipeline.retrying import Clock
    from pipeline.settings import DeliverySettings
    from pipeline.turnstile import SharedLimiter


class PacedReads:
    """
    One for all readers of a verification, or for those of a worker.

    Args:
        delivery: Requests in flight, rate and patience of the job.
        clock: Time, sleep and chance.
        shared: A limiter that other processes obey, in place of the rate.
        until_s: On that clock; beyond it nothing is waited for: not for a gate that
            stays shut, nor for a repetition.
    """

    def __init__(
        self,
        delivery: DeliverySettings,
        clock: Clock,
        *,
        until_s: float = math.inf,
        shared: SharedLimiter | None = None,
    ) -> None:
        self._max_wait_s = delivery.max_wait
        leased = None if shared is None else shared.places
        self._pacer = Pacer(
            delivery.concurrency, delivery.rate, delivery.max_wait, leased
        )
        self._turnstile = Turnstile(self._pacer, clock, shared)
        self._clock = clock
        self._until_s = until_s

    @property
    def most_in_flight(self) -> int:
        """Requests that may ever be in flight."""
        return self._pacer.most

    @property
    def stopped(self) -> asyncio.Event:
        """Set once, by `stop`."""
        return self._turnstile.stopped

    def left_s(self) -> float:
        """Return how long anything may still be waited for."""
        return self._until_s - self._clock.now()

    def stop(self) -> None:
        """Ask nothing more, and end every wait."""
        self._turnstile.stop()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond a stop."""
        await self._turnstile.pause(seconds)

    async def ask(
        self,
        call: Callable[[], Awaitable[Reply]],
        *,
        what: str,
        answers: AbstractSet[int],
    ) -> Reply | None:
        """
        Ask until there is an answer, or patience ends; None after a stop.

        Args:
            what: The call, for a message; without any value.
            answers: Statuses that answer it as the contract says.

        Raises:
            PatienceEndedError: A cause that may pass did not.
            TokenRefusedError, ContractError, SettingsError: As `endings.fatal` says.
        """
        replies: list[Reply] = []
        tries, last, spent = Tries(), STOPPED, 0
        began_s = self._clock.now()
        shut_s = self._pacer.shut_in_all_s(began_s)

        async def attempt() -> Verdict:
            nonlocal last, spent
            cost = 0
            if tries.n:
                cost = cost_of_retry(is_throttled=last.is_throttled)
            ticket = await self._turnstile.enter(cost=cost)
            if ticket is None:
                return STOPPED
            spent += 0 if ticket.is_probe else cost
            try:
                last = await _answer(call, replies, answers)
                self._turnstile.learn(ticket, last)
            finally:
                self._turnstile.leave(ticket)
            is_told_to_wait = last.status == TOO_MANY
            tries.count(last, counts=not (ticket.is_probe or is_told_to_wait))
            if last.step is Step.DONE:
                self._pacer.budget.give(spent)
            self._check_gate()
            return last

        def is_over(verdict: Verdict, wait_s: float) -> bool:
            if self._pacer.is_hopeless or wait_s > self.left_s():
                return True
            now_s = self._clock.now()
            spent_s = now_s - began_s - (self._pacer.shut_in_all_s(now_s) - shut_s)
            patience = Patience(seconds=self._max_wait_s)
            return tries.is_over(verdict, patience, spent_s=spent_s, wait_s=wait_s)

        clock = replace(self._clock, sleep=self._turnstile.pause)
        verdict = await persist(attempt, clock=clock, is_over=is_over)
        if verdict.step is Step.LEAVE:
            return None
        if verdict.step is not Step.DONE:
            raise fatal(verdict, what, tries.n, heard=True, of_rows=False)
        return replies[-1]

    def _check_gate(self) -> None:
        """
        Give up, for all readers, when the gate stays shut longer than anybody waits.

        Raises:
            PatienceEndedError: It does.
        """
        shut_s = self._pacer.shut_s(self._clock.now())
        if shut_s > max(0.0, self.left_s()):
            self.stop()
            raise PatienceEndedError(
                f"the service asks to be left alone for {shut_s:.0f} s, and nobody "
                "waits here for so long."
            )


async def _answer(
    call: Callable[[], Awaitable[Reply]],
    replies: list[Reply],
    answers: AbstractSet[int],
) -> Verdict:
    """Make one call and read what came of it."""
    try:
        replies.append(await call())
    except NoReplyError as error:
        return of_fault(error)
    return classify(replies[-1], answers=answers)
