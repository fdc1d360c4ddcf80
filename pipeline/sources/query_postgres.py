"""
Rows of Postgres through ADBC: columns as they come over the wire, in small batches.

What has no column type of its own (numeric, JSON, arrays, enums, money, …) is asked for
as the text that the database itself writes, so no driver can read it in another way.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import adbc_driver_postgresql.dbapi as adbc
import polars as pl

from pipeline.sources.arrow_names import column_names
from pipeline.sources.cells import json_cells, number_cells
from pipeline.sources.columnar import quoted, rows_of_stream, within_years
from pipeline.sources.rows import (
    Rows,
    check_names,
    connection_failed,
    no_such_type,
    place_of,
    query_failed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BATCH_BYTES: Final = 1 << 20
_BATCH_OPTION: Final = "adbc.postgresql.batch_size_hint_bytes"
_REFUSED: Final = frozenset(
    (
        "bytea",
        "interval",
        "time without time zone",
        "time with time zone",
    )
)
_NATIVE: Final = frozenset(
    ("boolean", "smallint", "integer", "bigint", "double precision", "text")
)
_MOMENTS: Final = {
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}


@contextmanager
def open_rows(query: str, connection: str, folder: Path) -> Iterator[Rows]:
    """Run *query*; see `pipeline.sources.query.open_rows`."""
    del folder
    place = place_of(connection)
    try:
        opened = adbc.connect(connection)
    except adbc.Error as error:
        raise connection_failed(place, str(error)) from None
    with opened, opened.cursor() as cursor:
        cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(_BATCH_BYTES)})
        try:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL client_encoding TO 'UTF8'")
            types = _types(cursor, query, place)
            asked = ", ".join(_asked(name, kind) for name, kind in types.items())
            cursor.execute(f"SELECT {asked} FROM ({query}\n) AS q")  # noqa: S608 - his own
            stream = pl.scan_arrow_c_stream(cursor.fetch_arrow())
        except adbc.Error as error:
            raise query_failed(place, str(error), sqlstate=error.sqlstate) from None
        cells = [_cells(name, kind) for name, kind in types.items()]
        begun: list[Iterator[pl.DataFrame]] = []
        try:
            yield rows_of_stream(stream, cells, place, begun.append)
        except BaseException:
            _cut_off(cursor, begun)
            raise


def _cut_off(cursor: Any, begun: Iterable[Iterator[pl.DataFrame]]) -> None:  # noqa: ANN401
    """
    End a query that nobody reads any more.

    A thread of polars may be in the middle of the stream; closing it then would end
    the process with a fault of its memory.
    """
    with suppress(adbc.Error):
        cursor.adbc_cancel()
    for batches in begun:
        with suppress(pl.exceptions.PolarsError):
            deque(batches, maxlen=0)


def _types(cursor: Any, query: str, place: str) -> dict[str, str]:  # noqa: ANN401
    """Return column → type, as Postgres names it; no row is computed for it."""
    # Whatever is no SELECT is refused by being inside of one.
    cursor.execute(f"SELECT * FROM ({query}\n) AS q LIMIT 0")  # noqa: S608
    names = column_names(cursor.fetch_arrow())
    check_names(names, place)
    base = "(SELECT CASE WHEN typtype = 'c' THEN 'json' ELSE format_type("
    base += "CASE WHEN typtype = 'd' THEN typbasetype ELSE oid END, NULL) END"
    base += " FROM pg_type WHERE oid = pg_typeof(q.{column}))"
    asked = ", ".join(
        base.format(column=quoted(name)) + f" AS c{n}" for n, name in enumerate(names)
    )
    cursor.execute(
        f"SELECT {asked} FROM (SELECT 1) AS one LEFT JOIN ({query}\n) AS q ON false"  # noqa: S608
    )
    found = pl.scan_arrow_c_stream(cursor.fetch_arrow()).collect().row(0)
    return dict(zip(names, found, strict=True))


def _asked(name: str, kind: str) -> str:
    """Return how a column of this type is asked for."""
    column = f"q.{quoted(name)}"
    if kind in _REFUSED:
        raise no_such_type(name, kind)
    if kind in _NATIVE:
        return column
    if kind == "real":  # as a double it would get digits that it does not have
        return f"{column}::text::float8 AS {quoted(name)}"
    if kind in _MOMENTS:
        short = _MOMENTS[kind]
        return f"{within_years(column, short, 'BC')} AS {quoted(name)}"
    if _is_json(kind):
        return f"to_json({column})::text AS {quoted(name)}"
    return f"{column}::text AS {quoted(name)}"


def _cells(name: str, kind: str) -> pl.Expr:
    if kind == "numeric":
        return number_cells(name)
    return json_cells(name) if _is_json(kind) else pl.col(name)


def _is_json(kind: str) -> bool:
    return kind in ("json", "jsonb") or kind.endswith("[]")
