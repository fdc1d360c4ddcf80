"""
Which row is which profile, decided on digests of identifiers, bucket by bucket.

A row and a profile meet where they share a customId, an e-mail, a uuid or a clientId;
by phone only where the row has nothing else. A row that meets two profiles, or a
profile that meets two rows, is a conflict: whichever was chosen could mix two people.

Rows are numbers of 32 bits here, counted through all files of a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.identity import (
    PHONE_ALONE,
    PHONE_BESIDE,
    identifier_entries,
)
from pipeline.reconcile.canonical import canonical_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTRIES: Final[dict[str, pl.DataType]] = {
    "is_source": pl.Boolean(),
    "number": pl.UInt32(),
    "is_linking": pl.Boolean(),
    "digest": pl.UInt128(),
}
_HALF: Final = 2**32


def entries_of(
    cells: pl.DataFrame, identifiers: Sequence[str], key: str, *, is_source: bool
) -> pl.DataFrame:
    """
    List the identifiers of rows by which they can meet the other side, as digests.

    Args:
        identifiers: Fields that can find a profile in this workspace.
        key: Secret text of this run, the same for both sides.

    Frame:
        in   number UInt32, and identifier columns: JSON texts
        out  `ENTRIES`

    Rows: one per identifier; of a row of the source, its phone only if it is alone.
    """
    present = [name for name in identifiers if name in cells.columns]
    texts = cells.select(
        pl.lit(0, pl.UInt32).alias("source_no"),
        pl.col("number").cast(pl.UInt64).alias("row_no"),
        *(canonical_cells(name, cells[name]) for name in present),
    )
    found = identifier_entries(texts, present, key)
    if is_source:
        found = found.filter(pl.col("kind") != PHONE_BESIDE)
    return found.select(
        pl.lit(is_source).alias("is_source"),
        pl.col("row").cast(pl.UInt32).alias("number"),
        (pl.col("kind") < PHONE_ALONE).alias("is_linking"),
        "digest",
    )


def pairs_in(entries: pl.DataFrame) -> pl.DataFrame:
    """
    Return the rows and profiles that share an identifier.

    Frame:
        in   `ENTRIES`, all of any digest that is among them
        out  pair UInt64: the number of the row times 2^32, plus that of the profile;
             a pair may come twice
    """
    source = entries.filter("is_source").select("digest", source="number")
    crm = entries.filter(~pl.col("is_source")).select("digest", crm="number")
    return source.join(crm, on="digest").select(
        pair=pl.col("source").cast(pl.UInt64) * _HALF + pl.col("crm")
    )


def shared_in(entries: pl.DataFrame) -> pl.Series:
    """Return the profiles that share a linking identifier with another profile."""
    crm = entries.filter(~pl.col("is_source") & pl.col("is_linking"))
    return crm.filter(pl.col("digest").is_duplicated())["number"].unique()


@dataclass(frozen=True, slots=True)
class Pairs:
    """
    Who met whom.

    Attributes:
        by_crm: UInt64, ascending: the number of a profile times 2^32, plus that of the
            row; a profile that met nobody is not in it.
        several_profiles: UInt32, of rows that met more than one profile.
        several_rows: UInt32, of rows whose only profile met another row too.
    """

    by_crm: pl.Series
    several_profiles: pl.Series
    several_rows: pl.Series

    def in_conflict(self) -> tuple[pl.Series, pl.Series]:
        """Return the rows of which nobody can say which profile they are."""
        return self.several_profiles, self.several_rows

    def profiles(self) -> pl.Series:
        """Return the profiles that met a row, UInt32, ascending."""
        return _upper(self.by_crm).unique(maintain_order=True)

    def of_profiles(self, first: int, n_rows: int) -> pl.DataFrame:
        """
        Return the pairs of consecutive profiles.

        Frame:
            out  number UInt32 (of the profile), row UInt32 (of the source)
        """
        begin = self.by_crm.search_sorted(first * _HALF)
        end = self.by_crm.search_sorted((first + n_rows) * _HALF)
        packed = self.by_crm.slice(begin, end - begin)
        return pl.DataFrame({"number": _upper(packed), "row": _lower(packed)})


def paired(pairs: pl.Series) -> Pairs:
    """
    Find the conflicts among all pairs.

    Args:
        pairs: As `pairs_in` gives them; ascending, none of them twice.

    Cost: 30 bytes a pair, for a moment.
    """
    torn = _repeated(_upper(pairs))
    by_crm = (_lower(pairs).cast(pl.UInt64) * _HALF + _upper(pairs)).sort()
    profiles = _upper(by_crm)
    is_crowded = (profiles == profiles.shift(1)) | (profiles == profiles.shift(-1))
    met = _lower(by_crm.filter(is_crowded.fill_null(value=False))).unique()
    return Pairs(by_crm, torn, met.filter(~met.is_in(torn.implode())))


def _upper(packed: pl.Series) -> pl.Series:
    return (packed // _HALF).cast(pl.UInt32)


def _lower(packed: pl.Series) -> pl.Series:
    return (packed % _HALF).cast(pl.UInt32)


def _repeated(numbers: pl.Series) -> pl.Series:
    """Return what stands twice in an ascending column, once."""
    return numbers.filter((numbers == numbers.shift(1)).fill_null(value=False)).unique()
