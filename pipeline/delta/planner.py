"""
Making a plan: the source against the state, and exactly the rows that would be sent.

Reads the source and asks which workspace the key opens; writes nothing to it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from pipeline.addresses import check_base_url
from pipeline.connection import connected
from pipeline.continuing import dataset_of, remember_job
from pipeline.delta.comparing import compare_rows
from pipeline.delta.confirming import catch_up, newest_generation
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import accepted_digests, key_id
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
from pipeline.delta.plan_files import write_plan
from pipeline.delta.plan_request import PlanReport
from pipeline.delta.plan_rows import write_planned, write_witnessed
from pipeline.delta.prefilter import look_back, next_watermark, opened
from pipeline.delta.snapshot import check_export, read_snapshot
from pipeline.delta.source_rows import SourceRows, encoded_with_digests
from pipeline.erasing import excess
from pipeline.errors import SettingsError
from pipeline.files import make_private_dir, make_work_dir, remove_drafts_of_runs
from pipeline.importer import report_of
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import Line, check_line
from pipeline.locks import lock_folder
from pipeline.outcomes import Evidence
from pipeline.run_files import write_run_files
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.spool import spools

if TYPE_CHECKING:
    from pipeline.checker import CheckResult
    from pipeline.connection import Connector, Workspace
    from pipeline.delta.comparing import Comparison
    from pipeline.delta.knowing import Known
    from pipeline.delta.mirroring import Mirrored
    from pipeline.delta.modes import HeldBack
    from pipeline.delta.plan_request import PlanRequest
    from pipeline.delta.prefilter import Prefilter
    from pipeline.delta.state import StateRecord, StateStore
    from pipeline.errors import PipelineError


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
        remove_drafts_of_runs(work_dir)
        found = await look_back(
            request.line, request.key, connector, scratch, is_full=request.is_full
        )
        line, found = opened(request.line, found, scratch)
        line = replace(line, encode=partial(encoded_with_digests, key=request.key))
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
                    rows = SourceRows(line, check, store)
                    return await _planned(
                        request, rows, look_up, workspace, states, found=found
                    )


def _refused(line: Line, check: CheckResult, stop: PipelineError) -> PlanReport:
    """Write down what pass 1 found, and that nothing was planned."""
    make_private_dir(line.folder)
    files = write_run_files(line.folder, line.source, check, check.evidence())
    return PlanReport(replace(report_of(line, check, files), error=stop))


async def _planned(
    request: PlanRequest,
    rows: SourceRows,
    look_up: LookUp,
    workspace: Workspace,
    states: StateStore,
    *,
    found: Prefilter,
) -> PlanReport:
    line, check = rows.line, rows.check
    known, newest = _known(request, rows, workspace, states)
    record = known.record
    found.check(record)
    held = await _compared(request, rows, known, look_up, is_whole=found.is_whole)
    mark, without_mark = next_watermark(line, check, found, held, request.now())
    compared = held.compared
    folder = make_private_dir(line.folder)
    digests, counts = write_planned(request, rows, compared)
    exceptions = pl.concat([rows.exceptions(), held.exceptions]).sort("row")
    mirror = _mirrored(request, rows, known, compared)
    digests |= write_witnessed(folder, known, held, mirror)
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
        reasons=(*words, *held.notes(), *mirror.notes, *found.reasons, *without_mark),
        trips=_trips(request, figures, record, states, is_whole=found.is_whole),
        watermark=mark,
        is_whole=found.is_whole,
    )
    write_plan(folder, plan)
    report = replace(report_of(line, check, files), workspace=workspace)
    return PlanReport(report, plan, planned_examples(folder, compared))


def _known(
    request: PlanRequest, rows: SourceRows, workspace: Workspace, states: StateStore
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
    request: PlanRequest,
    rows: SourceRows,
    known: Known,
    look_up: LookUp,
    *,
    is_whole: bool,
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
    if not is_whole:  # who has no row that was read may have one that was not
        compared = replace(compared, vanished=compared.vanished.clear())
    witnesses = Witnesses(
        request.line.job.sync,
        known.snapshot,
        known.heard_of,
        look_up,
        line.plan.identifiers,
    )
    return await hold_back(witnesses, compared, rows.encoded, scratch / "new")


def _mirrored(
    request: PlanRequest, rows: SourceRows, known: Known, compared: Comparison
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


def _trips(
    request: PlanRequest,
    figures: Figures,
    record: StateRecord | None,
    states: StateStore,
    *,
    is_whole: bool,
) -> tuple[str, ...]:
    nights = record.nights if record else ()
    sync = request.line.job.sync
    trips = judge(
        figures, nights, sync.guards, is_full=request.is_full, is_whole=is_whole
    )
    if figures.n_deletes > sync.max_deletes:
        trips += (too_many_deletes(figures.n_deletes, sync.max_deletes),)
    if record is None or record.key_id == key_id(request.key) or not states.is_shared:
        return trips
    # Else machines with keys of their own would send everything in turns.
    told = (
        f"the state {states.place} was made with another key than this machine has: "
        "give both the same CRM_PIPELINE_KEY (sync.state)"
    )
    return (*trips, told)


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
