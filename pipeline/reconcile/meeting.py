"""
Three sides meet: rows find their profiles, and wait with them on disk until they are
compared.

Memory does not follow the sides: digests of identifiers are examined bucket by bucket,
and cells wait in buckets of consecutive rows of the source, in which the profiles lie
that these rows met. What stays in memory is a number of 8 bytes a pair.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from pipeline.reconcile.bucket import BASELINE, CRM, SOURCE
from pipeline.reconcile.matching import Pairs, entries_of, paired, pairs_in, shared_in
from pipeline.reconcile.sides import NUMBER, PROFILE
from pipeline.spill import Spill, by_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BUCKET_ROWS: Final = 100_000
HELD_ROWS: Final = 200_000
PAIRS_IN_BUCKET: Final = 2**20
# Profiles that met no row come behind all rows.
_ALONE: Final = 2**31


class Side(Protocol):
    """What `SourceRows` and `ProfileFile` have in common."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """Give `number` and the fields of the source; may be called again."""


@dataclass(frozen=True, slots=True)
class Met:
    """
    Who met whom, and how many did so twice.

    Attributes:
        crm, baseline: Pairs of the rows with either; no baseline, no pairs.
        n_profiles: Profiles of the CRM.
        n_shared: Of them, those that share an identifier with another one.
    """

    crm: Pairs
    baseline: Pairs | None
    n_profiles: int
    n_shared: int


@dataclass(frozen=True, slots=True)
class Meeting:
    """
    The sides of a comparison, and where their rows wait.

    Attributes:
        fields: Columns of every side.
        identifiers: Those of them that can find a profile.
        scratch: A folder for what does not fit into memory.
        on_rows: Told how many rows went by.
    """

    source: Side
    crm: Side
    baseline: Side | None
    fields: Sequence[str]
    identifiers: Sequence[str]
    scratch: Path
    on_rows: Callable[[int], None] = lambda _n: None

    def gather(self, waiting: Spill) -> Met:
        """
        Let all sides pass, and leave the cells of all rows in *waiting*.

        Frame:
            out  in *waiting*: side UInt8, row UInt32 (the number of the row of the
                 source, null for a profile that met none), number UInt32 (of the side
                 itself), profile String (of the CRM), the fields

        Cost: the source passes once, the other sides twice.
        """
        key = secrets.token_hex(32)
        with Spill(self.scratch / "entries", cut_by="digest") as entries:
            with Spill(self.scratch / "former", cut_by="digest") as former:
                for frame in self._passing(self.source):
                    found = by_digest(self._entries(frame, key, is_source=True))
                    entries.add(found)
                    if self.baseline is not None:
                        former.add(found)
                    row = pl.col(NUMBER).alias("row")
                    waiting.add(self._placed(frame.with_columns(row), SOURCE))
                then = None
                if self.baseline is not None:
                    then, *_ = self._met(self.baseline, former, key)
            crm, n_profiles, n_shared = self._met(self.crm, entries, key)
        self._join(waiting, self.crm, crm, CRM)
        if self.baseline is not None and then is not None:
            self._join(waiting, self.baseline, then, BASELINE)
        return Met(crm, then, n_profiles, n_shared)

    def _passing(self, side: Side) -> Iterator[pl.DataFrame]:
        for frame in side.frames():
            self.on_rows(frame.height)
            yield frame

    def _entries(
        self, frame: pl.DataFrame, key: str, *, is_source: bool
    ) -> pl.DataFrame:
        return entries_of(frame, self.identifiers, key, is_source=is_source)

    def _met(self, side: Side, entries: Spill, key: str) -> tuple[Pairs, int, int]:
        """
        Let a side meet the rows whose digests are known.

        Returns:
            The pairs, the rows of the side, and those that share an identifier.
        """
        n_rows = 0
        for frame in self._passing(side):
            n_rows += frame.height
            entries.add(by_digest(self._entries(frame, key, is_source=False)))
        shared: list[pl.Series] = []
        with Spill(self.scratch / "pairs") as pairs:
            for bucket in entries.buckets():
                found = pairs_in(bucket)
                pairs.add(found.with_columns(bucket=_bucket_of_pair()))
                shared.append(shared_in(bucket))
            parts = [found["pair"].unique().sort() for found in pairs.buckets()]
        n_shared = pl.concat([pl.Series([], dtype=pl.UInt32), *shared]).n_unique()
        pairs_of_all = pl.concat([pl.Series([], dtype=pl.UInt64), *parts])
        return paired(pairs_of_all), n_rows, n_shared

    def _join(self, waiting: Spill, side: Side, pairs: Pairs, number: int) -> None:
        """Send the profiles of a side to the rows that they met."""
        for frame in self._passing(side):
            if frame.is_empty():
                continue
            first, last = int(frame[NUMBER][0]), int(frame[NUMBER][-1])
            rows = pairs.of_profiles(first, last - first + 1)
            joined = frame.join(rows, on=NUMBER, how="left", maintain_order="left")
            if number != CRM:
                joined = joined.drop_nulls("row")
            waiting.add(self._placed(joined, number))

    def _placed(self, frame: pl.DataFrame, side: int) -> pl.DataFrame:
        nobody = pl.lit(None, pl.String).alias(PROFILE)
        row = pl.col("row")
        bucket = (
            pl.when(row.is_not_null())
            .then(row // BUCKET_ROWS)
            .otherwise(_ALONE + pl.col(NUMBER) // BUCKET_ROWS)
        )
        return frame.select(
            pl.lit(side, pl.UInt8).alias("side"),
            "row",
            NUMBER,
            PROFILE if side == CRM else nobody,
            *self.fields,
            bucket.cast(pl.UInt32).alias("bucket"),
        )


def _bucket_of_pair() -> pl.Expr:
    return (pl.col("pair") // 2**32 // PAIRS_IN_BUCKET).cast(pl.UInt32)
