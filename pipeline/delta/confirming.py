"""
The journal's proofs become state: what was accepted is known, what was sent without a
proof is known no more.

`catch_up` folds in whatever runs of the dataset the state does not know yet. It may be
interrupted at any instant and repeated at will.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import DELETED, MADE, Proof
from pipeline.delta.deleting import begun_persons
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import KEY_COLUMNS, bucket_of, field_columns
from pipeline.delta.plan import DELETES_NAME, ROWS_NAME, Night
from pipeline.delta.plan_files import (
    absent_persons,
    planned_assembly,
    planned_frames,
    read_plan,
    seen_frames,
    vanished_persons,
)
from pipeline.delta.state import StateRecord, with_night
from pipeline.errors import SettingsError, SourceChangedError
from pipeline.journal_tables import RunState
from pipeline.records import ROW_KEY, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.delta.plan import Plan
    from pipeline.delta.state import StateStore
    from pipeline.journal import Journal
    from pipeline.journal_tables import ActionState, Run
    from pipeline.records import BatchOutcome

# What runs that a plan was made for are recorded under.
PLANNED_COMMANDS: Final = ("apply", "sync")


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
                record = _forgotten(store, record, run)
            continue
        is_final = run.state is RunState.DONE or run is not runs[-1]
        record = _with_seen(store, record, plan, folder, scratch / f"{run.run_id}-seen")
        proven = replace(
            _proven(
                folder, batches, scratch / run.run_id, absent_persons(folder, plan)
            ),
            vanished=_left(folder, plan, journal),
        )
        news = _record(store, record, run, plan)
        record = store.change(
            replace(news, run_mark=mark, is_final=is_final),
            proven.bucket,
            is_anew=record is not None and record.key_id != plan.key_id,
        )
    return CaughtUp(record, tuple(reasons))


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


def _forgotten(store: StateStore, record: StateRecord, run: Run) -> StateRecord:
    news = replace(record, run_generation=run.generation, is_final=True)
    return store.change(news, lambda _bucket: None, is_anew=True)


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
    columns: list[str] = []
    with DigestSet(scratch) as seen:
        for frame in seen_frames(folder, plan):
            columns = field_columns(frame.columns)
            accepted = pl.lit(Proof.ACCEPTED.value).alias("proof")
            seen.add(frame.select(*KEY_COLUMNS, accepted, *columns))
    if not columns:
        return record
    nobody = pl.DataFrame(schema=_NOBODY)
    known = record or StateRecord(store.workspace, store.dataset, plan.key_id)
    return store.change(
        replace(known, key_id=plan.key_id),
        _Proven(seen, columns, nobody).bucket,
        is_anew=known.key_id != plan.key_id,
    )


@dataclass(frozen=True, slots=True)
class _Proven:
    """
    What a run proves.

    Attributes:
        sent: As `changes.overlay` takes it.
        fields: The digest columns.
        vanished: `KEY_COLUMNS`, bucket.
    """

    sent: DigestSet
    fields: Sequence[str]
    vanished: pl.DataFrame

    def bucket(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        schema = {
            **_NAMES,
            "proof": pl.String(),
            **dict.fromkeys(self.fields, pl.UInt64()),
        }
        sent = self.sent.read(number)
        gone = self.vanished.filter(pl.col("bucket") == number)
        return pl.DataFrame(schema=schema) if sent is None else sent, gone


def _left(folder: Path, plan: Plan, journal: Journal) -> pl.DataFrame:
    """Return who vanished, and whose deletion was begun: `KEY_COLUMNS`, `DELETED`."""
    vanished = vanished_persons(folder)
    deleted = vanished.clear()
    if DELETES_NAME in plan.files:
        deleted = begun_persons(folder, journal, plan.plan_id)
    others = vanished.join(deleted, on=KEY_COLUMNS, how="anti")
    parts = [
        others.with_columns(pl.lit(value=False).alias(DELETED)),
        deleted.with_columns(pl.lit(value=True).alias(DELETED)),
    ]
    return pl.concat(parts).with_columns(bucket_of())


def _proven(
    folder: Path,
    batches: Sequence[BatchOutcome],
    scratch: Path,
    absent: pl.DataFrame | None,
) -> _Proven:
    assembly = planned_assembly(folder, batches)
    columns = pl.read_parquet_schema(folder / ROWS_NAME)
    fields = field_columns(columns)
    with DigestSet(scratch) as sent:
        for frame in planned_frames(folder):
            ended = assembly.outcomes(frame.select(ROW_KEY))
            known = ended.filter(pl.col("batch_no").is_not_null()).select(
                *ROW_KEY, _proof()
            )
            rows = frame.join(known, on=ROW_KEY, how="inner")
            told = [*KEY_COLUMNS, "proof", *fields]
            if absent is not None:
                made = absent.with_columns(pl.lit(value=True).alias(MADE))
                rows = rows.join(made, on=KEY_COLUMNS, how="left")
                told.append(MADE)
            sent.add(rows.select(told))
    return _Proven(sent, fields, pl.DataFrame(schema=_NOBODY))


_NAMES: Final = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
_NOBODY: Final[dict[str, pl.DataType]] = {**_NAMES, "bucket": pl.UInt32()}


def _proof() -> pl.Expr:
    return (
        pl.when(pl.col("state") == State.ACCEPTED.value)
        .then(pl.lit(Proof.ACCEPTED.value))
        .otherwise(pl.lit(Proof.DOUBTFUL.value))
        .alias("proof")
    )


def _record(
    store: StateStore, record: StateRecord | None, run: Run, plan: Plan
) -> StateRecord:
    """Return the record of the state with a run folded in."""
    known = record or StateRecord(store.workspace, store.dataset, plan.key_id)
    nights = known.nights
    if run.state is RunState.DONE:
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
        known,
        key_id=plan.key_id,
        rules=plan.rules,
        run_generation=run.generation,
        nights=nights,
    )
