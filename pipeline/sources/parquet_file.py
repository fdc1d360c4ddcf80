"""
A Parquet file as slices, a part of a row group at a time; types stay as they are.

A column of the type `JSON_CELL` is one that this tool wrote, as the spool of a query
or handed back: its cells are read as those of JSONL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.errors import SourceChangedError, SourceUnusableError
from pipeline.records import ROW_NO, SOURCE_NO, Slice
from pipeline.sources.csv_dialect import check_columns
from pipeline.sources.folders import partitions_of
from pipeline.sources.parquet_footer import read_footer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.records import Fingerprint
    from pipeline.sources.parquet_footer import Footer, RowGroup
    from pipeline.sources.streams import ReadLimits

_MAX_PART_ROWS = 131_072
_MIB = 1 << 20


class ParquetFile:
    """
    One Parquet file whose footer has been read.

    Attributes:
        columns: Of the file, then those of the partition that it lies in.
        dtypes: As polars understands the file's types; nested ones stay nested.
        fingerprint: None: the bytes are read by polars, not by us.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        """
        Read the footer.

        Raises:
            SourceError: The file is missing, damaged, or a column cannot be named.
        """
        self.path = path
        self.fingerprint: Fingerprint | None = None
        self._limits = limits
        self._footer = read_footer(path)
        _refuse_bomb(self._footer, path, limits)
        self._partition = {
            name: value
            for name, value in partitions_of(path).items()
            if name not in self._footer.columns
        }
        self.columns = (*self._footer.columns, *self._partition)
        check_columns(self.columns, str(path))
        self.dtypes = self._dtypes()
        self._state = _state(path)

    def slices(self, source_no: int) -> Iterator[Slice]:
        """
        Give the rows in file order.

        Raises:
            SourceUnusableError: A part cannot be decoded, or has fewer rows than the
                footer says.
            SourceChangedError: Size or time of the file changed since it was opened.
        """
        start = 0
        for group in self._footer.row_groups:
            end = start + group.n_rows
            step = _part_rows(group, self._limits)
            for first in range(start, end, step):
                part = self._part(first, min(step, end - first))
                yield from self._cut(part, source_no, first + 1)
                del part
            start = end
        self._check_state()

    def _cut(
        self, part: pl.DataFrame, source_no: int, first_row_no: int
    ) -> Iterator[Slice]:
        for low in range(0, part.height, self._limits.slice_rows):
            rows = part.slice(low, self._limits.slice_rows)
            row_no = first_row_no + low
            yield Slice(
                frame=rows.select(
                    pl.lit(source_no, dtype=pl.UInt32).alias(SOURCE_NO),
                    pl.int_range(row_no, row_no + pl.len(), dtype=pl.UInt64).alias(
                        ROW_NO
                    ),
                    pl.all(),
                ),
                source_no=source_no,
                first_row_no=row_no,
                n_rows=rows.height,
            )

    def _part(self, first: int, n_rows: int) -> pl.DataFrame:
        self._check_state()
        try:
            part = pl.scan_parquet(self.path, glob=False).slice(first, n_rows).collect()
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise self._damaged(f"rows from {first + 1} on cannot be decoded") from None
        if part.height != n_rows:
            raise self._damaged(f"rows are missing from row {first + 1} on")
        return part.with_columns(
            pl.lit(value, pl.String).alias(name)
            for name, value in self._partition.items()
        )

    def _dtypes(self) -> dict[str, pl.DataType]:
        try:
            schema = pl.scan_parquet(self.path, glob=False).collect_schema()
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise self._damaged("its schema cannot be understood") from None
        if tuple(schema) != self._footer.columns:
            raise self._damaged("its schema can be read in two ways")
        return dict(schema) | dict.fromkeys(self._partition, pl.String())

    def _damaged(self, what: str) -> SourceUnusableError:
        return SourceUnusableError(
            f"{self.path} is a damaged Parquet file: {what}. "
            "Copy the file again from its source, or write it anew."
        )

    def _check_state(self) -> None:
        if _state(self.path) != self._state:
            raise SourceChangedError(
                f"{self.path} changed while it was read. "
                "Wait until it is written completely, then start again."
            )


def _part_rows(group: RowGroup, limits: ReadLimits) -> int:
    """Return how many rows of *group* are decoded at once: at most 64 MiB of it."""
    row_bytes = max(1, group.n_bytes // max(1, group.n_rows))
    fitting = max(1, limits.free_bytes // row_bytes)
    if fitting >= group.n_rows:
        return max(1, min(group.n_rows, _MAX_PART_ROWS))
    rows = min(fitting, _MAX_PART_ROWS)
    # Whole slices, where there is more than one of them.
    return rows - rows % limits.slice_rows or rows


def _refuse_bomb(footer: Footer, path: Path, limits: ReadLimits) -> None:
    n_bytes = sum(group.n_bytes for group in footer.row_groups)
    too_dense = n_bytes > limits.free_bytes and (
        n_bytes > limits.ratio * footer.n_file_bytes
    )
    if too_dense or n_bytes > limits.inflated_bytes:
        raise SourceUnusableError(
            f"{path} unpacks to {n_bytes // _MIB} MiB from {footer.n_file_bytes} "
            "bytes, which looks like a decompression bomb. If it is genuine, write it "
            "again without compression."
        )


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
