"""What is said of a database that fails: the reason, the place, and no value."""

import polars as pl
import pytest

from pipeline.errors import (
    PipelineError,
    SettingsError,
    SourceReadError,
    SourceUnusableError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.sources.arrow_names import column_names
from pipeline.sources.rows import connection_failed, place_of, query_failed


@pytest.mark.parametrize(
    ("connection", "place"),
    [
        ("postgresql://u:p@h:5432/shop?sslmode=require", "h:5432/shop"),
        ("postgresql://u:p@/shop?host=/run", "shop"),
        ("postgresql://h/shop", "h/shop"),
        ("postgresql://u:ge@he/im@h/shop", "h/shop"),
        ("sqlite:////data/a.db", "/data/a.db"),
        ("duckdb:///a.db", "a.db"),
        ("postgresql://", "this machine"),
    ],
)
def test_a_place_holds_nothing_that_opens_it(connection: str, place: str) -> None:
    assert place_of(connection) == place


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL: password authentication failed for user "u"', TokenRefusedError),
        ("fe_sendauth: no password supplied", TokenRefusedError),
        ('FATAL: role "u" does not exist', TokenRefusedError),
        ('FATAL: database "x" does not exist', SettingsError),
        ("Connection refused", UnreachableError),
        ("could not translate host name geheim@h", UnreachableError),
    ],
)
def test_no_connection(text: str, kind: type[PipelineError]) -> None:
    told = connection_failed("h/shop", text)

    assert type(told) is kind
    assert "h/shop" in str(told)
    assert "geheim" not in str(told)


@pytest.mark.parametrize(
    ("state", "text", "kind", "shown"),
    [
        ("42P01", 'ERROR:  relation "a" does not exist\nLINE 1', SettingsError, '"a"'),
        ("42501", "ERROR: permission denied for table a", TokenRefusedError, "table a"),
        ("22P02", 'ERROR: invalid input: "ann@x.pl"', SourceUnusableError, "input: …"),
        (None, "got external error: boom 'Ann' \n x", SourceUnusableError, "boom …"),
        (None, "server closed the connection", SourceReadError, "after 1,000 rows"),
        ("57P01", "ERROR: terminating", SourceReadError, "broke off"),
        ("08006", "x", SourceReadError, "broke off"),
    ],
)
def test_a_query_that_breaks_off(
    state: str | None, text: str, kind: type[PipelineError], shown: str
) -> None:
    told = query_failed("h/shop", text, sqlstate=state, n_rows=1000)

    assert type(told) is kind
    assert shown in str(told)
    assert "nn@" not in str(told)
    assert "Ann" not in str(told)
    assert "LINE" not in str(told)


def test_names_of_a_stream_are_read_without_its_rows() -> None:
    frame = pl.DataFrame({"ź": [1], "b": [["x"]], "": [None]})

    assert column_names(frame) == ["ź", "b", ""]
    assert column_names(pl.DataFrame()) == []
