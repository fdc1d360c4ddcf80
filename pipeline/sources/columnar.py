"""What drivers that give columns share: asking for them in SQL, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.sources.rows import BATCH_ROWS, Rows, query_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# A frame can hold these years, and no field can.
_EARLIEST: Final = "0002-01-01"
_LATEST: Final = "10001-01-01"


def quoted(name: str) -> str:
    """Return *name* as SQL writes the name of a column."""
    return '"' + name.replace('"', '""') + '"'


def within_years(moment: str, kind: str, before_christ: str) -> str:
    """
    Return SQL for a date or a date-time that a frame can hold.

    The infinities, and years beyond all fields, become a year that is beyond them, too:
    their rows are blocked, and no null is made up.

    Args:
        moment: SQL, of the type *kind*.
        before_christ: How the database marks such a year.
    """
    return (
        f"CASE WHEN {moment} IS NOT NULL THEN least(greatest({moment}, "
        f"'{_EARLIEST} {before_christ}'::{kind}), '{_LATEST}'::{kind}) END"
    )


def rows_of_stream(
    stream: pl.LazyFrame,
    cells: Sequence[pl.Expr],
    place: str,
    on_begin: Callable[[Iterator[pl.DataFrame]], None] = lambda _: None,
) -> Rows:
    """
    Return the rows of an Arrow stream.

    Args:
        cells: What becomes of its columns.
        place: Of the database, for messages.
        on_begin: Given what reads the stream, in a thread of polars. Whoever owns the
            stream has to read that to its end before he closes it.
    """

    def frames() -> Iterator[pl.DataFrame]:
        n_rows = 0
        batches = stream.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        on_begin(batches)
        try:
            for batch in batches:
                yield batch.select(cells)
                n_rows += batch.height
        except pl.exceptions.ComputeError as error:
            raise query_failed(
                place, str(error), sqlstate=None, n_rows=n_rows
            ) from None

    return Rows(dict(stream.select(cells).collect_schema()), frames)
