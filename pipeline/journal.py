"""
The write-ahead record of intents and verdicts: one SQLite file in the work folder.

An attempt is committed before its bytes leave, a verdict after the complete status
line and headers have come. So after a crash every batch is one of: never begun, begun
and unknown, or answered. The file holds row numbers, counts, digests and statuses;
never a value of a row and never a token.

One thread owns the database (`journal_writer`). WAL with `synchronous=FULL`: a commit
survives a power cut. A verdict alone is committed with NORMAL: it survives a kill at
once, and a power cut with the commit that follows it.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.errors import InvariantError
from pipeline.journal_file import Reserve, connect
from pipeline.journal_tables import (
    ATTEMPTS,
    BATCH_TABLES,
    BATCHES,
    FIRST_CHILD_NO,
    INSERT_RUN,
    NEWER_RUN,
    ActionState,
    Run,
    RunState,
    StoredBatch,
    attempt_of,
    batch_of,
    batch_row,
    outcome_of,
    run_of,
    run_row,
    verdict_row,
)
from pipeline.journal_writer import Writer
from pipeline.records import BatchState
from pipeline.resuming import check_newest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from pipeline.journal_tables import Attempt
    from pipeline.records import Batch, BatchOutcome, RowRange, Verdict


Made = TypeVar("Made")
JOURNAL_NAME: Final = "journal.sqlite"
RESERVE_SUFFIX: Final = ".reserve"


class Journal:
    """
    The journal of a work folder; a context manager, safe to use from any thread.

    Methods that a run calls per batch are coroutines: they return once their record is
    on the disk. All others wait for the disk themselves and are for the time before
    and after. Every failure of the disk is a `StateError`; what was committed stays.

    On a full disk nothing new is admitted, while verdicts of what is in flight are
    still recorded, in space kept for them. After an error of the disk itself nothing is
    committed any more, and every method raises.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: Callable[[], float],
        reserve: Reserve,
    ) -> None:
        self._now = now
        self._reserve = reserve
        self._writer = Writer(connection, reserve)

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], float] = time.time) -> Self:
        """
        Open or create the journal, readable by its owner only.

        Args:
            path: The file; its folder exists.
            now: Seconds since 1970.

        Raises:
            JournalDamagedError: It fails SQLite's check.
            SettingsError: A newer version of this tool wrote it.
            CannotWriteError: The file cannot be made or written.

        Effects: the tables of an older version are brought to this one; a copy of the
        old journal stays beside it.
        """
        reserve = Reserve(path.with_name(path.name + RESERVE_SUFFIX))
        return cls(connect(path), now, reserve)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is queued and close; safe to call twice."""
        self._writer.close()

    @property
    def n_commits(self) -> int:
        """Transactions so far: many records share one."""
        return self._writer.n_commits

    # -- before and after a run: these wait --------------------------------------------

    def begin_run(self, run: Run) -> None:
        """
        Record a run before anything of it is sent; `began_at` is now.

        It is the newest of its dataset from here on: an older one cannot be resumed.

        Effects: 4 MiB on the disk until the journal is closed.

        Raises:
            CannotWriteError: The disk has not even that much room.
        """
        self._reserve.take()
        row = run_row(replace(run, began_at=self._now(), state=RunState.OPEN))
        self._writer.wait_for(lambda db: db.execute(INSERT_RUN, row).close())

    def resume_run(
        self, run_id: str, *, versions: Mapping[str, str] | None = None
    ) -> Run:
        """
        Record that a run goes on, before anything of it is sent; return it.

        Args:
            run_id: Of a run that has begun.
            versions: Of now, when they took the place of those it began with.

        Raises:
            StaleRunError: A newer run of its dataset has begun.
            InvariantError: There is no such run.
        """
        self._reserve.take()
        known = self.run(run_id)
        if known is None:
            raise InvariantError(f"the journal has no run {run_id}; please report this")
        again = replace(
            known,
            state=RunState.OPEN,
            ended_at=None,
            exit_code=None,
            n_begun=known.n_begun + 1,
            resumed_at=self._now(),
            versions=dict(versions or known.versions),
        )

        def work(db: sqlite3.Connection) -> None:
            newer = db.execute(NEWER_RUN, (run_id,)).fetchone()
            check_newest(run_id, newer[0] if newer else None)
            _replace_run(db, again)

        self._writer.wait_for(work)
        return again

    def end_run(self, run_id: str, exit_code: int, *, state: RunState) -> None:
        """
        Record that a run is over; without it, it counts as interrupted.

        Args:
            run_id: Of a run that has begun.
            exit_code: What its process ends with.
            state: Whether rows are left to send.
        """
        known = self.run(run_id)
        if known is None:
            raise InvariantError(f"the journal has no run {run_id}; please report this")
        ended = replace(
            known,
            state=state,
            ended_at=self._now(),
            exit_code=exit_code,
        )
        self._writer.wait_for(lambda db: _replace_run(db, ended))

    def forget(self, run_ids: Sequence[str], *, keep_batches: Sequence[str]) -> None:
        """
        Record that the files of runs were removed, and drop their batches.

        Args:
            run_ids: The runs; they stay in the list of runs.
            keep_batches: Those among them whose batches stay, for they can be resumed.
        """
        purged_at = self._now()

        def work(db: sqlite3.Connection) -> None:
            for run_id in run_ids:
                text = (
                    "UPDATE run SET purged_at = coalesce(purged_at, ?) WHERE run_id = ?"
                )
                db.execute(text, (purged_at, run_id)).close()
                if run_id not in keep_batches:
                    for table in ("verdict", "attempt", "batch", "action"):
                        text = f"DELETE FROM {table} WHERE run_id = ?"  # noqa: S608 - a name of ours
                        db.execute(text, (run_id,)).close()

        self._writer.wait_for(work)

    def runs(self) -> list[Run]:
        """Return all runs in the order in which they began."""
        return self._read(run_of, "SELECT * FROM run ORDER BY generation")

    def run(self, run_id: str) -> Run | None:
        """Return one run, if there is one of this name."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def batches(self, run_id: str) -> list[StoredBatch]:
        """
        Return a run's batches and what is proven of them, by ascending number.

        Numbers do not say where a batch stands in its lane: they are given when a batch
        is made, and the one before it may never have been recorded.
        """
        return self._read(batch_of, BATCHES, run_id)

    def outcomes(self, run_id: str) -> list[BatchOutcome]:
        """
        Return what is proven about each batch, in the order of their numbers.

        A child comes after its parent and overrides it for its own rows. Rows that no
        accepted or rejected batch covers in the end are pending.
        """
        return self._read(lambda row: outcome_of(batch_of(row)), BATCHES, run_id)

    def accepted_at(self, run_id: str) -> dict[int, float]:
        """Return when each accepted batch was answered, in seconds since 1970."""
        text = (
            "SELECT batch_no, max(at) FROM verdict WHERE run_id = ? AND state = ? "
            "GROUP BY batch_no"
        )
        return dict(self._select(text, run_id, BatchState.ACCEPTED.value))

    def attempts(self, run_id: str, *, since: float = 0.0) -> list[Attempt]:
        """Return what a run sent from *since* on (seconds since 1970), oldest first."""
        return self._read(attempt_of, ATTEMPTS, run_id, since)

    def actions(self, run_id: str) -> dict[int, ActionState]:
        """Return what is proven of the actions of a run that were begun, by number."""
        text = "SELECT action_no, state FROM action WHERE run_id = ? ORDER BY at, state"
        found: dict[int, ActionState] = {}
        for number, state in self._select(text, run_id):
            if found.get(number) in (None, ActionState.BEGUN):
                found[number] = ActionState(state)
        return found

    def records(
        self, run_id: str, batch_nos: Collection[int] | None = None
    ) -> dict[str, list[tuple[Any, ...]]]:
        """
        Return what is known of a run's batches, for `add_records` of another journal.

        Args:
            batch_nos: Of those alone.
        """
        found = {}
        for table in BATCH_TABLES:
            text = f"SELECT * FROM {table} WHERE run_id = ?"  # noqa: S608 - a name of ours
            rows = self._select(text, run_id)
            found[table] = [
                row for row in rows if batch_nos is None or row[1] in batch_nos
            ]
        return found

    def add_records(self, records: Mapping[str, Sequence[tuple[Any, ...]]]) -> None:
        """Take over records of another journal, all or none; known ones stay."""

        def work(db: sqlite3.Connection) -> None:
            for table, rows in records.items():
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    text = f"INSERT OR IGNORE INTO {table} VALUES ({marks})"  # noqa: S608 - as above
                    db.executemany(text, rows).close()

        self._writer.wait_for(work)

    def next_child_no(self, run_id: str) -> int:
        """Return the number for the next batch that is part of another one."""
        text = "SELECT max(batch_no) FROM batch WHERE run_id = ?"
        highest = self._select(text, run_id)[0][0] or 0
        return max(FIRST_CHILD_NO, highest + 1)

    # -- per batch: these are awaited --------------------------------------------------

    async def intend(self, run_id: str, batch: Batch, *, target_bytes: int) -> None:
        """Commit a batch's membership and first attempt; only then bytes may leave."""
        row = batch_row(run_id, batch, target_bytes)
        attempt = (run_id, batch.batch_no, 1, self._now())
        await self._writer.commit_rows(
            ("batch", row), ("attempt", attempt), admits=True
        )

    async def attempt(self, run_id: str, batch_no: int, n: int) -> None:
        """Commit the n-th attempt (from 2) before its bytes leave."""
        row = (run_id, batch_no, n, self._now())
        await self._writer.commit_rows(("attempt", row), admits=True)

    async def record(
        self,
        run_id: str,
        batch_no: int,
        n: int,
        verdict: Verdict,
        *,
        rejected: Sequence[RowRange] = (),
    ) -> None:
        """
        Commit what the n-th attempt led to; *rejected* rows the service named.

        It outlives this process when the call returns, and the machine with whatever
        is committed next by another method; until then the attempt is unknown to a
        machine that lost its power, and is repeated.
        """
        row = verdict_row(run_id, batch_no, n, verdict, rejected)
        rows = ("verdict", (*row, self._now()))
        await self._writer.commit_rows(rows, flushed=False)

    async def note_action(
        self, run_id: str, action_no: int, state: ActionState
    ) -> None:
        """
        Commit how far an action has come; `begun` before anything of it leaves.

        Each state of an action is recorded once.
        """
        row = (run_id, action_no, state.value, self._now())
        is_new = state is ActionState.BEGUN
        await self._writer.commit_rows(("action", row), admits=is_new)

    def _select(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        return self._read(tuple, text, *values)

    def _read(
        self, make: Callable[[tuple[Any, ...]], Made], text: str, *values: object
    ) -> list[Made]:
        """Return what *make* makes of each row, holding one row of them at a time."""
        made: list[Made] = self._writer.wait_for(
            lambda db: list(map(make, db.execute(text, values)))
        )
        return made


def _replace_run(connection: sqlite3.Connection, run: Run) -> None:
    """Write what can change of a run."""
    connection.execute(
        "UPDATE run SET state = ?, ended_at = ?, exit_code = ?, n_begun = ?, "
        "resumed_at = ?, versions = ? WHERE run_id = ?",
        (
            run.state.value,
            run.ended_at,
            run.exit_code,
            run.n_begun,
            run.resumed_at,
            json.dumps(run.versions, sort_keys=True),
            run.run_id,
        ),
    ).close()


def list_runs(work_dir: Path) -> list[Run]:
    """
    Return the runs that a work folder knows of, the oldest first; none without one.

    Raises:
        JournalDamagedError: The journal cannot be trusted.
        SettingsError: A newer version of this tool wrote it.
    """
    path = work_dir / JOURNAL_NAME
    if not path.exists():
        return []
    with Journal.open(path) as journal:
        return journal.runs()
