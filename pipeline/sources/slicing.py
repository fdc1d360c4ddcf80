"""Parsed blocks become slices: numbered, and never longer than a slice may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.records import ROW_NO, SOURCE_NO, UNREADABLE_SCHEMA, Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.sources.csv_doubt import Doubt

_NOTHING_UNREADABLE = pl.DataFrame(schema=UNREADABLE_SCHEMA)


@dataclass(frozen=True, slots=True)
class Parsed:
    """
    The records of one block; rows count from 0 at the start of the block.

    Attributes:
        frame: The legal records, every column String, an empty cell "".
        rows: Index of each row of `frame` (UInt64); None when none is missing.
        lines: Physical line of each row of `frame` (UInt64).
        empty: Index of each empty line (UInt64).
        unreadable: As `UNREADABLE_SCHEMA`, `row_no` holding the index.
        n_rows: Records in all.
        n_bytes: Of the block that these records are; the rest is half a record.
        doubts: Records that may not have ended, in order.
    """

    frame: pl.DataFrame
    rows: pl.Series | None
    lines: pl.Series
    empty: pl.Series
    unreadable: pl.DataFrame
    n_rows: int
    n_bytes: int
    doubts: tuple[Doubt, ...] = ()


def numbers(values: Sequence[int]) -> pl.Series:
    """Return *values* as the type of a row number."""
    return pl.Series(ROW_NO, values, dtype=pl.UInt64)


def joined(parts: Sequence[Parsed], nothing: pl.DataFrame) -> Parsed:
    """
    Return consecutive parts of one block as one.

    Args:
        nothing: The frame of no part at all.
    """
    if len(parts) == 1:
        return parts[0]
    rows, empty, unreadable = [numbers([])], [numbers([])], [_NOTHING_UNREADABLE]
    n_rows = n_bytes = 0
    doubts: list[Doubt] = []
    for part in parts:
        every = pl.int_range(part.frame.height, dtype=pl.UInt64, eager=True)
        rows.append((every if part.rows is None else part.rows) + n_rows)
        empty.append(part.empty + n_rows)
        unreadable.append(part.unreadable.with_columns(pl.col(ROW_NO) + n_rows))
        doubts += [replace(d, offset=d.offset + n_bytes) for d in part.doubts]
        n_rows += part.n_rows
        n_bytes += part.n_bytes
    return Parsed(
        frame=pl.concat([nothing, *(part.frame for part in parts)]),
        rows=pl.concat(rows),
        lines=pl.concat([numbers([]), *(part.lines for part in parts)]),
        empty=pl.concat(empty),
        unreadable=pl.concat(unreadable),
        n_rows=n_rows,
        n_bytes=n_bytes,
        doubts=tuple(doubts),
    )


def cut_slices(
    parsed: Parsed, source_no: int, first_row_no: int, max_rows: int
) -> Iterator[Slice]:
    """
    Cut one parsed block into slices of at most *max_rows* physical records.

    Args:
        first_row_no: Of the first record of the block.

    Cost: views; nothing is copied but the numbers.
    """
    height = parsed.frame.height
    rows = pl.int_range(height, dtype=pl.UInt64, eager=True)
    rows = (rows if parsed.rows is None else parsed.rows) + first_row_no
    frame = parsed.frame.select(
        pl.lit(source_no, dtype=pl.UInt32).alias(SOURCE_NO),
        rows.alias(ROW_NO),
        pl.all(),
    )
    empty = parsed.empty + first_row_no
    unreadable = parsed.unreadable.with_columns(pl.col(ROW_NO) + first_row_no)
    end = first_row_no + parsed.n_rows
    for start in range(first_row_no, end, max_rows):
        stop = min(start + max_rows, end)
        low, n_rows = _range(rows, start, stop)
        yield Slice(
            frame=frame.slice(low, n_rows),
            source_no=source_no,
            first_row_no=start,
            n_rows=stop - start,
            empty=empty.slice(*_range(empty, start, stop)),
            unreadable=unreadable.slice(*_range(unreadable[ROW_NO], start, stop)),
            line_nos=parsed.lines.slice(low, n_rows),
        )


def _range(rows: pl.Series, start: int, stop: int) -> tuple[int, int]:
    low = int(rows.search_sorted(start))
    return low, int(rows.search_sorted(stop)) - low
