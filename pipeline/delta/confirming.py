"""
The journal's proofs become state: what was accepted is known, what was sent without a
proof is known no more.

`catch_up` folds in whatever runs of the dataset the state does not know yet. It may be
interrupted at any instant and repeated at will.

A state on object storage outlives work folders, and their journals. So `announce` names
a run there before it sends, and takes back what is known of its rows: whatever becomes
of that work folder, these rows are sent again. What a journal proves of a run that
another work folder has overtaken proves nothing of the CRM any more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pipeline.delta.deleting import begun_persons
from pipeline.delta.plan import DELETES_NAME, Night
from pipeline.delta.plan_files import (
    absent_persons,
    planned_deletes,
    read_plan,
    seen_frames,
    vanished_persons,
)
from pipeline.delta.proving import DOUBT, leaving, proofs_of, proven_rows, seen_rows
from pipeline.delta.state import StateRecord, with_night
from pipeline.delta.watermark import kept
from pipeline.errors import (
    PatienceEndedError,
    PipelineError,
    RemoteError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
)
from pipeline.journal_tables import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from pipeline.delta.plan import Plan
    from pipeline.delta.state import StateStore
    from pipeline.delta.watermark import Watermark
    from pipeline.journal import Journal
    from pipeline.journal_tables import ActionState, Run
    from pipeline.records import BatchOutcome

# What runs that a plan was made for are recorded under.
PLANNED_COMMANDS: Final = ("apply", "sync")
_SETTLED_RUNS: Final = 400


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """
    Where the state stands.

    Attributes:
        record: None while nothing was ever confirmed.
        reasons: Why nothing of what was known can be trusted, in words.
    """

    record: StateRecord | None
    reasons: tuple[str, ...] = ()


def catch_up(
    store: StateStore, journal: Journal, work_dir: Path, scratch: Path
) -> CaughtUp:
    """
    Fold in the runs that the state does not know, in the order in which they began.

    A run that was no plan's wrote values that the state cannot know of: everybody is
    forgotten then, and the next plan sends every row.

    Args:
        scratch: A folder for digests; what is put there is left there.

    Raises:
        CannotWriteError: The disk refuses; the state is behind, and nothing is lost.
        JournalDamagedError, SettingsError: As `StateStore.record`.
    """
    record = store.record()
    reasons: list[str] = []
    runs = _runs(store, journal)
    own = {run.run_id for run in runs}
    if store.is_shared and record is not None and record.run_id not in own:
        return _overtaken(store, record, runs, journal, (work_dir, scratch))
    for run in runs:
        if record is not None and not _may_be_news(record, run):
            continue
        batches = journal.outcomes(run.run_id)
        mark = _mark(batches, journal.actions(run.run_id))
        if record is not None and _is_known(record, run, mark):
            continue
        folder = work_dir / "runs" / run.run_id
        plan, why = _plan_of(run, folder)
        if plan is None:
            if record is not None:
                reasons.append(why)
                record = _forgotten(store, _named(record, run))
            continue
        is_final = run.state is RunState.DONE or run is not runs[-1]
        record = _with_seen(store, record, plan, folder, scratch / f"{run.run_id}-seen")
        proven = proven_rows(
            folder,
            proofs_of(folder, batches),
            scratch / run.run_id,
            vanished=_left(folder, plan, journal),
            absent=absent_persons(folder, plan),
        )
        is_confirmed = proven.n_accepted == plan.figures.n_planned
        news = _record(store, record, run, plan, is_confirmed=is_confirmed)
        record = store.change(
            replace(news, run_mark=mark, is_final=is_final),
            proven.of,
            n_told=proven.sent.n_rows(),
            is_anew=record is not None and record.key_id != plan.key_id,
        )
    return CaughtUp(record, tuple(reasons))


def announce(
    store: StateStore, run: Run, *, plan: Plan, folder: Path, scratch: Path
) -> None:
    """
    Name a run that is about to send, and trust nothing of its rows until it is proven.

    Does nothing to a state in a work folder: there the journal is always at hand.

    Args:
        run: With the generation that it has in the journal, or will have.
        folder: Of its plan.
        scratch: As for `catch_up`.

    Raises:
        As `StateStore.record` and `StateStore.change`; then nothing may be sent.
    """
    if not store.is_shared:
        return
    new = StateRecord(store.workspace, store.dataset, plan.key_id)
    known = store.record() or new
    nobody = vanished_persons(folder).clear()
    # Should this machine be lost, nobody can say which of them are gone.
    deleted = planned_deletes(folder) if DELETES_NAME in plan.files else nobody
    doubt = proven_rows(
        folder,
        lambda frame: frame.with_columns(DOUBT),
        scratch,
        vanished=leaving(nobody, deleted),
    )
    store.change(
        replace(
            _named(known, run),
            key_id=plan.key_id,
            run_mark="",
            is_final=False,
            watermark=_watermark(known, plan, is_confirmed=False),
        ),
        doubt.of,
        n_told=doubt.sent.n_rows(),
        is_anew=known.key_id != plan.key_id,
    )


def confirm(
    store: StateStore, journal: Journal, work_dir: Path, scratch: Path
) -> PipelineError | None:
    """
    Catch up at the end of a run; return what kept the state from learning of it.

    The run is over and its rows are proven in the journal, so the next plan of this
    work folder makes up for it.

    Raises:
        CannotWriteError, JournalDamagedError, SettingsError: As `catch_up`, of a state
            in the work folder.
    """
    left: PipelineError | None = None
    for attempt in ("first", "again"):
        try:
            catch_up(store, journal, work_dir, scratch / attempt)
        except StaleRunError as error:
            left = error  # seen from what counts now, the run may be another's
        except PipelineError as error:
            if not store.is_shared:
                raise
            is_away = isinstance(error, RemoteError)
            kind = PatienceEndedError if is_away else type(error)
            return kind(
                f"the state could not be brought up to date: {error}. Every proof is "
                "in the journal, and the next plan of this work folder catches up first"
            )
        else:
            return None
    return left


def newest_generation(store: StateStore, journal: Journal) -> int:
    """Return when the newest run of the dataset began, as the journal counts."""
    return max((run.generation for run in _runs(store, journal)), default=0)


def _runs(store: StateStore, journal: Journal) -> list[Run]:
    return [
        run
        for run in journal.runs()
        if (run.workspace, run.dataset) == (store.workspace, store.dataset)
    ]


def _may_be_news(record: StateRecord, run: Run) -> bool:
    if run.generation == record.run_generation:
        return not record.is_final
    return run.generation > record.run_generation


def _is_known(record: StateRecord, run: Run, mark: str) -> bool:
    """Return whether no more is proven of a run than when it was folded in."""
    is_same = run.generation == record.run_generation and mark == record.run_mark
    return is_same and run.state is not RunState.DONE


def _mark(batches: Sequence[BatchOutcome], actions: Mapping[int, ActionState]) -> str:
    text = "\n".join(map(repr, (*batches, *sorted(actions.items()))))
    return hashlib.sha256(text.encode()).hexdigest()


def _plan_of(run: Run, folder: Path) -> tuple[Plan | None, str]:
    """Return the plan of a run, or why there is none."""
    so_that = "so nobody knows what the CRM holds of whom"
    if run.command not in PLANNED_COMMANDS:
        return None, (
            f"run {run.run_id} ({run.command}) sent rows of this dataset without a "
            f"plan, {so_that}"
        )
    try:
        return read_plan(folder), ""
    except (SettingsError, SourceChangedError):
        return None, (
            f"the rows of run {run.run_id} were removed or altered before they were "
            f"confirmed, {so_that}"
        )


def _overtaken(
    store: StateStore,
    record: StateRecord,
    runs: Sequence[Run],
    journal: Journal,
    places: tuple[Path, Path],
) -> CaughtUp:
    """
    Take back what is known of rows that were sent before another work folder's, or
    after: nobody knows.
    """
    work_dir, scratch = places
    ended = {run.generation for run in runs if run.run_id in record.settled}
    last = max(ended, default=0)
    for run in runs:
        batches = journal.outcomes(run.run_id)
        has_acted = batches or journal.actions(run.run_id) or run.purged_at
        if run.generation <= last or not has_acted:
            continue
        folder = work_dir / "runs" / run.run_id
        plan, why = _plan_of(run, folder)
        if plan is None or plan.key_id != record.key_id:
            why = why or (
                f"run {run.run_id} had another key for its digests, so nobody knows "
                "whose rows it sent"
            )
            # Nobody is known from here on, so later runs have nothing to take back.
            settled = _with(record.settled, runs[-1].run_id)
            return CaughtUp(_forgotten(store, replace(record, settled=settled)), (why,))
        record = replace(
            record, settled=_with(record.settled, run.run_id), watermark=None
        )
        sent = proven_rows(
            folder,
            proofs_of(folder, batches, DOUBT),
            scratch / run.run_id,
            vanished=_left(folder, plan, journal),
        )
        record = store.change(record, sent.of, n_told=sent.sent.n_rows())
    return CaughtUp(record)


def _named(record: StateRecord, run: Run) -> StateRecord:
    """Return the record with another run as the last one."""
    settled = record.settled
    if record.is_final and record.run_id not in ("", run.run_id):
        settled = _with(settled, record.run_id)
    return replace(
        record, run_id=run.run_id, run_generation=run.generation, settled=settled
    )


def _with(settled: tuple[str, ...], run_id: str) -> tuple[str, ...]:
    return (*(name for name in settled if name != run_id), run_id)[-_SETTLED_RUNS:]


def _forgotten(store: StateStore, record: StateRecord) -> StateRecord:
    news = replace(record, is_final=True, watermark=None)
    return store.change(news, lambda _buckets: None, n_told=0, is_anew=True)


def _with_seen(
    store: StateStore,
    record: StateRecord | None,
    plan: Plan,
    folder: Path,
    scratch: Path,
) -> StateRecord | None:
    """
    Let the state learn what a plan saw before it was made; its rows come over that.

    The run counts as unknown still, so a crash after this folds both in once more.
    """
    seen = seen_rows(seen_frames(folder, plan), scratch)
    if seen is None:
        return record
    known = record or StateRecord(store.workspace, store.dataset, plan.key_id)
    return store.change(
        replace(known, key_id=plan.key_id),
        seen.of,
        n_told=seen.sent.n_rows(),
        is_anew=known.key_id != plan.key_id,
    )


def _left(folder: Path, plan: Plan, journal: Journal) -> pl.DataFrame:
    """Return who vanished, and whose deletion was begun, as `leaving` does."""
    vanished = vanished_persons(folder)
    if DELETES_NAME not in plan.files:
        return leaving(vanished, vanished.clear())
    return leaving(vanished, begun_persons(folder, journal, plan.plan_id))


def _watermark(
    record: StateRecord, plan: Plan, *, is_confirmed: bool
) -> Watermark | None:
    before = record.watermark if record.key_id == plan.key_id else None
    return kept(
        before, plan.watermark, is_whole=plan.is_whole, is_confirmed=is_confirmed
    )


def _record(
    store: StateStore,
    record: StateRecord | None,
    run: Run,
    plan: Plan,
    *,
    is_confirmed: bool,
) -> StateRecord:
    """Return the record of the state with a run folded in."""
    known = record or StateRecord(store.workspace, store.dataset, plan.key_id)
    nights = known.nights
    # A part of the source says nothing of what is usual for all of it.
    if run.state is RunState.DONE and plan.is_whole:
        figures = plan.figures
        night = Night(
            run.run_id,
            figures.n_read,
            figures.n_persons,
            figures.n_planned,
            figures.given_fields,
        )
        nights = with_night(nights, night)
    return replace(
        _named(known, run),
        key_id=plan.key_id,
        rules=plan.rules,
        nights=nights,
        watermark=_watermark(known, plan, is_confirmed=is_confirmed),
    )
