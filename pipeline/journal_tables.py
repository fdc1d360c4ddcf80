"""
The tables of the journal, and the way between their rows and records.

Times are seconds since 1970. Nothing here touches a disk. A row's values never come
this far: what is stored names rows, counts and digests.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pipeline.records import BatchOutcome, BatchState, Fingerprint, RowRange, RowRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from pipeline.records import Batch, Verdict

SCHEMA_VERSION: Final = 3
# Numbers of batches that a refusal made; planned ones count from 1, and what they are
# called must not depend on what the service refused.
FIRST_CHILD_NO: Final = 1_000_000_001

# Version → the statements that lead to the next one; 0 is an empty file. A migrated
# table has its columns in the order of a new one: rows are inserted by position.
MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {
    0: (
        """
        CREATE TABLE run (
          run_id TEXT PRIMARY KEY, command TEXT NOT NULL, dataset TEXT NOT NULL,
          workspace TEXT, began_at REAL NOT NULL, ended_at REAL, exit_code INTEGER,
          settings_digest TEXT NOT NULL, versions TEXT NOT NULL,
          fingerprints TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE batch (
          run_id TEXT NOT NULL, batch_no INTEGER NOT NULL, lane INTEGER NOT NULL,
          first_source_no INTEGER NOT NULL, first_row_no INTEGER NOT NULL,
          last_source_no INTEGER NOT NULL, last_row_no INTEGER NOT NULL,
          n_rows INTEGER NOT NULL, n_bytes INTEGER NOT NULL, digest TEXT NOT NULL,
          parent_no INTEGER, target_bytes INTEGER NOT NULL, row_ranges TEXT,
          PRIMARY KEY (run_id, batch_no)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE attempt (
          run_id TEXT NOT NULL, batch_no INTEGER NOT NULL, n INTEGER NOT NULL,
          sent_at REAL NOT NULL, PRIMARY KEY (run_id, batch_no, n)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE verdict (
          run_id TEXT NOT NULL, batch_no INTEGER NOT NULL, n INTEGER NOT NULL,
          state TEXT NOT NULL, status INTEGER, code TEXT NOT NULL, rejected TEXT,
          at REAL NOT NULL, PRIMARY KEY (run_id, batch_no, n)
        ) WITHOUT ROWID
        """,
    ),
    1: (
        "ALTER TABLE run ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE run ADD COLUMN state TEXT NOT NULL DEFAULT 'open'",
        "ALTER TABLE run ADD COLUMN n_begun INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE run ADD COLUMN resumed_at REAL",
        "ALTER TABLE run ADD COLUMN purged_at REAL",
        """
        UPDATE run SET
          generation = (SELECT count(*) FROM run o WHERE
            (o.began_at, o.run_id) <= (run.began_at, run.run_id)),
          state = CASE WHEN ended_at IS NULL THEN 'open'
            WHEN exit_code IN (0, 3) THEN 'done' ELSE 'pending' END
        """,
    ),
    2: (
        """
        CREATE TABLE action (
          run_id TEXT NOT NULL, action_no INTEGER NOT NULL, state TEXT NOT NULL,
          at REAL NOT NULL, PRIMARY KEY (run_id, action_no, state)
        ) WITHOUT ROWID
        """,
    ),
}
# What is kept of a batch, each with the run and the number of the batch in front.
BATCH_TABLES: Final = ("batch", "attempt", "verdict")
INSERT_RUN: Final = """
INSERT INTO run SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  (SELECT coalesce(max(generation), 0) + 1 FROM run), ?, ?, ?, ?
"""
NEWER_RUN: Final = """
SELECT n.run_id FROM run n JOIN run o ON o.run_id = ?
WHERE n.workspace IS o.workspace AND n.dataset = o.dataset
  AND n.generation > o.generation ORDER BY n.generation DESC LIMIT 1
"""
# An attempt without a verdict is unknown. Accepted once is accepted for good: the
# bytes are the same. Otherwise one unknown attempt makes the batch unknown, unless a
# later attempt got its rows rejected.
BATCHES: Final = """
SELECT b.batch_no, b.lane, b.first_source_no, b.first_row_no, b.last_source_no,
       b.last_row_no, b.n_rows, b.n_bytes, b.digest, b.parent_no, b.target_bytes,
       b.row_ranges,
       max(coalesce(v.state, 'unknown') = 'accepted'),
       max(coalesce(v.state, 'unknown') = 'rejected'),
       max(coalesce(v.state, 'unknown') = 'unknown'),
       (SELECT code FROM verdict w WHERE w.run_id = b.run_id
          AND w.batch_no = b.batch_no ORDER BY w.n DESC LIMIT 1),
       group_concat(v.rejected, char(10)), max(a.n), sum(v.state IS NULL)
FROM batch b
JOIN attempt a ON a.run_id = b.run_id AND a.batch_no = b.batch_no
LEFT JOIN verdict v ON v.run_id = a.run_id AND v.batch_no = a.batch_no AND v.n = a.n
WHERE b.run_id = ? GROUP BY b.batch_no ORDER BY b.batch_no
"""

ATTEMPTS: Final = """
SELECT a.sent_at, v.at, b.n_rows, v.state FROM attempt a
JOIN batch b ON b.run_id = a.run_id AND b.batch_no = a.batch_no
LEFT JOIN verdict v ON v.run_id = a.run_id AND v.batch_no = a.batch_no AND v.n = a.n
WHERE a.run_id = ? AND a.sent_at >= ? ORDER BY a.sent_at, a.batch_no
"""


class RunState(StrEnum):
    """
    Where a run stands.

    `open`: begun and not ended, so at work or cut off. `pending`: ended with rows that
    are not proven. `done`: nothing is left to send.
    """

    OPEN = "open"
    PENDING = "pending"
    DONE = "done"


class ActionState(StrEnum):
    """
    What is proven of an action, such as the deletion of a profile.

    `begun`: it may have been carried out. `done`: it was taken, or there was nothing
    left to do. `refused`: it was found wrong before it was asked for.
    """

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Run:
    """
    One execution of a command, as the journal knows it.

    Attributes:
        dataset: What it was about: the job's name, or the absolute source path.
        workspace: GUID of the workspace; None when none was asked.
        began_at: Seconds since 1970, as the other times; given by the journal.
        settings_digest: Of everything that shapes bodies.
        versions: Of the tool and of what encodes: name → version.
        fingerprints: Of the files, as they were when the run began.
        generation: The order in which runs of this journal began, from 1; it does not
            depend on the clock. Given by the journal, as all that follows.
        n_begun: How often it was begun or resumed.
        resumed_at: The last time; None when it never was.
        purged_at: When its personal data was removed.
    """

    run_id: str
    command: str
    dataset: str
    workspace: str | None = None
    settings_digest: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    fingerprints: tuple[Fingerprint, ...] = ()
    began_at: float = 0.0
    ended_at: float | None = None
    exit_code: int | None = None
    generation: int = 0
    state: RunState = RunState.OPEN
    n_begun: int = 1
    resumed_at: float | None = None
    purged_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """
    The membership of a batch, enough to build it again, and what is proven about it.

    Attributes:
        target_bytes: The size limit in force when it was made.
        members: Exactly its rows; empty for a planned batch, whose rows follow one
            another in the lane from `first` to `last`.
        code: Of the last verdict; None before the first.
        rejected: Rows that the service named, whatever `state` says of the others.
        n_attempts: Begun, with or without a verdict.
        n_crashes: Attempts without a verdict: the process ended while they were out.
    """

    batch_no: int
    lane: int
    first: RowRef
    last: RowRef
    n_rows: int
    n_bytes: int
    digest: str
    parent_no: int | None
    target_bytes: int
    members: tuple[RowRange, ...] = ()
    state: BatchState = BatchState.UNKNOWN
    code: str | None = None
    rejected: tuple[RowRange, ...] = ()
    n_attempts: int = 1
    n_crashes: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One sending of a batch.

    Attributes:
        sent_at: When it was recorded, which is before its bytes left; seconds since
            1970, as the next.
        answered_at: When its verdict was recorded; None when the process ended before.
        n_rows: Of its batch.
        state: What the answer meant for the batch; None without one.
    """

    sent_at: float
    answered_at: float | None
    n_rows: int
    state: BatchState | None


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Read a row of `ATTEMPTS`."""
    state = None if row[3] is None else BatchState(row[3])
    return Attempt(row[0], row[1], row[2], state)


def run_row(run: Run) -> tuple[Any, ...]:
    """Return the values of `INSERT_RUN`; the generation is found by it."""
    return (
        run.run_id,
        run.command,
        run.dataset,
        run.workspace,
        run.began_at,
        run.ended_at,
        run.exit_code,
        run.settings_digest,
        json.dumps(run.versions, sort_keys=True),
        json.dumps([asdict(print_) for print_ in run.fingerprints]),
        run.state.value,
        run.n_begun,
        run.resumed_at,
        run.purged_at,
    )


def run_of(row: Sequence[Any]) -> Run:
    """Read a row of `run`."""
    return Run(
        run_id=row[0],
        command=row[1],
        dataset=row[2],
        workspace=row[3],
        began_at=row[4],
        ended_at=row[5],
        exit_code=row[6],
        settings_digest=row[7],
        versions=json.loads(row[8]),
        fingerprints=tuple(Fingerprint(**print_) for print_ in json.loads(row[9])),
        generation=row[10],
        state=RunState(row[11]),
        n_begun=row[12],
        resumed_at=row[13],
        purged_at=row[14],
    )


def batch_row(run_id: str, batch: Batch, target_bytes: int) -> tuple[Any, ...]:
    """Return the row of `batch`; only a part of another batch lists its members."""
    return (
        run_id,
        batch.batch_no,
        batch.lane,
        *batch.rows.row(0),
        *batch.rows.row(-1),
        batch.n_rows,
        len(batch.body),
        batch.digest,
        batch.parent_no,
        target_bytes,
        None if batch.parent_no is None else _json(ranges_of(batch.rows)),
    )


def batch_of(row: Sequence[Any]) -> StoredBatch:
    """Read a row of `BATCHES`."""
    return StoredBatch(
        batch_no=row[0],
        lane=row[1],
        first=RowRef(row[2], row[3]),
        last=RowRef(row[4], row[5]),
        n_rows=row[6],
        n_bytes=row[7],
        digest=row[8],
        parent_no=row[9],
        target_bytes=row[10],
        members=_ranges(row[11]),
        state=_state(*row[12:15]),
        code=row[15],
        rejected=tuple(
            r for text in (row[16] or "").split("\n") for r in _ranges(text)
        ),
        n_attempts=row[17],
        n_crashes=row[18],
    )


def verdict_row(
    run_id: str,
    batch_no: int,
    n: int,
    verdict: Verdict,
    rejected: Sequence[RowRange],
) -> tuple[Any, ...]:
    """Return the row of `verdict` but for its time, which comes last."""
    named = _json(rejected) if rejected else None
    state = verdict.state.value
    return (run_id, batch_no, n, state, verdict.status, verdict.code, named)


def outcome_of(batch: StoredBatch) -> BatchOutcome:
    """Return what the outcomes of rows are made from."""
    return BatchOutcome(
        batch_no=batch.batch_no,
        lane=batch.lane,
        parent_no=batch.parent_no,
        first=batch.first,
        last=batch.last,
        n_rows=batch.n_rows,
        members=batch.members,
        state=batch.state,
        code=batch.code,
        rejected=batch.rejected,
    )


def ranges_of(rows: pl.DataFrame) -> tuple[RowRange, ...]:
    """Return the rows of a batch as runs of consecutive numbers, in order."""
    found: list[RowRange] = []
    for source_no, row_no in rows.select("source_no", "row_no").iter_rows():
        last = found[-1] if found else None
        if last and (last.source_no, last.last_row_no + 1) == (source_no, row_no):
            found[-1] = RowRange(source_no, last.first_row_no, row_no)
        else:
            found.append(RowRange(source_no, row_no, row_no))
    return tuple(found)


def _json(ranges: Sequence[RowRange]) -> str:
    return json.dumps([[r.source_no, r.first_row_no, r.last_row_no] for r in ranges])


def _ranges(text: str | None) -> tuple[RowRange, ...]:
    # Most batches have none, and there may be ten thousand of them.
    return tuple(RowRange(*numbers) for numbers in json.loads(text)) if text else ()


def _state(accepted: int, rejected: int, unknown: int) -> BatchState:
    if accepted:
        return BatchState.ACCEPTED
    if rejected:
        return BatchState.REJECTED
    return BatchState.UNKNOWN if unknown else BatchState.PENDING
