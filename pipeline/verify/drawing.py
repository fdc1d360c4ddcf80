"""
The sample of a run, drawn while its rows go by: no second reading, flat memory.

Lots are a hash of the row, so whoever draws from the same rows draws the same ones: an
import from what it sends, `verify` from what was sent.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.identity import packed_row
from pipeline.sent_rows import (
    Wave,
    ambiguous_phones,
    clear_of,
    joined,
    sent_rows,
    shape_sizes,
    shaped,
    whole_waves,
)
from pipeline.verify.sampling import allocate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.records import Encoded
    from pipeline.verify.sampling import Shape

# Of the rows that go out some are refused; others of their shape take their place.
SPARE: Final = 2
_ROW: Final = ("source_no", "row_no")


class Draw:
    """
    Keeps the rows with the least lots of each shape.

    Cost: 0.5 CPU s for a million rows (measured), and memory of 2 x *n_rows* rows for
        each of at most 31 shapes.

    Args:
        n_rows: Of the sample.
        seed: The same rows for the same number.
        ambiguous: Phones whose rows are left out.
    """

    def __init__(self, n_rows: int, seed: int, ambiguous: pl.Series) -> None:
        self._n_rows = n_rows
        self._n_kept = SPARE * n_rows
        self._seed = seed
        self._ambiguous = ambiguous
        self._seen: Counter[Shape] = Counter()
        self._n_ambiguous = 0
        self._kept: pl.DataFrame | None = None
        self._most: dict[str, int] = {}

    @property
    def n_held(self) -> int:
        """Rows in memory."""
        return 0 if self._kept is None else self._kept.height

    def watched(self, encoded: Iterable[Encoded]) -> Iterator[Encoded]:
        """Give the frames on as they are, after a look at each."""
        for piece in encoded:
            self.add(piece.frame)
            yield piece

    def add(self, rows: pl.DataFrame) -> None:
        """
        Look at further rows.

        Frame:
            in   source_no, row_no, json, and batch_no where it is known already
        """
        clear = shaped(clear_of(rows, self._ambiguous))
        self._n_ambiguous += rows.height - clear.height
        self._seen.update(shape_sizes(clear))
        lots = clear.with_columns(packed_row().hash(self._seed).alias("lot"))
        for shape, most in self._most.items():
            lots = lots.filter((pl.col("shape") != shape) | (pl.col("lot") < most))
        if lots.is_empty():
            return
        # A text of its own: a view would keep the text of the whole slice in memory.
        lots = lots.with_columns(pl.col("json") + pl.lit(""))
        kept = lots if self._kept is None else pl.concat([self._kept, lots])
        self._kept = _least(kept, self._n_kept)
        full = self._kept.group_by("shape").agg(pl.len(), pl.col("lot").max())
        self._most = {
            shape: lot for shape, n, lot in full.iter_rows() if n >= self._n_kept
        }

    def wave(self, batches: pl.LazyFrame | None = None) -> Wave:
        """
        Return the sample.

        Args:
            batches: source_no, row_no, batch_no of accepted rows; others are left out.
                None when only accepted rows were added, with their batch.

        Sizes are exact, but where more than `SPARE` times the sample went by and rows
        of it were refused: those count, too.
        """
        kept = self._kept
        if kept is None:
            return Wave([], {}, self._n_ambiguous)
        if batches is not None:
            found = kept.lazy().join(batches, on=_ROW, how="inner")
            kept = found.collect(engine="streaming")
        there = shape_sizes(kept)
        sizes = {
            shape: n if n > self._n_kept else there.get(shape, 0)
            for shape, n in self._seen.items()
        }
        sizes = {shape: n for shape, n in sizes.items() if n}
        drawn = [
            _least(kept.filter(pl.col("shape") == joined(shape)), n)
            for shape, n in allocate(sizes, self._n_rows).items()
        ]
        rows = [row for frame in drawn for row in sent_rows(frame)]
        rows.sort(key=lambda row: (row.source_no, row.row_no))
        return Wave(rows, sizes, self._n_ambiguous)


def waves_of(
    frames: Callable[[], Iterable[pl.DataFrame]],
    shared: pl.Series,
    n_rows: int | None,
    seed: int,
) -> Iterator[Wave]:
    """
    Give one wave with a sample, or one for each frame with all of its rows.

    Args:
        frames: Gives those of `accepted_frames`; asked twice where phones are shared.
        shared: `CheckResult.shared_phones`.
        n_rows: Of the sample, the same ones for the same seed; None for all rows.
    """
    ambiguous = ambiguous_phones(frames() if len(shared) else (), shared)
    if n_rows is None:
        yield from whole_waves(frames(), ambiguous)
        return
    draw = Draw(n_rows, seed, ambiguous)
    for frame in frames():
        draw.add(frame)
    yield draw.wave()


def _least(frame: pl.DataFrame, n_rows: int) -> pl.DataFrame:
    return frame.filter(pl.col("lot").rank("ordinal").over("shape") <= n_rows)
