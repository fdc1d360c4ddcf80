"""
How every row ended: the join of what was decided here and what the journal proves.

`read = empty + blocked + folded + unchanged + planned + accepted + rejected + pending`

holds for every run, or the run is a defect of this tool and says so. Rows are handled
in chunks of consecutive numbers, so the memory does not follow the source.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.contract import ROW_CODES
from pipeline.errors import InvariantError
from pipeline.identity import packed_row, unpacked_row
from pipeline.records import FOLDED_LANE, MAIN_LANE, ROWS_A_FILE, BatchState, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.records import BatchOutcome, RowRange, RowRef

OUTCOMES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "source_no": pl.UInt32(),
    "row_no": pl.UInt64(),
    "state": pl.String(),
    "code": pl.String(),
    "batch_no": pl.UInt64(),
    "folded_into": pl.UInt64(),
    "folded_into_source_no": pl.UInt32(),
}
EXCEPTIONS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "state": pl.String(),
    "code": pl.String(),
    "survivor": pl.UInt64(),
}
CHUNK_ROWS: Final = 200_000
UNKNOWN_CODE: Final = "UNKNOWN"
_STATES: Final = {
    BatchState.ACCEPTED: State.ACCEPTED,
    BatchState.REJECTED: State.REJECTED,
    BatchState.PENDING: State.PENDING,
    BatchState.UNKNOWN: State.PENDING,
}


@dataclass(frozen=True, slots=True)
class RowCounts:
    """
    Rows of a run by the state they ended in.

    Attributes:
        unknown: Of the pending ones, those whose bytes left without a trusted answer.
    """

    read: int = 0
    empty: int = 0
    blocked: int = 0
    folded: int = 0
    unchanged: int = 0
    planned: int = 0
    accepted: int = 0
    rejected: int = 0
    pending: int = 0
    unknown: int = 0

    def check(self) -> None:
        """
        Hold the equation.

        Raises:
            InvariantError: The states do not add up to the rows that were read.
        """
        parts = {state.value: getattr(self, state.value) for state in State}
        if sum(parts.values()) != self.read:
            told = " + ".join(f"{n} {state}" for state, n in parts.items() if n)
            raise InvariantError(
                f"{self.read} rows were read, but {told or 'nothing'} came out. This "
                "is a defect of crm-pipeline: please report it with this sentence"
            )

    def as_dict(self) -> dict[str, int]:
        """Return the counts for a summary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is known about the rows of a run.

    Attributes:
        exceptions: `EXCEPTIONS_SCHEMA`, sorted by row: every row that was not to be
            sent by itself, with its state and code; a folded one names its survivor.
        folded_lane: row, of survivors that travel in the lane of folded rows.
        batches: What the journal holds; empty under `check`.
        is_sent: False under `check`: then sendable rows are planned.
        unchanged: For each file, a Boolean for each of its rows: not sent, because it
            is equal to what was confirmed before. None where nothing is compared.
        lanes: row, lane Int64 of rows outside the main lane, where other lanes than
            that of the folded rows are in use.
    """

    exceptions: pl.DataFrame
    folded_lane: pl.Series
    batches: Sequence[BatchOutcome] = ()
    is_sent: bool = True
    unchanged: Sequence[pl.Series] | None = None
    lanes: pl.DataFrame | None = None


class Assembly:
    """
    Gives the outcome of every row, a chunk of rows at a time.

    Cost: memory of the exceptions, of a line a batch, and of one chunk.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._exceptions = evidence.exceptions
        folded = pl.lit(FOLDED_LANE, dtype=pl.Int64).alias("lane")
        self._lanes = (
            evidence.folded_lane.to_frame("row").with_columns(folded)
            if evidence.lanes is None
            else evidence.lanes
        )
        self._unchanged = evidence.unchanged
        self._planned = _planned_frame(evidence.batches)
        self._overrides = _override_frame(evidence.batches)
        self._is_sent = evidence.is_sent

    def chunk(self, source_no: int, first_row_no: int, n_rows: int) -> pl.DataFrame:
        """
        Return the outcomes of consecutive rows of one file.

        Frame:
            out  `OUTCOMES_SCHEMA`, sorted by row
        """
        rows = pl.select(
            pl.lit(source_no, dtype=pl.UInt32).alias("source_no"),
            pl.int_range(first_row_no, first_row_no + n_rows, dtype=pl.UInt64).alias(
                "row_no"
            ),
        )
        told = self.outcomes(rows)
        if self._unchanged is None:
            return told
        is_equal = self._unchanged[source_no].slice(first_row_no - 1, n_rows)
        return told.with_columns(
            pl.when(is_equal)
            .then(pl.lit(State.UNCHANGED.value))
            .otherwise(pl.col("state"))
            .alias("state")
        )

    def outcomes(self, rows: pl.DataFrame) -> pl.DataFrame:
        """
        Return the outcomes of any rows, in any order.

        Frame:
            in   source_no, row_no
            out  `OUTCOMES_SCHEMA`, sorted by row
        """
        known = rows.with_columns(packed_row()).join(
            self._exceptions, on="row", how="left", maintain_order="left"
        )
        sent = self._sent(known) if self._is_sent else _all_planned(known)
        survivor_source, survivor_row = unpacked_row("survivor")
        return sent.select(
            "source_no",
            "row_no",
            "state",
            "code",
            "batch_no",
            survivor_row.alias("folded_into"),
            survivor_source.alias("folded_into_source_no"),
        )

    def _sent(self, rows: pl.DataFrame) -> pl.DataFrame:
        placed = (
            rows.join(self._lanes, on="row", how="left")
            .with_columns(pl.col("lane").fill_null(MAIN_LANE))
            .sort("row")
            .join_asof(
                self._planned,
                left_on="row",
                right_on="first",
                by="lane",
                strategy="backward",
                check_sortedness=False,
            )
            .join(self._overrides, on="row", how="left", maintain_order="left")
        )
        in_batch = pl.col("state").is_null() & (pl.col("row") <= pl.col("last"))
        in_override = in_batch & pl.col("override_no").is_not_null()
        return placed.with_columns(
            pl.when(pl.col("state").is_not_null())
            .then(pl.col("state"))
            .when(in_override)
            .then(pl.col("override_state"))
            .when(in_batch)
            .then(pl.col("batch_state"))
            .otherwise(pl.lit(State.PENDING.value))
            .alias("state"),
            pl.when(pl.col("state").is_not_null())
            .then(pl.col("code"))
            .when(in_override)
            .then(pl.col("override_code"))
            .when(in_batch)
            .then(pl.col("batch_code"))
            .alias("code"),
            pl.when(in_override)
            .then(pl.col("override_no"))
            .when(in_batch)
            .then(pl.col("batch_no"))
            .alias("batch_no"),
        )


def tally(chunk: pl.DataFrame) -> pl.DataFrame:
    """Return state, code, n: how often each occurs in a chunk of outcomes."""
    return chunk.group_by("state", "code").agg(pl.len().alias("n"))


def count_rows(tallies: Iterable[pl.DataFrame], n_read: int) -> RowCounts:
    """
    Add up tallies and hold the equation against the rows that were read.

    Raises:
        InvariantError: They do not add up, or a row has a state nobody knows.
    """
    found: Counter[str] = Counter()
    n_unknown = 0
    for state, code, n in (row for part in tallies for row in part.iter_rows()):
        found[state] += n
        n_unknown += n if code == UNKNOWN_CODE else 0
    odd = set(found) - {state.value for state in State}
    if odd:
        raise InvariantError(f"rows ended in states that do not exist: {odd}")
    counts = RowCounts(read=n_read, unknown=n_unknown, **found)
    counts.check()
    return counts


def _all_planned(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("state").fill_null(State.PLANNED.value),
        pl.lit(None, dtype=pl.UInt64).alias("batch_no"),
    )


def _judged(outcome: BatchOutcome) -> tuple[str, str | None]:
    code = {
        BatchState.UNKNOWN: UNKNOWN_CODE,
        BatchState.REJECTED: outcome.code if outcome.code in ROW_CODES else "REFUSED",
    }.get(outcome.state)
    return _STATES[outcome.state].value, code


def _packed(ref: RowRef) -> int:
    return ref.source_no * ROWS_A_FILE + ref.row_no


def _planned_frame(batches: Sequence[BatchOutcome]) -> pl.DataFrame:
    rows = [
        (b.lane, _packed(b.first), _packed(b.last), b.batch_no, *_judged(b))
        for b in batches
        if b.parent_no is None
    ]
    return pl.DataFrame(
        rows,
        schema={
            "lane": pl.Int64,
            "first": pl.UInt64,
            "last": pl.UInt64,
            "batch_no": pl.UInt64,
            "batch_state": pl.String,
            "batch_code": pl.String,
        },
        orient="row",
    ).sort("first")


def _override_frame(batches: Sequence[BatchOutcome]) -> pl.DataFrame:
    """Return what parts of batches say of single rows; the last word counts."""
    last_word: dict[int, tuple[Any, ...]] = {}
    for batch in batches:
        if batch.parent_no is not None:
            word = (batch.batch_no, *_judged(batch))
            last_word |= dict.fromkeys(_members(batch.members), word)
        refused = (batch.batch_no, State.REJECTED.value, "REFUSED")
        last_word |= dict.fromkeys(_members(batch.rejected), refused)
    return pl.DataFrame(
        [(row, *word) for row, word in last_word.items()],
        schema={
            "row": pl.UInt64,
            "override_no": pl.UInt64,
            "override_state": pl.String,
            "override_code": pl.String,
        },
        orient="row",
    )


def _members(ranges: Sequence[RowRange]) -> Iterator[int]:
    for part in ranges:
        base = part.source_no * ROWS_A_FILE
        yield from range(base + part.first_row_no, base + part.last_row_no + 1)
