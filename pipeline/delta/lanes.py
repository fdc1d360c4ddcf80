"""The rows of a plan, lane after lane; what went first is read back before the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, dropwhile, groupby, takewhile
from typing import TYPE_CHECKING, Final

from pipeline.chunker import BatchLimits, pack
from pipeline.continuing import versions_at_work
from pipeline.delivery import DeliveryReport, deliver
from pipeline.delta.canary import CANARY_LANE
from pipeline.delta.plan_files import planned_bodies
from pipeline.delta.reading_back import CanaryReader, CanaryReport
from pipeline.distributed.driving import Delegation, deliver_on_cluster
from pipeline.errors import PipelineError
from pipeline.rebatch import rebuild
from pipeline.records import MAIN_LANE
from pipeline.resuming import plan_resume
from pipeline.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.delta.application import ApplyRequest
    from pipeline.delta.plan import Plan
    from pipeline.distributed.cluster import Cluster
    from pipeline.journal import Journal
    from pipeline.journal_tables import Run
    from pipeline.records import Batch, Encoded
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Job
    from pipeline.terms import Terms


LEAST_TIME_S: Final = 0.001  # a bound of a job is above 0


@dataclass(slots=True)
class _Count:
    """
    The counts of one delivery after the other.

    Attributes:
        total: Of those that are over.
        latest: With the one that is at work.
    """

    show: Callable[[DeliveryReport], None]
    total: DeliveryReport = field(default_factory=DeliveryReport)
    latest: DeliveryReport = field(default_factory=DeliveryReport)

    def note(self, report: DeliveryReport) -> None:
        """Take what a delivery has come to."""
        self.latest = _sum(self.total, report)
        self.show(self.latest)

    def close(self) -> None:
        """End a delivery."""
        self.total = self.latest


@dataclass(frozen=True, slots=True)
class Sending:
    """
    What sending the rows of a plan needs.

    Attributes:
        scratch: For rows on their way to workers.
        canary: What was read back, once it was.
    """

    request: ApplyRequest
    scratch: Path
    plan: Plan
    run: Run
    job: Job
    journal: Journal
    client: Client
    connector: Connector
    resumed: ResumePlan | None
    canary: list[CanaryReport] = field(default_factory=list)

    async def send(self) -> tuple[DeliveryReport, PipelineError | None]:
        """Deliver lane after lane; return the counts, and what ended it."""
        resumed, n_rows = self.resumed, self.plan.figures.n_planned
        if resumed is not None:
            n_rows -= resumed.n_accepted + resumed.n_rejected
        with self.request.progress.sending(n_rows) as show:
            count = _Count(show)
            try:
                if self.request.cluster is None:
                    await self._here(
                        planned_bodies(self.request.folder), resumed, count
                    )
                else:
                    await self._by_workers(self.request.cluster, count)
            except PipelineError as stopped:
                return count.latest, stopped
        return count.latest, None

    async def _here(
        self, bodies: Iterable[Encoded], resumed: ResumePlan | None, count: _Count
    ) -> None:
        """Send rows from this process."""
        delivery = self.job.delivery
        terms = terms_of(
            delivery,
            self.plan.figures.n_planned,
            resumed=resumed,
            stop=self.request.stop,
            clock=self.connector.clock,
        )
        limits = BatchLimits(delivery.max_rows, delivery.max_bytes)
        if resumed is None:
            batches = pack(bodies, limits, target=terms.target)
        else:
            batches = rebuild(bodies, resumed, limits, target=terms.target)
        for stage, lane in groupby(batches, key=_stage):
            if stage != CANARY_LANE:
                await self._look_at_canary()
            await deliver(
                lane,
                client=self.client,
                journal=self.journal,
                run_id=self.plan.plan_id,
                terms=self._rest_of(terms, count.total),
                on_progress=count.note,
            )
            count.close()

    async def _by_workers(self, cluster: Cluster, count: _Count) -> None:
        """Send what goes first from this process, and all else by workers."""
        lanes = {} if self.resumed is None else self.resumed.lanes
        first = self.resumed and replace(
            self.resumed, lanes={n: lanes[n] for n in lanes if n == CANARY_LANE}
        )
        canary = takewhile(_is_canary, planned_bodies(self.request.folder))
        await self._here(canary, first, count)
        rest = dropwhile(_is_canary, planned_bodies(self.request.folder))
        head = next(rest, None)
        if head is None:
            return
        await self._look_at_canary()
        delegation = Delegation(
            job=with_less_time(self.job, count.total.seconds),
            run_folder=self.request.folder,
            scratch=self.scratch,
            run=self.run,
            journal=self.journal,
            remote=self.connector.remote,
            n_rows=self.plan.figures.n_planned,
            resumed=self._recorded(),
            stop=self.request.stop,
            clock=self.connector.clock,
        )
        await deliver_on_cluster(chain((head,), rest), delegation, cluster, count.note)

    def _recorded(self) -> ResumePlan | None:
        """Return what the journal knows by now, but for what went first."""
        batches = self.journal.batches(self.run.run_id)
        if not batches:
            return None
        known = plan_resume(
            self.run,
            batches,
            now=versions_at_work(),
            replan=self.resumed is not None and self.resumed.is_replanned,
        )
        lanes = {n: known.lanes[n] for n in known.lanes if n != CANARY_LANE}
        return replace(known, lanes=lanes)

    async def _look_at_canary(self) -> None:
        """Read back what went first, unless that was done, or is not wanted."""
        reader = CanaryReader(
            self.request.folder,
            self.plan.plan_id,
            self.journal,
            self.client,
            self.connector.clock,
            self.job.delivery,
            self.request.stop,
            self.request.now,
        )
        if self.job.sync.canary and reader.is_due():
            self.canary.append(await reader.read())

    def _rest_of(self, terms: Terms, done: DeliveryReport) -> Terms:
        """Return the terms of the next lane: bounds are for the whole run."""
        n_done = done.rows_rejected
        most, duration_s = terms.max_rejects, terms.max_duration_s
        promised = terms.next_child_no or 0
        return replace(
            terms,
            max_rejects=None if most is None else max(0, most - n_done),
            max_duration_s=None if duration_s is None else duration_s - done.seconds,
            next_child_no=max(promised, self.journal.next_child_no(self.plan.plan_id)),
        )


# The rest and the folded rows need not wait for one another.
_STAGES: Final = MAIN_LANE


def _stage(batch: Batch) -> int:
    return min(batch.lane, _STAGES)


def _is_canary(encoded: Encoded) -> bool:
    return encoded.lane == CANARY_LANE


def with_less_time(job: Job, passed_s: float) -> Job:
    """Return a job whose bound on the time of sending has come nearer."""
    bound_s = job.delivery.max_duration
    if bound_s is None:
        return job
    left = {"max_duration": max(LEAST_TIME_S, bound_s - passed_s)}
    return job.model_copy(update={"delivery": job.delivery.model_copy(update=left)})


def _sum(one: DeliveryReport, other: DeliveryReport) -> DeliveryReport:
    statuses: Mapping[int, int] = one.statuses or {}
    more: Mapping[int, int] = other.statuses or {}
    return DeliveryReport(
        n_batches=one.n_batches + other.n_batches,
        rows_accepted=one.rows_accepted + other.rows_accepted,
        rows_rejected=one.rows_rejected + other.rows_rejected,
        rows_pending=one.rows_pending + other.rows_pending,
        n_requests=one.n_requests + other.n_requests,
        n_retried=one.n_retried + other.n_retried,
        n_anomalies=one.n_anomalies + other.n_anomalies,
        statuses={
            status: statuses.get(status, 0) + more.get(status, 0)
            for status in sorted({*statuses, *more})
        },
        bytes_sent=one.bytes_sent + other.bytes_sent,
        seconds=one.seconds + other.seconds,
    )
