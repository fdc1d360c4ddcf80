"""What to apply, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.delta.deleting import (
    NO_ACTIONS,
    ActionCounts,
)
from pipeline.delta.lease import USUAL_TIME, LeaseTime
from pipeline.endings import is_resumable
from pipeline.progress import NO_PROGRESS
from pipeline.stopping import StopSignal
from pipeline.verify.report import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.connection import Workspace
    from pipeline.delivery import DeliveryReport
    from pipeline.delta.applied_files import Applied
    from pipeline.delta.plan import Plan
    from pipeline.delta.reading_back import CanaryReport
    from pipeline.distributed.cluster import Cluster
    from pipeline.errors import PipelineError
    from pipeline.journal_tables import Run
    from pipeline.outcomes import RowCounts
    from pipeline.progress import ProgressView
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Job
    from pipeline.verify.report import VerifyReport


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """
    Which plan to apply, and how.

    Attributes:
        plan_id: The name of its folder under `runs` of the work folder.
        filed: The job file as it is now, if there is one: it must be as it was when
            the plan was made, but for the pace.
        told: Another pace and another reading back than those of the job that the plan
            was made with.
        command: The word the run is recorded under: `apply` or `sync`.
        is_replanned: Of an interrupted run, what is not proven may be sent in new
            bodies.
        cluster: Whose workers send; this process, when not given.
        max_deletes: Another bound than that of the job; looked at when a plan is begun.
        now: Seconds since 1970.
        lease_time: The time of the lock of a state on object storage.
    """

    work_dir: Path
    plan_id: str
    filed: Job | None = None
    told: Job | None = None
    lock_dir: Path | None = None
    command: str = "apply"
    is_replanned: bool = False
    max_deletes: int | None = None
    cluster: Cluster | None = None
    progress: ProgressView = NO_PROGRESS
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    on_resume: Callable[[Run, ResumePlan], None] = lambda _run, _plan: None
    on_verify: Callable[[int], None] = lambda _n_rows: None
    stop: StopSignal = field(default_factory=StopSignal)
    exit_code: Callable[[RowCounts, PipelineError | None, int], int] = (
        lambda _counts, error, n_wrong: int(error is not None or n_wrong > 0)
    )
    now: Callable[[], float] = time.time
    lease_time: LeaseTime = USUAL_TIME

    @property
    def folder(self) -> Path:
        """Of the plan."""
        return self.work_dir / "runs" / self.plan_id


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """
    What an application came to; every number is from the journal and the plan.

    Attributes:
        canary: What was read back before the rest went out; None when nothing was.
        verification: What reading back at the end came to; None when nothing was.
        actions: The deletions of the plan.
    """

    run_id: str
    command: str
    plan: Plan
    workspace: Workspace
    applied: Applied
    delivery: DeliveryReport
    folder: Path
    error: PipelineError | None = None
    canary: CanaryReport | None = None
    verification: VerifyReport | None = None
    actions: ActionCounts = NO_ACTIONS

    @property
    def counts(self) -> RowCounts:
        """Rows of the source by the state they ended in."""
        return self.applied.counts

    @property
    def paths(self) -> dict[str, Path]:
        """Name of each file of the run → where it is."""
        seen = self.verification
        found = {} if seen is None or seen.path is None else {"differences": seen.path}
        return self.applied.paths | found

    @property
    def n_wrong(self) -> int:
        """Rows that were read back and are absent, or differ, after their time."""
        return 0 if self.verification is None else self.verification.n_wrong

    @property
    def n_left(self) -> int:
        """Rows and deletions that are still to be done."""
        return self.counts.pending + self.actions.pending

    @property
    def n_at_odds(self) -> int:
        """What the CRM does not show as it should: `n_wrong`, and refused deletions."""
        return self.n_wrong + self.actions.refused

    @property
    def accepted_parts(self) -> dict[str, int]:
        """The parts of `counts.accepted`, by state; they add up to it."""
        return parts_of(self.counts.accepted, self.verification)

    @property
    def is_resumable(self) -> bool:
        """Whether the same run can go on with what is pending."""
        return is_resumable(self.counts.pending + self.actions.pending, self.error)
