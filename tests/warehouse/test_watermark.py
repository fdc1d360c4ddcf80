"""Rows of a query from a moment on: the database chooses them, and none is missed."""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from warehouse_needs import needs

needs("duckdb", "adbc_driver_postgresql", "psycopg", "sqlalchemy")

import duckdb  # noqa: E402 - behind the skip
from pydantic import SecretStr  # noqa: E402

from pipeline.delta.watermark import MomentKind, Since, Watermark, kind_of, since  # noqa: E402
from pipeline.errors import SettingsError  # noqa: E402
from pipeline.settings import SourceSettings  # noqa: E402
from pipeline.sources.query import newer_rows  # noqa: E402
from pipeline.spool import spooled  # noqa: E402

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - moments of a source have no zone
ROWS = """
SELECT * FROM (VALUES
  (1, '2026-03-01 11:59:59.999999'), (2, '2026-03-01 12:00:00'),
  (3, '2026-03-02 00:00:00'), (4, NULL), (5, '2026-02-28 23:00:00')
) AS v(id, text_at) -- the last comment
"""
TYPES = {
    MomentKind.LOCAL: "TIMESTAMP",
    MomentKind.INSTANT: "TIMESTAMPTZ",
    MomentKind.DAY: "DATE",
    MomentKind.TEXT: "VARCHAR",
}


@pytest.fixture(params=["postgres", "duckdb", "sqlalchemy"])
def connection(request: Any, tmp_path: Path) -> str:
    if request.param == "duckdb":
        duckdb.connect(str(tmp_path / "shop.duckdb")).close()
        return f"duckdb:///{tmp_path}/shop.duckdb"
    url: str = request.getfixturevalue("url")
    if request.param == "sqlalchemy":
        return url.replace("postgresql://", "postgresql+psycopg://")
    return url


def query(kind: MomentKind) -> str:
    zone = "+00" if kind is MomentKind.INSTANT else ""
    moment = f"(text_at || '{zone}')::{TYPES[kind]}"
    return f"SELECT id, {moment} AS at FROM ({ROWS}) AS r ORDER BY id -- all"  # noqa: S608


def read(connection: str, text: str, which: Since, folder: Path) -> pl.DataFrame:
    source = SourceSettings(query=text, connection=SecretStr(connection))
    (path,) = spooled(source, folder, since=which).source.paths
    return pl.read_parquet(path)


@pytest.mark.parametrize("kind", list(MomentKind))
def test_rows_from_a_moment_on(
    connection: str, kind: MomentKind, tmp_path: Path
) -> None:
    which = since(Watermark("at", kind.value, NOON.isoformat(), ""), 0.0)
    found = read(connection, query(kind), which, tmp_path / "spool")

    assert kind_of(found.schema["at"]) is kind
    is_exact = kind in (MomentKind.LOCAL, MomentKind.INSTANT)
    assert found["id"].to_list() == ([2, 3, 4] if is_exact else [1, 2, 3, 4])


def test_who_can_choose_is_asked_to(connection: str) -> None:
    asked = newer_rows("SELECT 1 AS at;", connection, Since("at", MomentKind.DAY, NOON))

    is_general = "psycopg" in connection
    assert ("WHERE" in asked) is not is_general


def test_a_column_that_became_text_is_no_silent_loss(
    connection: str, tmp_path: Path
) -> None:
    if "psycopg" in connection:
        pytest.skip("it chooses nothing")
    which = Since("at", MomentKind.INSTANT, NOON)
    text = "SELECT 1 AS id, 'some day'::VARCHAR AS at"

    with pytest.raises(SettingsError):
        read(connection, text, which, tmp_path / "spool")
