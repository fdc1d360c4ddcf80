"""
Reading back: does the CRM hold what an import was told is accepted?

The rows are made again from the source, exactly as they were sent, or read from the
plan that was applied. Each of a sample is asked for by its own identifier until it is
there, or its time is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.connection import connected
from pipeline.continuing import job_of_run, settings_digest
from pipeline.delta.confirming import PLANNED_COMMANDS
from pipeline.delta.plan import ROWS_NAME
from pipeline.delta.plan_files import read_plan
from pipeline.delta.reading_back import planned_waves
from pipeline.errors import SettingsError, SourceChangedError
from pipeline.files import make_private_dir, make_work_dir, sha256_of
from pipeline.history import find_run, source_obstacle
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import ImportRequest, check_line, open_line
from pipeline.locks import lock_verification
from pipeline.progress import NO_PROGRESS
from pipeline.resuming import has_same_content
from pipeline.sent_rows import accepted_frames
from pipeline.settings import VERIFY_ROWS, VERIFY_SETTLE_S
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.stopping import StopSignal
from pipeline.verify.drawing import waves_of
from pipeline.verify.paced_reads import PacedReads
from pipeline.verify.report import Tally, VerifyReport, report_of
from pipeline.verify.settling import Settler, SettleTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.checker import CheckResult
    from pipeline.connection import Connector, Workspace
    from pipeline.journal_tables import Run
    from pipeline.line import Line
    from pipeline.progress import ProgressView
    from pipeline.records import BatchOutcome
    from pipeline.sent_rows import Wave
    from pipeline.settings import Job

# What is made again lies here, apart from the scratch of an import.
FOLDER_NAME: Final = "verify"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """
    Which run to verify, and how thoroughly.

    Attributes:
        run_id: Its name, or how it begins if no other begins so.
        n_rows: Of the sample; None asks for every accepted row.
        settle_s: How long after its 202 a row may take to appear.
        stop: Asked to stop, nothing more is asked.
        wall: Seconds since 1970, by which answers are dated in the journal.
    """

    work_dir: Path
    run_id: str
    n_rows: int | None = VERIFY_ROWS
    settle_s: float = VERIFY_SETTLE_S
    progress: ProgressView = NO_PROGRESS
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    stop: StopSignal = field(default_factory=StopSignal)
    wall: Callable[[], float] = time.time


async def verify_run(request: VerifyRequest, connector: Connector) -> VerifyReport:
    """
    Ask for accepted rows of a run and compare every field that was sent.

    Waits for rows that are not there yet, until `settle_s` after their 202. Reads only.
    Imports of the work folder may go on meanwhile. Asked to stop while it asks, it
    tells what is known by then, with the reason in `VerifyReport.error`.

    Effects: `verify-differences.csv` in the folder of the run when a row differs or is
        absent, and none otherwise; it holds values.

    Raises:
        SourceChangedError: The source is gone, or not the one that was sent; or a file
            of the plan that was applied.
        SettingsError: There is no such run, or its job is gone.
        WrongWorkspaceError: The key opens another workspace than that of the run.
        AccessError, RemoteError, ContractError: As the service answers; a key that may
            log in and not read gives a report of unverified rows.
        LockedError: Another verification holds the work folder.
        StoppedError: Somebody asked to stop before anything was asked.
    """
    make_work_dir(request.work_dir)
    own = make_private_dir(request.work_dir / FOLDER_NAME)
    with (
        lock_verification(own),
        fresh_scratch(own) as scratch,
        SliceStore(scratch / "clean") as store,
    ):
        with Journal.open(request.work_dir / JOURNAL_NAME) as journal:
            run = find_run(request.work_dir, journal.runs(), request.run_id)
            batches = journal.outcomes(run.run_id)
            accepted_at = journal.accepted_at(run.run_id)
        job = job_of_run(request.work_dir, run.run_id)
        if run.command in PLANNED_COMMANDS:
            waves, names = _planned(request, run, batches)
        else:
            line, check = _made_again(request, run, job, scratch, store)
            frames = partial(accepted_frames, line, check, store, batches)
            shared = check.shared_phones
            waves = waves_of(frames, shared, request.n_rows, run.generation)
            names = [path.name for path in line.source.files]
        settle_time = SettleTime(accepted_at, request.settle_s, request.wall)
        reads = PacedReads(job.delivery, connector.clock)
        tally = Tally()
        async with connected(connector, run.workspace, stop=request.stop) as (
            client,
            workspace,
        ):
            request.on_workspace(workspace)
            settler = Settler(client, reads, settle_time)
            with request.stop.listening(reads.stop):
                await tally.ask(waves, settler)
    return report_of(
        tally,
        settler,
        n_accepted=tally.sizes.total() + tally.n_ambiguous,
        folder=request.work_dir / "runs" / run.run_id,
        names=names,
        error=request.stop.error() if request.stop.n_requests else None,
    )


def _planned(
    request: VerifyRequest, run: Run, batches: Sequence[BatchOutcome]
) -> tuple[Iterator[Wave], list[str]]:
    """Return the rows of a plan to be asked for, and the names of its files."""
    folder = request.work_dir / "runs" / run.run_id
    try:
        plan = read_plan(folder)
    except (SettingsError, SourceChangedError):
        raise SourceChangedError(
            f"run {run.run_id} cannot be verified: the files of its plan are gone or "
            f"were altered. What was sent stands in {folder / ROWS_NAME} alone; bring "
            "it back"
        ) from None
    waves = planned_waves(folder, plan, batches, request.n_rows, run.generation)
    return waves, [Path(file.path).name for file in plan.fingerprints]


def _made_again(
    request: VerifyRequest, run: Run, job: Job, scratch: Path, store: SliceStore
) -> tuple[Line, CheckResult]:
    """Read the source of a run as it was read then."""
    again = ImportRequest(
        job, request.work_dir, progress=request.progress, stop=request.stop
    )
    # Before its columns are looked at: one that is gone is no fault of the job.
    obstacle = source_obstacle(run) or _content_obstacle(run)
    if obstacle is not None:
        raise _cannot_be_verified(run, obstacle)
    line = open_line(again, scratch)
    check = check_line(line, store)
    if not has_same_content(run.fingerprints, check.fingerprints):
        where = ", ".join(known.path for known in run.fingerprints)
        raise _cannot_be_verified(run, f"its source has changed: {where}")
    if settings_digest(job, line.mapping) != run.settings_digest:
        raise SettingsError(
            f"run {run.run_id} cannot be verified: this version of crm-pipeline reads "
            "its job in another way. Use the version that imported it"
        )
    return line, check


def _content_obstacle(run: Run) -> str | None:
    """Say which file has another content; one with an old time is not read for it."""
    for known in run.fingerprints:
        path = Path(known.path)
        is_old = path.stat().st_mtime_ns == known.mtime_ns
        if not is_old and sha256_of(path) != known.sha256:
            return f"its source has changed: {path}"
    return None


def _cannot_be_verified(run: Run, obstacle: str) -> SourceChangedError:
    return SourceChangedError(
        f"run {run.run_id} cannot be verified: {obstacle}. What was sent can only "
        "be made again from the source as it was; bring it back"
    )
