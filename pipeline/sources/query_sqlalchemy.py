"""Rows of any database that SQLAlchemy has a driver for, by a server-side cursor."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy

from pipeline.errors import SettingsError
from pipeline.sources.cells import rows_of_values
from pipeline.sources.rows import (
    BATCH_ROWS,
    Rows,
    check_names,
    connection_failed,
    place_of,
    query_failed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPTIONS = {
    "stream_results": True,
    "max_row_buffer": BATCH_ROWS,
    "no_parameters": True,  # a per cent sign in the query is one
}


@contextmanager
def open_rows(query: str, connection: str, folder: Path) -> Iterator[Rows]:
    """Run *query*; see `pipeline.sources.query.open_rows`."""
    place = place_of(connection)
    engine = _engine(connection)
    n_rows = 0
    try:
        try:
            opened = engine.connect()
        except sqlalchemy.exc.DBAPIError as error:
            raise connection_failed(place, str(error.orig)) from None
        try:
            with opened.execution_options(**_OPTIONS):
                result = opened.exec_driver_sql(query)
                if not result.returns_rows:
                    check_names((), place)
                names = [str(column[0]) for column in result.cursor.description]

                def parts() -> Iterator[list[tuple[object, ...]]]:
                    nonlocal n_rows
                    for rows in result.partitions(BATCH_ROWS):
                        yield [tuple(row) for row in rows]
                        n_rows += len(rows)

                found = rows_of_values(names, parts(), place, folder)
        except sqlalchemy.exc.DBAPIError as error:
            raise query_failed(
                place, str(error.orig), sqlstate=_state(error), n_rows=n_rows
            ) from None
    finally:
        engine.dispose()
    yield found


def _engine(connection: str) -> sqlalchemy.Engine:
    scheme = connection.partition("://")[0]
    try:
        return sqlalchemy.create_engine(connection, poolclass=sqlalchemy.NullPool)
    except sqlalchemy.exc.NoSuchModuleError:
        raise SettingsError(
            f"no database is called {scheme}: SQLAlchemy has no dialect of this name "
            "installed. Correct source.connection, or install the dialect"
        ) from None
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{scheme}:// needs the Python package {error.name}: install it, or choose "
            "another driver in source.connection"
        ) from None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise SettingsError(
            "source.connection cannot be understood: write it as SQLAlchemy does, "
            "DIALECT+DRIVER://USER:${PASSWORD}@HOST/DATABASE"
        ) from None


def _state(error: sqlalchemy.exc.DBAPIError) -> str | None:
    """Return the SQLSTATE, where the driver tells it; else what the class says."""
    if error.connection_invalidated:
        return "08000"
    for name in ("sqlstate", "pgcode"):
        state = getattr(error.orig, name, None)
        if isinstance(state, str):
            return state
    if isinstance(error, sqlalchemy.exc.DataError | sqlalchemy.exc.IntegrityError):
        return "22000"
    return "42000" if isinstance(error, sqlalchemy.exc.ProgrammingError) else None
