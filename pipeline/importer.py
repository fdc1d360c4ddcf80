"""
The line: source → reader → transform → encoder → chunker → delivery → journal →
outcomes. This file alone knows the order.

`run_import` reads everything first and sends nothing (pass 1), then reads again and
sends (pass 2). Both passes see the same bytes, or the run stops.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.addresses import check_base_url
from pipeline.checker import CheckResult, CheckRules, check_source
from pipeline.chunker import BatchLimits, pack
from pipeline.connection import Connector, Workspace, connected
from pipeline.delivery import DeliveryReport, deliver
from pipeline.encoder import encode
from pipeline.errors import InvariantError, PipelineError, SettingsError
from pipeline.files import make_private_dir
from pipeline.folding import fold
from pipeline.identifiers import IdentifierChecks
from pipeline.identity import packed_row
from pipeline.journal import JOURNAL_NAME, Journal, lock_folder
from pipeline.journal_tables import Run
from pipeline.lookahead import map_ahead
from pipeline.mapping import resolve_mapping
from pipeline.outcomes import Evidence, RowCounts
from pipeline.progress import NO_PROGRESS
from pipeline.reader import open_source
from pipeline.records import Encoded, State
from pipeline.run_files import RunFiles, write_run_files
from pipeline.spill import MAX_STORE_BYTES, SliceStore, Spill, remove_leftovers
from pipeline.splitting import ByteTarget
from pipeline.stopping import StopSignal
from pipeline.terms import Terms
from pipeline.transform import plan_transform, transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.progress import ProgressView
    from pipeline.reader import Source
    from pipeline.settings import Job, Mapping
    from pipeline.transform import TransformPlan

HELD_ROWS: Final = 200_000


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """
    What to import, and with what.

    Attributes:
        job: With every flag already in it; its source has a path.
        work_dir: Journal and run folders.
        is_dry_run: Pass 1 only.
        max_store_bytes: Of encoded rows kept on disk between the passes; beyond it
            the source is read, normalised and encoded twice.
        command: The word the run is recorded under.
        on_mapping: Shown the mapping before anything is read to its end.
        on_workspace: Shown the workspace before the first write.
        stop: Asked to stop, pass 1 ends at once and pass 2 lets what is in flight end.
        exit_code: How the shell would end, for the journal; the library has no shell.
    """

    job: Job
    work_dir: Path
    is_dry_run: bool = False
    max_store_bytes: int = MAX_STORE_BYTES
    command: str = "import"
    progress: ProgressView = NO_PROGRESS
    on_mapping: Callable[[Source, Mapping], None] = lambda _source, _mapping: None
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    stop: StopSignal = field(default_factory=StopSignal)
    exit_code: Callable[[RowCounts, PipelineError | None], int] = (
        lambda _counts, error: int(error is not None)
    )


@dataclass(frozen=True, slots=True)
class RunReport:
    """
    What a run came to; every number is from the journal and the files.

    Attributes:
        delivery: None under `check` and `--dry-run`.
        error: What stopped the run early; the counts are true all the same.
        folder: Of the run's files.
    """

    run_id: str
    command: str
    source: Source
    mapping: Mapping
    plan: TransformPlan
    limits: BatchLimits
    check: CheckResult
    counts: RowCounts
    files: RunFiles
    folder: Path
    workspace: Workspace | None = None
    delivery: DeliveryReport | None = None
    error: PipelineError | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """What both passes need."""

    request: ImportRequest
    run_id: str
    folder: Path
    source: Source
    mapping: Mapping
    plan: TransformPlan
    limits: BatchLimits = field(default_factory=BatchLimits)


async def run_import(request: ImportRequest, connector: Connector | None) -> RunReport:
    """
    Check a source and send what can be sent.

    Args:
        connector: The service; None under a dry run.

    Effects: a run folder with the files of the run, also when the service ends the run
        early; then `RunReport.error` says why, and rows without proof are pending.

    Raises:
        SettingsError, SourceError: Before anything was sent.
        AccessError, RemoteError: Before anything was sent.
        LockedError: Another run holds the work folder.
        StoppedError: Somebody asked to stop before anything was sent.
        SourceChangedError: The source is not the one that was checked.
    """
    if connector is not None:
        check_base_url(connector.remote.base_url)  # before an hour of reading
    make_private_dir(request.work_dir)
    (request.work_dir / ".gitignore").write_text("*\n", encoding="utf-8")
    with lock_folder(request.work_dir):
        remove_leftovers(request.work_dir / "runs")
        line = _open_line(request)
        is_dry_run = request.is_dry_run or connector is None
        max_bytes = 0 if is_dry_run else request.max_store_bytes
        with SliceStore(line.folder / "clean", max_bytes=max_bytes) as store:
            check = _pass_1(line, store)
            if connector is None or is_dry_run:
                evidence = check.evidence()
                files = write_run_files(line.folder, line.source, check, evidence)
                return _report(line, check, files)
            return await _send(line, check, store, connector)


def _open_line(request: ImportRequest) -> _Line:
    job = request.job
    source = open_source(job.source)
    mapping = resolve_mapping(source.columns, job)
    request.on_mapping(source, mapping)
    _refuse_extra(mapping, len(source.columns))
    plan = plan_transform(mapping, source.dtypes, job, IdentifierChecks())
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = make_private_dir(request.work_dir / "runs" / run_id)
    limits = BatchLimits(job.delivery.max_rows, job.delivery.max_bytes)
    return _Line(request, run_id, folder, source, mapping, plan, limits)


def _refuse_extra(mapping: Mapping, n_columns: int) -> None:
    if mapping.extra:
        raise SettingsError(
            f"{len(mapping.extra)} of {n_columns} columns are not mapped: "
            f"{', '.join(mapping.extra)}. Nothing was sent. Add --extra-columns ignore "
            "to leave them out, --extra-columns attributes to send them as attributes, "
            "or map them in the job file (`crm-pipeline init SOURCE` writes one)"
        )


def _pass_1(line: _Line, store: SliceStore) -> CheckResult:
    with line.request.progress.checking() as show:

        def on_rows(n_rows: int) -> None:
            line.request.stop.check()
            show(n_rows)

        return check_source(
            line.source,
            line.plan,
            CheckRules(
                line.request.job.rows.duplicates,
                secrets.token_hex(32),
                line.limits.max_row_bytes,
            ),
            folder=line.folder / "digests",
            store=store,
            on_rows=on_rows,
        )


async def _send(
    line: _Line, check: CheckResult, store: SliceStore, connector: Connector
) -> RunReport:
    """Pass 2, between two looks at the files."""
    request, source = line.request, line.source
    pin = request.job.workspace.guid
    late: list[pl.DataFrame] = []
    error: PipelineError | None = None
    latest = DeliveryReport()
    terms = _terms(line, connector)
    async with connected(connector, pin) as (client, workspace):
        request.on_workspace(workspace)
        source.check_unchanged(check.fingerprints)
        with Journal.open(request.work_dir / JOURNAL_NAME) as journal:
            journal.begin_run(_run_record(line, check, workspace))
            with request.progress.sending(check.n_sendable) as show:

                def note(report: DeliveryReport) -> None:
                    nonlocal latest
                    latest = report
                    show(report)

                try:
                    await deliver(
                        pack(
                            _encoded(line, check, store, late),
                            line.limits,
                            target=terms.target,
                        ),
                        client=client,
                        journal=journal,
                        run_id=line.run_id,
                        terms=terms,
                        on_progress=note,
                    )
                    source.check_unchanged(check.fingerprints)
                except PipelineError as stopped:
                    error = stopped
            evidence = Evidence(
                _with_late(check.exceptions, late),
                check.folded_lane,
                journal.outcomes(line.run_id),
            )
            files = write_run_files(line.folder, source, check, evidence)
            journal.end_run(line.run_id, request.exit_code(files.counts, error))
    report = _report(line, check, files)
    return replace(report, workspace=workspace, delivery=latest, error=error)


def _terms(line: _Line, connector: Connector) -> Terms:
    delivery = line.request.job.delivery
    return Terms(
        delivery.concurrency,
        delivery.rate,
        target=ByteTarget(delivery.max_bytes),
        stop=line.request.stop,
        clock=connector.clock,
    )


def _encoded(
    line: _Line, check: CheckResult, store: SliceStore, late: list[pl.DataFrame]
) -> Iterator[Encoded]:
    """Give the main lane slice by slice, then the folded rows."""
    n_clean = 0
    with Spill(line.folder / "held", max_rows=HELD_ROWS) as held:
        for frame in _encoded_slices(line, store):
            n_clean += frame.height
            alone, waiting = _sorted_out(frame, check)
            held.add(waiting)
            yield Encoded(alone)
        if n_clean != check.n_clean:
            raise InvariantError(
                f"pass 1 found {check.n_clean} clean rows, pass 2 {n_clean}"
            )
        for waiting in held.buckets():
            yield _fold_bucket(waiting, line, late)


def _encoded_slices(line: _Line, store: SliceStore) -> Iterator[pl.DataFrame]:
    """Give the frames of all clean rows, encoded, as pass 1 kept or else read them."""
    if store.is_complete:
        return store.frames()
    plan = line.plan
    return map_ahead(
        lambda piece: (
            encode(transform(piece, plan).clean, raw=plan.raw, plain=plan.plain).frame
        ),
        line.source.slices(),
    )


def _sorted_out(
    frame: pl.DataFrame, check: CheckResult
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of a slice that go out by themselves, and those that wait."""
    keyed = frame.with_columns(packed_row())
    # A lookup among few: the rows of this slice that do not go out by themselves.
    nearby = pl.col("row").is_between(keyed["row"].min(), keyed["row"].max())
    exceptions = check.exceptions.filter(nearby).select("row")
    fates = check.fates.select("row", "survivor", "bucket")
    groups = fates.filter(nearby & pl.col("bucket").is_not_null())
    waiting = keyed.join(groups, on="row", how="inner", maintain_order="left")
    # A text of its own: a view would keep the text of the whole slice in memory.
    waiting = waiting.with_columns(pl.col("json") + pl.lit(""))
    apart = pl.concat([exceptions, groups.select("row")])["row"]
    return frame.filter(~keyed["row"].is_in(apart.implode())), waiting


def _fold_bucket(
    waiting: pl.DataFrame, line: _Line, late: list[pl.DataFrame]
) -> Encoded:
    """Fold the rows of a bucket; a profile that grew too large is blocked whole."""
    folded = fold(waiting)
    is_large = pl.col("n_bytes") > line.limits.max_row_bytes
    large = folded.frame.filter(is_large)
    if large.is_empty():
        return folded
    survivors = large.select(packed_row())["row"]
    late.append(
        waiting.filter(pl.col("survivor").is_in(survivors.implode())).select("row")
    )
    return replace(folded, frame=folded.frame.filter(~is_large))


def _with_late(exceptions: pl.DataFrame, late: list[pl.DataFrame]) -> pl.DataFrame:
    if not late:
        return exceptions
    rows = pl.concat(late)
    blocked = rows.select(
        "row",
        pl.lit(State.BLOCKED.value).alias("state"),
        pl.lit("TOO_LARGE").alias("code"),
        pl.lit(None, dtype=pl.UInt64).alias("survivor"),
    )
    others = exceptions.join(rows, on="row", how="anti", maintain_order="left")
    return pl.concat([others, blocked]).sort("row")


def _run_record(line: _Line, check: CheckResult, workspace: Workspace) -> Run:
    job = line.request.job
    told = job.model_dump_json(exclude={"work_dir"})
    name = job.name or ", ".join(str(path) for path in line.source.files)
    packages = ("crm-pipeline", "polars")
    return Run(
        run_id=line.run_id,
        command=line.request.command,
        dataset=name,
        workspace=workspace.guid,
        settings_digest=hashlib.sha256(told.encode()).hexdigest(),
        versions={package: version(package) for package in packages},
        fingerprints=check.fingerprints,
    )


def _report(line: _Line, check: CheckResult, files: RunFiles) -> RunReport:
    return RunReport(
        run_id=line.run_id,
        command=line.request.command,
        source=line.source,
        mapping=line.mapping,
        plan=line.plan,
        limits=line.limits,
        check=check,
        counts=files.counts,
        files=files,
        folder=line.folder,
    )
