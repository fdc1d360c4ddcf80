"""
The write-ahead record of intents and verdicts: one SQLite file in the work folder.

An attempt is committed before its bytes leave, a verdict after the complete status
line and headers have come. So after a crash every batch is one of: never begun, begun
and unknown, or answered. The file holds row numbers, counts, digests and statuses;
never a value of a row and never a token.

One thread owns the database. It commits whatever has gathered while it was busy in one
transaction, so durability costs one disk flush a group, not one a batch, and the
event loop never waits for the disk. WAL with `synchronous=FULL`: a commit survives a
power cut.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import (
    CannotWriteError,
    InvariantError,
    JournalDamagedError,
    LockedError,
)
from pipeline.journal_tables import (
    FIRST_CHILD_NO,
    OUTCOMES,
    SCHEMA,
    SCHEMA_VERSION,
    Run,
    StoredBatch,
    batch_of,
    batch_row,
    outcome_of,
    run_of,
    run_row,
    verdict_row,
)
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from pipeline.records import Batch, BatchOutcome, RowRange, Verdict

    _Work = Callable[[sqlite3.Connection], Any]
    _Rows = tuple[tuple[str, tuple[Any, ...]], ...]

JOURNAL_NAME: Final = "journal.sqlite"
LOCK_NAME: Final = "lock"
MAX_GROUP: Final = 256
GATHER_S: Final = 0.003  # between two commits; what comes meanwhile shares the next


@dataclass(slots=True)
class _Operation:
    """Rows to insert, each with its table; work to do after them; whoever waits."""

    waiter: Future[Any] | asyncio.Future[Any]
    rows: _Rows = ()
    work: _Work | None = None
    result: Any = None
    error: Exception | None = None


class Journal:
    """
    The journal of a work folder; a context manager, safe to use from any thread.

    Methods that a run calls per batch are coroutines: they return once their record is
    on the disk. All others wait for the disk themselves and are for the time before
    and after. Every failure of the disk is a `StateError`; what was committed stays.
    """

    def __init__(
        self, connection: sqlite3.Connection, now: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._now = now
        self._wake = threading.Condition()
        self._queue: deque[_Operation] = deque()
        self._is_closed = False
        self.n_commits = 0
        self._writer = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], float] = time.time) -> Self:
        """
        Open or create the journal, readable by its owner only.

        Args:
            path: The file; its folder exists.
            now: Seconds since 1970.

        Raises:
            JournalDamagedError: It fails SQLite's check, or is of a newer version.
            CannotWriteError: The file cannot be made or written.
        """
        with _disk(path.name):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            with ExitStack() as on_failure:
                connection = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False
                )
                on_failure.callback(connection.close)
                _prepare(connection)
                on_failure.pop_all()
        return cls(connection, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is queued and close; safe to call twice."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        self._writer.join()
        self._connection.close()

    # -- before and after a run: these wait --------------------------------------------

    def begin_run(self, run: Run) -> None:
        """Record a run before anything of it is sent; `began_at` is now."""
        row = run_row(replace(run, began_at=self._now()))
        self._wait_for(rows=(("run", row),))

    def end_run(self, run_id: str, exit_code: int) -> None:
        """Record that a run is over; without it, it counts as interrupted."""
        text = "UPDATE run SET ended_at = ?, exit_code = ? WHERE run_id = ?"
        values = (self._now(), exit_code, run_id)
        self._wait_for(lambda db: db.execute(text, values).close())

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        return list(map(run_of, self._select("SELECT * FROM run ORDER BY began_at")))

    def run(self, run_id: str) -> Run | None:
        """Return one run, if there is one of this name."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def batches(self, run_id: str) -> list[StoredBatch]:
        """Return the memberships of a run's batches, in the order of their numbers."""
        text = "SELECT * FROM batch WHERE run_id = ? ORDER BY batch_no"
        return list(map(batch_of, self._select(text, run_id)))

    def outcomes(self, run_id: str) -> list[BatchOutcome]:
        """
        Return what is proven about each batch, in the order of their numbers.

        A child comes after its parent and overrides it for its own rows. Rows that no
        accepted or rejected batch covers in the end are pending.
        """
        return list(map(outcome_of, self._select(OUTCOMES, run_id)))

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
        await self._commit_rows(("batch", row), ("attempt", attempt))

    async def attempt(self, run_id: str, batch_no: int, n: int) -> None:
        """Commit the n-th attempt (from 2) before its bytes leave."""
        row = (run_id, batch_no, n, self._now())
        await self._commit_rows(("attempt", row))

    async def record(
        self,
        run_id: str,
        batch_no: int,
        n: int,
        verdict: Verdict,
        *,
        rejected: Sequence[RowRange] = (),
    ) -> None:
        """Commit what the n-th attempt led to; *rejected* rows the service named."""
        row = verdict_row(run_id, batch_no, n, verdict, rejected)
        await self._commit_rows(("verdict", (*row, self._now())))

    # -- the writer thread -------------------------------------------------------------

    def _select(self, text: str, *values: object) -> list[Any]:
        rows: list[Any] = self._wait_for(lambda db: db.execute(text, values).fetchall())
        return rows

    def _wait_for(self, work: _Work | None = None, rows: _Rows = ()) -> Any:  # noqa: ANN401 - what the work returns
        waiter: Future[Any] = Future()
        self._submit(_Operation(waiter, rows, work))
        return waiter.result()

    async def _commit_rows(self, *rows: tuple[str, tuple[Any, ...]]) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._submit(_Operation(waiter, rows))
        await waiter

    def _submit(self, operation: _Operation) -> None:
        with self._wake:
            if self._is_closed:
                raise InvariantError("the journal is closed; please report this")
            self._queue.append(operation)
            self._wake.notify()

    def _serve(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._is_closed:
                    self._wake.wait()
                n = min(len(self._queue), MAX_GROUP)
                group = [self._queue.popleft() for _ in range(n)]
            if not group:
                return
            self._commit(group)
            _tell(group)
            time.sleep(GATHER_S)

    def _commit(self, group: list[_Operation]) -> None:
        """Do all of it in one transaction; if that fails, each in one of its own."""
        try:
            with _disk("the journal"):
                self._transact(group)
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            if len(group) == 1:
                group[0].error = error
                return
            for operation in group:
                self._commit([operation])

    def _transact(self, group: list[_Operation]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            _insert(self._connection, group)
            for operation in group:
                if operation.work is not None:
                    operation.result = operation.work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.n_commits += 1


def _tell(group: list[_Operation]) -> None:
    """Settle all waiters, those of an event loop with one call into it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Operation]] = {}
    for operation in group:
        if isinstance(operation.waiter, Future):
            _settle([operation])
        else:
            by_loop.setdefault(operation.waiter.get_loop(), []).append(operation)
    for loop, operations in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, operations)


def _settle(operations: list[_Operation]) -> None:
    for operation in operations:
        waiter, error = operation.waiter, operation.error
        if waiter.done():
            continue  # a cancelled task; the work is committed all the same
        if error is None:
            waiter.set_result(operation.result)
        else:
            waiter.set_exception(error)


@contextmanager
def _disk(name: str) -> Iterator[None]:
    """Turn what SQLite and the disk report into errors of this tool."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise InvariantError(
            "a record of the journal was to be written twice; please report this"
        ) from None
    except (sqlite3.OperationalError, sqlite3.InterfaceError) as error:
        raise CannotWriteError(
            f"the journal ({name}) cannot be written: {error}; free the disk or the "
            "folder, then run the same command; nothing is lost"
        ) from error
    except sqlite3.DatabaseError as error:
        raise JournalDamagedError(
            f"the journal ({name}) is damaged: {error}; keep a copy, move the file "
            "away and begin a fresh run; sending rows a second time does no harm"
        ) from error
    except OSError as error:
        raise CannotWriteError(
            f"the journal ({name}) cannot be opened: {error.strerror}; "
            "check the work folder and its owner"
        ) from error


def _prepare(connection: sqlite3.Connection) -> None:
    """Check the file, set the durability, create the tables of a new one."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS; elsewhere without effect
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"quick_check: {found}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        done = f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {done}")
    elif version != SCHEMA_VERSION:
        raise JournalDamagedError(
            f"the journal has version {version} and this tool writes version "
            f"{SCHEMA_VERSION}; use the version of the tool that began the run"
        )


def _insert(connection: sqlite3.Connection, group: list[_Operation]) -> None:
    """
    Insert all rows of a group, one statement a table.

    Every statement gives the interpreter lock away and has to win it back from a busy
    event loop: one a row would halve what the loop can send.
    """
    by_table: dict[str, list[tuple[Any, ...]]] = {}
    for operation in group:
        for table, row in operation.rows:
            by_table.setdefault(table, []).append(row)
    for table, rows in by_table.items():
        marks = f"({', '.join('?' * len(rows[0]))})"
        text = f"INSERT INTO {table} VALUES {', '.join([marks] * len(rows))}"  # noqa: S608 - a name of ours
        # A cursor must not outlive this: freed in another thread, it would reset a
        # statement in use (seen as "bad parameter or other API misuse").
        connection.execute(text, list(chain.from_iterable(rows))).close()


@contextmanager
def lock_folder(
    folder: Path, *, now: Callable[[], float] = time.time
) -> Iterator[None]:
    """
    Hold the work folder alone; a dead process holds nothing.

    Raises:
        LockedError: Another process holds it; the message names it.
        CannotWriteError: The folder cannot be written.
    """
    with _disk(LOCK_NAME):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(folder / LOCK_NAME, flags, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = printable(os.pread(handle, 200, 0).decode(errors="replace"))
            raise LockedError(
                f"another run holds this work folder ({holder or 'just started'}); "
                "wait for it, or use another --work-dir for another workspace"
            ) from None
        began = datetime.fromtimestamp(now(), UTC).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}, since {began}".encode(), 0)
        yield
    finally:
        os.close(handle)


def list_runs(work_dir: Path) -> list[Run]:
    """
    Return the runs that a work folder knows of, the oldest first; none without one.

    Raises:
        JournalDamagedError: The journal cannot be trusted.
    """
    path = work_dir / JOURNAL_NAME
    if not path.exists():
        return []
    with Journal.open(path) as journal:
        return journal.runs()
