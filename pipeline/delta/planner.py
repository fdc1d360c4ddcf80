"""
Making a plan: the source against the state, and exactly the rows that would be sent.

Reads the source and asks which workspace the key opens; writes nothing to it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from pipeline.addresses import check_base_url
from pipeline.connection import connected
from pipeline.continuing import dataset_of, remember_job
from pipeline.delta.canary import Canary
from pipeline.delta.comparing import FIRST_CHANGED, NEW, UNCHANGED, compare_rows
from pipeline.delta.confirming import catch_up, newest_generation
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import (
    accepted_digests,
    key_id,
)
from pipeline.delta.guards import judge
from pipeline.delta.lane_spools import lane_by_lane, spooled_by_lane
from pipeline.delta.places import opened_state
from pipeline.delta.plan import (
    Figures,
    Plan,
    mapping_digest,
    mapping_words,
    rule_digests,
)
from pipeline.delta.plan_files import write_plan, write_rows, write_vanished
from pipeline.delta.prefilter import look_back, next_watermark, opened
from pipeline.delta.selecting import (
    Counts,
    changed_columns,
    select_rows,
    selection,
)
from pipeline.delta.source_rows import SourceRows, encoded_with_digests
from pipeline.erasing import excess
from pipeline.errors import SettingsError
from pipeline.files import make_private_dir, make_work_dir, remove_drafts
from pipeline.importer import RunReport, report_of
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import ImportRequest, Line, check_line
from pipeline.locks import lock_folder
from pipeline.outcomes import Evidence
from pipeline.run_files import write_run_files
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.spool import spools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import polars as pl

    from pipeline.connection import Connector, Workspace
    from pipeline.delta.comparing import Comparison
    from pipeline.delta.confirming import CaughtUp
    from pipeline.delta.prefilter import Prefilter
    from pipeline.delta.state import StateRecord, StateStore
    from pipeline.settings import Job


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
        now: Seconds since 1970.
    """

    line: ImportRequest
    key: str
    job_file: Path | None = None
    filed: Job | None = None
    is_full: bool = False
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class PlanReport:
    """
    What a plan came to.

    Attributes:
        run: The rows of the source, as of a check: those that are planned, and those
            that are not sent.
        plan: None when the source stopped it; the error of *run* says why.
    """

    run: RunReport
    plan: Plan | None = None


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
    """
    check_base_url(connector.remote.base_url)
    work_dir = request.line.work_dir
    make_work_dir(work_dir)
    with (
        lock_folder(work_dir),
        spools(work_dir),
        fresh_scratch(work_dir) as scratch,
    ):
        for folder in (work_dir / "runs").glob("*"):
            remove_drafts(folder)
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
                make_private_dir(line.folder)
                files = write_run_files(
                    line.folder, line.source, check, check.evidence()
                )
                return PlanReport(replace(report_of(line, check, files), error=stop))
            async with connected(connector, line.pin, stop=request.line.stop) as (
                _,
                workspace,
            ):
                request.line.on_workspace(workspace)
            told = (workspace.guid, dataset_of(request.line.job))
            place = request.line.job.sync.state
            with opened_state(place, work_dir, told, f"plan {line.run_id}") as states:
                rows = SourceRows(line, check, store)
                return _planned(request, rows, workspace, states, found)


def _planned(
    request: PlanRequest,
    rows: SourceRows,
    workspace: Workspace,
    states: StateStore,
    found: Prefilter,
) -> PlanReport:
    line, check = rows.line, rows.check
    work_dir, scratch = request.line.work_dir, line.scratch
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        caught = catch_up(states, journal, work_dir, scratch / "proven")
        newest = newest_generation(states, journal)
    record = caught.record
    found.check(record)
    mark, without_mark = next_watermark(line, check, found, request.now())
    known, n_known = DigestSet(scratch / "nobody"), 0
    if record is not None and record.key_id == key_id(request.key):
        known, n_known = states.digests(record), record.n_persons
    compared = _compared(request, rows, known, is_whole=found.is_whole)
    folder = make_private_dir(line.folder)
    digests, counts = _written(request, rows, compared)
    exceptions = rows.exceptions()
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
    figures = _figures(line, compared, counts, n_known)
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
        reasons=(
            *_reasons(request, line, caught),
            *found.reasons,
            *filter(None, [without_mark]),
        ),
        trips=_trips(request, figures, record, states, is_whole=found.is_whole),
        watermark=mark,
        is_whole=found.is_whole,
    )
    write_plan(folder, plan)
    report = report_of(line, check, files)
    return PlanReport(replace(report, workspace=workspace), plan)


def _compared(
    request: PlanRequest, rows: SourceRows, known: DigestSet, *, is_whole: bool
) -> Comparison:
    line = rows.line
    compared = compare_rows(
        rows.encoded(),
        known,
        rows.check.n_rows,
        line.scratch / "today",
        is_full=request.is_full,
        accepted=_accepted(request, line),
    )
    if is_whole:
        return compared
    # Who has no row that was read may have one that was not.
    return replace(compared, vanished=compared.vanished.clear())


def _trips(
    request: PlanRequest,
    figures: Figures,
    record: StateRecord | None,
    states: StateStore,
    *,
    is_whole: bool,
) -> tuple[str, ...]:
    nights = record.nights if record else ()
    guards = request.line.job.sync.guards
    trips = judge(figures, nights, guards, is_full=request.is_full, is_whole=is_whole)
    if record is None or record.key_id == key_id(request.key) or not states.is_shared:
        return trips
    # Else machines with keys of their own would send everything in turns.
    told = (
        f"the state {states.place} was made with another key than this machine has: "
        "give both the same CRM_PIPELINE_KEY (sync.state)"
    )
    return (*trips, told)


def _written(
    request: PlanRequest, rows: SourceRows, compared: Comparison
) -> tuple[dict[str, str], Counts]:
    """Write the rows to send, and who vanished; return digests of files, and counts."""
    counts = Counts()
    folder, scratch = rows.line.folder, rows.line.scratch
    with ExitStack() as stack:
        chosen = _selected(request, rows, compared, counts)
        canary = Canary(rows.check.shared_phones)
        stores = spooled_by_lane(chosen, canary, scratch, stack)
        first = canary.chosen() if request.line.job.sync.canary else None
        digests = write_rows(folder, lane_by_lane(stores, first), compared.columns)
    return digests | write_vanished(folder, [compared.vanished]), counts


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
    request: PlanRequest, rows: SourceRows, compared: Comparison, counts: Counts
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


def _figures(line: Line, compared: Comparison, counts: Counts, n_known: int) -> Figures:
    limits = line.limits
    n_requests = sum(
        max(ceil(n / limits.max_rows), ceil(counts.n_bytes[lane] / limits.max_bytes))
        for lane, n in counts.n_rows.items()
    )
    n_new, n_unchanged = compared.n_rows[NEW], compared.n_rows[UNCHANGED]
    return Figures(
        n_read=sum(map(len, compared.codes)),
        n_new=n_new,
        n_changed=compared.n_rows.total() - n_new - n_unchanged,
        n_unchanged=n_unchanged,
        n_vanished=compared.vanished.height,
        n_known=n_known,
        changed_fields=dict(compared.changed_fields),
        lost_fields=dict(compared.lost),
        given_fields=dict(compared.given),
        erased_fields=dict(+counts.erased),
        withdrawn=dict(+counts.withdrawn),
        granted=dict(+counts.granted),
        odd_values=dict(compared.odd),
        n_bytes=counts.n_bytes.total(),
        n_requests=n_requests,
    )


def _reasons(request: PlanRequest, line: Line, caught: CaughtUp) -> list[str]:
    """Say why rows are planned that may be what the CRM holds already."""
    record = caught.record
    reasons = list(caught.reasons)
    if request.is_full:
        reasons.append(
            "--full was asked for: every row is sent, also what the CRM has already. "
            "That may start automations, and replaces what people changed in the CRM"
        )
    if record is None:
        reasons.append("nothing was confirmed yet, so every row is new")
    elif record.key_id != key_id(request.key):
        reasons.append(
            "the key of the digests is not the one that the state was made with: "
            "nothing can be compared, so every row is new. Bring the old key back "
            "(CRM_PIPELINE_KEY, or the file `key` of the work folder that it was in), "
            "or apply this plan to begin with a new one"
        )
    else:
        reasons += mapping_words(record.rules or {}, rule_digests(line.mapping))
    return reasons
