"""Rows of one profile become one: the last given value of each field, untouched."""

import json
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.folding import fold, folded_text
from pipeline.records import FOLDED_LANE

# None erases a field, and counts as given.
SCALARS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.lists(st.text(max_size=3)),
)
OBJECTS = st.dictionaries(st.text(max_size=3), SCALARS, min_size=1, max_size=4)
ROWS = st.dictionaries(st.text(max_size=3), SCALARS | OBJECTS, max_size=5).flatmap(
    lambda row: st.fixed_dictionaries(
        {}, optional={"attributes": OBJECTS, "agreements": OBJECTS}
    ).map(lambda inner: row | inner)
)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def folded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fold as the words say it, on parsed rows."""
    result: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            if name in ("attributes", "agreements"):
                result[name] = result.get(name, {}) | value
            else:
                result[name] = value
    return result


@given(rows=st.lists(ROWS, min_size=1, max_size=4))
def test_the_last_given_value_of_each_field_wins(rows: list[dict[str, Any]]) -> None:
    text = folded_text([compact(row) for row in rows])

    assert json.loads(text) == folded(rows)
    assert text == compact(json.loads(text))


def test_the_text_of_a_value_is_carried_over_as_it_stands() -> None:
    long_number = "9" * 5_000
    rows = [
        '{"attributes":{"a":12.50,"b":1e3}}',
        f'{{"email":"x","attributes":{{"b":{long_number}}}}}',
    ]

    text = folded_text(rows)

    assert text == f'{{"attributes":{{"a":12.50,"b":{long_number}}},"email":"x"}}'


def test_each_group_becomes_its_survivor() -> None:
    held = pl.DataFrame(
        {
            "row": [9, 5, 7, 8],
            "survivor": [9, 9, 9, 8],
            "source_no": [0, 0, 0, 0],
            "row_no": [9, 5, 7, 8],
            "json": ['{"z":"ż"}', '{"email":"a","tags":["t"]}', '{"email":"b"}', "{}"],
        }
    )

    encoded = fold(held)

    assert encoded.lane == FOLDED_LANE
    assert encoded.frame.to_dicts() == [
        {"source_no": 0, "row_no": 8, "json": "{}", "n_bytes": 2},
        {
            "source_no": 0,
            "row_no": 9,
            "json": '{"email":"b","tags":["t"],"z":"ż"}',
            "n_bytes": 35,
        },
    ]
