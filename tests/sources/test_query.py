"""Which driver reads a connection, and what is said where it is not installed."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError, SourceUnusableError
from pipeline.settings import SourceSettings
from pipeline.sources.query import open_rows
from pipeline.spool import spooled


@pytest.mark.parametrize(
    ("scheme", "package", "extra"),
    [
        ("postgresql", "adbc_driver_postgresql", "postgres"),
        ("postgres", "adbc_driver_postgresql", "postgres"),
        ("duckdb", "duckdb", "duckdb"),
        ("mysql+pymysql", "sqlalchemy", "sql"),
    ],
)
def test_a_missing_driver_is_named_with_its_extra(
    scheme: str,
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("query_postgres", "query_duckdb", "query_sqlalchemy"):
        monkeypatch.delitem(sys.modules, f"pipeline.sources.{module}", raising=False)

    with pytest.raises(SettingsError, match=rf"crm-pipeline\[{extra}\]"):
        open_rows("select 1", f"{scheme}://u:geheim@h/d", tmp_path)


@pytest.mark.parametrize(
    ("path", "package", "extra"),
    [
        ("s3://lake/a.csv", "obstore", "cloud"),
        ("gs://lake/a.csv", "obstore", "cloud"),
        ("{folder}", "deltalake", "delta"),
    ],
)
def test_a_missing_reader_is_named_with_its_extra(
    path: str,
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "_delta_log").mkdir()
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("objects", "sources.object_files", "sources.delta_table"):
        monkeypatch.delitem(sys.modules, f"pipeline.{module}", raising=False)
    source = SourceSettings(path=path.format(folder=tmp_path))

    with pytest.raises(SettingsError, match=rf"crm-pipeline\[{extra}\]"):
        spooled(source, tmp_path / "spool")


def test_a_semicolon_ends_a_query(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.touch()
    with open_rows(" select 1 as a ;\n", f"sqlite:///{path}", tmp_path) as rows:
        assert [frame.rows() for frame in rows.frames()] == [[(1,)]]


def test_text_that_is_no_utf_8_ends_the_query(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.touch()
    query = "select cast(x'ff' as text) as a"

    with (
        pytest.raises(SourceUnusableError, match="the query failed"),
        open_rows(query, f"sqlite:///{path}", tmp_path),
    ):
        pass
