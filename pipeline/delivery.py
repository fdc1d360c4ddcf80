"""
Batches go out, verdicts come back; the journal knows of both before anything else.

`deliver` joins the edges: the feed makes batches in a thread, workers take them one by
one, the journal commits an attempt before its bytes leave and a verdict before the
next step, `retrying` repeats what may pass, and refused batches are cut until the
refused rows stand alone. What a reply means is decided in `verdict`, how fast in
`pacing`; here is only the order of things.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    AccessError,
    ContractError,
    PipelineError,
)
from pipeline.feed import Feed
from pipeline.journal_tables import ranges_of
from pipeline.pacing import FIRST_CONTACT, Pacer, Patience
from pipeline.records import Batch, BatchState, RowRange, Step, Verdict
from pipeline.retrying import SYSTEM_CLOCK, persist
from pipeline.settings import DeliverySettings
from pipeline.turnstile import Turnstile
from pipeline.verdict import (
    STOPPED,
    NoReplyError,
    classify,
    fatal,
    is_overload,
    of_fault,
    pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.client import Client
    from pipeline.journal import Journal
    from pipeline.retrying import Clock

# More workers than requests in flight: some commit verdicts while others send.
WORKERS_A_PLACE: Final = 3
AHEAD_BATCHES: Final = 4
GRACE_S: Final = 60.0
FINAL_STEPS: Final = frozenset({Step.AUTH, Step.TOO_BIG, Step.STOP})
# Finding 2 bad rows among 1000 takes 37 requests, 10 take 138 (measured).
MAX_EXTRA_A_BATCH: Final = 150
MAX_EXTRA_A_RUN: Final = 1000


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """
    Counts of a delivery, so far or at its end.

    `rows_accepted + rows_rejected + rows_pending` are the rows of the batches that
    were taken and are through; rows that were never taken are pending as well and are
    known to the journal's reader alone.

    Attributes:
        n_batches: Planned ones, their parts not counted.
        n_requests: Requests begun, logins and repetitions included.
        n_retried: Attempts after the first of a batch.
        statuses: Status → how often it came back, logins included.
        bytes_sent: Bodies, repetitions included.
    """

    n_batches: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    rows_pending: int = 0
    n_requests: int = 0
    n_retried: int = 0
    statuses: Mapping[int, int] | None = None
    bytes_sent: int = 0
    seconds: float = 0.0


async def deliver(
    batches: Iterable[Batch],
    *,
    client: Client,
    journal: Journal,
    run_id: str,
    settings: DeliverySettings | None = None,
    clock: Clock = SYSTEM_CLOCK,
    on_progress: Callable[[DeliveryReport], None] | None = None,
) -> DeliveryReport:
    """
    Send every batch, lane after lane, until each has a verdict or patience ends.

    Args:
        batches: Ordered by lane; read in a thread of its own, a few ahead at most.
        client: Already open.
        journal: Holds the run *run_id*.
        run_id: Of a run that has begun.
        settings: Concurrency and rate.
        clock: Time, sleep and chance.
        on_progress: Told after every planned batch and at the end, also when the end
            is an error; called on the event loop, so it must be quick.

    Effects: A batch's membership and attempt are on the disk before its bytes leave,
        and its verdict before the batch counts. After a crash or a cancellation an
        attempt without a verdict is unknown; nothing else is lost.

    Bounds: three bodies a place in flight, and 32 MB or concurrency + 4 batches read
        ahead. A batch takes 8 attempts and 15 minutes at most, the search for refused
        rows 150 requests a batch and 1000 a run; rows not found by then are pending.

    Raises:
        TokenRefusedError: A fresh token was refused.
        ContractError: An answer that the contract does not know; the batch is pending.
        PatienceEndedError: A cause that may pass did not.
        UnreachableError: Nothing was ever heard of the service.
        StateError: The journal could not be written.
        Whatever *batches* raises, once what is in flight has come back.
    """
    delivery = _Delivery(client, journal, run_id, settings or DeliverySettings(), clock)
    return await delivery.run(batches, on_progress)


class _Tally:
    """The counts, while they change."""

    def __init__(self, client: Client, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._began_s = now()
        self._before = (client.n_requests, client.n_bytes, client.statuses.copy())
        self.n_batches = 0
        self.n_retried = 0
        self.rows = {BatchState.ACCEPTED: 0, BatchState.REJECTED: 0}
        self.rows |= {BatchState.PENDING: 0}

    def report(self) -> DeliveryReport:
        n_requests, n_bytes, statuses = self._before
        return DeliveryReport(
            n_batches=self.n_batches,
            rows_accepted=self.rows[BatchState.ACCEPTED],
            rows_rejected=self.rows[BatchState.REJECTED],
            rows_pending=self.rows[BatchState.PENDING],
            n_requests=self._client.n_requests - n_requests,
            n_retried=self.n_retried,
            statuses=dict(sorted((self._client.statuses - statuses).items())),
            bytes_sent=self._client.n_bytes - n_bytes,
            seconds=self._now() - self._began_s,
        )


class _Delivery:
    """One call of `deliver`."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        run_id: str,
        settings: DeliverySettings,
        clock: Clock,
    ) -> None:
        self._client = client
        self._journal = journal
        self._run_id = run_id
        self._target_bytes = settings.max_bytes
        self._clock = clock
        self._pacer = Pacer(settings.concurrency, settings.rate)
        self._turnstile = Turnstile(self._pacer, clock)
        self._patient_clock = replace(clock, sleep=self._turnstile.pause)
        self._tally = _Tally(client, clock.now)
        self._child_no = journal.next_child_no(run_id)
        self._n_extra = 0
        self._door = asyncio.Lock()
        self._error: BaseException | None = None
        self._feed: Feed | None = None

    async def run(
        self,
        batches: Iterable[Batch],
        on_progress: Callable[[DeliveryReport], None] | None,
    ) -> DeliveryReport:
        show = on_progress or (lambda _: None)
        self._feed = Feed(batches, max_batches=self._pacer.most + AHEAD_BATCHES)
        workers = [
            asyncio.create_task(self._work(self._feed, show))
            for _ in range(WORKERS_A_PLACE * self._pacer.most)
        ]
        try:
            await self._until_done(workers)
        finally:
            self._turnstile.stop()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._feed.aclose()
        report = self._tally.report()
        show(report)
        if self._error is not None:
            raise _with_counts(self._error, report)
        if self._feed.error is not None:
            raise self._feed.error
        return report

    async def _until_done(self, workers: list[asyncio.Task[None]]) -> None:
        """Wait for all; after a stop, for what is in flight, but not for ever."""
        stop = asyncio.create_task(self._turnstile.stopped.wait())
        open_: set[asyncio.Task[None]] = set(workers)
        try:
            while open_ and not stop.done():
                await asyncio.wait({*open_, stop}, return_when=asyncio.FIRST_COMPLETED)
                open_ = {worker for worker in open_ if not worker.done()}
            if open_:
                await asyncio.wait(open_, timeout=GRACE_S)
        finally:
            stop.cancel()
            with suppress(asyncio.CancelledError):
                await stop

    async def _work(self, feed: Feed, show: Callable[[DeliveryReport], None]) -> None:
        try:
            while (batch := await feed.take()) is not None:
                try:
                    await self._settle(batch)
                finally:
                    feed.settle()
                del batch  # or its body would live until the next one comes
                show(self._tally.report())
        except Exception as error:  # noqa: BLE001 - the task boundary; raised by `run`
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Admit nothing more; the first error is the one that is raised."""
        self._error = self._error or error
        self._turnstile.stop()
        if self._feed is not None:
            self._feed.stop()

    # -- one batch and its parts -------------------------------------------------------

    async def _settle(self, batch: Batch) -> None:
        """Send a batch, and its parts while rows of it are refused."""
        self._tally.n_batches += 1
        todo = await self._open(batch)
        n_extra = 0
        while todo:
            part, trusted = todo.pop()
            if n_extra >= MAX_EXTRA_A_BATCH or self._n_extra >= MAX_EXTRA_A_RUN:
                self._tally.rows[BatchState.PENDING] += part.n_rows
                continue
            n_extra += 1
            self._n_extra += 1
            todo += await self._deal_with(part, trusted=trusted)

    async def _open(self, batch: Batch) -> list[tuple[Batch, bool]]:
        """Send a planned batch; while the service was never heard, one at a time."""
        if not self._client.was_heard:
            async with self._door:
                if not self._client.was_heard:
                    return await self._deal_with(batch, trusted=True)
        return await self._deal_with(batch, trusted=True)

    async def _deal_with(
        self, batch: Batch, *, trusted: bool
    ) -> list[tuple[Batch, bool]]:
        """
        Send one body until it has a verdict; return its parts to send, the last first.

        A body from which named rows were taken is not *trusted* to name rows again: it
        is halved.
        """
        n = 0

        async def attempt() -> Verdict:
            nonlocal n
            if self._turnstile.stopped.is_set():
                return STOPPED
            n += 1
            return await self._attempt(batch, n, trusted=trusted)

        verdict = await persist(
            attempt, clock=self._patient_clock, patience=self._patience
        )
        rows = self._tally.rows
        if verdict.state in (BatchState.ACCEPTED, BatchState.REJECTED):
            rows[verdict.state] += batch.n_rows
            return []
        if verdict.step is Step.REFUSED:
            rows[BatchState.REJECTED] += len(verdict.named)
            return self._parts(batch, verdict.named)
        rows[BatchState.PENDING] += batch.n_rows
        if verdict.step is not Step.LEAVE:
            what = (
                f"batch {batch.batch_no} ({batch.n_rows} rows, {len(batch.body)} bytes)"
            )
            self._fail(fatal(verdict, what, n, heard=self._client.was_heard))
        return []

    async def _attempt(self, batch: Batch, n: int, *, trusted: bool) -> Verdict:
        """Journal the intent, send, journal the verdict."""
        no = batch.batch_no
        if n == 1:
            await self._journal.intend(
                self._run_id, batch, target_bytes=self._target_bytes
            )
        else:
            self._tally.n_retried += 1
            await self._journal.attempt(self._run_id, no, n)
        verdict = await self._send(batch) if await self._turnstile.enter() else STOPPED
        rejected: tuple[RowRange, ...] = ()
        if verdict.step is Step.REFUSED and batch.n_rows > 1:
            named = verdict.named if trusted else ()
            verdict = replace(verdict, named=named)
            rejected = ranges_of(batch.rows[list(named)])
            if len(named) == batch.n_rows:
                verdict = replace(verdict, state=BatchState.REJECTED)
        await self._journal.record(self._run_id, no, n, verdict, rejected=rejected)
        return verdict

    async def _send(self, batch: Batch) -> Verdict:
        """Send once; the gate, the limit and a stop are in force before others go."""
        began_s = self._clock.now()
        try:
            verdict = classify(await self._client.send_batch(batch.body), batch.n_rows)
            self._learn(verdict, began_s)
        except NoReplyError as error:
            verdict = of_fault(error)
            self._learn(verdict, began_s)
        except (AccessError, ContractError) as error:
            # Of the login or a refused token: this body was certainly not taken.
            self._fail(error)
            verdict = replace(STOPPED, code="NOT_LET_IN")
        finally:
            self._turnstile.leave()
        return verdict

    def _learn(self, verdict: Verdict, began_s: float) -> None:
        now_s = self._clock.now()
        self._pacer.observe(
            now_s,
            took_s=now_s - began_s,
            failed=verdict.step is Step.AGAIN,
            overloaded=is_overload(verdict),
        )
        if verdict.retry_after_s is not None:
            self._pacer.shut(now_s, verdict.retry_after_s)
        if verdict.step in FINAL_STEPS:
            self._turnstile.stop()

    def _parts(self, batch: Batch, named: tuple[int, ...]) -> list[tuple[Batch, bool]]:
        """Return what is left without the named rows, or two halves, the last first."""
        everyone = range(batch.n_rows)
        if named:
            groups = [tuple(sorted(set(everyone) - set(named)))]
        else:
            middle = batch.n_rows // 2
            groups = [tuple(everyone[:middle]), tuple(everyone[middle:])]
        parts = []
        for positions, body in pieces(batch.body, groups):
            part = Batch(
                batch_no=self._child_no,
                lane=batch.lane,
                rows=batch.rows[list(positions)],
                body=body,
                digest=hashlib.sha256(body).hexdigest(),
                parent_no=batch.batch_no,
            )
            self._child_no += 1
            parts.append((part, not named))
        return parts[::-1]

    def _patience(self, verdict: Verdict) -> Patience:
        unsent = verdict.status is None and verdict.state is BatchState.PENDING
        if unsent and not self._client.was_heard:
            return FIRST_CONTACT
        return Patience()


def _with_counts(error: BaseException, report: DeliveryReport) -> BaseException:
    """Return the error with the counts in its message; a defect stays as it is."""
    if not isinstance(error, PipelineError):
        return error
    told = type(error)(
        f"{error} So far {report.rows_accepted} rows accepted, "
        f"{report.rows_rejected} rejected, {report.rows_pending} taken and pending."
    )
    told.__cause__ = error.__cause__
    return told
