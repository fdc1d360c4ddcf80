"""Ids of profiles in some eight bytes each: who was seen already?"""

from __future__ import annotations

from typing import Final

import polars as pl

# Ids that are looked up one by one; beyond, they are sorted into a run.
RECENT: Final = 50_000


class DistinctIds:
    """
    A set of ids that grows by columns.

    The last ones lie in a set of Python, the others in sorted runs, each at least twice
    as long as the next, so that a question looks into few of them.
    """

    def __init__(self, most_recent: int = RECENT) -> None:
        self._most_recent = most_recent
        self._recent: set[int] = set()
        self._runs: list[pl.Series] = []

    def __len__(self) -> int:
        return len(self._recent) + sum(map(len, self._runs))

    def add(self, ids: pl.Series) -> pl.Series:
        """Take ids in; return for each whether it is new, a repeated one at first."""
        known = self._in_runs(ids)
        marks = []
        for number, is_known in zip(ids.to_list(), known, strict=True):
            is_new = not is_known and number not in self._recent
            marks.append(is_new)
            if is_new:
                self._recent.add(number)
        if len(self._recent) >= self._most_recent:
            self._sort_in()
        return pl.Series(marks, dtype=pl.Boolean)

    def holds(self, ids: pl.Series) -> pl.Series:
        """Return for each id whether it is there."""
        known = self._in_runs(ids)
        pairs = zip(ids.to_list(), known, strict=True)
        return pl.Series(
            [is_known or number in self._recent for number, is_known in pairs],
            dtype=pl.Boolean,
        )

    def sorted(self) -> pl.Series:
        """Return all of them, ascending."""
        recent = pl.Series(list(self._recent), dtype=pl.Int64)
        return pl.concat([*self._runs, recent]).sort()

    def _in_runs(self, ids: pl.Series) -> list[bool]:
        if not self._runs or not len(ids):
            return [False] * len(ids)
        found = pl.Series([False]).new_from_index(0, len(ids))
        for run in self._runs:
            places = run.search_sorted(ids).clip(0, len(run) - 1)
            found |= run.gather(places) == ids
        return found.to_list()

    def _sort_in(self) -> None:
        self._runs.append(pl.Series(sorted(self._recent), dtype=pl.Int64))
        self._recent.clear()
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = pl.concat([self._runs[-1], last]).sort()
