"""
Applying a plan: exactly its rows go out, and what is proven of them becomes state.

The source is not read again. An interrupted application goes on like an import: the
plan is the run of its name, and its journal knows what was sent.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.addresses import check_base_url
from pipeline.connection import Connector, Workspace, connected
from pipeline.delta.application import ApplyReport, ApplyRequest
from pipeline.delta.applied_files import write_applied
from pipeline.delta.confirming import (
    confirm,
)
from pipeline.delta.deleting import (
    Deleting,
    counted_actions,
    deletions_in,
)
from pipeline.delta.entering import begin, job_to_apply
from pipeline.delta.lanes import Sending
from pipeline.delta.places import opened_state
from pipeline.delta.plan_files import read_plan
from pipeline.delta.reading_back import planned_waves
from pipeline.distributed.cluster import reach
from pipeline.distributed.journals import take_over_all
from pipeline.errors import (
    PipelineError,
)
from pipeline.files import make_work_dir, remove_drafts
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run, RunState
from pipeline.locks import lock_folder, lock_workspace
from pipeline.spill import fresh_scratch
from pipeline.verify.inline import Finished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.delta.plan import Plan
    from pipeline.delta.state import StateStore
    from pipeline.settings import Job


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
        UnreachableError: There is no scheduler where one was named.
    """
    check_base_url(connector.remote.base_url)
    if request.cluster is not None:
        await reach(request.cluster)
    make_work_dir(request.work_dir)
    with (
        lock_folder(request.work_dir),
        fresh_scratch(request.work_dir) as scratch,
    ):
        remove_drafts(request.folder)
        plan = read_plan(request.folder)
        job = job_to_apply(request, plan)
        at = connected(connector, plan.workspace, stop=request.stop)
        async with at as (client, workspace):
            request.on_workspace(workspace)
            with _at_work(request, plan, job, workspace) as (journal, store):
                most = job.sync.max_deletes
                run, resumed = begin(
                    request, plan, journal, store, scratch, max_deletes=most
                )
                if resumed is not None:
                    request.on_resume(run, resumed)
                sending = Sending(
                    request=request,
                    scratch=scratch,
                    plan=plan,
                    run=run,
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
    request: ApplyRequest, plan: Plan, job: Job, workspace: Workspace
) -> Iterator[tuple[Journal, StateStore]]:
    """Keep others from the workspace and the state, and open the journal."""
    with (
        lock_workspace(
            request.lock_dir or request.work_dir / "locks",
            host=workspace.host,
            guid=workspace.guid,
            dataset=plan.dataset,
        ),
        Journal.open(request.work_dir / JOURNAL_NAME, now=request.now) as journal,
        opened_state(
            job.sync.state,
            request.work_dir,
            (plan.workspace, plan.dataset),
            f"{request.command} {plan.plan_id}",
            on_lost=request.stop.request,
            time=request.lease_time,
        ) as store,
    ):
        take_over_all(journal, request.work_dir)  # none of them is at work any more
        yield journal, store


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
