"""The rows of a plan, lane after lane; what went first is read back before the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

from pipeline.chunker import BatchLimits, pack
from pipeline.delivery import DeliveryReport, deliver
from pipeline.delta.canary import CANARY_LANE
from pipeline.delta.plan_files import planned_bodies
from pipeline.delta.reading_back import CanaryReader, CanaryReport
from pipeline.errors import PipelineError
from pipeline.rebatch import rebuild
from pipeline.records import MAIN_LANE
from pipeline.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.delta.plan import Plan
    from pipeline.journal import Journal
    from pipeline.progress import ProgressView
    from pipeline.records import Batch
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Job
    from pipeline.stopping import StopSignal
    from pipeline.terms import Terms


@dataclass(frozen=True, slots=True)
class Sending:
    """
    What sending the rows of a plan needs.

    Attributes:
        folder: Of the plan.
        now: Seconds since 1970, as the journal has them.
        canary: What was read back, once it was.
    """

    folder: Path
    progress: ProgressView
    stop: StopSignal
    now: Callable[[], float]
    plan: Plan
    job: Job
    journal: Journal
    client: Client
    connector: Connector
    resumed: ResumePlan | None
    canary: list[CanaryReport] = field(default_factory=list)

    async def send(self) -> tuple[DeliveryReport, PipelineError | None]:
        """Deliver lane after lane; return the counts, and what ended it."""
        resumed, n_rows = self.resumed, self.plan.figures.n_planned
        delivery = self.job.delivery
        terms = terms_of(
            delivery,
            n_rows,
            resumed=resumed,
            stop=self.stop,
            clock=self.connector.clock,
        )
        limits = BatchLimits(delivery.max_rows, delivery.max_bytes)
        bodies = planned_bodies(self.folder)
        if resumed is None:
            batches = pack(bodies, limits, target=terms.target)
        else:
            n_rows -= resumed.n_accepted + resumed.n_rejected
            batches = rebuild(bodies, resumed, limits, target=terms.target)
        total = DeliveryReport()
        with self.progress.sending(n_rows) as show:
            latest = total

            def note(report: DeliveryReport) -> None:
                nonlocal latest
                latest = _sum(total, report)
                show(latest)

            try:
                for stage, lane in groupby(batches, key=_stage):
                    if stage != CANARY_LANE:
                        await self._look_at_canary()
                    await deliver(
                        lane,
                        client=self.client,
                        journal=self.journal,
                        run_id=self.plan.plan_id,
                        terms=self._rest_of(terms, total),
                        on_progress=note,
                    )
                    total = latest
            except PipelineError as stopped:
                return latest, stopped
        return latest, None

    async def _look_at_canary(self) -> None:
        """Read back what went first, unless that was done, or is not wanted."""
        reader = CanaryReader(
            self.folder,
            self.plan.plan_id,
            self.journal,
            self.client,
            self.connector.clock,
            self.job.delivery,
            self.stop,
            self.now,
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
