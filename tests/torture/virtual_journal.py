"""
The product's journal with its thread taken out: a flush takes virtual time.

SQL, groups, order and errors are the product's own. A kill may come while a group is
on its way to the disk; then it landed or not, and nobody was told.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from pipeline.journal import Journal
from pipeline.journal_file import Reserve, connect
from pipeline.journal_writer import MAX_GROUP, Writer, _Operation, _tell

Observer = Callable[[sqlite3.Connection], None]


class NoReserve(Reserve):
    """No space is kept: what a full disk does is proven elsewhere."""

    def take(self) -> None:
        pass


class VirtualWriter(Writer):
    """
    Commits on the event loop what gathered while the last flush took its time.

    `on_commit` is called when a group is on the disk and nobody was told yet.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        flush_s: Callable[[], float],
        on_commit: Observer,
    ) -> None:
        super().__init__(connection, NoReserve(Path()))
        self._flush_s = flush_s
        self._on_commit = on_commit
        self._group: list[_Operation] = []
        self._is_dead = False

    def kill(self, *, landed: bool) -> None:
        """End as a killed process does; what was on its way landed, or did not."""
        if not self._is_dead:
            if landed and self._group:
                self._commit(self._group)
            self._is_dead = True
            super().close()

    def close(self) -> None:
        """Commit what is queued and close, as the product does."""
        if not self._is_dead:
            group = [*self._group, *self._queue]
            self._commit(group)
            _tell(group)
            self._is_dead = True
            super().close()

    def _serve(self) -> None:
        """End the thread at once."""

    def _submit(self, operation: _Operation) -> None:
        if isinstance(operation.waiter, Future):
            if not self._is_dead:
                self._commit([operation])
                self._on_commit(self._connection)
            if self._is_dead:
                raise asyncio.CancelledError
            _tell([operation])
        elif not self._is_dead:  # or nobody will ever be told
            self._queue.append(operation)
            if not self._group:
                self._flush()

    def _commit(self, group: list[_Operation]) -> None:
        """Write verdicts first, as the thread of the product does."""
        for flushed in (False, True):
            part = [one for one in group if one.flushed is flushed]
            if part:
                super()._commit(part)

    def _flush(self) -> None:
        n = min(len(self._queue), MAX_GROUP)
        self._group = [self._queue.popleft() for _ in range(n)]
        asyncio.get_running_loop().call_later(self._flush_s(), self._land)

    def _land(self) -> None:
        if self._is_dead:
            return
        group, self._group = self._group, []
        self._commit(group)
        self._on_commit(self._connection)
        if not self._is_dead:
            _tell(group)
            if self._queue:
                self._flush()


class VirtualJournal(Journal):
    """A journal of the product on a `VirtualWriter`."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], float],
        flush_s: Callable[[], float],
        on_commit: Observer,
    ) -> None:
        self._now = now
        self._reserve = NoReserve(path)
        self._writer = self.writer = VirtualWriter(connect(path), flush_s, on_commit)
