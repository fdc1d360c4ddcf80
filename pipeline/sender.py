"""
One attempt: the journal, the turnstile, the wire, the journal again.

Also the control: a batch that was accepted in this run and is sent once more, the same
bytes, to tell whether the service works while another batch fails. It is journalled as
a further attempt of its own batch, which stays accepted whatever comes back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.breaker import cost_of_retry
from pipeline.errors import AccessError, ContractError
from pipeline.journal_tables import ranges_of
from pipeline.pacing import Tries
from pipeline.records import BatchState, Step, Verdict
from pipeline.verdict import (
    REFUSED_CODE,
    STOPPED,
    TOO_MANY,
    NoReplyError,
    classify,
    of_fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.client import Client
    from pipeline.pacing import Pacer, Ticket
    from pipeline.records import Batch, RowRange
    from pipeline.retrying import Clock
    from pipeline.splitting import ByteTarget
    from pipeline.tally import Tally
    from pipeline.turnstile import Turnstile

QUARANTINED: Final = "QUARANTINED"  # a code of `contract.ROW_CODES`
SUSPECT_FAILURES: Final = 3
CONDEMNED_FAILURES: Final = 8
SERVER_ERRORS: Final = range(500, 600)
_FINAL_STEPS: Final = frozenset({Step.AUTH, Step.STOP})
_PASSED: Final = frozenset({Step.DONE, Step.REFUSED, Step.TOO_BIG})


class BatchJournal(Protocol):
    """What sending needs of a journal; see `journal.Journal`."""

    async def intend(self, run_id: str, batch: Batch, *, target_bytes: int) -> None:
        """Commit a batch's membership and first attempt."""

    async def attempt(self, run_id: str, batch_no: int, n: int) -> None:
        """Commit the n-th attempt (from 2)."""

    async def record(
        self,
        run_id: str,
        batch_no: int,
        n: int,
        verdict: Verdict,
        *,
        rejected: Sequence[RowRange] = (),
    ) -> None:
        """Commit what the n-th attempt led to."""

    def next_child_no(self, run_id: str) -> int:
        """Return the number for the next part of a batch."""


@dataclass(slots=True)
class Case:
    """
    A batch, or a part of one, on its way to a verdict.

    Attributes:
        began_s: When it was first looked at, and how long the gate had been shut.
        shut_s: As above.
        n_before: Attempts that the journal holds from before an interruption.
        is_trusted: Whether a refusal may name rows; once rows were taken out because
            it named them, what is left is halved instead.
        is_searching: Whether it was cut to find refused rows, not because of its size.
        n_failed_before: Failures of the batches it is a part of, of its own kind: an
            error of the server, or no answer.
        n_failed: The same, of its own.
        failed_s: When the last of them ended.
        last: The last verdict of its own.
        spent: What the budget paid for its repetitions.
        is_proven: Since the last failure, another batch was accepted.
        n_tested: Failures right after such a proof.
        n_blamed: Of these, answers of the server that it failed.
        was_accepted: In this run, so that nothing can refuse it any more.
        found: Rows of the planned batch by the state they ended in, parts included.
        tries: Attempts of this delivery.
    """

    batch: Batch
    began_s: float
    shut_s: float
    n_before: int = 0
    is_trusted: bool = True
    is_searching: bool = True
    n_failed_before: int = 0
    n_failed: int = 0
    failed_s: float = 0.0
    last: Verdict | None = None
    spent: int = 0
    is_proven: bool = False
    n_tested: int = 0
    n_blamed: int = 0
    was_accepted: bool = False
    found: Counter[BatchState] = field(default_factory=Counter)
    tries: Tries = field(default_factory=Tries)

    @property
    def n_failures(self) -> int:
        """All failures, of the batches it is a part of, too."""
        return self.n_failed_before + self.n_failed

    @property
    def is_suspect(self) -> bool:
        """Whether it failed so often that its content may be the cause."""
        return self.n_failed > 0 and self.n_failures >= SUSPECT_FAILURES

    @property
    def is_poisoned(self) -> bool:
        """Whether it fails while others pass, so that it is to be searched."""
        was_tested = self.n_tested > 0 or self.n_failed_before > 0
        return self.batch.n_rows > 1 and self.is_proven and was_tested

    def fail(self, verdict: Verdict, now_s: float) -> None:
        """Count a failure that its content may have caused."""
        self.n_failed += 1
        self.n_tested += self.is_proven
        self.n_blamed += self.is_proven and verdict.status in SERVER_ERRORS
        self.failed_s = now_s
        self.is_proven = False
        self.last = verdict

    @property
    def is_condemned(self) -> bool:
        """Whether its failures prove that this very row cannot be taken."""
        return (
            self.batch.n_rows == 1
            and not self.was_accepted
            and self.last is not None
            and self.last.status in SERVER_ERRORS
            and self.n_blamed >= SUSPECT_FAILURES - 1
            and self.n_failures >= CONDEMNED_FAILURES
        )


class Sender:
    """
    Sends for all workers of a delivery.

    Args:
        fail: Told of what ends the run; the first one counts.
    """

    def __init__(  # noqa: PLR0913 - the parts of one delivery, put together once
        self,
        *,
        client: Client,
        journal: BatchJournal,
        run_id: str,
        pacer: Pacer,
        turnstile: Turnstile,
        target: ByteTarget,
        clock: Clock,
        tally: Tally,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._journal = journal
        self._run_id = run_id
        self._pacer = pacer
        self._turnstile = turnstile
        self._target = target
        self._clock = clock
        self._tally = tally
        self._fail = fail
        self._first: Case | None = None
        self._control: Case | None = None
        self._control_lock = asyncio.Lock()
        self._accepted_s = float("-inf")

    # -- a case ------------------------------------------------------------------------

    async def attempt(self, case: Case) -> Verdict:
        """Try once more, or find that trying the same again is pointless."""
        if self._turnstile.stopped.is_set():
            return STOPPED
        if case.is_suspect and case.last is not None:
            told = await self._prove(case)
            if told is not None:
                return told
            if case.is_poisoned:
                return replace(case.last, step=Step.REFUSED, named=())
        if not self._client.was_heard and not await self._is_first(case):
            return STOPPED
        verdict = await self._attempt(case)
        if self._client.was_heard:
            self._turnstile.met.set()
        return verdict

    async def _is_first(self, case: Case) -> bool:
        """While nothing was ever heard, let one case find out; the others wait."""
        if self._first is None:
            self._first = case
        if self._first is not case:
            await self._turnstile.met.wait()
        return not self._turnstile.stopped.is_set()

    async def _attempt(self, case: Case) -> Verdict:
        """Journal the intent, send, journal the verdict."""
        batch, n = case.batch, case.n_before + case.tries.n + 1
        if n == 1:
            await self._journal.intend(
                self._run_id, batch, target_bytes=self._target.n_bytes
            )
        else:
            self._tally.n_retried += 1
            await self._journal.attempt(self._run_id, batch.batch_no, n)
        cost = 0
        if case.last is not None and case.last.step is Step.AGAIN:
            cost = cost_of_retry(is_throttled=case.last.is_throttled)
        if case.is_proven:
            cost = 0  # the search has bounds of its own
        ticket = await self._turnstile.enter(cost=cost, is_suspect=case.is_proven)
        if ticket is None:
            return await self._record(case, n, STOPPED)
        try:
            case.spent += 0 if ticket.is_probe else cost
            verdict = await self._send(case, ticket)
            self._learn_of(case, verdict, ticket)
            # Only then another may go: after a kill, what is sent again is what was in
            # a place, and no more.
            return await self._record(case, n, verdict)
        finally:
            self._turnstile.leave(ticket)

    async def _record(self, case: Case, n: int, verdict: Verdict) -> Verdict:
        """Journal what the n-th attempt led to; return what is made of it."""
        if verdict.step is Step.AGAIN and case.is_condemned:
            verdict = replace(
                verdict, step=Step.DONE, state=BatchState.REJECTED, code=QUARANTINED
            )
        verdict = _trusted(verdict, case)
        rejected: tuple[RowRange, ...] = ()
        is_partial = verdict.state is not BatchState.REJECTED
        if is_partial and verdict.named and not case.was_accepted:
            rejected = ranges_of(case.batch.rows[list(verdict.named)])
        await self._journal.record(
            self._run_id, case.batch.batch_no, n, verdict, rejected=rejected
        )
        self._tally.note(verdict)
        return verdict

    async def _send(self, case: Case, ticket: Ticket) -> Verdict:
        """Send once; the gate, the limit and a stop are in force before others go."""
        batch = case.batch
        try:
            reply = await self._client.send_batch(batch.body)
            verdict = classify(reply, batch.n_rows, sent=batch.body)
            self._learn(verdict, ticket)
        except NoReplyError as error:
            verdict = of_fault(error)
            self._learn(verdict, ticket)
        except (AccessError, ContractError) as error:
            # Of the login or a refused token: this body was certainly not taken.
            self._fail(error)
            verdict = replace(STOPPED, code="NOT_LET_IN")
        return verdict

    def _learn(self, verdict: Verdict, ticket: Ticket) -> None:
        self._turnstile.learn(ticket, verdict)
        if verdict.step in _FINAL_STEPS:
            self._turnstile.stop()

    def _learn_of(self, case: Case, verdict: Verdict, ticket: Ticket) -> None:
        """Count an attempt of a case: what it used up, and what it proves."""
        now_s = self._clock.now()
        is_again = verdict.step is Step.AGAIN
        is_told_to_wait = verdict.status == TOO_MANY
        case.tries.count(verdict, counts=not (ticket.is_probe or is_told_to_wait))
        case.last = verdict
        if is_again and verdict.state is BatchState.UNKNOWN:
            case.fail(verdict, now_s)
        elif verdict.step in _PASSED:
            self._pacer.budget.give(case.spent)
        if verdict.state is BatchState.ACCEPTED and not verdict.named:
            self._accepted_s = now_s
            case.was_accepted = True
            control = self._control
            if control is None or len(case.batch.body) < len(control.batch.body):
                self._control = case
                case.is_trusted = False

    # -- the control -------------------------------------------------------------------

    async def _prove(self, case: Case) -> Verdict | None:
        """
        See to it that another batch is accepted after the last failure of a case.

        Returns:
            None when that is so, or when nothing can be proven because nothing was
            accepted yet; `case.is_proven` tells which. Otherwise the verdict that the
            case gets in place of an attempt.
        """
        case.is_proven = self._accepted_s >= case.failed_s
        if case.is_proven or self._control is None:
            return None
        async with self._control_lock:
            if (
                self._accepted_s < case.failed_s
                and not self._turnstile.stopped.is_set()
            ):
                verdict = await self._attempt(self._control)
                if verdict.step is Step.AGAIN or verdict.step in _FINAL_STEPS:
                    return verdict
        if self._turnstile.stopped.is_set():
            return STOPPED
        case.is_proven = self._accepted_s >= case.failed_s
        return None


def _trusted(verdict: Verdict, case: Case) -> Verdict:
    """Return a refusal without the names that are not believed."""
    if verdict.step is not Step.REFUSED or case.batch.n_rows == 1:
        return verdict
    if not case.is_trusted:
        return replace(verdict, named=())
    if len(verdict.named) == case.batch.n_rows:
        return replace(verdict, state=BatchState.REJECTED, code=REFUSED_CODE)
    return verdict
