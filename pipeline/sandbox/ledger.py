"""
What the server knows of every request: the truth that a client is measured by.

The log of requests holds one line a request, written when its answer is decided; the
truth log holds what happened in the order it happened, so that a test can prove that
everything a client believes accepted was received. No value of any profile is in it,
bodies are named by their digests, and no endpoint shows it.
"""

import sqlite3
import threading
from typing import Final

from pipeline.sandbox.records import (
    BatchRecord,
    Clocks,
    RequestRecord,
    Taken,
    TruthEvent,
    TruthKind,
    batch_record,
    request_record,
    truth_events,
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
    request_no INTEGER PRIMARY KEY, at_s REAL NOT NULL, name TEXT NOT NULL,
    digest TEXT NOT NULL, n_bytes INTEGER NOT NULL, status INTEGER NOT NULL,
    answered INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS truth (
    no INTEGER PRIMARY KEY, at_s REAL NOT NULL, kind TEXT NOT NULL,
    request_no INTEGER NOT NULL, name TEXT, digest TEXT, status INTEGER NOT NULL
);
"""
LAST_REQUEST: Final = (
    "SELECT max(coalesce((SELECT max(request_no) FROM requests), 0), "
    "coalesce((SELECT max(request_no) FROM queue), 0), "
    "coalesce((SELECT max(request_no) FROM truth), 0))"
)
_BATCHES: Final = (
    "SELECT r.request_no, r.at_s, r.digest, r.n_bytes, coalesce(q.n_items, 0), "
    "r.status, r.answered, coalesce(q.applied = 1, 0), coalesce(q.effects, '{}') "
    "FROM requests r LEFT JOIN queue q USING (request_no) WHERE r.name = ? "
    "ORDER BY r.request_no"
)
_TAKEN: Final = (
    "SELECT count(*), coalesce(sum(n_items), 0), coalesce(sum(n_all), 0) FROM ("
    "SELECT max(q.n_items) AS n_items, sum(q.n_items) AS n_all FROM queue q "
    "JOIN requests r USING (request_no) WHERE r.name = ? GROUP BY r.digest)"
)
_TRUTH: Final = (
    "SELECT at_s, kind, request_no, name, digest, status FROM truth ORDER BY no"
)


class Ledger:
    """
    Both logs of one workspace, in the database of its store and under its lock.

    Args:
        lock: Reentrant; the store holds it while it writes.
    """

    def __init__(
        self, db: sqlite3.Connection, lock: threading.RLock, clocks: Clocks
    ) -> None:
        self._db = db
        self._lock = lock
        self._clocks = clocks

    def receive(self, request_no: int, name: str, digest: str) -> None:
        """Note that the whole body of a request is here, whatever becomes of it."""
        self._write(TruthKind.RECEIVED, request_no, 0, name, digest)

    def tell(self, kind: TruthKind, request_no: int, status: int = 0) -> None:
        """Note what happened to a request."""
        self._write(kind, request_no, status, None, None)

    def log(self, record: RequestRecord) -> None:
        """Keep a request; a status that leaves is in the truth log as well."""
        with self._lock:
            if record.answered:
                self.tell(TruthKind.ANSWERED, record.request_no, record.status)
            self._db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)", record.to_row()
            )

    def requests(self) -> list[RequestRecord]:
        """Return every request in the order of arrival."""
        with self._lock:
            found = self._db.execute("SELECT * FROM requests ORDER BY request_no")
            return [request_record(row) for row in found]

    def batches(self) -> list[BatchRecord]:
        """Return every batch request in the order of arrival."""
        with self._lock:
            found = self._db.execute(_BATCHES, ("batch",))
            return [batch_record(row) for row in found]

    def taken(self) -> Taken:
        """Count the batches that were accepted into the queue so far."""
        with self._lock:
            n_batches, n_items, n_all = self._db.execute(_TAKEN, ("batch",)).fetchone()
        return Taken(n_batches, n_items, n_all - n_items)

    def truth(self) -> list[TruthEvent]:
        """Return everything that happened, in the order it happened."""
        with self._lock:
            return truth_events(self._db.execute(_TRUTH))

    def _write(
        self,
        kind: TruthKind,
        request_no: int,
        status: int,
        name: str | None,
        digest: str | None,
    ) -> None:
        with self._lock:
            self._db.execute(
                "INSERT INTO truth VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                (self._clocks.now(), kind.value, request_no, name, digest, status),
            )
