"""What a profile shows of a row: never a field that it may hold otherwise."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.comparison import is_held
from pipeline.delta.shown import CRM_PREFIX, shown_fields

FIELDS = ("email", "city", "attributes.points", "tags", "agreements.email", "phone")


def shown(
    sent: dict[str, str | None],
    there: dict[str, str | None],
    untyped: frozenset[str] = frozenset(),
) -> set[str]:
    cells = {name: sent.get(name) for name in FIELDS} | {
        CRM_PREFIX + name: there.get(name) for name in FIELDS
    }
    frame = pl.DataFrame(
        {"row": [7]} | {name: [cell] for name, cell in cells.items()},
        schema={"row": pl.UInt32, **dict.fromkeys(cells, pl.String)},
    )
    found = shown_fields(frame, FIELDS, untyped)
    assert found["row"].to_list() == [7]
    return {FIELDS[int(n)] for n in found["fields"][0].split(",") if n}


@pytest.mark.parametrize(
    ("field", "sent", "there", "is_shown"),
    [
        ("city", '"Opole"', '"Opole"', True),
        ("city", '"Opole"', '"Lublin"', False),
        ("city", '"Opole"', None, False),
        ("city", None, '"Opole"', False),
        ("city", "null", None, False),
        ("city", "null", "null", False),
        ("email", '"a@example.com"', '"A@Example.com"', True),
        ("phone", '"+48600700800"', '"0048 600 700 800"', True),
        ("tags", '["a","b"]', '["b","a"]', True),
        ("tags", '["a","b"]', '["a"]', False),
        ("agreements.email", "true", "true", True),
        ("agreements.email", "false", None, False),
        ("attributes.points", "12", "12", True),
        ("attributes.points", "12", '"12"', False),
    ],
)
def test_a_field_is_shown_where_its_value_is_there(
    field: str, sent: str | None, there: str | None, *, is_shown: bool
) -> None:
    assert shown({field: sent}, {field: there}) == ({field} if is_shown else set())


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [("gold", True), ("12", False), ("True", False), ("[]", False), ("", True)],
)
def test_a_text_that_may_mean_another_value_shows_nothing(
    text: str, *, is_shown: bool
) -> None:
    cell = json.dumps(text)
    field = "attributes.points"
    found = shown({field: cell}, {field: cell}, frozenset({field}))
    assert found == ({field} if is_shown else set())
    assert shown({field: cell}, {field: cell}) == {field}


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 20),
    st.sampled_from([0.5, 1.0, "", " a ", "a", "12", "true", "NULL", "+48 600"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
)


@given(field=st.sampled_from(FIELDS), sent=VALUES, there=VALUES)
def test_what_is_shown_is_held(field: str, sent: object, there: object) -> None:
    found = shown(
        {field: json.dumps(sent)},
        {field: None if there is None else json.dumps(there)},
    )
    assert not found or is_held(field, sent, there)
