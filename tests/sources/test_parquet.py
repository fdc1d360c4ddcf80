"""Parquet keeps its types, and a damaged file is a sentence."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.errors import SourceChangedError, SourceError, SourceUnusableError
from pipeline.json_values import JSON_CELL
from pipeline.reader import ReadLimits, Source, open_source
from pipeline.settings import SourceSettings
from pipeline.sources.parquet_footer import read_footer

FRAME = pl.DataFrame(
    {
        "id": [1, 2**53 + 1, None, 4],
        "text": ["", None, "ż", "x"],
        "day": [dt.date(2000, 1, 1), None, None, None],
        "price": [Decimal("1.10"), None, None, Decimal("2.00")],
        "tags": [["a", "b"], [], None, [None]],
        "more": [{"a": 1, "b": {"c": "x"}}, None, {"a": None, "b": None}, None],
        "blob": [b"\x00", None, b"", b"x"],
    }
)


def open_file(path: Path, limits: ReadLimits | None = None) -> Source:
    return open_source(SourceSettings(path=str(path)), limits=limits)


def test_types_and_nulls_are_kept(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    source = open_file(tmp_path / "a.parquet")
    (piece,) = source.slices()

    assert source.kind == "parquet"
    assert source.csv is None
    assert source.columns == tuple(FRAME.columns)
    assert source.dtypes == FRAME.schema
    assert piece.line_nos is None
    assert piece.frame.columns[:2] == ["source_no", "row_no"]
    assert piece.frame["row_no"].to_list() == [1, 2, 3, 4]
    assert_frame_equal(piece.frame.drop("source_no", "row_no"), FRAME)


@settings(max_examples=settings().max_examples // 2, deadline=None)
@given(
    n_rows=st.integers(0, 400),
    group_rows=st.integers(1, 200),
    slice_rows=st.integers(1, 150),
    free_bytes=st.sampled_from([1, 500, 1 << 26]),
)
def test_slices_tile_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    n_rows: int,
    group_rows: int,
    slice_rows: int,
    free_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("tiles") / "a.parquet"
    frame = pl.DataFrame({"n": pl.int_range(n_rows, eager=True)})
    frame.write_parquet(path, row_group_size=group_rows)
    limits = ReadLimits(slice_rows=slice_rows, free_bytes=free_bytes)
    slices = list(open_file(path, limits).slices())

    assert sum(piece.n_rows for piece in slices) == n_rows
    assert all(1 <= piece.n_rows <= slice_rows for piece in slices)
    assert [n for piece in slices for n in piece.frame["n"]] == list(range(n_rows))
    assert [n for piece in slices for n in piece.frame["row_no"]] == list(
        range(1, n_rows + 1)
    )


@pytest.mark.parametrize("n_bytes", [4, 11, 12, 100, 900])
def test_a_cut_file_is_refused(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "a.parquet"
    FRAME.write_parquet(path)
    path.write_bytes(path.read_bytes()[:n_bytes])

    with pytest.raises(SourceUnusableError, match="damaged Parquet file or was cut"):
        open_file(path)


def test_a_csv_named_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("a,b\n1,2\n")

    with pytest.raises(SourceUnusableError, match=r"its name says Parquet"):
        open_file(tmp_path / "a.parquet")


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PARE" + bytes(50) + b"PARE")

    with pytest.raises(SourceUnusableError, match="encrypted"):
        open_file(tmp_path / "a.parquet")


@settings(max_examples=settings().max_examples // 2, deadline=None)
@given(data=st.data())
def test_no_footer_is_trusted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("footer") / "a.parquet"
    FRAME.write_parquet(path)
    good = path.read_bytes()
    begin = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    at = data.draw(st.integers(begin, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
    try:
        footer = read_footer(path)
    except SourceError:
        return

    assert all(group.n_rows >= 0 for group in footer.row_groups)


def test_columns_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "A": [2]}).write_parquet(tmp_path / "a.parquet")

    with pytest.raises(SourceUnusableError, match="'a' and 'A'"):
        open_file(tmp_path / "a.parquet")


def test_a_footer_that_promises_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"a": pl.repeat("x" * 100, 100_000, eager=True)})
    frame.write_parquet(path, statistics=False, use_pyarrow=False)

    with pytest.raises(SourceUnusableError, match="decompression bomb"):
        open_file(path, ReadLimits(free_bytes=1, ratio=0))


def test_files_of_other_types_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"a": ["1"]}).write_parquet(tmp_path / "b.parquet")

    with pytest.raises(SourceUnusableError, match="another type 'a'"):
        open_file(tmp_path)


def test_a_file_replaced_between_passes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    source = open_file(path)
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)

    with pytest.raises(SourceChangedError):
        list(source.slices())


def test_cells_that_this_tool_wrote_are_read_as_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    cells = [{"text in JSON": "x", "other JSON": None}, None]
    pl.DataFrame({"x": pl.Series(cells, dtype=JSON_CELL)}).write_parquet(path)
    source = open_source(SourceSettings(path=str(path)))

    assert source.dtypes == {"x": JSON_CELL}
    assert [piece.frame["x"].to_list() for piece in source.slices()] == [cells]
