"""
Making a plan: the source against the state, and exactly the rows that would be sent.

Reads the source and asks which workspace the key opens; writes nothing to it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from pipeline.addresses import check_base_url
from pipeline.connection import connected
from pipeline.continuing import dataset_of, remember_job
from pipeline.delta.canary import Canary
from pipeline.delta.comparing import FIRST_CHANGED, NEW, compare_rows
from pipeline.delta.confirming import catch_up, newest_generation
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import accepted_digests, digests_of, key_id
from pipeline.delta.examples import planned_examples
from pipeline.delta.figuring import figures_of
from pipeline.delta.guards import judge, too_many_deletes
from pipeline.delta.knowing import adopted, known_persons, with_export
from pipeline.delta.looking_up import LookUp
from pipeline.delta.mirroring import (
    NOT_MIRRORED,
    Persons,
    mirrored,
    n_hidden_rows,
)
from pipeline.delta.modes import Witnesses, hold_back
from pipeline.delta.places import opened_state
from pipeline.delta.plan import (
    Figures,
    Plan,
    mapping_digest,
    rule_digests,
)
from pipeline.delta.plan_files import (
    write_absent,
    write_deletes,
    write_kept,
    write_plan,
    write_rows,
    write_seen,
    write_shared,
    write_vanished,
)
from pipeline.delta.selecting import (
    Counts,
    changed_columns,
    select_rows,
    selection,
)
from pipeline.delta.snapshot import check_export, read_snapshot
from pipeline.delta.sorting_lanes import lane_by_lane, spooled
from pipeline.encoder import encode_slice
from pipeline.erasing import excess
from pipeline.errors import SettingsError
from pipeline.files import make_private_dir, make_work_dir, remove_drafts
from pipeline.importer import RunReport, report_of
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import ImportRequest, Line, check_line, encoded_slices, open_line
from pipeline.locks import lock_folder
from pipeline.outcomes import Evidence
from pipeline.outgoing import Outgoing
from pipeline.records import Encoded
from pipeline.run_files import write_run_files
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.spool import spools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.connection import Connector, Workspace
    from pipeline.delta.comparing import Comparison
    from pipeline.delta.examples import PlannedRow
    from pipeline.delta.knowing import Known
    from pipeline.delta.mirroring import Mirrored
    from pipeline.delta.modes import HeldBack
    from pipeline.delta.state import StateRecord, StateStore
    from pipeline.errors import PipelineError
    from pipeline.records import Transformed
    from pipeline.settings import Job
    from pipeline.transform import TransformPlan


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """
    What to plan.

    Attributes:
        line: As for an import; nothing of it is sent.
        key: Secret text of the work folder, for the digests.
        job_file: Where the job was read, for `apply` to look at again, and *filed* what
            was read there; the job of *line* has the flags in it as well.
        is_full: Every row is planned, whatever is known.
        crm: An export of the workspace: what a first plan takes for confirmed, and
            whom the CRM has.
        on_look_up: Told how many persons the CRM will be asked for.
        now: Seconds since 1970.
    """

    line: ImportRequest
    key: str
    job_file: Path | None = None
    filed: Job | None = None
    is_full: bool = False
    crm: Path | None = None
    on_look_up: Callable[[int], None] = lambda _n_persons: None
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class PlanReport:
    """
    What a plan came to.

    Attributes:
        run: The rows of the source, as of a check: those that are planned, and those
            that are not sent.
        plan: None when the source stopped it; the error of *run* says why.
        examples: Some of the rows that would be sent.
    """

    run: RunReport
    plan: Plan | None = None
    examples: tuple[PlannedRow, ...] = ()


async def make_plan(request: PlanRequest, connector: Connector) -> PlanReport:
    """
    Compare a source with what was confirmed, and write down what would be sent.

    Effects: the folder of the plan, with `rows.parquet` and `plan.json`; runs that the
        state did not know yet are folded into it.

    Raises:
        SettingsError, SourceError: The job or the source.
        AccessError, RemoteError, ContractError: As the service answers.
        LockedError: Another run holds the work folder.
        JournalDamagedError, CannotWriteError: The disk of the work folder.
        StoppedError: Somebody asked to stop.
        LimitError: More persons would have to be looked up than the budget lets.
    """
    check_base_url(connector.remote.base_url)
    work_dir = request.line.work_dir
    if request.crm is not None:
        check_export(request.crm)
    make_work_dir(work_dir)
    with lock_folder(work_dir), fresh_scratch(work_dir) as scratch, spools(work_dir):
        for folder in (work_dir / "runs").glob("*"):
            remove_drafts(folder)
        line = replace(
            open_line(request.line, scratch), encode=partial(_encoded, key=request.key)
        )
        max_bytes = request.line.max_store_bytes
        with SliceStore(scratch / "clean", max_bytes=max_bytes) as store:
            check = check_line(line, store)
            stop = check.stop or excess(check.erased, request.line.job.rows.allow_erase)
            if stop is not None:
                return _refused(line, check, stop)
            async with connected(connector, line.pin, stop=request.line.stop) as (
                client,
                workspace,
            ):
                request.line.on_workspace(workspace)
                look_up = LookUp(
                    client,
                    connector.clock,
                    request.line.job.delivery,
                    request.line.stop,
                    request.on_look_up,
                )
                told = (workspace.guid, dataset_of(request.line.job))
                place, about = request.line.job.sync.state, f"plan {line.run_id}"
                with opened_state(place, work_dir, told, about) as states:
                    rows = _Rows(line, check, store)
                    return await _planned(request, rows, look_up, workspace, states)


def _refused(line: Line, check: CheckResult, stop: PipelineError) -> PlanReport:
    """Write down what pass 1 found, and that nothing was planned."""
    make_private_dir(line.folder)
    files = write_run_files(line.folder, line.source, check, check.evidence())
    return PlanReport(replace(report_of(line, check, files), error=stop))


def _encoded(done: Transformed, plan: TransformPlan, key: str) -> Encoded:
    """Write the clean rows of a slice as JSON, with their digests beside them."""
    encoded = encode_slice(done, plan)
    digests = digests_of(
        done.clean, plan.identifiers, key, raw=plan.raw, erased=done.erased
    )
    return Encoded(encoded.frame.hstack(digests), encoded.lane)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The clean rows of a source, as often as they are wanted."""

    line: Line
    check: CheckResult
    store: SliceStore
    last: list[Outgoing] = field(default_factory=list)

    def encoded(self) -> Iterator[Encoded]:
        line = self.line
        outgoing = Outgoing(
            self.check, line.limits.max_row_bytes, line.scratch / "held"
        )
        self.last[:] = [outgoing]
        return outgoing.encoded(encoded_slices(line, self.store))

    def exceptions(self) -> pl.DataFrame:
        return self.last[0].exceptions()


async def _planned(
    request: PlanRequest,
    rows: _Rows,
    look_up: LookUp,
    workspace: Workspace,
    states: StateStore,
) -> PlanReport:
    line, check = rows.line, rows.check
    known, newest = _known(request, rows, workspace, states)
    record = known.record
    held = await _compared(request, rows, known, look_up)
    compared = held.compared
    folder = make_private_dir(line.folder)
    digests, counts = _written(request, rows, compared)
    exceptions = pl.concat([rows.exceptions(), held.exceptions]).sort("row")
    mirror = _mirrored(request, rows, known, compared)
    digests |= _witnessed(folder, known, held, mirror)
    line.source.check_unchanged(check.fingerprints)
    files = write_run_files(
        folder,
        line.source,
        check,
        Evidence(
            exceptions, check.folded_lane, is_sent=False, unchanged=compared.unchanged
        ),
    )
    remember_job(folder, request.line.job, line.source.files)
    figures = figures_of(line.limits, known, held, counts, mirror)
    words = known.words(rule_digests(line.mapping), is_full=request.is_full)
    plan = Plan(
        plan_id=line.run_id,
        made_at=request.now(),
        max_age_s=request.line.job.sync.plan_max_age,
        workspace=workspace.guid,
        dataset=states.dataset,
        job_file=str(request.job_file.absolute()) if request.job_file else None,
        mapping_digest=mapping_digest(request.filed or request.line.job),
        rules=rule_digests(line.mapping),
        key_id=key_id(request.key),
        state_generation=record.generation if record else 0,
        run_generation=newest,
        fingerprints=check.fingerprints,
        files=digests,
        figures=figures,
        mode=request.line.job.sync.mode,
        reasons=(*words, *held.notes(), *mirror.notes),
        trips=_trips(request, figures, record),
    )
    write_plan(folder, plan)
    report = replace(report_of(line, check, files), workspace=workspace)
    return PlanReport(report, plan, planned_examples(folder, compared))


def _known(
    request: PlanRequest, rows: _Rows, workspace: Workspace, states: StateStore
) -> tuple[Known, int]:
    """Return what is known beforehand, and the newest generation of runs."""
    work_dir, scratch = request.line.work_dir, rows.line.scratch
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        caught = catch_up(states, journal, work_dir, scratch / "proven")
        newest = newest_generation(states, journal)
    known = known_persons(states, caught, request.key, scratch / "nobody")
    if request.crm is None:
        return known, newest
    is_first = caught.record is None and not newest
    snapshot = None
    if is_first or request.line.job.sync.mode != "upsert":
        snapshot = read_snapshot(request.crm, rows.line, rows.check, workspace)
    known = with_export(known, request.crm, snapshot, is_first=is_first)
    if is_first:
        known = adopted(known, rows.encoded(), scratch / "adopted")
    return known, newest


async def _compared(
    request: PlanRequest, rows: _Rows, known: Known, look_up: LookUp
) -> HeldBack:
    """Compare all rows with what is known, and hold back whom the mode does not let."""
    line, scratch = rows.line, rows.line.scratch
    compared = compare_rows(
        rows.encoded(),
        known.persons,
        rows.check.n_rows,
        scratch / "today",
        is_full=request.is_full,
        accepted=_accepted(request, line),
    )
    witnesses = Witnesses(
        request.line.job.sync,
        known.snapshot,
        known.heard_of,
        look_up,
        line.plan.identifiers,
    )
    return await hold_back(witnesses, compared, rows.encoded, scratch / "new")


def _mirrored(
    request: PlanRequest, rows: _Rows, known: Known, compared: Comparison
) -> Mirrored:
    """Find whom a mirror deletes; nobody in any other mode."""
    scratch = rows.line.scratch
    if request.line.job.sync.mode != "mirror":
        return NOT_MIRRORED
    return mirrored(
        Persons(known.heard_of, DigestSet(scratch / "today"), request.key),
        known.snapshot,
        make_private_dir(scratch / "mirror"),
        n_persons=compared.n_rows.total(),
        n_hidden=n_hidden_rows(rows.exceptions(), rows.check.omitted),
    )


def _witnessed(
    folder: Path, known: Known, held: HeldBack, mirror: Mirrored
) -> dict[str, str]:
    """Write what was seen of persons, and whom to delete, if there is anything."""
    digests: dict[str, str] = {}
    columns = held.compared.columns
    if known.n_adopted or held.found.height:
        digests |= write_seen(folder, known.seen(held.found, columns), columns)
    if held.absent.height:
        digests |= write_absent(folder, held.absent)
    if mirror.deletes.height:
        digests |= write_deletes(folder, mirror.deletes)
    if mirror.kept.height:
        digests |= write_kept(folder, mirror.kept)
    return digests


def _trips(
    request: PlanRequest, figures: Figures, record: StateRecord | None
) -> tuple[str, ...]:
    nights = record.nights if record else ()
    sync = request.line.job.sync
    trips = judge(figures, nights, sync.guards, is_full=request.is_full)
    if figures.n_deletes > sync.max_deletes:
        trips += (too_many_deletes(figures.n_deletes, sync.max_deletes),)
    return trips


def _written(
    request: PlanRequest, rows: _Rows, compared: Comparison
) -> tuple[dict[str, str], Counts]:
    """Write the rows to send, and who vanished; return digests of files, and counts."""
    counts = Counts()
    folder, scratch = rows.line.folder, rows.line.scratch
    with ExitStack() as stack:
        chosen = _selected(request, rows, compared, counts)
        canary = Canary(rows.check.shared_phones)
        stores = spooled(chosen, canary, scratch, stack)
        first = canary.chosen() if request.line.job.sync.canary else None
        digests = write_rows(folder, lane_by_lane(stores, first), compared.columns)
    digests |= write_vanished(folder, [compared.vanished])
    return digests | write_shared(folder, rows.check.shared_phones), counts


def _accepted(request: PlanRequest, line: Line) -> dict[str, list[int]]:
    """
    Return the digests of the values that fields may have.

    Raises:
        SettingsError: A field is not mapped.
    """
    told = request.line.job.sync.guards.accepted_values
    unknown = [name for name in told if line.mapping.rule(name) is None]
    if unknown:
        raise SettingsError(
            f"sync.guards.accepted_values has fields that are not mapped: "
            f"{', '.join(unknown)}. Map them, or leave them out"
        )
    return accepted_digests(told, request.key)


def _selected(
    request: PlanRequest, rows: _Rows, compared: Comparison, counts: Counts
) -> Iterator[pl.DataFrame]:
    """Give the rows that are sent, each frame of one lane."""
    sent: dict[int, tuple[str, ...] | None] = {NEW: None}
    for code, numbers in enumerate(compared.changed, FIRST_CHANGED):
        sent[code] = changed_columns(numbers, compared.columns)
    how = selection(
        compared.codes,
        sent,
        compared.columns,
        request.key,
        only_changed=request.line.job.sync.fields == "changed",
    )
    for part in rows.encoded():
        request.line.stop.check()
        yield from select_rows(part, how, counts)
