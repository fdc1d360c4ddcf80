"""
The line: source → reader → transform → encoder → chunker → delivery → journal →
outcomes. This file alone knows the order.

`run_import` reads everything first and sends nothing (pass 1), then reads again and
sends (pass 2). Both passes see the same bytes, or the run stops. At the end it asks for
a sample of what was accepted, as the job's `verify` says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.addresses import check_base_url
from pipeline.chunker import BatchLimits, pack
from pipeline.connection import Connector, Workspace, connected
from pipeline.continuing import (
    begin_or_continue,
    dataset_of,
    remember_job,
    settings_digest,
    versions_at_work,
)
from pipeline.delivery import DeliveryReport, deliver
from pipeline.distributed.cluster import reach
from pipeline.distributed.driving import Delegation, deliver_on_cluster
from pipeline.distributed.journals import take_over_all
from pipeline.endings import is_resumable
from pipeline.erasing import excess
from pipeline.erasures import accepted_erasures
from pipeline.errors import PipelineError
from pipeline.files import (
    make_private_dir,
    make_work_dir,
    remove_drafts_of_runs,
)
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run, RunState
from pipeline.line import ImportRequest, Line, check_line, encoded_slices, open_line
from pipeline.locks import lock_folder, lock_workspace
from pipeline.outcomes import Evidence, RowCounts
from pipeline.outgoing import Outgoing
from pipeline.rebatch import rebuild
from pipeline.run_files import RunFiles, write_run_files
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.spool import spools
from pipeline.terms import terms_of
from pipeline.verify.inline import read_back_of
from pipeline.verify.report import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.client import Client
    from pipeline.reader import Source
    from pipeline.records import Batch, Encoded
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Mapping
    from pipeline.terms import Terms
    from pipeline.transform import TransformPlan
    from pipeline.verify.report import VerifyReport


@dataclass(frozen=True, slots=True)
class RunReport:
    """
    What a run came to; every number is from the journal and the files.

    Attributes:
        delivery: None under `check` and `--dry-run`.
        error: What stopped the run early; the counts are true all the same.
        folder: Of the run's files.
        erased: Field → accepted rows that erase it; None where the source changed.
        verification: What reading back came to; None when nothing was read back.
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
    erased: dict[str, int] | None = field(default_factory=dict)
    verification: VerifyReport | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """Name of each file of the run → where it is."""
        seen = self.verification
        found = {} if seen is None or seen.path is None else {"differences": seen.path}
        return self.files.paths | found

    @property
    def n_wrong(self) -> int:
        """Rows that were read back and are absent, or differ, after their time."""
        return 0 if self.verification is None else self.verification.n_wrong

    @property
    def accepted_parts(self) -> dict[str, int]:
        """The parts of `counts.accepted`, by state; they add up to it."""
        return parts_of(self.counts.accepted, self.verification)

    @property
    def is_resumable(self) -> bool:
        """Whether the same run can go on with what is pending."""
        is_recorded = self.workspace is not None
        return is_recorded and is_resumable(self.counts.pending, self.error)


async def run_import(request: ImportRequest, connector: Connector | None) -> RunReport:
    """
    Check a source and send what can be sent, or what is left of it.

    An import of the same rows under the same settings as an interrupted run goes on
    with that run: what is proven is not sent again.

    Args:
        connector: The service; None under a dry run.

    Effects: a run folder with the files of the run, also when the service or a finding
        ends it early; `RunReport.error` says why, rows without proof are pending.

    Raises:
        SettingsError, SourceError: Before anything was sent.
        AccessError, RemoteError: Before anything was sent.
        LockedError: Another run holds the work folder, or writes to the workspace.
        CannotWriteError, JournalDamagedError: The disk of the work folder fails.
        StaleRunError: A newer run of the dataset bars the one that was to go on.
        StoppedError: Somebody asked to stop before anything was sent.
        SourceChangedError: The source is not the one that was checked, or that the
            run began with.
    """
    if connector is not None:
        check_base_url(connector.remote.base_url)  # before an hour of reading
    if request.cluster is not None:
        await reach(request.cluster)
    make_work_dir(request.work_dir)
    with (
        lock_folder(request.work_dir),
        fresh_scratch(request.work_dir) as scratch,
        spools(request.work_dir),
    ):
        remove_drafts_of_runs(request.work_dir)
        line = open_line(request, scratch)
        is_dry_run = request.is_dry_run or connector is None
        max_bytes = 0 if is_dry_run else request.max_store_bytes
        with SliceStore(scratch / "clean", max_bytes=max_bytes) as store:
            check = check_line(line, store)
            stop = check.stop or excess(check.erased, request.job.rows.allow_erase)
            if connector is None or is_dry_run or stop is not None:
                return _unsent(line, check, stop)
            return await _send(line, check, store, connector)


def _unsent(line: Line, check: CheckResult, stop: PipelineError | None) -> RunReport:
    """Tell what pass 1 came to where nothing follows it."""
    if stop is not None and line.request.continuation.run_id is not None:
        raise stop  # the files of that run know what it sent before
    make_private_dir(line.folder)
    files = write_run_files(line.folder, line.source, check, check.evidence())
    return replace(report_of(line, check, files), error=stop)


async def _send(
    line: Line, check: CheckResult, store: SliceStore, connector: Connector
) -> RunReport:
    """Begin or continue a run, do pass 2, and tell what it came to."""
    request = line.request
    async with connected(connector, line.pin, stop=request.stop) as (client, workspace):
        request.on_workspace(workspace)
        line.source.check_unchanged(check.fingerprints)
        run = _run_record(line, check, workspace)
        with (
            lock_workspace(
                request.lock_dir or request.work_dir / "locks",
                host=workspace.host,
                guid=workspace.guid,
                dataset=run.dataset,
            ),
            Journal.open(request.work_dir / JOURNAL_NAME) as journal,
        ):
            take_over_all(journal, request.work_dir)
            run, resumed = begin_or_continue(
                journal,
                run,
                request.continuation,
                lambda: remember_job(line.folder, request.job, line.source.files),
            )
            line = replace(line, run_id=run.run_id)
            request.on_run(run.run_id)
            if resumed is not None:
                request.on_resume(run, resumed)
            outgoing = Outgoing(check, line.limits.max_row_bytes, line.scratch / "held")
            encoded = outgoing.encoded(encoded_slices(line, store))
            read_back = read_back_of(line, check, store, journal)
            sending = _Sending(line, check, journal, client, connector, run, resumed)
            delivery, error = await _pass_2(sending, read_back.watched(encoded))
            evidence = Evidence(
                outgoing.exceptions(), check.folded_lane, journal.outcomes(run.run_id)
            )
            make_private_dir(line.folder)
            files = write_run_files(line.folder, line.source, check, evidence)
            seen = None
            _end(sending, files, error, seen)
            if error is None:  # else somebody waits for the end, or nobody answers
                seen = await read_back.report(client, connector.clock, files)
            if seen is not None:
                error = seen.error
                _end(sending, files, error, seen)
    erased = accepted_erasures(line.source, line.plan, check, files)
    report = replace(report_of(line, check, files), workspace=workspace, erased=erased)
    return replace(report, delivery=delivery, error=error, verification=seen)


def _end(
    sending: _Sending,
    files: RunFiles,
    error: PipelineError | None,
    seen: VerifyReport | None,
) -> None:
    """Record how the run ended; before it is read back, too: that may be cut off."""
    code = sending.line.request.exit_code(
        files.counts, error, 0 if seen is None else seen.n_wrong
    )
    state = RunState.PENDING if files.counts.pending else RunState.DONE
    sending.journal.end_run(sending.line.run_id, code, state=state)


@dataclass(frozen=True, slots=True)
class _Sending:
    """What pass 2 needs besides rows."""

    line: Line
    check: CheckResult
    journal: Journal
    client: Client
    connector: Connector
    run: Run
    resumed: ResumePlan | None


async def _pass_2(
    sending: _Sending, encoded: Iterator[Encoded]
) -> tuple[DeliveryReport, PipelineError | None]:
    """Deliver rows, or what is left of them; return the counts, and what ended it."""
    line, check = sending.line, sending.check
    latest = DeliveryReport()
    terms = terms_of(
        line.request.job.delivery,
        check.n_sendable,
        resumed=sending.resumed,
        stop=line.request.stop,
        clock=sending.connector.clock,
    )
    n_rows = check.n_sendable
    if sending.resumed is not None:
        n_rows -= sending.resumed.n_accepted + sending.resumed.n_rejected
    with line.request.progress.sending(n_rows) as show:

        def note(report: DeliveryReport) -> None:
            nonlocal latest
            latest = report
            show(report)

        try:
            if line.request.cluster is None:
                await deliver(
                    _batches(sending, encoded, terms),
                    client=sending.client,
                    journal=sending.journal,
                    run_id=line.run_id,
                    terms=terms,
                    on_progress=note,
                )
            else:
                what = _delegated(sending)
                await deliver_on_cluster(encoded, what, line.request.cluster, note)
            line.source.check_unchanged(check.fingerprints)
        except PipelineError as stopped:
            return latest, stopped
    return latest, None


def _batches(
    sending: _Sending, encoded: Iterator[Encoded], terms: Terms
) -> Iterator[Batch]:
    limits = sending.line.limits
    if sending.resumed is None:
        return pack(encoded, limits, target=terms.target)
    return rebuild(encoded, sending.resumed, limits, target=terms.target)


def _delegated(sending: _Sending) -> Delegation:
    line = sending.line
    return Delegation(
        job=line.request.job,
        run_folder=line.folder,
        scratch=line.scratch,
        run=sending.run,
        journal=sending.journal,
        remote=sending.connector.remote,
        n_rows=sending.check.n_sendable,
        resumed=sending.resumed,
        stop=line.request.stop,
        clock=sending.connector.clock,
    )


def _run_record(line: Line, check: CheckResult, workspace: Workspace) -> Run:
    job = line.request.job
    return Run(
        run_id=line.run_id,
        command=line.request.command,
        dataset=dataset_of(job),
        workspace=workspace.guid,
        settings_digest=settings_digest(job, line.mapping),
        versions=versions_at_work(),
        fingerprints=check.fingerprints,
    )


def report_of(line: Line, check: CheckResult, files: RunFiles) -> RunReport:
    """Return the report of pass 1 and its files."""
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
