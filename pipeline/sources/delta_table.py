"""Rows of one version of a Delta table: its log says which files and rows count."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
from deltalake import DeltaTable
from deltalake import exceptions as delta

from pipeline.errors import SettingsError, SourceMissingError, SourceUnusableError
from pipeline.logs import printable
from pipeline.sources.rows import BATCH_ROWS, Rows, no_such_type

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_table(address: str) -> Iterator[Rows]:
    """
    Open the version of a table that is the latest now.

    Args:
        address: A folder, or `s3://`, `gs://`, `az://`.

    Raises:
        SourceMissingError: There is no table.
        SettingsError: It needs what the reader cannot do, or a column cannot be held.
        SourceUnusableError: A file of it is damaged or gone; also from its frames.
    """
    place = printable(address)
    try:
        version = DeltaTable(address).version()
        table = pl.scan_delta(address, version=version)
        schema = dict(table.collect_schema())
    except delta.TableNotFoundError:
        raise SourceMissingError(f"{place} is no Delta table. Check it.") from None
    except (delta.DeltaError, NotImplementedError, pl.exceptions.PolarsError, OSError):
        raise SettingsError(
            f"the Delta table {place} cannot be read: it has a feature that the reader "
            "does not know, or its log is damaged. Write its rows to Parquet files"
        ) from None
    for name, dtype in schema.items():
        if dtype in (pl.Binary(), pl.Time()) or dtype == pl.Duration:
            raise no_such_type(name, str(dtype))

    def frames() -> Iterator[pl.DataFrame]:
        try:
            yield from table.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        except (OSError, pl.exceptions.PolarsError):
            raise SourceUnusableError(
                f"a file of the Delta table {place} is gone or damaged (version "
                f"{version}). Start again; if it stays, repair the table."
            ) from None

    yield Rows(schema, frames)
