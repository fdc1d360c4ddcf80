"""
The rows that an import would have to send, handed back in the source's own kind.

Of a row that differs in a few fields, only their cells are there, and its identifiers;
fed to the same job, the file makes the CRM agree with the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import IDENTIFIERS, TOOL_COLUMNS
from pipeline.identity import packed_row, unpacked_row
from pipeline.reconcile.bucket import MAX_MARKED_FIELDS
from pipeline.records import SOURCE_NO
from pipeline.run_files import form_of
from pipeline.writer import write_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.reconcile.sides import SourceRows

_ROW_NO, _SOURCE = TOOL_COLUMNS[0], TOOL_COLUMNS[-1]
_TOOL: Final[dict[str, pl.DataType]] = {_ROW_NO: pl.UInt64(), _SOURCE: pl.String()}


def write_repair(
    folder: Path, rows: SourceRows, marks: pl.DataFrame, compared: Sequence[str]
) -> tuple[Path, int]:
    """
    Write `repair.*` and return its path and the number of its rows.

    Where a blank cell is not simply left out (`rows.blank`), rows are written whole.
    All rows of a profile that was folded from several are written.

    Args:
        marks: As `bucket.BucketResult.marks`, ascending by row.
        compared: The fields that the bits of a mark stand for.

    Raises:
        SourceError: The source cannot be read again, or has changed.
        CannotWriteError: The disk refuses.

    Cost: one pass over the source.
    """
    source = rows.line.source
    kept = [name for name in source.columns if name not in TOOL_COLUMNS]
    cells = _cells(rows, kept, compared)
    names = [path.name for path in source.files]
    file_name = pl.col(SOURCE_NO).replace_strict(
        dict(enumerate(names)), return_dtype=pl.String
    )
    n_rows = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal n_rows
        for piece in source.slices():
            marked = _marked(piece.frame, rows, marks)
            n_rows += marked.height
            if marked.height:
                yield marked.select(
                    *cells,
                    pl.col("row_no").alias(_ROW_NO),
                    file_name.alias(_SOURCE),
                )

    path = folder / f"repair.{source.kind}"
    schema = {name: source.dtypes[name] for name in kept} | _TOOL
    write_frames(path, form_of(source), frames, schema)
    source.check_unchanged(rows.check.fingerprints)
    return path, n_rows


def _cells(
    rows: SourceRows, kept: Sequence[str], compared: Sequence[str]
) -> list[pl.Expr]:
    """Return the columns, without the cells that need not be sent."""
    is_whole = (
        rows.line.request.job.rows.blank != "omit" or len(compared) > MAX_MARKED_FIELDS
    )
    bits: dict[str, int] = {}
    for reading in rows.line.plan.readings:
        column, name = reading.rule.column, reading.rule.name
        bits.setdefault(column, 0)
        if name in IDENTIFIERS or is_whole:
            bits[column] = -1
        elif name in compared and bits[column] >= 0:
            bits[column] |= 1 << compared.index(name)
    return [
        pl.col(name)
        if bits.get(name, -1) < 0
        else pl.when(pl.col("mark") & pl.lit(bits[name], pl.UInt64) != 0)
        .then(pl.col(name))
        .alias(name)
        for name in kept
    ]


def _marked(frame: pl.DataFrame, rows: SourceRows, marks: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a slice that are to be sent, with their mark."""
    carried = rows.check.fates.filter(pl.col("bucket").is_not_null())
    keyed = frame.with_columns(packed_row()).join(
        carried.select("row", "survivor"), on="row", how="left", maintain_order="left"
    )
    numbered = keyed.with_columns(
        pl.col("survivor").is_not_null().alias("is_folded"),
        pl.coalesce("survivor", "row").alias("row"),
    ).with_columns(rows.number_of(*unpacked_row()).alias("row"))
    # Most marks are near; those of folded rows may lie anywhere.
    alone = numbered.filter(~pl.col("is_folded"))["row"]
    carriers = numbered.filter("is_folded")["row"].unique()
    near = marks.filter(pl.col("row").is_between(alone.min(), alone.max()))
    far = marks.filter(pl.col("row").is_in(carriers.implode()))
    wanted = pl.concat([near, far]).unique("row")
    return numbered.join(wanted, on="row", how="inner", maintain_order="left")
