"""
Applying a plan: exactly its rows go out, and what is proven of them becomes state.

The source is not read again. An interrupted application goes on like an import: the
plan is the run of its name, and its journal knows what was sent.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.addresses import check_base_url
from pipeline.connection import Connector, Workspace, connected
from pipeline.continuing import job_of_run, run_to_resume, versions_at_work
from pipeline.delta.applied_files import Applied, write_applied
from pipeline.delta.confirming import (
    PLANNED_COMMANDS,
    catch_up,
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
from pipeline.delta.plan import PLAN_NAME, ROWS_NAME, mapping_digest
from pipeline.delta.plan_files import read_plan
from pipeline.delta.state import StateStore
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.delivery import DeliveryReport
    from pipeline.delta.plan import Plan
    from pipeline.delta.reading_back import CanaryReport
    from pipeline.outcomes import RowCounts
    from pipeline.progress import ProgressView
    from pipeline.resuming import ResumePlan
    from pipeline.settings import DeliverySettings, Job


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """
    Which plan to apply, and how.

    Attributes:
        plan_id: The name of its folder under `runs` of the work folder.
        filed: The job file as it is now, if there is one: it must be as it was when
            the plan was made, but for the pace.
        delivery: Another pace than that of the job the plan was made with.
        command: The word the run is recorded under: `apply` or `sync`.
        is_replanned: Of an interrupted run, what is not proven may be sent in new
            bodies.
        max_deletes: Another bound than that of the job; looked at when a plan is begun.
        now: Seconds since 1970.
    """

    work_dir: Path
    plan_id: str
    filed: Job | None = None
    delivery: DeliverySettings | None = None
    lock_dir: Path | None = None
    command: str = "apply"
    is_replanned: bool = False
    max_deletes: int | None = None
    progress: ProgressView = NO_PROGRESS
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    on_resume: Callable[[Run, ResumePlan], None] = lambda _run, _plan: None
    stop: StopSignal = field(default_factory=StopSignal)
    exit_code: Callable[[RowCounts, PipelineError | None, int], int] = (
        lambda _counts, error, n_wrong: int(error is not None or n_wrong > 0)
    )
    now: Callable[[], float] = time.time

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
    actions: ActionCounts = NO_ACTIONS

    @property
    def counts(self) -> RowCounts:
        """Rows of the source by the state they ended in."""
        return self.applied.counts

    @property
    def is_resumable(self) -> bool:
        """Whether the same run can go on with what is pending."""
        return is_resumable(self.counts.pending + self.actions.pending, self.error)


async def apply_plan(request: ApplyRequest, connector: Connector) -> ApplyReport:
    """
    Send the rows of a plan, or what is left of them.

    Effects: the run of the plan's name in the journal; `outcomes.parquet` of its
        folder is brought up to date, `refused.jsonl` holds what the service refused.
        Then the state learns what is proven.

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
            with _at_work(request, plan, workspace) as journal:
                store = StateStore(request.work_dir, plan.workspace, plan.dataset)
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
                report = await _applied(request, sending, run, workspace)
                catch_up(store, journal, request.work_dir, scratch / "proven")
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
    request: ApplyRequest, sending: Sending, run: Run, workspace: Workspace
) -> ApplyReport:
    """Send, write down how every row ended, and end the run."""
    journal = sending.journal
    delivery, error = await sending.send()
    applied = write_applied(request.folder, journal.outcomes(run.run_id))
    if error is None and not applied.counts.pending:
        error = await _deleted(request, sending)
    n_deletes = sending.plan.figures.n_deletes
    actions = counted_actions(journal, run.run_id, n_deletes)
    is_left = applied.counts.pending + actions.pending > 0
    journal.end_run(
        run.run_id,
        request.exit_code(applied.counts, error, actions.refused),
        state=RunState.PENDING if is_left else RunState.DONE,
    )
    return ApplyReport(
        run.run_id,
        run.command,
        sending.plan,
        workspace,
        applied,
        delivery,
        request.folder,
        error,
        sending.canary[-1] if sending.canary else None,
        actions,
    )


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
    now = {
        "delivery": request.delivery or planned.delivery,
        "sync": filed.sync if filed else planned.sync,
    }
    if request.max_deletes is not None:
        told = {"max_deletes": request.max_deletes}
        now["sync"] = now["sync"].model_copy(update=told)
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
        journal.begin_run(run)
        return run, None
    if known.state is RunState.DONE:
        raise SettingsError(
            f"plan {plan.plan_id} was applied already: nothing of it is left to send. "
            "Make a new plan"
        )
    newest = newest_of(runs, known)
    check_newest(known.run_id, None if newest is known else newest.run_id)
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
