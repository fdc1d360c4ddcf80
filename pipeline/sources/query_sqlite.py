"""Rows of a SQLite file, opened read only; each cell has a type of its own there."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.errors import SourceMissingError
from pipeline.sources.cells import rows_of_values
from pipeline.sources.rows import BATCH_ROWS, Rows, place_of, query_failed

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_ONLY = sqlite3.SQLITE_READONLY
# What SQLite calls a general error: syntax, no such table, no such column.
_QUERY_STATE = "42000"


@contextmanager
def open_rows(query: str, connection: str, folder: Path) -> Iterator[Rows]:
    """Run *query*; see `pipeline.sources.query.open_rows`."""
    place = place_of(connection)
    path = Path(connection.partition(":///")[2])
    if not path.is_file():
        raise SourceMissingError(
            f"there is no SQLite file {path}: correct source.connection"
        )
    n_rows = 0
    begun = False
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        ) as opened:
            cursor = opened.execute(query)
            begun = True
            names = [column[0] for column in cursor.description or ()]

            def parts() -> Iterator[list[tuple[object, ...]]]:
                nonlocal n_rows
                while rows := cursor.fetchmany(BATCH_ROWS):
                    yield rows
                    n_rows += len(rows)

            found = rows_of_values(names, parts(), place, folder)
    except (sqlite3.Error, sqlite3.Warning) as error:
        is_query = not begun and getattr(error, "sqlite_errorcode", 1) in (
            sqlite3.SQLITE_ERROR,
            _READ_ONLY,
        )
        state = _QUERY_STATE if is_query else "22000"
        raise query_failed(place, str(error), sqlstate=state, n_rows=n_rows) from None
    yield found
