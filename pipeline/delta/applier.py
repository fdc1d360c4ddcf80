"""
Applying a plan: exactly its rows go out, and what is proven of them becomes state.

The source is not read again. An interrupted application goes on like an import: the
plan is the run of its name, and its journal knows what was sent.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.addresses import check_base_url
from pipeline.connection import Connector, Workspace, connected
from pipeline.continuing import job_of_run, run_to_resume, versions_at_work
from pipeline.delta.applied_files import Applied, write_applied
from pipeline.delta.confirming import (
    PLANNED_COMMANDS,
    announce,
    catch_up,
    confirm,
    newest_generation,
)
from pipeline.delta.deleting import (
    NO_ACTIONS,
    ActionCounts,
    Deleting,
    counted_actions,
    deletions_in,
)
from pipeline.delta.guards import too_many_deletes
from pipeline.delta.lanes import Sending
from pipeline.delta.lease import USUAL_TIME, LeaseTime
from pipeline.delta.places import opened_state
from pipeline.delta.plan import PLAN_NAME, ROWS_NAME, mapping_digest
from pipeline.delta.plan_files import read_plan
from pipeline.delta.reading_back import planned_waves
from pipeline.endings import is_resumable
from pipeline.errors import (
    LimitError,
    PipelineError,
    SettingsError,
    StaleRunError,
)
from pipeline.files import make_work_dir, remove_drafts, sha256_of
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run, RunState
from pipeline.locks import lock_folder, lock_workspace
from pipeline.progress import NO_PROGRESS
from pipeline.records import Fingerprint
from pipeline.resuming import check_newest, newest_of, plan_resume
from pipeline.spill import fresh_scratch
from pipeline.stopping import StopSignal
from pipeline.verify.inline import Finished
from pipeline.verify.report import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.delivery import DeliveryReport
    from pipeline.delta.plan import Plan
    from pipeline.delta.reading_back import CanaryReport
    from pipeline.delta.state import StateStore
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


async def apply_plan(request: ApplyRequest, connector: Connector) -> ApplyReport:
    """
    Send the rows of a plan, or what is left of them.

    Effects: the run of the plan's name in the journal; `outcomes.parquet` of its
        folder is brought up to date, `refused.jsonl` holds what the service refused.
        Then the state learns what is proven, and rows are read back as the job says.

    Raises:
        SettingsError: There is no such plan, the job is another one now, or the plan
            was applied already.
        SourceChangedError: A file of the plan was altered.
        LimitError: The plan deletes more profiles than it may; nothing was sent.
        StaleRunError: The plan is too old, or the state is not the one it was made
            from, or a newer run of the dataset has begun.
        WrongWorkspaceError: The key opens another workspace.
        AccessError, RemoteError, ContractError: Before anything was sent.
        LockedError: Another run holds the work folder, or writes to the workspace.
        JournalDamagedError, CannotWriteError: The disk of the work folder.
    """
    check_base_url(connector.remote.base_url)
    make_work_dir(request.work_dir)
    with (
        lock_folder(request.work_dir),
        fresh_scratch(request.work_dir) as scratch,
    ):
        remove_drafts(request.folder)
        plan = read_plan(request.folder)
        job = _job(request, plan)
        at = connected(connector, plan.workspace, stop=request.stop)
        async with at as (client, workspace):
            request.on_workspace(workspace)
            with (
                _at_work(request, plan, workspace) as journal,
                opened_state(
                    job.sync.state,
                    request.work_dir,
                    (plan.workspace, plan.dataset),
                    f"{request.command} {plan.plan_id}",
                    on_lost=request.stop.request,
                    time=request.lease_time,
                ) as store,
            ):
                most = job.sync.max_deletes
                run, resumed = _begun(
                    request, plan, journal, store, scratch, max_deletes=most
                )
                if resumed is not None:
                    request.on_resume(run, resumed)
                sending = Sending(
                    folder=request.folder,
                    progress=request.progress,
                    stop=request.stop,
                    now=request.now,
                    plan=plan,
                    job=job,
                    journal=journal,
                    client=client,
                    connector=connector,
                    resumed=resumed,
                )
                report = await _applied(request, sending, run, workspace, store)
                error = confirm(store, journal, request.work_dir, scratch / "proven")
                report = replace(report, error=report.error or error)
                report = await _read_back(request, sending, report)
    return report


@contextmanager
def _at_work(
    request: ApplyRequest, plan: Plan, workspace: Workspace
) -> Iterator[Journal]:
    """Keep others from the workspace, and open the journal."""
    with (
        lock_workspace(
            request.lock_dir or request.work_dir / "locks",
            host=workspace.host,
            guid=workspace.guid,
            dataset=plan.dataset,
        ),
        Journal.open(request.work_dir / JOURNAL_NAME, now=request.now) as journal,
    ):
        yield journal


async def _applied(
    request: ApplyRequest,
    sending: Sending,
    run: Run,
    workspace: Workspace,
    store: StateStore,
) -> ApplyReport:
    """Send, write down how every row ended, and end the run."""
    journal = sending.journal
    delivery, error = await sending.send()
    error = store.lost or error  # it asked to stop
    applied = write_applied(request.folder, journal.outcomes(run.run_id))
    if error is None and not applied.counts.pending:
        error = await _deleted(request, sending)
    n_deletes = sending.plan.figures.n_deletes
    actions = counted_actions(journal, run.run_id, n_deletes)
    report = ApplyReport(
        run.run_id,
        run.command,
        sending.plan,
        workspace,
        applied,
        delivery,
        request.folder,
        error,
        sending.canary[-1] if sending.canary else None,
        actions=actions,
    )
    _end(request, journal, report)
    return report


def _end(request: ApplyRequest, journal: Journal, report: ApplyReport) -> None:
    """Record how the run ended; before it is read back, too: that may be cut off."""
    journal.end_run(
        report.run_id,
        request.exit_code(report.counts, report.error, report.n_at_odds),
        state=RunState.PENDING if report.n_left else RunState.DONE,
    )


async def _read_back(
    request: ApplyRequest, sending: Sending, report: ApplyReport
) -> ApplyReport:
    """Ask for what was accepted; the run is over, and its proofs are state."""
    if report.error is not None:  # somebody waits for the end, or nobody answers
        return report
    job, plan, journal = sending.job, sending.plan, sending.journal
    finished = Finished(
        job,
        request.folder,
        [Path(file.path).name for file in plan.fingerprints],
        report.counts.accepted,
        journal,
        request.stop,
        request.on_verify,
        request.now,
    )
    n_rows = None if job.verify == "all" else job.verify_rows
    batches, run = journal.outcomes(report.run_id), journal.run(report.run_id)
    seed = 0 if run is None else run.generation
    waves = planned_waves(request.folder, plan, batches, n_rows, seed)
    seen = await finished.read_back(waves, sending.client, sending.connector.clock)
    if seen is None:
        return report
    report = replace(report, error=seen.error, verification=seen)
    _end(request, journal, report)
    return report


async def _deleted(request: ApplyRequest, sending: Sending) -> PipelineError | None:
    """Delete the profiles of the plan; return what ended it."""
    if not sending.plan.figures.n_deletes:
        return None
    deleting = Deleting(
        sending.plan.plan_id,
        sending.journal,
        sending.client,
        sending.connector.clock,
        sending.job.delivery,
        request.stop,
    )
    try:
        await deleting.run(deletions_in(request.folder))
    except PipelineError as stopped:
        return stopped
    return None


def _job(request: ApplyRequest, plan: Plan) -> Job:
    """Return the job that was planned, at the pace and with the looks of now."""
    filed = request.filed
    if filed and mapping_digest(filed) != plan.mapping_digest:
        raise SettingsError(
            f"the job is not the one that plan {plan.plan_id} was made with: its "
            "mapping, or what chooses rows, has changed. Nothing was sent. Bring the "
            "job back as it was, or make a new plan"
        )
    planned = job_of_run(request.work_dir, request.plan_id)
    sync = filed.sync if filed else planned.sync
    told = request.told or planned
    # The plan was made from the state that lay there.
    bounds: dict[str, object] = {"state": planned.sync.state}
    if request.max_deletes is not None:
        bounds["max_deletes"] = request.max_deletes
    now = {
        "delivery": told.delivery,
        "verify": told.verify,
        "verify_rows": told.verify_rows,
        "settle": told.settle,
        "sync": sync.model_copy(update=bounds),
    }
    return planned.model_copy(update=now)


def _begun(
    request: ApplyRequest,
    plan: Plan,
    journal: Journal,
    store: StateStore,
    scratch: Path,
    *,
    max_deletes: int,
) -> tuple[Run, ResumePlan | None]:
    """Record that a plan is begun, or goes on."""
    runs = journal.runs()
    known = next((run for run in runs if run.run_id == plan.plan_id), None)
    if known is None:
        caught = catch_up(store, journal, request.work_dir, scratch / "before")
        generation = caught.record.generation if caught.record else 0
        _check_fresh(request, plan, generation, newest_generation(store, journal))
        _check_deletes(plan, max_deletes)
        run = _run_record(request, plan)
        generation = 1 + max((other.generation for other in runs), default=0)
        announced = replace(run, generation=generation)
        announce(
            store,
            announced,
            plan=plan,
            folder=request.folder,
            scratch=scratch / "announced",
        )
        journal.begin_run(run)
        return run, None
    if known.state is RunState.DONE:
        raise SettingsError(
            f"plan {plan.plan_id} was applied already: nothing of it is left to send. "
            "Make a new plan"
        )
    newest = newest_of(runs, known)
    check_newest(known.run_id, None if newest is known else newest.run_id)
    if store.is_shared:
        caught = catch_up(store, journal, request.work_dir, scratch / "before")
        last = caught.record.run_id if caught.record else known.run_id
        check_newest(known.run_id, None if last == known.run_id else last)
        announce(
            store,
            known,
            plan=plan,
            folder=request.folder,
            scratch=scratch / "announced",
        )
    versions = versions_at_work()
    resumed = plan_resume(
        known,
        journal.batches(known.run_id),
        now=versions,
        replan=request.is_replanned,
    )
    again = versions if request.is_replanned else None
    return journal.resume_run(known.run_id, versions=again), resumed


def _check_deletes(plan: Plan, max_deletes: int) -> None:
    n_deletes = plan.figures.n_deletes
    if n_deletes > max_deletes:
        raise LimitError(
            f"{too_many_deletes(n_deletes, max_deletes)}. Nothing was sent. If these "
            "profiles are to go for good, apply the plan with --max-deletes "
            f"{n_deletes}"
        )


def _check_fresh(
    request: ApplyRequest, plan: Plan, generation: int, newest: int
) -> None:
    age_s = request.now() - plan.made_at
    if age_s > plan.max_age_s:
        raise StaleRunError(
            f"plan {plan.plan_id} is {age_s / 3600:.1f} hours old, and plans are "
            f"applied within {plan.max_age_s / 3600:g} (sync.plan_max_age). Nothing "
            "was sent: make a new plan"
        )
    if generation != plan.state_generation:
        raise StaleRunError(
            f"plan {plan.plan_id} was made from generation {plan.state_generation} of "
            f"the state, and now it is {generation}: other rows were sent or confirmed "
            "meanwhile. Nothing was sent: make a new plan"
        )
    if newest != plan.run_generation:
        raise StaleRunError(
            f"another run of the dataset has begun since plan {plan.plan_id} was made, "
            "and older values must not replace newer ones. Nothing was sent: make a "
            "new plan"
        )


def _run_record(request: ApplyRequest, plan: Plan) -> Run:
    path = request.folder / ROWS_NAME
    status = path.stat()
    rows = Fingerprint(
        str(path.absolute()), status.st_size, status.st_mtime_ns, plan.files[ROWS_NAME]
    )
    return Run(
        run_id=plan.plan_id,
        command=request.command,
        dataset=plan.dataset,
        workspace=plan.workspace,
        settings_digest=sha256_of(request.folder / PLAN_NAME),
        versions=versions_at_work(),
        fingerprints=(rows,),
    )


def plan_to_resume(work_dir: Path, wanted: str) -> str | None:
    """
    Return the plan whose application is to go on; None when the run is an import.

    Args:
        wanted: As in `continuing.run_to_resume`.

    Raises:
        SettingsError, StaleRunError: As `continuing.run_to_resume`.
    """
    run = run_to_resume(work_dir, wanted)
    return run.run_id if run.command in PLANNED_COMMANDS else None
