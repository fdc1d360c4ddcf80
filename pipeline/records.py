"""
The values that travel along the line: frozen records, frames inside.

A frame column `source_no` (UInt32) numbers the files of a source from 0; `row_no`
(UInt64) numbers the physical records of one file from 1, the header not counted, empty
and unreadable ones counted. Together they name a row for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

SOURCE_NO = "source_no"
ROW_NO = "row_no"
ROW_KEY = (SOURCE_NO, ROW_NO)
# A row as one number: 24 bits for the file, 40 for the row in it.
ROWS_A_FILE = 2**40

BLOCKED_SCHEMA: dict[str, pl.DataType] = {
    "source_no": pl.UInt32(),
    "row_no": pl.UInt64(),
    "field": pl.String(),
    "code": pl.String(),
    "message": pl.String(),
}
UNREADABLE_SCHEMA: dict[str, pl.DataType] = {
    "row_no": pl.UInt64(),
    "line_no": pl.UInt64(),
    "code": pl.String(),
    "message": pl.String(),
    "text": pl.String(),
}


class State(StrEnum):
    """
    Where a row ended: exactly one of these.

    `planned` exists only where nothing was to be sent (`check`, `--dry-run`, findings
    that stop the run), for rows that could be.
    """

    EMPTY = "empty"
    BLOCKED = "blocked"
    FOLDED = "folded"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"


MAIN_LANE = 2
FOLDED_LANE = 3


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """
    What a file was when it was checked.

    Attributes:
        sha256: Of the file's bytes as they are on disk.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Slice:
    """
    Rows held in memory at once: consecutive records of one file.

    Attributes:
        frame: `source_no`, `row_no`, then the source's columns. CSV cells are String,
            an empty cell is ""; Parquet keeps its types, a missing value is null.
        first_row_no: Of the first physical record covered.
        n_rows: Physical records covered: `frame`, `empty` and `unreadable` together.
        empty: `row_no` of empty lines (UInt64).
        unreadable: Records that could not be split, see `UNREADABLE_SCHEMA`.
        line_nos: Physical line of each row of `frame` (UInt64); None where a file has
            no lines.
    """

    frame: pl.DataFrame
    source_no: int
    first_row_no: int
    n_rows: int
    empty: pl.Series = field(
        default_factory=lambda: pl.Series("row_no", [], dtype=pl.UInt64)
    )
    unreadable: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=UNREADABLE_SCHEMA)
    )
    line_nos: pl.Series | None = None


@dataclass(frozen=True, slots=True)
class Transformed:
    """
    What became of a slice: rows in = rows clean + distinct rows blocked.

    Attributes:
        clean: `source_no`, `row_no`, then one column per mapped field, named by its
            dotted path. null means: not given, do not send.
        blocked: One line per fault, see `BLOCKED_SCHEMA`; the first of a row counts.
        omitted: Cells dropped by `on_invalid: omit`, same shape as `blocked`.
        erased: For the rows of `clean`, a Boolean column for each field with a cell
            that erases it; that cell is null in `clean`. None where there is none.
        repairs: Field → cells changed by a declared repair.
    """

    clean: pl.DataFrame
    blocked: pl.DataFrame
    omitted: pl.DataFrame
    repairs: dict[str, int]
    erased: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """
    Rows as JSON text.

    Attributes:
        frame: `source_no`, `row_no`, `json` (String, one compact object a row),
            `n_bytes` (UInt32, of its UTF-8).
        lane: The lane all of its rows belong to.
    """

    frame: pl.DataFrame
    lane: int = MAIN_LANE


@dataclass(frozen=True, slots=True)
class RowRef:
    """A row by its file and its number."""

    source_no: int
    row_no: int


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What goes into one request.

    Attributes:
        batch_no: From 1, in the order of making; never reused within a run.
        rows: `source_no`, `row_no` of its rows, in the order of the body.
        body: The JSON array, UTF-8.
        digest: SHA-256 of the body, hexadecimal.
        parent_no: The batch this one was split from.
    """

    batch_no: int
    lane: int
    rows: pl.DataFrame
    body: bytes
    digest: str
    parent_no: int | None = None

    @property
    def n_rows(self) -> int:
        """Rows in the body."""
        return self.rows.height


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What came back, uninterpreted.

    Attributes:
        headers: Names in lower case.
        body: At most the client's cap for this endpoint; never printed.
        is_complete: Whether the whole body arrived; status and headers always did.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    elapsed_s: float = 0.0
    is_complete: bool = True


class VerifyState(StrEnum):
    """What is known of an accepted row after it was asked for."""

    SETTLED = "settled"
    DIFFERS = "differs"
    ABSENT = "absent"
    NOT_YET = "not_yet"
    UNVERIFIED = "unverified"


class FieldClass(StrEnum):
    """
    How two sides stand to each other in one field that the source gives.

    Without a value of the baseline a difference is only `missing` or `differs`; with
    one it says who changed: `erased` is an edit in the CRM that left nothing.
    """

    EQUAL = "equal"
    SOURCE_NEWER = "source_newer"
    CRM_EDITED = "crm_edited"
    BOTH_CHANGED = "both_changed"
    ERASED = "erased"
    MISSING = "missing"
    DIFFERS = "differs"


class RowClass(StrEnum):
    """
    How a row of the source, or a profile without one, was met: exactly one of these.

    `unknown`: not found among profiles that are not shown to be all.
    """

    MATCHED = "matched"
    ONLY_IN_SOURCE = "only_in_source"
    UNKNOWN = "unknown"
    SEVERAL_PROFILES = "several_profiles"
    SEVERAL_ROWS = "several_rows"
    ONLY_IN_CRM = "only_in_crm"


class BatchState(StrEnum):
    """
    What is proven about a batch; `unknown` rows count as pending.

    `unknown`: bytes may have arrived, and no trustworthy answer came back.
    """

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"
    UNKNOWN = "unknown"


class Step(StrEnum):
    """
    What to do about a batch after a verdict.

    `again` asks for the same bytes, `auth` for a fresh token, `too_big` for halves,
    `refused` for the batch without the named rows, or halves. After `stop` nothing
    more is sent in this run; after `leave` this batch alone stays as it is.
    """

    DONE = "done"
    AGAIN = "again"
    AUTH = "auth"
    TOO_BIG = "too_big"
    REFUSED = "refused"
    STOP = "stop"
    LEAVE = "leave"


class Fault(StrEnum):
    """
    How a call ended that has no trustworthy answer.

    Only `ambiguous` leaves open whether the request arrived.
    """

    UNSENT = "unsent"
    AMBIGUOUS = "ambiguous"
    CERTIFICATE = "certificate"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one attempt means for its batch.

    Attributes:
        code: Stable name of the cause, such as `HTTP_429` or `READ_ERROR`; of
            rejected rows, a code of `contract.ROW_CODES`.
        status: None when there was no trustworthy answer.
        is_throttled: The service asked for less.
        retry_after_s: What the service, or the login before it, asked us to wait.
        named: Positions in the body, from 0, of rows that the service refuses.
        max_tries: Attempts that end with this code before the batch is given up;
            None leaves it to the patience of the run.
    """

    step: Step
    state: BatchState
    code: str
    status: int | None = None
    is_throttled: bool = False
    retry_after_s: float | None = None
    named: tuple[int, ...] = ()
    max_tries: int | None = None


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows of one file, from the first to the last, both included."""

    source_no: int
    first_row_no: int
    last_row_no: int


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """
    What the journal holds about a batch; a later one overrides an earlier one's rows.

    Attributes:
        members: Exactly its rows; empty for a planned batch, which holds every row of
            its lane from `first` to `last`.
        rejected: Rows that the service named, whatever `state` says of the others.
        code: Of the last verdict; None before the first.
    """

    batch_no: int
    lane: int
    parent_no: int | None
    first: RowRef
    last: RowRef
    n_rows: int
    members: tuple[RowRange, ...]
    state: BatchState
    code: str | None
    rejected: tuple[RowRange, ...]
