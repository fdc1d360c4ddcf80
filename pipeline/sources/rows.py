"""
What a query gives, and what to say when it does not.

A database tells of its failures with the values of rows in the text, and a driver with
parts of the address. So only its first line is shown, and of that nothing in quotes,
unless the failure is about names alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    SettingsError,
    SourceReadError,
    SourceUnusableError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.logs import printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

    from pipeline.errors import PipelineError

BATCH_ROWS: Final = 8192
_MAX_TOLD_CHARS: Final = 160
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
# Of SQLSTATE: what is about the query and its names, and about lost connections.
_OF_THE_QUERY: Final = ("42", "0A", "3F", "25006")
_OF_RIGHTS: Final = ("42501", "28")
_LOST: Final = ("08", "57")
_REFUSED_WORDS: Final = re.compile(
    r"authentication|no password|password supplied|access denied|permission denied"
    r"|pg_hba|role .* does not exist|login failed|ORA-01017",
    re.IGNORECASE,
)
_ABSENT_WORDS: Final = re.compile(
    r"database .*(not exist|unknown)|unknown database", re.IGNORECASE
)
_LOST_WORDS: Final = re.compile(
    r"connection|server closed|shutting down|administrator|gone away|broken pipe|EOF",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rows:
    """
    The result of a query, while its connection is open.

    Attributes:
        schema: Column → type: whole numbers, floats, truth values, texts, dates and
            date-times (microseconds, UTC or without a zone) as columns of that type;
            exact decimals, JSON, lists and objects as `JSON_CELL`.
        frames: Gives the rows once, in the order of the query, `BATCH_ROWS` or so at a
            time. Raises SourceUnusableError or SourceReadError in the middle.
    """

    schema: dict[str, pl.DataType]
    frames: Callable[[], Iterator[pl.DataFrame]]


def place_of(connection: str) -> str:
    """Return where a connection leads to, without anything that opens it."""
    _, has_user, behind = connection.rpartition("@")
    place = behind if has_user else connection.partition("://")[2]
    return printable(place.partition("?")[0].removeprefix("/") or "this machine")


def check_names(names: Sequence[str], place: str) -> None:
    """
    Refuse a result whose columns cannot be told apart.

    Raises:
        SettingsError: There is none, or a name is blank or stands twice.
    """
    if not names:
        raise SettingsError(
            f"the query on {place} gives no rows: source.query must be a SELECT"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(
            f"the query gives the column {twice[0]!r} twice: name them apart with AS"
        )
    if not all(map(str.strip, names)):
        raise SettingsError("the query gives a column without a name: add AS NAME")


def no_such_type(column: str, what: str) -> SettingsError:
    """Return what to say of a column that no profile field can hold."""
    return SettingsError(
        f"column {column!r} of the query has the type {what}, which no profile field "
        "can hold: convert it in the query, or leave it out"
    )


def connection_failed(place: str, text: str) -> PipelineError:
    """Return what to say when no connection comes about; *text* is the driver's."""
    if _REFUSED_WORDS.search(text):
        return TokenRefusedError(
            f"the database at {place} refuses the user or the password of "
            "source.connection; nothing was sent. Check the variable that it names"
        )
    if _ABSENT_WORDS.search(text):
        return SettingsError(
            f"there is no such database: {place}. Correct source.connection"
        )
    return UnreachableError(
        f"the database at {place} does not answer; nothing was sent. Check "
        "source.connection and the network"
    )


def query_failed(
    place: str, text: str, *, sqlstate: str | None, n_rows: int = 0
) -> PipelineError:
    """
    Return what to say when a query breaks off.

    Args:
        text: The driver's or the database's; it may hold values.
        sqlstate: None where the driver does not tell.
        n_rows: That had come by then; none of them is used.
    """
    state = sqlstate or ""
    if state.startswith(_OF_RIGHTS):
        return TokenRefusedError(
            f"the user of source.connection may not run the query on {place}: "
            f"{_told(text, with_names=True)}"
        )
    if state.startswith(_OF_THE_QUERY):
        return SettingsError(
            f"source.query does not fit the database at {place}: "
            f"{_told(text, with_names=True)}"
        )
    when = f"after {n_rows:,} rows" if n_rows else "before its first row"
    if state.startswith(_LOST) or (not state and _LOST_WORDS.search(text)):
        return SourceReadError(
            f"the connection to the database at {place} broke off {when}; nothing was "
            "sent. Start again when it is back"
        )
    return SourceUnusableError(
        f"the query failed on {place} {when}, and nothing was sent: {_told(text)}"
    )


def _told(text: str, *, with_names: bool = False) -> str:
    """Return the first line of what a database says, without values."""
    text = text.removeprefix("got external error: ")  # so polars begins
    _, marked, behind = text.partition("ERROR:")
    first = (behind if marked else text).strip().partition("\n")[0]
    if not with_names:
        first = _QUOTED.sub("…", first)
    return printable(redact(first.strip()), max_chars=_MAX_TOLD_CHARS)
