"""
What all identifier checks share: the repair of padding, and columns with open cells.

White space is Unicode's `White_Space` property, written out so that polars and Python
read the same set (`str.strip()` alone would also remove U+001C to U+001F). The repair
exists twice, for one text and for a column; the tests hold the two equal.
"""

from __future__ import annotations

from typing import Final

import polars as pl

WHITE_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\ufeff"
_WITHOUT: Final = dict.fromkeys(map(ord, ZERO_WIDTH))


# A value, or the code of what is wrong with it, or neither where nothing was given.
Answer = tuple[str | None, str | None]


def unpad(text: str) -> str:
    """Return *text* without zero-width characters and outer white space."""
    return text.translate(_WITHOUT).strip(WHITE_SPACE)


def unpad_cells(cells: pl.Series) -> pl.Series:
    """Do to every cell what `unpad` does to one."""
    # Counting costs a tenth of replacing, and most columns are plain ASCII.
    if (cells.str.len_bytes() != cells.str.len_chars()).any():
        cells = cells.str.replace_all(f"[{ZERO_WIDTH}]", "")
    return cells.str.strip_chars()


def nothing(n_rows: int) -> pl.Series:
    """Return a text column of *n_rows* nulls."""
    return pl.repeat(None, n_rows, dtype=pl.String, eager=True)


def only_where(cells: pl.Series, proven: pl.Series) -> pl.Series:
    """Return the cells where *proven* is true, null elsewhere."""
    proven = proven.fill_null(value=False)
    if proven.all():
        return cells
    return cells.zip_with(proven, nothing(len(cells)))


def fill_rows(column: pl.Series, rows: pl.Series, values: pl.Series) -> pl.Series:
    """Return *column* with *values* at the row indexes *rows*, which ascend."""
    if rows.is_empty():
        return column
    if len(rows) == len(column):
        return values.alias(column.name)
    # `scatter` writes into its own series, and *column* may be the caller's.
    return column.clone().scatter(rows, values)


def unsettled_rows(cells: pl.Series, settled: pl.Series) -> pl.Series:
    """Return the indexes of cells that hold something and are null in *settled*."""
    return (settled.is_null() & (cells != "")).fill_null(value=False).arg_true()
