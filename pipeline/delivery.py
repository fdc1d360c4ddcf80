"""
Batches go out, verdicts come back; the journal knows of both before anything else.

`deliver` joins the edges: the feed makes batches in a thread, workers take them one by
one, `sender` makes an attempt, `retrying` repeats what may pass, and batches that are
refused or too big are cut until what is refused stands alone. What a reply means is
decided in `verdict`, how fast in `pacing`; here is only the order of things.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.endings import (
    fatal,
    gravest,
    in_words,
    out_of_time,
    too_many_rejects,
)
from pipeline.errors import LimitError, PatienceEndedError, PipelineError
from pipeline.feed import Feed
from pipeline.pacing import FIRST_CONTACT, Pacer, Patience
from pipeline.records import Batch, BatchState, Step, Verdict
from pipeline.retrying import persist
from pipeline.sender import Case, Sender
from pipeline.splitting import PartMaker, Search
from pipeline.tally import DeliveryReport, Tally
from pipeline.terms import Terms
from pipeline.turnstile import Turnstile
from pipeline.verdict import is_of_the_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.client import Client
    from pipeline.feed import BatchFeed
    from pipeline.sender import BatchJournal

__all__ = ["Delivery", "DeliveryReport", "Terms", "deliver"]

# More workers than requests in flight: some commit verdicts while others send.
WORKERS_A_PLACE: Final = 3
AHEAD_BATCHES: Final = 4
GRACE_S: Final = 20.0
LAST_WORDS_S: Final = 0.5


async def deliver(
    batches: Iterable[Batch],
    *,
    client: Client,
    journal: BatchJournal,
    run_id: str,
    terms: Terms | None = None,
    on_progress: Callable[[DeliveryReport], None] | None = None,
) -> DeliveryReport:
    """
    Send every batch, lane after lane, until each has a verdict or patience ends.

    Args:
        batches: Ordered by lane; read in a thread of its own, a few ahead at most.
        client: Already open.
        journal: Holds the run *run_id*.
        run_id: Of a run that has begun.
        terms: Pace, bounds, and how to stop.
        on_progress: Told after every planned batch and at the end, also when the end
            is an error; called on the event loop, so it must be quick.

    Effects: A batch's membership and attempt are on the disk before its bytes leave,
        and its verdict before the batch counts. After a crash or a cancellation an
        attempt without a verdict is unknown; nothing else is lost.

    Bounds: three bodies a place in flight, and 32 MB or concurrency + 4 batches ahead.
        A batch takes 8 attempts and 15 minutes at most while the service works, the
        search for refused rows 150 requests a batch and 1000 a run; rows not found by
        then are pending. After a stop, what is in flight is awaited for 20 s.

    Raises:
        TokenRefusedError: A fresh token was refused.
        ContractError: An answer that the contract does not know; the batch is pending.
        SettingsError: There is no such address, or the proxy refuses.
        RemoteError: A cause that may pass did not, or nothing was ever heard.
        LimitError: Too many rows were refused, or the search for them reached its end.
        StoppedError: Somebody asked to stop.
        StateError: The journal could not be written.
        Whatever *batches* raises, once what is in flight has come back.
    """
    delivery = Delivery(client, journal, run_id, terms or Terms())
    feed = Feed(batches, max_batches=delivery.most_in_flight + AHEAD_BATCHES)
    return await delivery.run(feed, on_progress or (lambda _: None))


class Delivery:
    """One call of `deliver`; takes a feed in place of an iterable."""

    def __init__(
        self, client: Client, journal: BatchJournal, run_id: str, terms: Terms
    ) -> None:
        self._client = client
        self._terms = terms
        self._clock = clock = terms.clock
        shared = terms.shared
        leased = None if shared is None else shared.places
        self._pacer = Pacer(terms.concurrency, terms.rate, terms.max_wait_s, leased)
        self._turnstile = Turnstile(self._pacer, clock, shared)
        self._patient_clock = replace(clock, sleep=self._turnstile.pause)
        self._tally = Tally(client, clock.now)
        next_no = terms.next_child_no or journal.next_child_no(run_id)
        self._parts = PartMaker(next_no)
        self._search = Search()
        self._n_unheard = 0
        self._error: BaseException | None = None
        self._feed: BatchFeed | None = None
        self._cut_off = asyncio.Event()
        self._sender = Sender(
            client=client,
            journal=journal,
            run_id=run_id,
            pacer=self._pacer,
            turnstile=self._turnstile,
            target=terms.target,
            clock=clock,
            tally=self._tally,
            fail=self._fail,
        )

    @property
    def most_in_flight(self) -> int:
        """Requests that may ever be in flight."""
        return self._pacer.most

    async def run(
        self, feed: BatchFeed, show: Callable[[DeliveryReport], None]
    ) -> DeliveryReport:
        """Work the feed off; see `deliver`."""
        self._feed = feed
        n_workers = WORKERS_A_PLACE * self._pacer.most
        work = (self._work(feed, show) for _ in range(n_workers))
        workers = [asyncio.create_task(each) for each in work]
        watch = asyncio.create_task(self._watch_duration())
        try:
            with self._terms.stop.listening(self._on_stop):
                await self._until_done(workers)
        finally:
            self._turnstile.stop()
            for task in (*workers, watch):
                task.cancel()
            await asyncio.wait((*workers, watch), timeout=LAST_WORDS_S)
            await feed.aclose(0.0 if self._cut_off.is_set() else None)
        report = self._tally.report()
        show(report)
        error = gravest(self._error, self._left_behind(), feed.error)
        if error is not None:
            raise error if error is feed.error else _with_counts(error, report)
        return report

    async def _until_done(self, workers: list[asyncio.Task[None]]) -> None:
        """Wait for all; after a stop, for what is in flight, but not for ever."""
        everyone = asyncio.ensure_future(asyncio.wait(workers))
        stopped = asyncio.ensure_future(self._turnstile.stopped.wait())
        cut_off = asyncio.ensure_future(self._cut_off.wait())
        waits = (everyone, stopped, cut_off)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(
                (everyone, cut_off),
                timeout=GRACE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()

    def _on_stop(self) -> None:
        """Drain at the first request to stop, give up waiting at the second."""
        if self._terms.stop.n_requests > 1:
            self._cut_off.set()
        self._fail(self._terms.stop.error())

    async def _watch_duration(self) -> None:
        most_s = self._terms.max_duration_s
        if most_s is not None:
            await self._turnstile.pause(most_s)
            if not self._turnstile.stopped.is_set():
                self._fail(out_of_time(most_s))

    async def _work(
        self, feed: BatchFeed, show: Callable[[DeliveryReport], None]
    ) -> None:
        try:
            while batch := await feed.take():
                try:
                    await self._settle(batch)
                finally:
                    feed.settle()
                del batch  # or its body would live until the next one comes
                show(self._tally.report())
        except Exception as error:  # noqa: BLE001 - the task boundary; raised by `run`
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Admit nothing more; the gravest error is the one that is raised."""
        self._error = gravest(self._error, error)
        self._turnstile.stop()
        if self._feed is not None:
            self._feed.stop()

    def _left_behind(self) -> PipelineError | None:
        """Return what a run ends with that went on past batches it gave up."""
        told = ", ".join(f"{n} rows: {why}" for why, n in self._tally.left.items())
        if not told:
            return None
        words = f"some batches were given up ({told}); their rows are pending."
        if any(why != _SEARCH_ENDED for why in self._tally.left):
            return PatienceEndedError(words)
        return LimitError(words)

    # -- one batch and its parts -------------------------------------------------------

    async def _settle(self, batch: Batch) -> None:
        """Send a batch, and its parts while rows of it are refused."""
        self._tally.n_batches += 1
        n_before = self._terms.attempts.get(batch.batch_no, 0)
        case = self._case(batch, n_before)
        if batch.batch_no in self._terms.suspects and batch.n_rows > 1:
            todo = self._cut(case, ())
        else:
            todo = await self._deal_with(case)
        is_searched = any(part.is_searching for part in todo)
        n_extra = 0
        while todo:
            part = todo.pop()
            if not self._search.may_go_on(n_extra):
                self._leave(part, _SEARCH_ENDED)
                continue
            n_extra += 1
            self._search.n_extra += part.is_searching
            todo += await self._deal_with(part)
        if is_searched:
            error = self._search.finish(
                case.found[BatchState.REJECTED], case.found[BatchState.ACCEPTED]
            )
            if error is not None:
                self._fail(error)

    def _case(self, batch: Batch, n_before: int = 0) -> Case:
        now_s = self._clock.now()
        return Case(batch, now_s, self._pacer.shut_in_all_s(now_s), n_before)

    async def _deal_with(self, case: Case) -> list[Case]:
        """Send one body until it has a verdict; return its parts, the last first."""
        verdict = await persist(
            lambda: self._sender.attempt(case),
            clock=self._patient_clock,
            is_over=lambda verdict, wait_s: self._is_over(case, verdict, wait_s),
        )
        n_rows, n_named = case.batch.n_rows, len(verdict.named)
        if verdict.step is Step.TOO_BIG:
            self._terms.target.lower(len(case.batch.body))
        if verdict.state is BatchState.REJECTED:
            self._count(case, BatchState.REJECTED, n_rows)
        elif verdict.state is BatchState.ACCEPTED:
            self._count(case, BatchState.ACCEPTED, n_rows - n_named)
            self._count(case, BatchState.REJECTED, n_named)
        elif verdict.step is Step.TOO_BIG:
            return self._cut(case, (), is_searching=False)
        elif verdict.step is Step.REFUSED:
            self._count(case, BatchState.REJECTED, n_named)
            return self._cut(case, verdict.named)
        else:
            self._give_up(case, verdict)
        return []

    def _cut(
        self, case: Case, named: tuple[int, ...], *, is_searching: bool = True
    ) -> list[Case]:
        """Return what is left without the named rows, or halves, the last first."""
        batch = case.batch
        parts = (
            self._parts.without(batch, named) if named else self._parts.halves(batch)
        )
        cases = [self._case(part) for part in parts]
        for part in cases:
            part.is_trusted = not named
            part.is_searching = is_searching
            part.n_failed_before = case.n_failures
            part.failed_s = case.failed_s
            part.found = case.found
        return cases[::-1]

    def _count(self, case: Case, state: BatchState, n_rows: int) -> None:
        case.found[state] += n_rows
        rows = self._tally.rows
        rows[state] += n_rows
        most = self._terms.max_rejects
        if most is not None and rows[BatchState.REJECTED] > most:
            self._fail(too_many_rejects(most))

    def _leave(self, case: Case, why: str) -> None:
        """Give one batch up and go on with the others."""
        self._count(case, BatchState.PENDING, case.batch.n_rows)
        self._tally.left[why] += case.batch.n_rows

    def _give_up(self, case: Case, verdict: Verdict) -> None:
        batch, n = case.batch, case.tries.n
        is_again = verdict.step is Step.AGAIN
        if is_again and (is_of_the_batch(verdict) or case.n_tested):
            self._leave(case, in_words(verdict.code))
            return
        self._count(case, BatchState.PENDING, batch.n_rows)
        if verdict.step is not Step.LEAVE:
            what = (
                f"batch {batch.batch_no} ({batch.n_rows} rows, {len(batch.body)} bytes)"
            )
            self._fail(fatal(verdict, what, n, heard=self._client.was_heard))

    def _is_over(self, case: Case, verdict: Verdict, wait_s: float) -> bool:
        """Return whether to give a batch up; no patience runs while nobody may send."""
        if self._pacer.is_hopeless:
            return True
        now_s = self._clock.now()
        shut_s = self._pacer.shut_in_all_s(now_s) - case.shut_s
        spent_s = now_s - case.began_s - shut_s
        patience = Patience(seconds=self._terms.max_wait_s)
        unsent = verdict.status is None and verdict.state is BatchState.PENDING
        if unsent and not self._client.was_heard:
            self._n_unheard += 1
            return FIRST_CONTACT.is_over(self._n_unheard, spent_s, wait_s)
        return case.tries.is_over(verdict, patience, spent_s=spent_s, wait_s=wait_s)


_SEARCH_ENDED: Final = "the search for refused rows reached its bound"


def _with_counts(error: BaseException, report: DeliveryReport) -> BaseException:
    """Return the error with the counts in its message."""
    if not isinstance(error, PipelineError):
        return error
    told = type(error)(
        f"{str(error).rstrip('.')}. So far {report.rows_accepted} rows accepted, "
        f"{report.rows_rejected} rejected."
    )
    told.__cause__ = error.__cause__
    return told
