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

import polars as pl

from pipeline.delta.changes import DELETED, MADE, Proof
from pipeline.delta.deleting import begun_persons
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import KEY_COLUMNS, bucket_of, field_columns
from pipeline.delta.plan import DELETES_NAME, ROWS_NAME, Night
from pipeline.delta.plan_files import (
    absent_persons,
    planned_assembly,
    planned_deletes,
    planned_frames,
    read_plan,
    seen_frames,
    vanished_persons,
)
from pipeline.delta.state import StateRecord, with_night
from pipeline.errors import (
    AccessError,
    PatienceEndedError,
    RemoteError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
)
from pipeline.journal_tables import RunState
from pipeline.records import ROW_KEY, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.delta.plan import Plan
    from pipeline.delta.state import StateStore
    from pipeline.errors import PipelineError
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
        proven = replace(
            _proven(
                folder,
                _proofs(folder, batches),
                scratch / run.run_id,
                absent_persons(folder, plan),
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
    doubt = _proven(folder, lambda frame: frame.with_columns(_DOUBT), scratch, None)
    if DELETES_NAME in plan.files:
        # Should this machine be lost, nobody can say which of them are gone.
        doubt = replace(
            doubt,
            vanished=_leaving(
                vanished_persons(folder).clear(), planned_deletes(folder)
            ),
        )
    store.change(
        replace(_named(known, run), key_id=plan.key_id, run_mark="", is_final=False),
        doubt.bucket,
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
        CannotWriteError, JournalDamagedError, SettingsError: As `catch_up`.
    """
    left: PipelineError | None = None
    for attempt in ("first", "again"):
        try:
            catch_up(store, journal, work_dir, scratch / attempt)
        except StaleRunError as error:
            left = error  # seen from what counts now, the run may be another's
        except (RemoteError, AccessError) as error:
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
    settled = {run.generation for run in runs if run.run_id in record.settled}
    last = max(settled, default=0)
    for run in runs:
        batches = journal.outcomes(run.run_id)
        if run.generation <= last or not (batches or run.purged_at):
            continue
        folder = work_dir / "runs" / run.run_id
        plan, why = _plan_of(run, folder)
        record = replace(record, settled=_with(record.settled, runs[-1].run_id))
        if plan is None or plan.key_id != record.key_id:
            why = why or (
                f"run {run.run_id} had another key for its digests, so nobody knows "
                "whose rows it sent"
            )
            return CaughtUp(_forgotten(store, record), (why,))
        record = replace(record, settled=_with(record.settled, run.run_id))
        doubts = _proofs(folder, batches, _DOUBT)
        sent = replace(
            _proven(folder, doubts, scratch / run.run_id, None),
            vanished=_left(folder, plan, journal),
        )
        record = store.change(record, sent.bucket)
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
    news = replace(record, is_final=True)
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
    return _leaving(vanished.join(deleted, on=KEY_COLUMNS, how="anti"), deleted)


def _leaving(vanished: pl.DataFrame, deleted: pl.DataFrame) -> pl.DataFrame:
    parts = [
        persons.select(KEY_COLUMNS).with_columns(pl.lit(is_deleted).alias(DELETED))
        for persons, is_deleted in ((vanished, False), (deleted, True))
    ]
    return pl.concat(parts).with_columns(bucket_of())


def _proven(
    folder: Path,
    proofs: Callable[[pl.DataFrame], pl.DataFrame],
    scratch: Path,
    absent: pl.DataFrame | None,
) -> _Proven:
    """
    Return what is to be known of the rows of a plan.

    Args:
        proofs: Returns the planned rows that were sent, with a column proof.
        absent: `KEY_COLUMNS` of whom the CRM did not have when it was asked.
    """
    fields = field_columns(pl.read_parquet_schema(folder / ROWS_NAME))
    with DigestSet(scratch) as sent:
        for frame in planned_frames(folder):
            rows = proofs(frame)
            told = [*KEY_COLUMNS, "proof", *fields]
            if absent is not None:
                made = absent.with_columns(pl.lit(value=True).alias(MADE))
                rows = rows.join(made, on=KEY_COLUMNS, how="left")
                told.append(MADE)
            sent.add(rows.select(told))
    return _Proven(sent, fields, pl.DataFrame(schema=_NOBODY))


_NAMES: Final = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
_NOBODY: Final[dict[str, pl.DataType]] = {**_NAMES, "bucket": pl.UInt32()}
_DOUBT: Final = pl.lit(Proof.DOUBTFUL.value).alias("proof")
_BY_STATE: Final = (
    pl.when(pl.col("state") == State.ACCEPTED.value)
    .then(pl.lit(Proof.ACCEPTED.value))
    .otherwise(pl.lit(Proof.DOUBTFUL.value))
    .alias("proof")
)


def _proofs(
    folder: Path, batches: Sequence[BatchOutcome], proof: pl.Expr = _BY_STATE
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return what says of planned rows what the journal proves of them."""
    assembly = planned_assembly(folder, batches)

    def proofs(frame: pl.DataFrame) -> pl.DataFrame:
        told = assembly.outcomes(frame.select(ROW_KEY))
        known = told.filter(pl.col("batch_no").is_not_null()).select(*ROW_KEY, proof)
        return frame.join(known, on=ROW_KEY, how="inner")

    return proofs


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
        _named(known, run), key_id=plan.key_id, rules=plan.rules, nights=nights
    )
