"""
From profiles back to rows: which rows hold given identifiers, and which identifiers do
not say of themselves whose they are.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import IDENTIFIERS
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.reader import open_source
from pipeline.records import ROW_KEY, RowRef
from pipeline.spool import spooled
from pipeline.transform import plan_transform, transform

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pipeline.settings import Job


def rows_of(job: Job, wanted: Mapping[str, Collection[str]]) -> list[RowRef]:
    """
    Return the rows of a source that hold one of the identifiers, in their order.

    Args:
        job: Its source has a path.
        wanted: Identifier field → values, as the CRM has them.

    Raises:
        SettingsError, SourceError: The source cannot be read under this job.

    Cost: one reading and normalising of the source, as the next one; a query is run
        anew for it.
    """
    found: list[RowRef] = []
    for rows in _identified(job):
        holds = pl.any_horizontal(
            pl.lit(value=False),
            *(pl.col(name).is_in(list(values)) for name, values in wanted.items()),
        )
        keys = rows.filter(holds).select(ROW_KEY).iter_rows()
        found += [RowRef(*numbers) for numbers in keys]
    return found


def shared_phones(job: Job) -> frozenset[str]:
    """
    Return the phones of rows that have nothing else, if other rows have them, too.

    The API may take such a row for the profile of another one, or not, by the order in
    which they are applied; see the finding PHONE_SHARED.

    Raises:
        SettingsError, SourceError: The source cannot be read under this job.
    """
    alone: set[str] = set()
    others: set[str] = set()
    names = [name for name in IDENTIFIERS if name != "phone"]
    is_alone = pl.all_horizontal(pl.col(name).is_null() for name in names)
    for rows in _identified(job):
        known = rows.filter(pl.col("phone").is_not_null())
        alone.update(known.filter(is_alone)["phone"])
        others.update(known.filter(~is_alone)["phone"])
    return frozenset(alone & others)


def _identified(job: Job) -> Iterator[pl.DataFrame]:
    """Give the clean rows of a source: their key and all identifiers."""
    with TemporaryDirectory() as folder:
        source = open_source(spooled(job.source, Path(folder)).source)
        mapping = resolve_mapping(source.columns, job)
        plan = plan_transform(mapping, source.dtypes, job, IdentifierChecks())
        for piece in source.slices():
            clean = transform(piece, plan).clean
            yield clean.select(
                *ROW_KEY,
                *(
                    pl.col(name)
                    if name in clean.columns
                    else pl.lit(None, pl.String).alias(name)
                    for name in IDENTIFIERS
                ),
            )
