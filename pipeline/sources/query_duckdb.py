"""
Rows of a DuckDB file, opened read only; types as with Postgres.

DuckDB writes them to a file first, with one thread: what it hands over in memory comes
a million rows at a time, and several threads hold what they are ahead (212 MB for a
million rows of ten columns, against 45).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import polars as pl

from pipeline.errors import CannotWriteError, SettingsError, SourceMissingError
from pipeline.sources.cells import json_cells, number_cells
from pipeline.sources.columnar import quoted, rows_of_stream, within_years
from pipeline.sources.rows import (
    Rows,
    check_names,
    no_such_type,
    place_of,
    query_failed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_NATIVE: Final = frozenset(
    "BOOLEAN TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER UBIGINT "
    "DOUBLE VARCHAR".split()
)
_NUMBERS: Final = re.compile(r"DECIMAL\(|U?HUGEINT$|BIGNUM$|VARINT$")
_REFUSED: Final = re.compile(r"(BLOB|BIT|INTERVAL|TIME|TIME_NS|TIME WITH TIME ZONE)$")
_NESTED: Final = re.compile(r"JSON$|.*\]$|(STRUCT|MAP|UNION)\(")
_OF_THE_QUERY: Final = (
    duckdb.CatalogException,
    duckdb.BinderException,
    duckdb.ParserException,
    duckdb.InvalidInputException,
    duckdb.NotImplementedException,
)
_QUERY_STATE: Final = "42000"
_GROUP_ROWS: Final = 20_480


@contextmanager
def open_rows(query: str, connection: str, folder: Path) -> Iterator[Rows]:
    """Run *query*; see `pipeline.sources.query.open_rows`."""
    copied = folder / "rows.parquet"
    place = place_of(connection)
    path = Path(connection.partition(":///")[2])
    if not path.is_file():
        raise SourceMissingError(
            f"there is no DuckDB file {path}: correct source.connection"
        )
    try:
        opened = duckdb.connect(str(path), read_only=True)
    except duckdb.Error:
        raise SettingsError(
            f"{path} cannot be opened as a DuckDB file: another program writes to it, "
            "or another version of DuckDB wrote it, or it is none"
        ) from None
    with opened:
        try:
            opened.execute("SET TimeZone = 'UTC'")
            opened.execute("SET threads = 1")
            # What does not fit into memory is as private as the rows.
            opened.execute(f"SET temp_directory = {_text(folder)}")
            # Whatever is no SELECT is refused by being inside of one.
            found = opened.execute(
                f"DESCRIBE SELECT * FROM ({query}\n)"  # noqa: S608 - his own
            ).fetchall()
            types = {str(name): str(kind) for name, kind, *_ in found}
            # In there, a repeated name has a number already.
            named = opened.execute(f"DESCRIBE {query}").fetchall()
            check_names([str(name) for name, *_ in named], place)
            asked = ", ".join(_asked(name, kind) for name, kind in types.items())
            opened.execute(
                f"COPY (SELECT {asked} FROM ({query}\n) AS q) "  # noqa: S608 - his own
                f"TO {_text(copied)} (FORMAT parquet, ROW_GROUP_SIZE {_GROUP_ROWS})"
            )
        except duckdb.Error as error:
            if isinstance(error, duckdb.IOException) and str(folder) in str(error):
                raise CannotWriteError(
                    f"{copied} cannot be written. Check the folder, its permissions "
                    "and the space left on the disk."
                ) from None
            raise _failed(place, error) from None
    cells = [_cells(name, kind) for name, kind in types.items()]
    yield rows_of_stream(pl.scan_parquet(copied, glob=False), cells, place)


def _failed(place: str, error: duckdb.Error) -> Exception:
    state = _QUERY_STATE if isinstance(error, _OF_THE_QUERY) else "22000"
    return query_failed(place, str(error), sqlstate=state)


def _text(path: Path) -> str:
    quotes = str(path.absolute()).replace("'", "''")
    return f"'{quotes}'"


def _asked(name: str, kind: str) -> str:
    """Return how a column of this type is asked for."""
    own = quoted(name)
    column = f"q.{own}"
    if _REFUSED.fullmatch(kind):
        raise no_such_type(name, kind)
    if kind in _NATIVE:
        return column
    if kind == "FLOAT":  # as a double it would get digits that it does not have
        return f"{column}::VARCHAR::DOUBLE AS {own}"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        zoned = kind.endswith("WITH TIME ZONE")
        short = "TIMESTAMPTZ" if zoned else "DATE" if kind == "DATE" else "TIMESTAMP"
        return f"{within_years(f'{column}::{short}', short, '(BC)')} AS {own}"
    if _NESTED.match(kind):
        return f"to_json({column})::VARCHAR AS {own}"
    return f"{column}::VARCHAR AS {own}"


def _cells(name: str, kind: str) -> pl.Expr:
    if _NUMBERS.match(kind):
        return number_cells(name)
    if _NESTED.match(kind):
        return json_cells(name)
    if kind.endswith("WITH TIME ZONE"):
        return pl.col(name).dt.convert_time_zone("UTC")
    return pl.col(name)
