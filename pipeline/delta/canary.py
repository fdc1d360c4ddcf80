"""
The canary: a few rows of every shape, to be sent first and read back.

Every combination of identifiers, every field and the longest rows are among them, so a
mapping that the CRM takes otherwise shows in a hundred rows and not in a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import IDENTIFIERS
from pipeline.delta.digests import FIELD_PREFIX, field_columns
from pipeline.identity import packed_row

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

CANARY_LANE: Final = 0
LEAST_CANARY_ROWS: Final = 25
MOST_CANARY_ROWS: Final = 100
# Of each feature, so that one row can serve for several.
_KEPT_ROWS: Final = 3
_LONGEST_ROWS: Final = 5
_SHAPE: Final = "shape"


class Canary:
    """
    Looks at planned rows as they go by, and chooses.

    Args:
        shared: Packed rows of which nobody can say whose profile they become; they
            would prove nothing.
    """

    def __init__(self, shared: pl.Series) -> None:
        self._shared = shared
        self._kept: pl.DataFrame | None = None
        self._n_rows = 0

    def look(self, planned: pl.DataFrame) -> None:
        """
        Take notice of rows.

        Args:
            planned: `plan_files.PLANNED_SCHEMA` and digest columns.
        """
        self._n_rows += planned.height
        clear = planned.filter(~packed_row().is_in(self._shared.implode()))
        known = clear if self._kept is None else pl.concat([self._kept, clear])
        given = [pl.col(name).is_not_null() for name in field_columns(known.columns)]
        wanted = [has & (has.cum_sum() <= _KEPT_ROWS) for has in given]
        self._kept = (
            known.with_columns(_shape(known))
            .filter(
                pl.any_horizontal(
                    *wanted,
                    pl.int_range(pl.len()).over(_SHAPE) < _KEPT_ROWS,
                    pl.int_range(pl.len()) < LEAST_CANARY_ROWS,
                    _is_long(),
                )
            )
            .drop(_SHAPE)
        )

    def chosen(self) -> pl.DataFrame | None:
        """
        Return the rows that go first, sorted; None where all rows are so few.

        Greedy: the row that shows most of what was not shown yet comes next.
        """
        if self._kept is None or self._n_rows <= MOST_CANARY_ROWS:
            return None
        kept = self._kept
        features = _features(kept)
        missing = set().union(*features)
        picked: list[int] = []
        left = set(range(kept.height))
        while left and len(picked) < MOST_CANARY_ROWS:
            best = max(left, key=lambda n: (len(features[n] & missing), -n))
            if not features[best] & missing and len(picked) >= LEAST_CANARY_ROWS:
                break
            picked.append(best)
            left.discard(best)
            missing -= features[best]
        lane = pl.lit(CANARY_LANE, dtype=pl.UInt8).alias("lane")
        return kept[picked].with_columns(lane).sort(packed_row())


def _shape(rows: pl.DataFrame) -> pl.Expr:
    """Return which identifiers a row has."""
    has = [
        pl.when(pl.col(FIELD_PREFIX + name).is_not_null()).then(pl.lit(name))
        for name in IDENTIFIERS
        if FIELD_PREFIX + name in rows.columns
    ]
    return pl.concat_str(*has, separator="+", ignore_nulls=True).alias(_SHAPE)


def _is_long() -> pl.Expr:
    return pl.col("n_bytes").rank("ordinal", descending=True) <= _LONGEST_ROWS


def _features(rows: pl.DataFrame) -> list[AbstractSet[str]]:
    names = field_columns(rows.columns)
    told = rows.select(_shape(rows), _is_long().alias("is_long"), "row_no", *names)
    return [
        {row[_SHAPE], *(name for name in names if row[name] is not None)}
        | ({f"row {row['row_no']}"} if row["is_long"] else set())
        for row in told.iter_rows(named=True)
    ]
