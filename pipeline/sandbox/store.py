"""
The workspace in SQLite: profiles, their identifiers, waiting writes, and the log.

Writes wait until they are due and are then applied, in order, before anything is
read; there is no background task, so a test moves the clock and nothing else.
One lock guards one connection: the store may be used from any thread. The log and
the counts are the server's truth, for tests to compare with what a client believes.
"""

import json
import math
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pipeline.sandbox import facts, rows
from pipeline.sandbox.ledger import LAST_REQUEST, SCHEMA, Ledger
from pipeline.sandbox.listing import EntriesQuery, Query
from pipeline.sandbox.matching import index_key, linking_keys, sole_phone
from pipeline.sandbox.profiles import Profile, stamp_of
from pipeline.sandbox.records import (
    BatchRecord,
    Clocks,
    RequestRecord,
    TruthEvent,
    TruthKind,
)
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.writes import Bench, Write, apply_writes, in_order

_PLACES: Final = ", ".join("?" * rows.N_COLUMNS)
_SELECT: Final = f"SELECT {rows.COLUMNS} FROM profiles"  # noqa: S608 - constants
_PUT: Final = f"INSERT OR REPLACE INTO profiles VALUES ({_PLACES})"  # noqa: S608
_PAGE: Final = f"{_SELECT} WHERE client_id > ? ORDER BY client_id LIMIT 1000"
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_BY_IDS: Final = f"{_SELECT} WHERE client_id {_AMONG}"
_BY_PHONE: Final = f"SELECT client_id FROM profiles WHERE phone {_AMONG}"  # noqa: S608
_BY_KEYS: Final = f"SELECT client_id FROM identifiers WHERE kind = ? AND key {_AMONG}"  # noqa: S608
_OWNER: Final = (
    f"{_SELECT} WHERE client_id = "  # noqa: S608
    "(SELECT client_id FROM identifiers WHERE kind = ? AND key = ?)"
)
_FORGET: Final = "DELETE FROM identifiers WHERE kind = ? AND key = ? AND client_id = ?"
_WAITING: Final = (
    "SELECT request_no, payload FROM queue WHERE applied = 0 AND due_s <= ? "
    "ORDER BY due_s, request_no LIMIT 1"
)
# The column `applied` of the queue; 1 means that it has been.
_WAITS: Final = 0
_LOST: Final = 2
_MOST_HELD: Final = 64  # requests whose writes need not be read back


def _fold(value: str | float | None) -> str | float | None:
    return value.casefold() if isinstance(value, str) else value


def _texts(values: Iterable[str | int]) -> tuple[str]:
    return (json.dumps(list(values)),)


class Store:
    """
    The state of one workspace.

    Args:
        database: A path, or ":memory:". A file keeps everything, waiting writes
            included, but does not survive a loss of power.
        settle_s: Seconds between the acceptance of a write and its effect.

    Attributes:
        ledger: What is known of the requests.
    """

    def __init__(
        self, database: str, rules: Switches, settle_s: float, clocks: Clocks
    ) -> None:
        self.max_concurrent_batches = 0
        self._rules = rules
        self._settle_s = settle_s
        self._clocks = clocks
        self._lock = threading.RLock()
        self._db = sqlite3.connect(
            database, isolation_level=None, check_same_thread=False
        )
        self._closer = weakref.finalize(self, self._db.close)
        self._db.create_function("fold", 1, _fold, deterministic=True)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(rows.SCHEMA + SCHEMA)
        self.ledger = Ledger(self._db, self._lock, clocks)
        self._n_batches = 0
        self._held: dict[int, Sequence[Write]] = {}
        self._request_no = self._one(LAST_REQUEST)
        # Times of another process mean nothing here: what waited is due now.
        self._db.execute(
            "UPDATE queue SET due_s = ? WHERE applied = 0", (clocks.now(),)
        )
        self._next_due_s = self._earliest_due_s()

    def close(self) -> None:
        """Close the database; the store is unusable afterwards."""
        with self._lock:
            self._closer()

    # --- writes ----------------------------------------------------------------------

    def enqueue(
        self, request_no: int, writes: Sequence[Write], extra_s: float = 0.0
    ) -> None:
        """
        Accept writes; they take effect, in this order, when they have settled.

        Args:
            extra_s: Seconds beyond the settle time; infinite: they are accepted and
                forgotten.
        """
        with self._lock:
            due_s = self._clocks.now() + self._settle_s + extra_s
            is_lost = math.isinf(due_s)
            self._db.execute(
                "INSERT INTO queue VALUES (?, ?, ?, ?, ?, '{}')",
                (
                    request_no,
                    due_s,
                    None if is_lost else rows.to_payload(writes),
                    len(writes),
                    _LOST if is_lost else _WAITS,
                ),
            )
            kind = TruthKind.LOST if is_lost else TruthKind.QUEUED
            self.ledger.tell(kind, request_no)
            if not is_lost:
                self._next_due_s = min(self._next_due_s, due_s)
                if len(self._held) < _MOST_HELD:
                    self._held[request_no] = writes

    def write_now(self, request_no: int, write: Write) -> Profile | None:
        """Apply one write at once and return the profile it left, if any."""
        with self._lock:
            self._settle_due()
            with self._transaction():
                bench, effects = self._apply(request_no, [write])
                self._db.execute(
                    "INSERT INTO queue VALUES (?, ?, NULL, 1, 1, ?)",
                    (request_no, self._clocks.now(), json.dumps(effects)),
                )
                self.ledger.tell(TruthKind.APPLIED, request_no)
            left = (bench[client_id] for client_id in bench.changed)
            return next((profile for profile in left if profile is not None), None)

    def load(self, writes: Sequence[Write], *, first_no: int = 0) -> None:
        """
        Apply writes that no request brought, as the profiles present at start.

        Args:
            first_no: Of the writes, which count down: each has a stamp of its own, as
                if it had come alone.
        """
        with self._lock, self._transaction():
            bench = Bench(self._lay_out(writes), self._next_client_id(), self._rules)
            wall_s = self._clocks.wall()
            for place, write in enumerate(writes):
                stamp = stamp_of(wall_s, first_no - place)
                apply_writes([write], bench, stamp, self._rules)
            self._take_back(bench)

    def settle(self) -> None:
        """Apply everything that waits, due or not."""
        with self._lock:
            self._settle_until(math.inf)

    def _settle_due(self) -> None:
        now_s = self._clocks.now()
        if self._next_due_s <= now_s:
            self._settle_until(now_s)

    def _settle_until(self, moment_s: float) -> None:
        while row := self._db.execute(_WAITING, (moment_s,)).fetchone():
            request_no, payload = row
            with self._transaction():
                writes = self._held.pop(request_no, None) or rows.from_payload(payload)
                writes = in_order(writes, request_no, self._rules)
                _, effects = self._apply(request_no, writes)
                self._db.execute(
                    "UPDATE queue SET applied = 1, payload = NULL, effects = ? "
                    "WHERE request_no = ?",
                    (json.dumps(effects), request_no),
                )
                self.ledger.tell(TruthKind.APPLIED, request_no)
        self._next_due_s = self._earliest_due_s()

    def _apply(
        self, write_no: int, writes: Sequence[Write]
    ) -> tuple[Bench, dict[str, int]]:
        bench = Bench(self._lay_out(writes), self._next_client_id(), self._rules)
        stamp = stamp_of(self._clocks.wall(), write_no)
        effects = apply_writes(writes, bench, stamp, self._rules)
        self._take_back(bench)
        return bench, effects

    def _next_client_id(self) -> int:
        return self._one(
            "SELECT coalesce(max(value), ?) FROM counters", facts.FIRST_CLIENT_ID
        )

    def _lay_out(self, writes: Sequence[Write]) -> list[Profile]:
        """Fetch every profile the writes can touch, in a handful of queries."""
        keys: dict[str, list[str]] = {}
        ids: set[int] = set()
        phones: set[str] = set()
        for write in writes:
            for kind, key in linking_keys(write.item, self._rules):
                keys.setdefault(kind, []).append(key)
            addressed = write.addressed_id()
            if addressed is not None:
                ids.add(addressed)
            phone = sole_phone(write.item, self._rules)
            if phone is not None:
                phones.add(phone)
        for kind, wanted in keys.items():
            ids.update(
                row[0] for row in self._db.execute(_BY_KEYS, (kind, *_texts(wanted)))
            )
        if phones:
            ids.update(row[0] for row in self._db.execute(_BY_PHONE, _texts(phones)))
        if not ids:
            return []
        found = self._db.execute(_BY_IDS, _texts(ids))
        return [rows.from_row(row) for row in found]

    def _take_back(self, bench: Bench) -> None:
        gone: list[tuple[int]] = []
        kept: list[tuple[Any, ...]] = []
        for client_id in sorted(bench.changed):
            profile = bench[client_id]
            if profile is None:
                gone.append((client_id,))
            else:
                kept.append(rows.to_row(profile, self._rules))
        lost, gained = bench.index_changes()
        run = self._db.executemany
        run("DELETE FROM profiles WHERE client_id = ?", gone)
        run(_FORGET, lost)
        run(_PUT, kept)
        run("INSERT INTO identifiers VALUES (?, ?, ?)", sorted(gained))
        self._db.execute(
            "INSERT OR REPLACE INTO counters VALUES ('client_id', ?)",
            (bench.next_client_id,),
        )

    # --- reads -----------------------------------------------------------------------

    def get(self, client_id: int) -> Profile | None:
        """Return the profile with this id."""
        with self._lock:
            self._settle_due()
            return self._profile(f"{_SELECT} WHERE client_id = ?", client_id)

    def find(self, field: str, value: str) -> Profile | None:
        """Return the profile that owns this identifier; any of its uuids will do."""
        with self._lock:
            self._settle_due()
            if field == "phone":
                order = "" if self._rules.phone_match == "oldest" else "DESC"
                return self._profile(
                    f"{_SELECT} WHERE phone = ? ORDER BY client_id {order} LIMIT 1",
                    value,
                )
            return self._profile(_OWNER, field, index_key(field, value, self._rules))

    def page(self, query: Query) -> list[Profile]:
        """Return one page of a list."""
        if query.is_empty:
            return []
        with self._lock:
            self._settle_due()
            found = self._db.execute(
                f"{_SELECT} WHERE {query.condition.sql} "
                f"ORDER BY {query.order} LIMIT ? OFFSET ?",
                (*query.condition.params, query.limit, query.offset),
            )
            return [rows.from_row(row) for row in found]

    def count_matching(self, query: Query) -> int:
        """Count the profiles a list would hold without paging and cap."""
        with self._lock:
            self._settle_due()
            return self._one(
                f"SELECT count(*) FROM profiles WHERE {query.condition.sql}",  # noqa: S608 - conditions come from `listing`, values are parameters
                *query.condition.params,
            )

    def count_profiles(self) -> int:
        """Count all profiles."""
        with self._lock:
            self._settle_due()
            return self._one("SELECT count(*) FROM profiles")

    def id_at(self, place: int) -> int:
        """Return the id of a profile by its place, counted from 0 by id."""
        with self._lock:
            return self._one(
                "SELECT client_id FROM profiles ORDER BY client_id LIMIT 1 OFFSET ?",
                place,
            )

    def entries(self, query: EntriesQuery) -> list[str]:
        """Return distinct values of one field, sorted."""
        if query.column is None:
            return []
        with self._lock:
            self._settle_due()
            found = self._db.execute(
                f"SELECT DISTINCT {query.column} FROM profiles "  # noqa: S608 - as above
                f"WHERE {query.condition.sql} ORDER BY 1 LIMIT ?",
                (*query.condition.params, query.limit),
            )
            return [row[0] for row in found]

    def profiles(self) -> Iterator[Profile]:
        """Iterate over all profiles by id, each page as it is when it is reached."""
        last = 0
        while True:
            with self._lock:
                self._settle_due()
                found = self._db.execute(_PAGE, (last,)).fetchall()
            page = [rows.from_row(row) for row in found]
            if not page:
                return
            yield from page
            last = page[-1].client_id

    # --- the log ---------------------------------------------------------------------

    def next_request_no(self) -> int:
        """Number a request that has arrived."""
        with self._lock:
            self._request_no += 1
            return self._request_no

    @contextmanager
    def batch_in_flight(self) -> Iterator[None]:
        """Count a batch request as being handled, for `max_concurrent_batches`."""
        with self._lock:
            self._n_batches += 1
            self.max_concurrent_batches = max(
                self.max_concurrent_batches, self._n_batches
            )
        try:
            yield
        finally:
            with self._lock:
                self._n_batches -= 1

    def requests(self) -> list[RequestRecord]:
        """Return every request in the order of arrival."""
        return self.ledger.requests()

    def batches(self) -> list[BatchRecord]:
        """Return every batch request in the order of arrival."""
        with self._lock:
            self._settle_due()
            return self.ledger.batches()

    def truth(self) -> list[TruthEvent]:
        """Return everything that happened to requests; what is due is applied first."""
        with self._lock:
            self._settle_due()
            return self.ledger.truth()

    # --- the database ----------------------------------------------------------------

    def _one(self, sql: str, *params: object) -> int:
        (value,) = self._db.execute(sql, params).fetchone()
        return int(value)

    def _profile(self, sql: str, *params: object) -> Profile | None:
        row = self._db.execute(sql, params).fetchone()
        return None if row is None else rows.from_row(row)

    def _earliest_due_s(self) -> float:
        (due_s,) = self._db.execute(
            "SELECT min(due_s) FROM queue WHERE applied = 0"
        ).fetchone()
        return math.inf if due_s is None else float(due_s)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
