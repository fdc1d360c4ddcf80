"""
What every reading of a source by a job shares: the same rows, the same values.

An import reads its source twice, and a verification once more, weeks later: what was
sent can only be compared when both make it in the same way.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.checker import CheckRules, check_source
from pipeline.chunker import BatchLimits
from pipeline.continuing import NOTHING_SAID, Continuation, run_to_resume
from pipeline.encoder import encode_slice
from pipeline.erasures import counted_exactly
from pipeline.export.returning import json_columns_of
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.lookahead import map_ahead
from pipeline.mapping import refuse_extra, resolve_mapping
from pipeline.progress import NO_PROGRESS
from pipeline.reader import open_source
from pipeline.spill import MAX_STORE_BYTES, SliceStore
from pipeline.spool import SPOOL_NAME, spooled
from pipeline.stopping import StopSignal
from pipeline.transform import plan_transform, transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl

    from pipeline.checker import CheckResult
    from pipeline.connection import Workspace
    from pipeline.delta.watermark import Since
    from pipeline.distributed.cluster import Cluster
    from pipeline.errors import PipelineError
    from pipeline.journal_tables import Run
    from pipeline.outcomes import RowCounts
    from pipeline.progress import ProgressView
    from pipeline.reader import Source
    from pipeline.records import Encoded, Transformed
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Job, Mapping
    from pipeline.transform import TransformPlan

    Encode = Callable[[Transformed, TransformPlan], Encoded]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """
    What to import, and with what.

    Attributes:
        job: With every flag already in it; its source has a path.
        work_dir: Journal and run folders.
        lock_dir: Of the lock of a workspace; two runs that share it never write to one
            workspace at the same time. In the work folder when None.
        is_dry_run: Pass 1 only.
        continuation: Whether this may be the rest of an interrupted run.
        max_store_bytes: Of encoded rows kept on disk between the passes; beyond it
            the source is read, normalised and encoded twice.
        command: The word the run is recorded under.
        since: Of a query, the rows to read; all, when not given.
        cluster: Whose workers send; this process, when not given.
        on_mapping: Shown the mapping before anything is read to its end.
        on_run: Shown the name of the run; again when it is the rest of another one.
        on_workspace: Shown the workspace before the first write.
        on_resume: Shown the run that goes on, and what is proven of it.
        on_verify: Told how many accepted rows will be read back, before that begins.
        stop: Asked to stop, pass 1 ends at once and pass 2 lets what is in flight end.
        exit_code: How the shell would end, for the journal, given the counts, what
            stopped the run, and the rows that were read back and are wrong; the library
            has no shell.
    """

    job: Job
    work_dir: Path
    lock_dir: Path | None = None
    is_dry_run: bool = False
    continuation: Continuation = NOTHING_SAID
    max_store_bytes: int = MAX_STORE_BYTES
    command: str = "import"
    since: Since | None = None
    cluster: Cluster | None = None
    progress: ProgressView = NO_PROGRESS
    on_mapping: Callable[[Source, Mapping], None] = lambda _source, _mapping: None
    on_run: Callable[[str], None] = lambda _run_id: None
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    on_resume: Callable[[Run, ResumePlan], None] = lambda _run, _plan: None
    on_verify: Callable[[int], None] = lambda _n_rows: None
    stop: StopSignal = field(default_factory=StopSignal)
    exit_code: Callable[[RowCounts, PipelineError | None, int], int] = (
        lambda _counts, error, n_wrong: int(error is not None or n_wrong > 0)
    )


@dataclass(frozen=True, slots=True)
class Line:
    """
    What both passes need.

    Attributes:
        encode: Writes the clean rows of a slice.
    """

    request: ImportRequest
    run_id: str
    scratch: Path
    source: Source
    mapping: Mapping
    plan: TransformPlan
    limits: BatchLimits
    pin: str | None
    encode: Encode = encode_slice

    @property
    def folder(self) -> Path:
        """Of the run's files."""
        return self.request.work_dir / "runs" / self.run_id


def new_run_id(
    folder: Path,
    now: datetime,
    draw: Callable[[], str] = lambda: secrets.token_hex(2),
) -> str:
    """
    Return a name that no run of a folder has, also when two begin in one second.

    A run has a folder before it is recorded, so looking there is enough.

    Args:
        folder: Of the folders of runs, held by this process alone.
        draw: Gives what tells runs of one second apart.
    """
    while True:
        run_id = f"{now:%Y%m%d-%H%M%S}-{draw()}"
        if not (folder / run_id).exists():
            return run_id


def open_line(request: ImportRequest, scratch: Path) -> Line:
    """
    Open the source and settle what is made of its columns; no row is read.

    Effects: what cannot be read in place is copied into the folder of the run first,
        see `spool`.

    Raises:
        SourceError: It is missing, or is not what the job says.
        TokenRefusedError, UnreachableError: A database or an object store.
        SettingsError: The job does not fit its columns.
        SettingsError, StaleRunError: The run that was named cannot go on.
    """
    job, wanted = request.job, request.continuation.run_id
    run_id = new_run_id(request.work_dir / "runs", datetime.now(UTC))
    pin = job.workspace.guid
    if wanted is not None:  # before an hour of reading
        known = run_to_resume(request.work_dir, wanted)
        run_id, pin = known.run_id, known.workspace
    request.on_run(run_id)
    origin = spooled(
        job.source,
        request.work_dir / "runs" / run_id / SPOOL_NAME,
        still_wanted=request.stop.check,
        since=request.since,
    )
    source = open_source(origin.source, check_origin=origin.check_unchanged)
    in_json = json_columns_of(source.files, source.kind)
    mapping = resolve_mapping(source.columns, job, json_columns=in_json)
    request.on_mapping(source, mapping)
    refuse_extra(mapping, len(source.columns))
    plan = plan_transform(mapping, source.dtypes, job, IdentifierChecks(), source.kind)
    limits = BatchLimits(job.delivery.max_rows, job.delivery.max_bytes)
    return Line(request, run_id, scratch, source, mapping, plan, limits, pin)


def check_line(line: Line, store: SliceStore) -> CheckResult:
    """
    Read everything and send nothing: pass 1.

    Args:
        store: Keeps the encoded rows, as long as they fit.

    Raises:
        SourceError: A file cannot be read to its end.
        StoppedError: Somebody asked to stop.
    """
    rows = line.request.job.rows
    with line.request.progress.checking() as show:

        def on_rows(n_rows: int) -> None:
            line.request.stop.check()
            show(n_rows)

        check = check_source(
            line.source,
            line.plan,
            CheckRules(
                rows.duplicates,
                secrets.token_hex(32),
                line.limits.max_row_bytes,
                null_tokens=() if rows.null_token is None else (rows.null_token,),
                accepted=rows.accept_findings,
                encode=line.encode,
            ),
            folder=line.scratch / "digests",
            store=store,
            on_rows=on_rows,
        )
    return counted_exactly(line.source, line.plan, check)


def encoded_slices(line: Line, store: SliceStore) -> Iterator[pl.DataFrame]:
    """Give the frames of all clean rows, encoded, as pass 1 kept or else read them."""
    if store.is_complete:
        return store.frames()
    plan = line.plan
    return map_ahead(
        lambda piece: line.encode(transform(piece, plan), plan).frame,
        line.source.slices(),
    )
