"""
Blocks of CSV records as frames: proven sound and parsed at once, or split strictly.

polars reads fast and forgives much: it pads short records, strips a carriage return
before a delimiter and takes stray quotes for text. So it gets only what one look at the
bytes has proven to be legal records with exactly as many cells as the header:

- a block without any quote is proven by counting: polars refuses a record with too many
  cells, and when the delimiters of all records together are right, none has too few;
- else by a regular expression that matches as many sound records as there are (Rust,
  linear), up to the first damaged one.

From a damaged record on, `csv_records` splits some records strictly, and polars gets
the legal ones; then the expression goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import MAX_CELL_BYTES
from pipeline.errors import InvariantError
from pipeline.records import UNREADABLE_SCHEMA
from pipeline.sources.csv_records import split_records
from pipeline.sources.slicing import Parsed, joined, numbers
from pipeline.sources.text import UTF8_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.sources.csv_records import Block

# Beyond it the expression's automaton outgrows the cache of the engine (24 MB/s at
# 3,000 columns, 310 at 1,000), and splitting is faster.
_MAX_PROVABLE_COLUMNS = 1000
# A damaged block is looked through in windows of 384 KiB. From a damaged record on,
# 12 KiB are split before looking for sound records again.
_WINDOWS_PER_BLOCK = 8
_STEPS_PER_BLOCK = 256


class BlockParser:
    """
    Parses the blocks of one file, in any order and from several threads.

    It remembers which columns held line breaks, as a hint that saves time.
    """

    def __init__(
        self, columns: Sequence[str], delimiter: str, path: Path, block_bytes: int
    ) -> None:
        self._schema = dict.fromkeys(columns, pl.String())
        self._n_columns = len(columns)
        self._delimiter = delimiter
        self._mark = delimiter.encode()
        self._path = path
        self._proof = _proof(len(columns), delimiter)
        self._window_bytes = max(1, block_bytes // _WINDOWS_PER_BLOCK)
        self._step_bytes = block_bytes // _STEPS_PER_BLOCK
        self._broken = list(columns)

    def parse(self, block: Block, *, is_proven: bool = False) -> Parsed:
        """
        Return the records of *block*.

        Args:
            is_proven: The very same bytes were found sound before.

        Raises:
            SourceUnusableError: The end of a record is not certain.
        """
        if is_proven or self._is_sound(block.data):
            frame = self._frame(block.data)
            if frame is not None and (is_proven or not _has_huge_cell(frame)):
                return self._sound(frame, block)
        return self._in_parts(block)

    def _is_sound(self, data: bytes) -> bool:
        if b'"' not in data and self._n_columns > 1:
            return self._counts_are_right(data)
        return self._n_sound_bytes(data) == len(data)

    def _counts_are_right(self, data: bytes) -> bool:
        n_marks = (self._n_columns - 1) * data.count(b"\n")
        return (
            not data.startswith(UTF8_MARK)
            and data.count(b"\r") == data.count(b"\r\n")
            and data.count(self._mark) == n_marks
        )

    def _in_parts(self, block: Block) -> Parsed:
        parts: list[Parsed] = []
        at = 0
        while part := self._next_part(block, at):
            parts.append(part)
            at += part.n_bytes
            n_lines = block.data.count(b"\n", at - part.n_bytes, at)
            block = replace(block, first_line_no=block.first_line_no + n_lines)
        return joined(parts, pl.DataFrame(schema=self._schema))

    def _next_part(self, block: Block, at: int) -> Parsed | None:
        """
        Return some records from *at* on; None where there is no whole one.

        Args:
            block: Its `first_line_no` is that of *at*.
        """
        end = block.data.rfind(b"\n", at, at + self._window_bytes) + 1
        for stop in (end, len(block.data)):
            if stop <= at:
                continue
            must_end = block.must_end and stop == len(block.data)
            window = replace(block, data=block.data[at:stop], must_end=must_end)
            part = self._sound_part(window) or self._split(window)
            if part.n_bytes:
                return part
        return None

    def _sound_part(self, block: Block) -> Parsed | None:
        """Return the sound records that *block* begins with."""
        data = block.data[: self._n_sound_bytes(block.data)]
        frame = self._frame(data) if data else None
        if frame is None or _has_huge_cell(frame):
            return None
        return self._sound(frame, replace(block, data=data))

    def _n_sound_bytes(self, data: bytes) -> int:
        """Return the length of the sound records at the start of *data*."""
        if self._n_columns > _MAX_PROVABLE_COLUMNS:
            return 0
        if data.startswith(UTF8_MARK):
            return 0  # in the middle of a file it is text, but polars drops it
        text = pl.Series([data], dtype=pl.Binary).cast(pl.String)
        rest: int = text.str.replace(self._proof, "").str.len_bytes()[0]
        return len(data) - rest

    def _frame(self, data: bytes) -> pl.DataFrame | None:
        """Return what polars makes of *data*; None when it refuses a record."""
        try:
            return pl.read_csv(
                data,
                has_header=False,
                schema=self._schema,
                separator=self._delimiter,
                empty_string_is_null=False,
            )
        except pl.exceptions.PolarsError:
            return None

    def _sound(self, frame: pl.DataFrame, block: Block) -> Parsed:
        return Parsed(
            frame=frame,
            rows=None,
            lines=self._lines(frame, block),
            empty=numbers([]),
            unreadable=pl.DataFrame(schema=UNREADABLE_SCHEMA),
            n_rows=frame.height,
            n_bytes=len(block.data),
        )

    def _lines(self, frame: pl.DataFrame, block: Block) -> pl.Series:
        """
        Return the physical line of each row.

        Bytes and cells are counted apart: the line feeds of the block are those that
        end a record and those inside cells.
        """
        first = block.first_line_no
        lines = pl.int_range(first, first + frame.height, dtype=pl.UInt64, eager=True)
        n_inside = block.data.count(b"\n") - frame.height
        if not n_inside:
            return lines
        for columns in (self._broken, frame.columns):
            counts = _line_feeds(frame, columns)
            if counts.sum_horizontal().sum() == n_inside:
                self._broken = [name for name in columns if counts[name].sum()]
                shift = counts.sum_horizontal().cast(pl.UInt64).cum_sum()
                return lines + shift.shift(1, fill_value=0)
        raise InvariantError(
            f"{self._path}: the records from line {first} on were counted in two ways "
            "that disagree. Please report this."
        )

    def _split(self, block: Block) -> Parsed:
        """Return some records that *block* begins with, whatever they are."""
        split = split_records(
            block, self._n_columns, self._delimiter, self._path, self._step_bytes
        )
        frame: pl.DataFrame | None = pl.DataFrame(schema=self._schema)
        if split.legal:
            frame = self._frame(b"".join(split.legal))
        if frame is None or frame.height != len(split.legal):
            raise InvariantError(
                f"{self._path}: the records from line {block.first_line_no} on were "
                "split in two ways that disagree. Please report this."
            )
        return Parsed(
            frame=frame,
            rows=numbers(split.legal_rows),
            lines=numbers(split.legal_lines),
            empty=numbers(split.empty),
            unreadable=pl.DataFrame(
                split.unreadable, schema=UNREADABLE_SCHEMA, orient="row"
            ),
            n_rows=split.n_rows,
            n_bytes=split.n_bytes,
            doubts=tuple(split.doubts),
        )


def _proof(n_columns: int, delimiter: str) -> str:
    """Return the expression for all sound records at the start of a text."""
    mark = f"\\x{{{ord(delimiter):02x}}}"
    quoted = r'"(?:[^"]|"")*"'
    if n_columns == 1:  # an empty line is no record here
        return rf'\A(?:(?:{quoted}|[^"\n\r\x1a{mark}][^"\n\r{mark}]*)\r?\n)*'
    cell = rf'(?:{quoted}|[^"\n\r{mark}]*)'
    return rf"\A(?:(?:{cell}{mark}){{{n_columns - 1}}}{cell}\r?\n)*"


def _has_huge_cell(frame: pl.DataFrame) -> bool:
    longest = frame.select(
        pl.max_horizontal(pl.all().str.len_bytes().max()).alias("longest")
    ).item()
    return longest is not None and longest > MAX_CELL_BYTES


def _line_feeds(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    return frame.select(pl.col(columns).str.count_matches("\n", literal=True))
