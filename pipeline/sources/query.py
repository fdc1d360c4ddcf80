"""
Rows of a query: which driver reads a connection, loaded when it is asked for.

    postgresql://…  ADBC
    duckdb:///FILE  DuckDB, read only
    sqlite:///FILE  the standard library, read only
    anything else   SQLAlchemy

Each driver is one module with a function `open_rows`; the rows of all of them have the
same types, see `Rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import SettingsError
from pipeline.extras import extra_module
from pipeline.sources.columnar import quoted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pipeline.delta.watermark import Since
    from pipeline.sources.rows import Rows

# Scheme → module, and the extra that installs what it imports.
_DRIVERS: Final = {
    "postgresql": ("query_postgres", "postgres"),
    "postgres": ("query_postgres", "postgres"),
    "duckdb": ("query_duckdb", "duckdb"),
    "sqlite": ("query_sqlite", ""),
}
# Whose types tell a moment from a text.
_CHOOSING: Final = ("postgresql", "postgres", "duckdb")
_GENERAL: Final = ("query_sqlalchemy", "sql")


def open_rows(
    query: str, connection: str, folder: Path
) -> AbstractContextManager[Rows]:
    """
    Run a query in a transaction that only reads, and give its rows.

    Args:
        connection: A URL with everything that opens it.
        folder: An empty one, for drivers that have to see all rows first.

    Raises:
        SettingsError: The URL, the query or a type of a column does not fit, or the
            driver is not installed.
        TokenRefusedError, UnreachableError: The database refuses, or does not answer.
        SourceError: The query fails.
    """
    scheme, separator, _ = connection.partition("://")
    if not separator:
        raise SettingsError(
            "source.connection is no URL: write postgresql://, duckdb:///, sqlite:/// "
            "or another address that SQLAlchemy knows"
        )
    name, extra = _DRIVERS.get(scheme, _GENERAL)
    driver = extra_module(f"sources.{name}", f"a query on {scheme}://", extra)
    rows: AbstractContextManager[Rows] = driver.open_rows(
        _bare(query), connection, folder
    )
    return rows


def newer_rows(query: str, connection: str, since: Since) -> str:
    """
    Return a query for the rows to read of *query*, where the database can choose them.

    Elsewhere *query* itself comes back, and whoever reads its rows has to choose.
    """
    condition = since.condition(quoted(since.column))
    if condition is None or connection.partition("://")[0] not in _CHOOSING:
        return query
    return f"SELECT * FROM ({_bare(query)}\n) AS w WHERE {condition}"  # noqa: S608 - his own


def _bare(query: str) -> str:
    return query.strip().rstrip(";")
