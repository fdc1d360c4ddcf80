"""What typed columns mean: `!CODE` stands for a cell that blocks its row."""

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoder import encode
from pipeline.errors import SettingsError
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.records import Slice
from pipeline.settings import Job
from pipeline.transform import plan_transform, transform

NAN, INF = math.nan, math.inf
NOON = dt.datetime(2024, 7, 1, 12, 0)  # noqa: DTZ001 - without a zone on purpose
GAP = dt.datetime(2024, 3, 31, 2, 30)  # noqa: DTZ001
EVENING = dt.datetime(1990, 5, 1, 22, 30, tzinfo=dt.UTC)
STAMP = pl.Datetime("us")
WARSAW = pl.Datetime("us", "Europe/Warsaw")
# The same numbers, two ways: polars knows years that Python does not.
YEAR_10000_D, YEAR_0_D = 2932897, -719528


def read_cells(
    field: str,
    cells: list[Any] | pl.Series,
    dtype: Any = None,
    timezone: str | None = None,
    **options: object,
) -> list[Any]:
    """Send typed cells through the transform; a blocked one is its code."""
    parent, _, key = field.partition(".")
    entry = {"column": "cell", **options}
    names = {} if field == "customId" else {"customId": "no"}
    job = Job.model_validate(
        {
            "mapping": {**names, parent: {key: entry} if key else entry},
            "workspace": {"timezone": timezone},
        }
    )
    series = cells if isinstance(cells, pl.Series) else pl.Series(cells, dtype=dtype)
    numbers = range(1, len(series) + 1)
    frame = pl.DataFrame(
        {
            "source_no": pl.Series([0] * len(series), dtype=pl.UInt32),
            "row_no": pl.Series(numbers, dtype=pl.UInt64),
            "no": pl.Series([f"c{n}" for n in numbers], dtype=pl.String),
            "cell": series,
        }
    )
    mapping = resolve_mapping(("no", "cell"), job)
    plan = plan_transform(mapping, frame.schema, job, IdentifierChecks())
    done = transform(Slice(frame, 0, 1, frame.height), plan)
    assert done.clean.height == encode(done.clean, raw=plan.raw).frame.height
    read = dict(done.clean.select("row_no", field).iter_rows())
    codes = dict(done.blocked.select("row_no", "code").iter_rows())
    return [f"!{codes[n]}" if n in codes else read[n] for n in numbers]


@pytest.mark.parametrize(
    ("cells", "dtype", "read"),
    [
        ([True, False, None], pl.Boolean, [True, False, None]),
        ([1, -1, None], pl.Int8, [1, -1, None]),
        ([2**64 - 1], pl.UInt64, [2**64 - 1]),
        ([2**63 - 1, -(2**63)], pl.Int64, [2**63 - 1, -(2**63)]),
        ([Decimal("1.50"), None], pl.Decimal(10, 2), [Decimal("1.50"), None]),
        ([0.1, -0.0, None], pl.Float64, [0.1, -0.0, None]),
        ([0.5, 0.1], pl.Float32, [0.5, 0.10000000149011612]),
        ([NAN, INF, -INF, 1.0], pl.Float64, ["!TYPE", "!TYPE", "!TYPE", 1.0]),
        ([NAN, 1.0], pl.Float32, ["!TYPE", 1.0]),
        ([dt.date(1800, 1, 2), None], pl.Date, ["1800-01-02", None]),
        (["a", " a ", "", None], pl.Categorical, ["a", "a", None, None]),
        (["a", None], pl.Enum(["a", "b"]), ["a", None]),
        ([None, None], pl.Null, [None, None]),
        ([" a ", "", None, "\0"], pl.String, ["a", None, None, "!TEXT"]),
        ([[1, None], [], None], pl.List(pl.Int64), [[1, None], [], None]),
        ([{"a": 1, "b": "x"}, None], None, [{"a": 1, "b": "x"}, None]),
    ],
)
def test_attributes_keep_the_type_of_their_column(
    cells: list[Any], dtype: object, read: list[Any]
) -> None:
    found = read_cells("attributes.x", cells, dtype)

    assert found == read
    assert [type(value) for value in found] == [type(value) for value in read]


@given(
    st.lists(st.floats(width=32) | st.none(), max_size=5),
    st.sampled_from([pl.Float32, pl.Float64]),
)
def test_floats_are_exact_or_blocked(cells: list[float | None], dtype: object) -> None:
    assert read_cells("attributes.x", cells, dtype) == [
        "!TYPE" if cell is not None and not math.isfinite(cell) else cell
        for cell in cells
    ]


@pytest.mark.parametrize(
    ("cells", "dtype", "read"),
    [
        ([7, 0, None], pl.Int64, ["7", "0", None]),
        ([2**64 - 1], pl.UInt64, ["18446744073709551615"]),
        (["007", " x "], pl.Categorical, ["007", "x"]),
        (["007"], pl.Enum(["007"]), ["007"]),
        (["007"], pl.String, ["007"]),
        ([7.0, NAN, None], pl.Float64, ["!TYPE", "!TYPE", None]),
        ([True, None], pl.Boolean, ["!TYPE", None]),
        ([Decimal(7)], pl.Decimal(5, 0), ["!TYPE"]),
        ([dt.date(2024, 1, 1)], pl.Date, ["!TYPE"]),
        ([["7"]], pl.List(pl.String), ["!TYPE"]),
        ([None], pl.Null, [None]),
    ],
)
def test_a_whole_number_identifies_and_nothing_else_but_text_does(
    cells: list[Any], dtype: object, read: list[Any]
) -> None:
    expected = [cell if cell is not None else "!NO_ID" for cell in read]

    assert read_cells("customId", cells, dtype) == expected


# -- days and moments ----------------------------------------------------------------


def test_moments_are_written_with_their_offset() -> None:
    aware = pl.Series([EVENING, None], dtype=WARSAW)
    finer = pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))

    for field in ("attributes.x", "displayName"):
        assert read_cells(field, aware) == ["1990-05-02T00:30:00+02:00", None]
        assert read_cells(field, finer) == ["1970-01-01T00:00:00.000000001+00:00"]
        assert read_cells(field, [NOON, GAP, None], STAMP, "Europe/Warsaw") == [
            "2024-07-01T12:00:00+02:00",
            "!DATE",
            None,
        ]
        assert read_cells(field, [dt.date(2024, 7, 1)], pl.Date) == ["2024-07-01"]


def test_a_zone_of_the_field_goes_before_that_of_the_workspace() -> None:
    read = read_cells("attributes.x", [NOON], STAMP, "Europe/Warsaw", zone="UTC")

    assert read == ["2024-07-01T12:00:00+00:00"]


@pytest.mark.parametrize("field", ["attributes.x", "displayName"])
def test_moments_without_a_zone_stop_the_run(field: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"mapping.{field}.zone")):
        read_cells(field, [NOON], STAMP)
    with pytest.raises(SettingsError, match="'Mars/Olympus' of"):
        read_cells(field, [NOON], STAMP, "Mars/Olympus")


def test_years_without_four_digits_are_no_dates() -> None:
    days = pl.Series([YEAR_10000_D, YEAR_0_D, 0], dtype=pl.Int32).cast(pl.Date)
    moments = days.cast(pl.Datetime("ms", "UTC"))

    assert read_cells("attributes.x", days) == ["!DATE", "!DATE", "1970-01-01"]
    assert read_cells("birthDate", days) == ["!DATE", "!DATE", "1970-01-01"]
    assert read_cells("attributes.x", moments) == [
        "!DATE",
        "!DATE",
        "1970-01-01T00:00:00+00:00",
    ]


def test_a_birth_date_is_the_day_where_it_was() -> None:
    assert read_cells("birthDate", pl.Series([EVENING], dtype=WARSAW)) == ["1990-05-02"]
    assert read_cells("birthDate", [NOON, None], STAMP) == ["2024-07-01", None]
    assert read_cells(
        "birthDate", [dt.date(1900, 1, 1), dt.date(1900, 1, 2), None], pl.Date
    ) == ["!DATE", "1900-01-02", None]
    assert read_cells("birthDate", [19900501], pl.Int64) == ["!DATE"]


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us", "UTC")])
@pytest.mark.parametrize(
    ("field", "code"),
    [("sex", "!VALUE"), ("countryCode", "!VALUE"), ("agreements.sms", "!VALUE")],
)
def test_a_day_is_no_word(field: str, code: str, dtype: object) -> None:
    assert read_cells(field, [EVENING, None], dtype) == [code, None]


def test_values_are_asked_about_days_as_well() -> None:
    days = [dt.date(2024, 7, 1), dt.date(2024, 7, 2)]
    values = {"2024-07-01": "first"}

    for field in ("attributes.x", "city"):
        assert read_cells(field, days, pl.Date, values=values) == ["first", "!VALUE"]
    assert read_cells("tags", days, pl.Date, values=values) == [["first"], "!VALUE"]


# -- lists and objects ---------------------------------------------------------------


def test_lists_of_text_are_arrays() -> None:
    cells = [[" b ", "", None, "a", "b"], [""], [], None, ["\0"]]

    assert read_cells("attributes.x", cells, pl.List(pl.String)) == [
        ["b", "a", "b"],
        None,
        None,
        None,
        "!TEXT",
    ]
    assert read_cells("tags", cells, pl.List(pl.String)) == [
        ["b", "a"],
        None,
        None,
        None,
        "!TEXT",
    ]


def test_numbers_in_objects_are_exact_or_the_row_is_blocked() -> None:
    dtype = pl.Struct({"a": pl.Float64, "b": pl.List(pl.Struct({"c": pl.Float64}))})
    cells = [
        {"a": 0.1, "b": [{"c": 1.0}]},
        {"a": NAN, "b": []},
        {"a": 1.0, "b": [{"c": None}, {"c": INF}]},
        {"a": None, "b": None},
        None,
    ]

    assert read_cells("attributes.x", cells, dtype) == [
        '{"a":0.1,"b":[{"c":1.0}]}',
        "!TYPE",
        "!TYPE",
        '{"a":null,"b":null}',
        None,
    ]
    assert read_cells(
        "attributes.x", [[1.0, NAN], [1.0, 2.0]], pl.Array(pl.Float64, 2)
    ) == ["!TYPE", "[1.0,2.0]"]
    assert read_cells("attributes.x", [[1.5], None], pl.List(pl.Float64)) == [
        "[1.5]",
        None,
    ]


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Binary,
        pl.Time,
        pl.Duration,
        pl.Duration("ns"),
        pl.List(pl.Binary),
        pl.List(pl.Decimal(5, 2)),
        pl.Struct({"a": pl.Time}),
        pl.Struct({"a": pl.List(pl.Datetime("us"))}),
        pl.List(pl.Categorical),
    ],
)
def test_types_without_a_form_in_json_stop_the_run(dtype: pl.DataType) -> None:
    with pytest.raises(SettingsError, match="column 'cell'"):
        read_cells("attributes.x", [], dtype)


@pytest.mark.parametrize("field", ["firstName", "tags", "sex", "agreements.sms"])
def test_native_fields_take_no_objects(field: str) -> None:
    with pytest.raises(SettingsError, match=f"{field} takes text"):
        read_cells(field, [{"a": 1}])
    with pytest.raises(SettingsError, match=f"{field} takes text"):
        read_cells(field, [[1]], pl.List(pl.Int64))


# -- native fields -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cells", "dtype", "read"),
    [
        ("agreements.sms", [True, False, None], pl.Boolean, [True, False, None]),
        ("agreements.sms", [1, 0, 2, None], pl.Int64, [True, False, "!VALUE", None]),
        ("agreements.sms", [1.0, None], pl.Float64, ["!TYPE", None]),
        ("zipCode", [12345, None], pl.Int64, ["12345", None]),
        ("zipCode", [1.5], pl.Float64, ["!TYPE"]),
        ("city", [Decimal("1.50")], pl.Decimal(5, 2), ["1.50"]),
        ("city", [True], pl.Boolean, ["true"]),
        ("sex", ["MALE", "m"], pl.Categorical, ["MALE", "!VALUE"]),
        ("sex", [1], pl.Int64, ["!VALUE"]),
        ("tags", [1, None], pl.Int64, [["1"], None]),
        ("tags", ["a|b"], pl.String, [["a|b"]]),
    ],
)
def test_native_fields_take_what_reads_as_their_text(
    field: str, cells: list[Any], dtype: object, read: list[Any]
) -> None:
    assert read_cells(field, cells, dtype) == read


def test_values_apply_to_numbers_by_their_text() -> None:
    values = {"1": "FEMALE", "2": "MALE"}

    assert read_cells("sex", [1, 2, 3, None], pl.Int8, values=values) == [
        "FEMALE",
        "MALE",
        "!VALUE",
        None,
    ]
    assert read_cells("attributes.x", [1, 9], pl.Int8, values={"1": True}) == [
        True,
        "!VALUE",
    ]
    assert read_cells("attributes.x", [1.0], pl.Float64, values={"1": True}) == [
        "!TYPE"
    ]
