"""The encoder against the standard library's JSON reader."""

import datetime as dt
import json
import math
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoder import encode, encode_cells
from pipeline.folding import members_of
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.records import BLOCKED_SCHEMA, Transformed
from pipeline.transform import TransformPlan

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.none() | TEXT,
            "customId": st.none() | TEXT,
            "agreements.email": st.none() | st.booleans(),
            "attributes.points": st.none()
            | st.integers(min_value=-(2**63), max_value=2**63 - 1),
            'attributes.ra"t\\e': st.none()
            | st.floats(allow_nan=False, allow_infinity=False),
            "tags": st.none() | st.lists(TEXT, min_size=1, max_size=3),
            "attributes.note": st.none() | TEXT,
        }
    ),
    max_size=20,
)
SCHEMA = {
    "email": pl.String,
    "customId": pl.String,
    "agreements.email": pl.Boolean,
    "attributes.points": pl.Int64,
    'attributes.ra"t\\e': pl.Float64,
    "tags": pl.List(pl.String),
    "attributes.note": pl.String,
}


def frame_of(rows: list[dict[str, object]], schema: object = None) -> pl.DataFrame:
    cells = pl.DataFrame(rows, schema=schema or SCHEMA)  # type: ignore[arg-type]
    return cells.select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        pl.int_range(1, pl.len() + 1, dtype=pl.UInt64).alias("row_no"),
        pl.all(),
    )


def nested(row: dict[str, object]) -> dict[str, object]:
    record: dict[str, object] = {}
    for name, value in row.items():
        if value is None:
            continue
        parent, _, key = name.partition(".")
        if key:
            inner = record.setdefault(parent, {})
            assert isinstance(inner, dict)
            inner[key] = value
        else:
            record[name] = value
    return record


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@given(ROWS)
def test_every_row_reads_back_as_its_record(rows: list[dict[str, object]]) -> None:
    encoded = encode(frame_of(rows)).frame
    texts = encoded["json"].to_list()
    read = [json.loads(text, object_pairs_hook=no_duplicates) for text in texts]

    assert read == [nested(row) for row in rows]
    assert encoded["n_bytes"].to_list() == [len(t.encode()) for t in texts]
    assert encoded["row_no"].to_list() == list(range(1, len(rows) + 1))
    assert not any("\n" in text for text in texts)


def test_number_types_survive() -> None:
    row = {
        "attributes.i": 2**63 - 1,
        "attributes.f": 1.0,
        "attributes.d": Decimal("1.50"),
    }
    schema = {
        "attributes.i": pl.Int64,
        "attributes.f": pl.Float64,
        "attributes.d": pl.Decimal(10, 2),
    }

    text = encode(frame_of([row], schema)).frame["json"][0]

    assert text == '{"attributes":{"i":9223372036854775807,"f":1.0,"d":1.50}}'


@pytest.mark.parametrize("number", [5e-324, 1e300, -0.0, 0.1, 1e16, 123456789.125])
def test_floats_round_trip(number: float) -> None:
    frame = frame_of([{"attributes.f": number}], {"attributes.f": pl.Float64})

    back = json.loads(encode(frame).frame["json"][0])["attributes"]["f"]

    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)
    assert isinstance(back, float)


def test_json_columns_are_written_as_they_are() -> None:
    frame = frame_of([{"attributes.x": '{"a":[1,null]}'}], {"attributes.x": pl.String})

    text = encode(frame, raw=frozenset({"attributes.x"})).frame["json"][0]

    assert text == '{"attributes":{"x":{"a":[1,null]}}}'


def test_structs_and_lists_become_objects_and_arrays() -> None:
    schema = {
        "attributes.s": pl.Struct({"a": pl.String, "b": pl.Int64}),
        "attributes.l": pl.List(pl.Int64),
    }
    rows: list[dict[str, object]] = [
        {"attributes.s": {"a": 'q"', "b": 1}, "attributes.l": [1, 2]},
        {"attributes.s": None, "attributes.l": None},
    ]

    texts = encode(frame_of(rows, schema)).frame["json"].to_list()

    assert texts == ['{"attributes":{"s":{"a":"q\\"","b":1},"l":[1,2]}}', "{}"]


def test_an_empty_frame_and_a_frame_without_fields() -> None:
    empty = frame_of([])

    assert encode(empty).frame.height == 0
    assert encode(frame_of([{"email": None}]).select("source_no", "row_no")).frame[
        "json"
    ].to_list() == ["{}"]


def test_every_control_character_is_escaped() -> None:
    text = "".join(map(chr, range(0x20))) + '"\\\u2028\u2029\U0010ffff'

    encoded = encode(frame_of([{"email": text}], {"email": pl.String})).frame["json"][0]

    assert json.loads(encoded) == {"email": text}
    assert all(ord(c) >= 0x20 for c in encoded)


def test_dates_are_not_an_encoder_matter() -> None:
    """json_encode writes a Date as text; the transform does it before, on purpose."""
    frame = frame_of(
        [{"attributes.d": [dt.date(2020, 1, 2)]}], {"attributes.d": pl.List(pl.Date)}
    )

    assert encode(frame).frame["json"][0] == '{"attributes":{"d":["2020-01-02"]}}'


def cells_of(clean: pl.DataFrame, erased: pl.DataFrame | None = None) -> pl.DataFrame:
    nothing = pl.DataFrame(schema=BLOCKED_SCHEMA)
    plan = TransformPlan((), frozenset(), frozenset(), (), IdentifierChecks())
    return encode_cells(Transformed(clean, nothing, nothing, {}, erased), plan)


@given(ROWS)
def test_cells_are_the_texts_that_rows_are_made_of(
    rows: list[dict[str, object]],
) -> None:
    clean = frame_of(rows)
    cells = cells_of(clean)

    assert cells.columns == clean.columns
    for text, row in zip(
        encode(clean).frame["json"], cells.iter_rows(named=True), strict=True
    ):
        given_cells = {
            name: value
            for name, value in row.items()
            if value is not None and name not in ("source_no", "row_no")
        }
        parts: dict[str, str] = {}
        for key, value in members_of(text).items():
            name = json.loads(key)
            inner = (
                {} if name not in ("agreements", "attributes") else members_of(value)
            )
            parts |= {f"{name}.{json.loads(k)}": v for k, v in inner.items()}
            parts |= {} if inner else {name: value}
        assert given_cells == parts


def test_a_cell_that_erases_is_null_and_one_not_given_is_none() -> None:
    clean = frame_of([{"city": None}, {"city": None}], {"city": pl.String})
    erased = pl.DataFrame({"city": [True, False]})

    assert cells_of(clean, erased)["city"].to_list() == ["null", None]
