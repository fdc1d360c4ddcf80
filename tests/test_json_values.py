"""What JSON cells mean, each by its own type: `!CODE` stands for one that blocks."""

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoder import encode
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.json_values import (
    JSON_CELL,
    TEXT_FIELD,
    VALUE_FIELD,
    holds_lost_number,
    joined_lists,
)
from pipeline.mapping import resolve_mapping
from pipeline.records import Slice, Transformed
from pipeline.settings import Job
from pipeline.transform import plan_transform, transform

CHECKS = IdentifierChecks()


def column_of(cells: list[str | None]) -> pl.Series:
    """Make a column as the reader does; None is an absent key."""
    rows = []
    for cell in cells:
        is_text = cell is not None and cell.startswith('"')
        text = json.loads(cell) if cell and is_text else None
        value = None if is_text else cell
        rows.append(None if cell is None else {TEXT_FIELD: text, VALUE_FIELD: value})
    return pl.Series("cell", rows, dtype=JSON_CELL)


def read(field: str, cells: list[str | None], **options: object) -> Transformed:
    parent, _, key = field.partition(".")
    entry = {"column": "cell", **options}
    names = {} if field == "customId" else {"customId": "no"}
    job = Job.model_validate(
        {"mapping": {**names, parent: {key: entry} if key else entry}}
    )
    numbers = range(1, len(cells) + 1)
    frame = pl.DataFrame(
        {
            "source_no": pl.Series([0] * len(cells), dtype=pl.UInt32),
            "row_no": pl.Series(numbers, dtype=pl.UInt64),
            "no": pl.Series([f"c{n}" for n in numbers], dtype=pl.String),
            "cell": column_of(cells),
        }
    )
    plan = plan_transform(
        resolve_mapping(("no", "cell"), job), frame.schema, job, CHECKS
    )
    done = transform(Slice(frame, 0, 1, frame.height), plan)
    sent = encode(done.clean, raw=plan.raw).frame
    assert sent.height == done.clean.height
    return Transformed(
        sent.select("row_no", "json"), done.blocked, done.omitted, done.repairs
    )


def sent_cells(field: str, cells: list[str | None], **options: object) -> list[Any]:
    """Return each cell as the JSON text that is sent for it, or its code."""
    done = read(field, cells, **options)
    told = {}
    for row_no, text in done.clean.iter_rows():
        value: Any = json.loads(text, parse_int=Number, parse_float=Number)
        for name in field.split("."):
            value = value.get(name) if value else None
        told[row_no] = value
    told |= {
        n: f"!{code}" for n, code in done.blocked.select("row_no", "code").iter_rows()
    }
    return [told[n] for n in range(1, len(cells) + 1)]


class Number(str):
    """The digits of a number."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


N = Number


@pytest.mark.parametrize(
    ("cells", "sent"),
    [
        (["12", '"12"', None], [N("12"), "12", None]),
        (["12.50", "1e3", "-0", "0.1"], [N("12.50"), N("1e3"), N("-0"), N("0.1")]),
        (["true", '"true"', "false"], [True, "true", False]),
        (["12345678901234567890"], [N("12345678901234567890")]),
        (["18446744073709551615"], [N("18446744073709551615")]),
        (["-9223372036854775808"], [N("-9223372036854775808")]),
        # What a double would change, and what none can hold.
        (["18446744073709551617", "-9223372036854775809"], ["!TYPE", "!TYPE"]),
        (["0.12345678901234567891", "1e400"], ["!TYPE", "!TYPE"]),
        (["123456789012345678901234567890"], ["!TYPE"]),
        (["9" * 5000, "0e999", f"1e{'9' * 30}"], ["!TYPE", N("0e999"), "!TYPE"]),
        (["1e22", "0.30000000000000004"], [N("1e22"), N("0.30000000000000004")]),
        (['{"a":[1.50]}', '{"a":[1e400]}'], [{"a": [N("1.50")]}, "!TYPE"]),
        (['["a"," b "]', "[]", "{}"], [["a", " b "], [], {}]),
        (['" a "', '""', '" "', '"\\u0000"'], ["a", None, None, "!TEXT"]),
        (['"\\ufe0f"', '"\\\\u0000"', '"{"'], ["!TEXT", "\\u0000", "{"]),
        (['"\\n\\"\\\\ż😀\\u001f"'], ['"\\ż😀\x1f']),
    ],
)
def test_an_attribute_keeps_the_type_and_the_number_of_each_cell(
    cells: list[str | None], sent: list[Any]
) -> None:
    found = sent_cells("attributes.x", cells)

    assert found == sent
    assert [type(value) for value in found] == [type(value) for value in sent]


def test_text_stays_untrimmed_when_told_so() -> None:
    assert sent_cells("attributes.x", ['" a "', "1"], trim=False) == [" a ", N("1")]


@given(
    st.lists(
        st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=1
    )
)
def test_a_number_arrives_as_the_same_number_or_its_row_is_blocked(
    numbers: list[float],
) -> None:
    cells = [json.dumps(number) for number in numbers]

    for number, cell in zip(
        numbers, sent_cells("attributes.x", list(cells)), strict=True
    ):
        if cell == "!TYPE":
            assert isinstance(number, int)
            assert not -(2**63) <= number < 2**64
        else:
            assert Decimal(cell) == Decimal(repr(number))


def test_a_whole_number_identifies_and_no_other_one() -> None:
    cells = ["277", '"00277"', "1.0", "1e3", "true", "[1]", "-0", '" x "', None]

    assert sent_cells("customId", cells) == [
        "277",
        "00277",
        *["!TYPE"] * 5,
        "x",
        "!NO_ID",
    ]
    assert sent_cells("customId", ["1.0"], on_invalid="omit") == ["!TYPE"]
    assert sent_cells("phone", ["48600100200", "4.8e10"], region="PL") == [
        "+48600100200",
        "!TYPE",
    ]


def test_an_identifier_of_another_type_is_left_out_where_the_job_says_so() -> None:
    done = read("phone", ["1.5", "[]", "48600100200"], region="PL", on_invalid="omit")

    assert done.blocked.is_empty()
    assert done.omitted["code"].to_list() == ["TYPE", "TYPE"]
    assert [json.loads(text) for text in done.clean["json"]] == [
        {"customId": "c1"},
        {"customId": "c2"},
        {"customId": "c3", "phone": "+48600100200"},
    ]


@pytest.mark.parametrize(
    ("field", "cells", "sent"),
    [
        ("city", ["5", '"5"', "true", None], ["5", "5", "true", None]),
        ("city", ["5.0", "[]", '{"a":1}', '"[]"'], [*["!TYPE"] * 3, "[]"]),
        ("sex", ['"MALE"', "1", "1.5"], ["MALE", "!VALUE", "!TYPE"]),
        ("agreements.sms", ["true", "0", '"yes"', "2"], [True, False, True, "!VALUE"]),
        ("agreements.sms", ["1.0", '["yes"]'], ["!TYPE", "!TYPE"]),
        ("birthDate", ['"1990-05-01"', "19900501"], ["1990-05-01", "!DATE"]),
        ("tags", ['["a"," b "]', '"c"', "5", "[]"], [["a", "b"], ["c"], ["5"], None]),
        ("tags", ["[1]", '{"a":1}', "1.5", '"[\\"a\\"]"'], [*["!TYPE"] * 3, ["a"]]),
    ],
)
def test_a_native_field_takes_words_and_nothing_that_has_several_spellings(
    field: str, cells: list[str | None], sent: list[Any]
) -> None:
    assert sent_cells(field, cells) == sent


@pytest.mark.parametrize("field", ["tags", "attributes.x"])
def test_a_list_is_what_a_split_would_give(field: str) -> None:
    cells: list[str | None] = ['"a|b"', '["a","b"]', "7", "[]", '["a|b"]', "[1]", "1.5"]

    assert sent_cells(field, cells, split="|") == [
        ["a", "b"],
        ["a", "b"],
        ["7"],
        None,
        "!TYPE",
        "!TYPE",
        "!TYPE",
    ]


@pytest.mark.parametrize(
    ("options", "cells", "sent"),
    [
        ({"type": "integer"}, ["5", '"5"', "5.0", "[5]"], [N("5"), N("5")]),
        ({"type": "number"}, ["12.50", '"1.5"', "1e400", "{}"], [N("12.5"), N("1.5")]),
        ({"type": "boolean"}, ["true", "1", "5", "[]"], [True, True]),
        ({"type": "date"}, ['"2024-01-02"', '"2024-02-29"', "2024", "[]"],
         ["2024-01-02", "2024-02-29"]),
        ({"values": {"1": "one", "true": "yes"}}, ["1", "true", "1.0", "{}"],
         ["one", "yes"]),
    ],
)  # fmt: skip
def test_a_declared_type_reads_the_text_of_a_cell(
    options: dict[str, object], cells: list[str | None], sent: list[Any]
) -> None:
    found = sent_cells("attributes.x", cells, **options)

    assert found[:2] == sent
    assert all(str(cell).startswith("!") for cell in found[2:])
    assert found[3] == "!TYPE"


def test_declared_text_and_json_take_every_cell() -> None:
    cells: list[str | None] = ["12.50", '"12.50"', '{"a":[1.0]}', "true"]

    assert sent_cells("attributes.x", cells, type="text") == [
        "12.50",
        "12.50",
        '{"a":[1.0]}',
        "true",
    ]
    assert sent_cells("attributes.x", cells, type="json") == [
        N("12.50"),
        N("12.50"),
        {"a": [N("1.0")]},
        True,
    ]


@pytest.mark.parametrize(
    ("field", "options", "n"),
    [
        ("attributes.x", {}, 1),
        ("attributes.x", {"type": "json"}, 0),
        ("attributes.x", {"type": "text"}, 1),
        ("attributes.x", {"values": {"a": "b", "1": "c"}}, 0),
        ("city", {}, 1),
        ("customId", {}, 1),
    ],
)
def test_repairs_of_text_cells_are_counted(
    field: str, options: dict[str, object], n: int
) -> None:
    done = read(field, ['"a"', '" b"', "1", None], **options)

    assert done.repairs == ({field: n} if n else {})


def test_the_email_that_identifies_nobody_is_still_an_email() -> None:
    job = Job.model_validate(
        {
            "mapping": {"customId": "no", "email": "cell"},
            "workspace": {"unique_email": False, "email_attribute": "mail"},
        }
    )
    frame = pl.DataFrame(
        {
            "source_no": pl.Series([0, 0], dtype=pl.UInt32),
            "row_no": pl.Series([1, 2], dtype=pl.UInt64),
            "no": ["a", "b"],
            "cell": column_of(['"A@x.pl"', "1.5"]),
        }
    )
    plan = plan_transform(
        resolve_mapping(("no", "cell"), job), frame.schema, job, CHECKS
    )
    done = transform(Slice(frame, 0, 1, 2), plan)

    assert done.clean["attributes.mail"].to_list() == ["a@x.pl"]
    assert done.blocked["code"].to_list() == ["TYPE"]


def test_helpers_work_on_plain_series_too() -> None:
    cells = pl.Series(["1", f"1e{'9' * 30}", "[12345678901234567890,2.5]", None])
    beyond = pl.Series(['{"a":18446744073709551616}', "[18446744073709552000]"])
    lists = pl.Series(['["a","b"]', '["a|b"]', '{"a":"b"}', "[1]", None])

    assert holds_lost_number(cells).to_list() == [False, True, False, False]
    assert holds_lost_number(beyond).to_list() == [True, False]
    odd = pl.Series(["NaN", "-Infinity", '{"a":1,"a":2}', "1.50", "[" * 100_000])
    assert holds_lost_number(odd).to_list() == [True, True, True, False, True]
    assert joined_lists(lists, "|").to_list() == ["a|b", None, None, None, None]
