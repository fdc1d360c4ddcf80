"""
Applying a plan: exactly its rows go out, and what is proven of them becomes state.

The source is not read again. An interrupted application goes on like an import: the
plan is the run of its name, and its journal knows what was sent.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
from pipeline.delta.lanes import Sending
from pipeline.delta.lease import USUAL_TIME, LeaseTime
from pipeline.delta.places import opened_state
from pipeline.delta.plan import PLAN_NAME, ROWS_NAME, mapping_digest
from pipeline.delta.plan_files import read_plan
from pipeline.endings import is_resumable
from pipeline.errors import PipelineError, SettingsError, StaleRunError
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
    from pipeline.delta.state import StateStore
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
        now: Seconds since 1970.
        lease_time: The time of the lock of a state on object storage.
    """

    work_dir: Path
    plan_id: str
    filed: Job | None = None
    delivery: DeliverySettings | None = None
    lock_dir: Path | None = None
    command: str = "apply"
    is_replanned: bool = False
    progress: ProgressView = NO_PROGRESS
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    on_resume: Callable[[Run, ResumePlan], None] = lambda _run, _plan: None
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

    @property
    def counts(self) -> RowCounts:
        """Rows of the source by the state they ended in."""
        return self.applied.counts

    @property
    def is_resumable(self) -> bool:
        """Whether the same run can go on with what is pending."""
        return is_resumable(self.counts.pending, self.error)


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
                run, resumed = _begun(request, plan, journal, store, scratch)
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
    return replace(report, error=report.error or error)


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
    journal.end_run(
        run.run_id,
        request.exit_code(applied.counts, error, 0),
        state=RunState.PENDING if applied.counts.pending else RunState.DONE,
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
    )


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
    now = {
        "delivery": request.delivery or planned.delivery,
        # The plan was made from the state that lay there.
        "sync": sync.model_copy(update={"state": planned.sync.state}),
    }
    return planned.model_copy(update=now)


def _begun(
    request: ApplyRequest,
    plan: Plan,
    journal: Journal,
    store: StateStore,
    scratch: Path,
) -> tuple[Run, ResumePlan | None]:
    """Record that a plan is begun, or goes on."""
    runs = journal.runs()
    known = next((run for run in runs if run.run_id == plan.plan_id), None)
    if known is None:
        caught = catch_up(store, journal, request.work_dir, scratch / "before")
        generation = caught.record.generation if caught.record else 0
        _check_fresh(request, plan, generation, newest_generation(store, journal))
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
