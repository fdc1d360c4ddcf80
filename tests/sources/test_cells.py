"""Values of drivers become columns: one type a column, exact, nothing guessed."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.sources.cells import json_cells, number_cells, rows_of_values

UTC = dt.UTC
DAY = dt.date(2026, 3, 1)
NOON = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 - without a zone on purpose


def column(folder: Path, *parts: list[object]) -> pl.Series:
    """Read parts of one column; each is a batch of rows of its own."""
    batches = ([(cell,) for cell in part] for part in parts)
    rows = rows_of_values(["x"], batches, "shop", folder)
    frames = list(rows.frames())
    assert all(dict(frame.schema) == rows.schema for frame in frames)
    return pl.concat(frames)["x"]


def plain(cells: pl.Series) -> list[object]:
    """Return text as text, any other JSON as bytes."""
    return [
        None
        if cell is None
        else cell[TEXT_FIELD]
        if cell[TEXT_FIELD] is not None
        else cell[VALUE_FIELD].encode()
        for cell in cells
    ]


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["a", None, ""], pl.String()),
        ([1, None, -(2**63)], pl.Int64()),
        ([1.5, float("nan")], pl.Float64()),
        ([True, False], pl.Boolean()),
        ([DAY, None], pl.Date()),
        ([NOON], pl.Datetime("us")),
        ([NOON.replace(tzinfo=UTC)], pl.Datetime("us", "UTC")),
        ([None, None], pl.String()),
    ],
)
def test_values_of_one_type_make_a_column_of_it(
    tmp_path: Path, cells: list[object], dtype: pl.DataType
) -> None:
    assert column(tmp_path, cells).dtype == dtype


def test_a_zone_is_another_way_to_write_the_moment(tmp_path: Path) -> None:
    warsaw = NOON.replace(tzinfo=ZoneInfo("Europe/Warsaw"))

    assert column(tmp_path, [warsaw]).to_list() == [warsaw.astimezone(UTC)]


def test_cells_of_several_types_keep_their_own(tmp_path: Path) -> None:
    cells = column(tmp_path, ["07", 7, None, 7.5, True, 2**70])

    assert cells.dtype == JSON_CELL
    assert plain(cells) == [
        "07",
        b"7",
        None,
        b"7.5",
        b"true",
        b"1180591620717411303424",
    ]


def test_a_type_may_come_late(tmp_path: Path) -> None:
    assert plain(column(tmp_path, [None], ["07"], [7], [True, None])) == [
        None,
        "07",
        b"7",
        b"true",
        None,
    ]
    assert column(tmp_path, [None], [DAY]).to_list() == [None, DAY]


def test_exact_numbers_and_json_keep_their_digits(tmp_path: Path) -> None:
    cells: list[object] = [
        Decimal("1.50"),
        Decimal("1E+3"),
        Decimal("NaN"),
        {"a": [Decimal("1.10"), None, "ź", DAY]},
        uuid.UUID(int=1),
    ]

    assert plain(column(tmp_path, cells)) == [
        b"1.50",
        b"1000",
        b"NaN",
        '{"a":[1.10,null,"ź","2026-03-01"]}'.encode(),
        "00000000-0000-0000-0000-000000000001",
    ]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([[b"x"]], "'x' of the query has the type bytes"),
        ([[dt.timedelta(1)]], "the type timedelta"),
        ([[dt.time(1)]], "the type time,"),
        ([[{"a": b"x"}]], "the type bytes"),
        ([[DAY], ["x"]], "'x' of the query holds"),
        ([[NOON], [NOON.replace(tzinfo=UTC)]], "holds"),
        ([[NOON, NOON.replace(tzinfo=UTC)]], "the type datetime"),
    ],
)
def test_what_no_field_can_hold_is_named(
    tmp_path: Path, parts: list[list[object]], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        column(tmp_path, *parts)


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "must be a SELECT"), (["a", "a"], "'a' twice"), ([" "], "without a name")],
)
def test_names_must_tell_columns_apart(
    tmp_path: Path, names: list[str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        rows_of_values(names, [], "shop", tmp_path)


@given(texts=st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=5))
def test_texts_are_never_read_as_something_else(
    tmp_path_factory: pytest.TempPathFactory, texts: list[object]
) -> None:
    kept = [t for t in texts if t is None or t.encode(errors="ignore").decode() == t]  # type: ignore[attr-defined]
    found = column(tmp_path_factory.mktemp("parts"), [*kept, "end"])

    assert found.to_list() == [*kept, "end"]


def test_columns_of_json_and_of_numbers() -> None:
    frame = pl.DataFrame(
        {
            "n": ["1.50", None, "NaN", "0"],
            "j": ['{"a": [1.50, "b  c"]}', "null", '"te\\"xt"', None],
        }
    ).select(number_cells("n"), json_cells("j"))

    assert plain(frame["n"]) == [b"1.50", None, b"NaN", b"0"]
    assert plain(frame["j"]) == [b'{"a":[1.50,"b  c"]}', None, 'te"xt', None]
