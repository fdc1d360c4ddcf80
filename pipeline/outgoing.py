"""
The rows that go out, in their lanes, from the clean rows of a source.

Most rows pass through in slices; those that share a profile wait until all of it is
known, and go out folded, at the end and in a lane of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.errors import InvariantError
from pipeline.folding import fold
from pipeline.identity import packed_row
from pipeline.records import Encoded, State
from pipeline.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.checker import CheckResult

# Some 20 MB, at 350 bytes a row.
HELD_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    What pass 1 decided, applied to rows.

    Attributes:
        max_row_bytes: The longest row that can be sent.
        folder: For rows that wait and do not fit into memory; removed at the end.
        late: row, of rows that were found too large when they were folded.
    """

    check: CheckResult
    max_row_bytes: int
    folder: Path
    late: list[pl.DataFrame] = field(default_factory=list)

    def encoded(self, slices: Iterable[pl.DataFrame]) -> Iterator[Encoded]:
        """
        Give the main lane slice by slice, then the folded rows; ascending in each.

        Args:
            slices: All clean rows of the source, encoded, in its order.

        Raises:
            InvariantError: There are not as many as pass 1 found.
        """
        n_clean = 0
        with Spill(self.folder, max_rows=HELD_ROWS) as held:
            for frame in slices:
                n_clean += frame.height
                alone, waiting = self._sorted_out(frame)
                held.add(waiting)
                yield Encoded(alone)
            if n_clean != self.check.n_clean:
                raise InvariantError(
                    f"pass 1 found {self.check.n_clean} clean rows, pass 2 {n_clean}"
                )
            for waiting in held.buckets():
                yield self._folded(waiting)

    def exceptions(self) -> pl.DataFrame:
        """Return `CheckResult.exceptions` with the rows that were found late."""
        known = self.check.exceptions
        if not self.late:
            return known
        rows = pl.concat(self.late)
        blocked = rows.select(
            "row",
            pl.lit(State.BLOCKED.value).alias("state"),
            pl.lit("TOO_LARGE").alias("code"),
            pl.lit(None, dtype=pl.UInt64).alias("survivor"),
        )
        others = known.join(rows, on="row", how="anti", maintain_order="left")
        return pl.concat([others, blocked]).sort("row")

    def _sorted_out(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows of a slice that go out by themselves, and those that wait."""
        keyed = frame.with_columns(packed_row())
        # A lookup among few: the rows of this slice that do not go out by themselves.
        exceptions = _nearby(self.check.exceptions, keyed["row"]).select("row")
        fates = _nearby(self.check.fates, keyed["row"])
        groups = fates.select("row", "survivor", "bucket").drop_nulls("bucket")
        waiting = keyed.join(groups, on="row", how="inner", maintain_order="left")
        # A text of its own: a view would keep the text of the whole slice in memory.
        waiting = waiting.with_columns(pl.col("json") + pl.lit(""))
        apart = pl.concat([exceptions, groups.select("row")])["row"]
        return frame.filter(~keyed["row"].is_in(apart.implode())), waiting

    def _folded(self, waiting: pl.DataFrame) -> Encoded:
        """Fold rows that waited; a profile that grew too large is blocked whole."""
        folded = fold(waiting)
        is_large = pl.col("n_bytes") > self.max_row_bytes
        large = folded.frame.filter(is_large)
        if large.is_empty():
            return folded
        survivors = large.select(packed_row())["row"]
        self.late.append(
            waiting.filter(pl.col("survivor").is_in(survivors.implode())).select("row")
        )
        return replace(folded, frame=folded.frame.filter(~is_large))


def _nearby(known: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Return the part of *known* that spans *rows*; both ascend by row."""
    if rows.is_empty():
        return known.clear()
    low = int(known["row"].search_sorted(rows[0], side="left"))
    return known[low : int(known["row"].search_sorted(rows[-1], side="right"))]
