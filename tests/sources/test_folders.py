"""Folders of big tables: partitions become columns, markers are no rows."""

from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import SourceMissingError, SourceUnusableError
from pipeline.reader import open_source
from pipeline.settings import SourceSettings
from pipeline.sources.folders import is_marker, partition_of, partitions_of


def write(path: Path, **columns: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)
    return path


def rows(path: Path) -> list[tuple[object, ...]]:
    source = open_source(SourceSettings(path=str(path)))
    frames = [piece.frame for piece in source.slices()]
    return pl.concat(frames).drop("source_no", "row_no").rows()


def test_partitions_are_text_columns_behind_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "day=2026-01-02" / "shop=7" / "b.parquet", id=[2])
    write(tmp_path / "day=2026-01-01" / "shop=%C5%81%2F" / "a.parquet", id=[1])
    write(
        tmp_path / "day=2026-01-03" / "shop=__HIVE_DEFAULT_PARTITION__" / "c.parquet",
        id=[3],
    )
    for marker in ("_SUCCESS", "_committed_1", ".part.crc"):
        (tmp_path / marker).write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()

    assert open_source(SourceSettings(path=str(tmp_path))).columns == (
        "id",
        "day",
        "shop",
    )
    assert rows(tmp_path) == [
        (1, "2026-01-01", "Ł/"),
        (2, "2026-01-02", "7"),
        (3, "2026-01-03", None),
    ]


def test_a_file_named_alone_keeps_its_partition(tmp_path: Path) -> None:
    path = write(tmp_path / "day=2026-01-01" / "a.parquet", id=[1])

    assert rows(path) == [(1, "2026-01-01")]


def test_a_column_of_the_file_wins_over_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "id=9" / "a.parquet", id=[1])

    assert rows(tmp_path) == [(1,)]


def test_other_kinds_in_partitions_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "day=1" / "a.parquet", id=[1])
    (tmp_path / "day=1" / "b.csv").write_text("id\n1\n")

    with pytest.raises(SourceUnusableError, match=r"b\.csv lies in a partition"):
        rows(tmp_path)


def test_a_folder_of_markers_holds_no_file(tmp_path: Path) -> None:
    (tmp_path / "_SUCCESS").write_bytes(b"")

    with pytest.raises(SourceMissingError, match="holds no file"):
        rows(tmp_path)


def test_names_are_told_apart() -> None:
    assert partition_of("a=b=c") == ("a", "b=c")
    assert partition_of("=b") is None
    assert partition_of("plain") is None
    assert partitions_of(Path("/x=1/y/z=2/a.parquet")) == {"z": "2"}
    assert is_marker("_metadata")
    assert not is_marker("_export.csv")
