"""The fast form for columns says what the scalar rule says."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.comparison import canonical
from pipeline.reconcile.canonical import canonical_cells

FIELDS = (
    "email",
    "uuid",
    "phone",
    "customId",
    "clientId",
    "firstName",
    "tags",
    "agreements.email",
    "attributes.points",
)
LETTERS = st.sampled_from(
    'aZ09 -+\u00a0\u0085\u0301\u0144\u00df\u212b\u0438\u0306"\\\x1f\t'
)
TEXTS = st.text() | st.text(LETTERS) | st.from_regex(r"\A[-+0-9 ()]{0,12}\Z")
SCALARS = (
    TEXTS
    | st.booleans()
    | st.none()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(float)
    | st.sampled_from(["true", "TRUE", "0", 1, 0, -0.0, 1e-5, 0.0001, 10.0, 1e22])
)
VALUES = (
    SCALARS | st.lists(SCALARS | st.lists(SCALARS)) | st.dictionaries(TEXTS, SCALARS)
)


def encoded(value: Any, *, is_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":"))


@pytest.mark.parametrize("field", FIELDS)
@given(values=st.lists(VALUES, max_size=8), is_ascii=st.booleans())
def test_a_column_is_told_as_its_values_are(
    field: str,
    values: list[Any],
    is_ascii: bool,  # noqa: FBT001 - drawn
) -> None:
    cells = [encoded(value, is_ascii=is_ascii) for value in values]
    told = canonical_cells(field, pl.Series("x", [*cells, None], dtype=pl.String))

    assert told.to_list() == [*(canonical(field, value) for value in values), None]
    assert told.name == "x"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("12.500", "12.5"),
        ("12.0", "12"),
        ("-3.0100", "-3.01"),
        ("0.0010", "0.001"),
        ("-0.0", "0"),
        ("1E2", "100"),
        ("123456789012345678", "123456789012345678"),
        ("0.00001", "1e-05"),
        ("[broken", "[broken"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_numbers_have_one_form(cell: str, told: str) -> None:
    assert canonical_cells("attributes.n", pl.Series([cell])).to_list() == [told]
