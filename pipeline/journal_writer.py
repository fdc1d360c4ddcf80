"""
The thread that owns the journal's database, and groups what it commits.

It commits whatever has gathered while it was busy together, so durability costs one
disk flush a group, not one a batch, and the event loop never waits for the disk.

What need not outlive the machine before anything else happens (a verdict) is written
before the rest and not flushed: it outlives the process at once, and the machine with
the next flush. An earlier flush would only keep a place in flight empty meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import CannotWriteError, InvariantError, JournalDamagedError
from pipeline.journal_file import disk_errors, is_disk_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.journal_file import Reserve

    Work = Callable[[sqlite3.Connection], Any]
    Rows = tuple[tuple[str, tuple[Any, ...]], ...]

MAX_GROUP: Final = 256
GATHER_S: Final = 0.003  # between two commits; what comes meanwhile shares the next


@dataclass(slots=True)
class _Operation:
    """
    Rows to insert, each with its table; work to do after them; whoever waits.

    One that *admits* lets bytes leave when it is done. One that is not *flushed* is
    done when it is in the file, which outlives the process but perhaps not the machine.
    """

    waiter: Future[Any] | asyncio.Future[Any]
    rows: Rows = ()
    work: Work | None = None
    admits: bool = False
    flushed: bool = True
    result: Any = None
    error: Exception | None = None


class Writer:
    """
    Does one piece of work after the other, from any thread or event loop.

    On a full disk nothing new is admitted, while verdicts of what is in flight are
    still committed, in the space that *reserve* keeps. After an error of the disk
    itself nothing is committed any more, and every call raises.

    Attributes:
        n_commits: Transactions so far.
    """

    def __init__(self, connection: sqlite3.Connection, reserve: Reserve) -> None:
        self.n_commits = 0
        self._connection = connection
        self._reserve = reserve
        self._is_full = False  # the thread's, as the next one
        self._broken: JournalDamagedError | None = None
        self._wake = threading.Condition()
        self._queue: deque[_Operation] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued and close the database; safe to call twice."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()
        self._reserve.release()

    def wait_for(self, work: Work) -> Any:  # noqa: ANN401 - what the work returns
        """Do *work* in a transaction, and wait until it is on the disk."""
        waiter: Future[Any] = Future()
        self._submit(_Operation(waiter, work=work))
        return waiter.result()

    async def commit_rows(
        self,
        *rows: tuple[str, tuple[Any, ...]],
        admits: bool = False,
        flushed: bool = True,
    ) -> None:
        """Insert rows, each with its table; return once they are kept."""
        waiter = asyncio.get_running_loop().create_future()
        self._submit(_Operation(waiter, rows, admits=admits, flushed=flushed))
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
                self._wake.wait_for(self._is_urgent, GATHER_S)
                while not self._queue and not self._is_closed:
                    self._wake.wait()
                n = min(len(self._queue), MAX_GROUP)
                group = [self._queue.popleft() for _ in range(n)]
            if not group:
                return
            for flushed in (False, True):
                part = [
                    operation for operation in group if operation.flushed is flushed
                ]
                if part:
                    self._commit(part)
                    _tell(part)

    def _is_urgent(self) -> bool:
        """Return whether a place in flight waits for what is queued."""
        return self._is_closed or any(not one.flushed for one in self._queue)

    def _commit(self, group: list[_Operation]) -> None:
        """Do all of it in one transaction; if that fails, each in one of its own."""
        level = "FULL" if group[0].flushed else "NORMAL"
        if self._broken is not None or self._is_full:
            group = self._turn_away(group)
        if not group:
            return
        try:
            with disk_errors("the journal"):
                self._connection.execute(f"PRAGMA synchronous = {level}")
                self._transact(group)
        except JournalDamagedError as error:
            self._broken = error
            self._turn_away(group)
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            if is_disk_full(error) and self._reserve.release():
                self._is_full = True
                self._commit(group)
            elif len(group) == 1:
                group[0].error = error
            else:
                for operation in group:
                    self._commit([operation])

    def _turn_away(self, group: list[_Operation]) -> list[_Operation]:
        """Refuse what cannot be done any more; return the rest."""
        for operation in group:
            if self._broken is not None:
                operation.error = JournalDamagedError(str(self._broken))
            elif operation.admits:
                operation.error = CannotWriteError(
                    "the disk of the journal is full; nothing more is sent, and what "
                    "was answered is recorded. Free the disk, then run the same command"
                )
        return [operation for operation in group if operation.error is None]

    def _transact(self, group: list[_Operation]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            _insert(self._connection, group)
            for operation in group:
                if operation.work is not None:
                    operation.result = operation.work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            # What went wrong first is what is told.
            with suppress(sqlite3.Error):
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
