"""
May a plan be applied, by which job, and is it begun or does it go on?

Nothing is sent here; what is refused leaves everything as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.continuing import job_of_run, run_to_resume, versions_at_work
from pipeline.delta.confirming import (
    PLANNED_COMMANDS,
    announce,
    catch_up,
    newest_generation,
)
from pipeline.delta.guards import too_many_deletes
from pipeline.delta.plan import PLAN_NAME, ROWS_NAME, mapping_digest
from pipeline.errors import (
    LimitError,
    SettingsError,
    StaleRunError,
)
from pipeline.files import sha256_of
from pipeline.journal_tables import Run, RunState
from pipeline.records import Fingerprint
from pipeline.resuming import check_newest, newest_of, plan_resume

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.delta.application import ApplyRequest
    from pipeline.delta.plan import Plan
    from pipeline.delta.state import StateStore
    from pipeline.journal import Journal
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Job


def job_to_apply(request: ApplyRequest, plan: Plan) -> Job:
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


def begin(
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
