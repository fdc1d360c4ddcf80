"""What text means, kind by kind: `!CODE` stands for a cell that blocks its row."""

import json
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.records import Slice
from pipeline.settings import Job
from pipeline.transform import plan_transform, transform

NBSP = "\u00a0"
EM_SPACE = "\u2003"


def read_cells(
    field: str, cells: list[str | None], timezone: str | None = None, **options: object
) -> list[Any]:
    """Send text cells through the transform; a blocked one is its code."""
    parent, _, key = field.partition(".")
    entry = {"column": "cell", **options}
    job = Job.model_validate(
        {
            "mapping": {"customId": "no", parent: {key: entry} if key else entry},
            "workspace": {"timezone": timezone},
        }
    )
    numbers = range(1, len(cells) + 1)
    frame = pl.DataFrame(
        {
            "source_no": pl.Series([0] * len(cells), dtype=pl.UInt32),
            "row_no": pl.Series(numbers, dtype=pl.UInt64),
            "no": pl.Series([f"c{n}" for n in numbers], dtype=pl.String),
            "cell": pl.Series(cells, dtype=pl.String),
        }
    )
    mapping = resolve_mapping(("no", "cell"), job)
    plan = plan_transform(mapping, frame.schema, job, IdentifierChecks())
    done = transform(Slice(frame, 0, 1, frame.height), plan)
    read = dict(done.clean.select("row_no", field).iter_rows())
    codes = dict(done.blocked.select("row_no", "code").iter_rows())
    assert set(done.blocked["field"]) <= {field}
    return [f"!{codes[n]}" if n in codes else read[n] for n in numbers]


# -- words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *((word, True) for word in ("true", "TRUE", "True", "1", "yes", "Yes", "yEs")),
        *((word, False) for word in ("false", "FALSE", "False", "0", "no", "NO")),
        (f" {NBSP}true\t", True),
        *((word, "!VALUE") for word in ("y", "n", "tak", "2", "10", "-1", "on", "1.0")),
        ("", None),
        (" \t\n\v\f\r\u00a0", None),
        (None, None),
    ],
)
def test_agreements_and_booleans_take_six_words_in_any_case(
    word: str | None, meaning: object
) -> None:
    code = "!TYPE" if meaning == "!VALUE" else meaning

    assert read_cells("agreements.sms", [word]) == [meaning]
    assert read_cells("attributes.x", [word], type="boolean") == [code]


def test_with_values_only_their_words_are_known() -> None:
    read = read_cells(
        "agreements.email",
        ["tak", "nie", " tak ", "TAK", "true", ""],
        values={"tak": True, "nie": False},
    )

    assert read == [True, False, True, "!VALUE", "!VALUE", None]


@pytest.mark.parametrize(
    ("field", "values", "cells", "read"),
    [
        ("sex", {"K": "FEMALE"}, ["K", "k", "FEMALE"], ["FEMALE", "!VALUE", "!VALUE"]),
        ("countryCode", {"Polska": "PL"}, ["Polska", "PL"], ["PL", "!VALUE"]),
        ("firstName", {"J.": "Jan"}, ["J.", "Jan"], ["Jan", "!VALUE"]),
        ("attributes.x", {"a": 1, "b": 2}, ["a", "b", "c"], [1, 2, "!VALUE"]),
        ("attributes.x", {"a": 1, "b": 2.5}, ["a", "b", ""], [1.0, 2.5, None]),
        ("attributes.x", {"a": True}, ["a", "1"], [True, "!VALUE"]),
        ("attributes.x", {"a": "A"}, ["a"], ["A"]),
        ("attributes.x", {"a": -(2**63)}, ["a"], [-(2**63)]),
    ],
)
def test_values_say_what_a_word_means_and_a_word_outside_is_blocked(
    field: str, values: dict[str, object], cells: list[str | None], read: list[object]
) -> None:
    found = read_cells(field, cells, values=values)

    assert found == read
    assert [type(value) for value in found] == [type(value) for value in read]


def test_sexes_are_four_exact_words() -> None:
    words = ["FEMALE", "MALE", "NOT_SPECIFIED", "OTHER", "male", "K", "", " MALE "]

    read = [*words[:4], "!VALUE", "!VALUE", None, "MALE"]
    assert read_cells("sex", [*words]) == read


def test_countries_are_two_or_three_letters_and_stay_as_they_are() -> None:
    cells: list[str | None] = ["PL", "pl", "POL", "P", "POLS", "P1", "PŁ", "PL\nX", ""]

    read = ["PL", "pl", "POL", *["!VALUE"] * 5, None]
    assert read_cells("countryCode", cells) == read


# -- numbers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0", 0),
        ("007", 7),
        ("+5", 5),
        ("-5", -5),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", "!TYPE"),
        ("1.0", "!TYPE"),
        ("1 000", "!TYPE"),
        ("1e3", "!TYPE"),
        ("0x10", "!TYPE"),
        ("١٢", "!TYPE"),
        ("--1", "!TYPE"),
        (" 12 ", 12),
        ("", None),
    ],
)
def test_an_integer_has_digits_and_fits_64_bits(text: str, read: object) -> None:
    assert read_cells("attributes.n", [text], type="integer") == [read]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("123456789012345", 123456789012345.0),
        ("0.000123456789012345", 0.000123456789012345),
        ("1234567890123456", "!TYPE"),
        ("0.12345678901234561234", "!TYPE"),
        ("1e308", 1e308),
        ("1e309", "!TYPE"),
        ("1e-307", 1e-307),
        ("1e-400", "!TYPE"),
        ("1.23456789e-320", "!TYPE"),
        ("0e-400", 0.0),
        ("0.0", 0.0),
        ("nan", "!TYPE"),
        ("NaN", "!TYPE"),
        ("inf", "!TYPE"),
        ("-Infinity", "!TYPE"),
        ("1,5", "!TYPE"),
        ("1_000", "!TYPE"),
        ("1e", "!TYPE"),
        (".", "!TYPE"),
        ("", None),
    ],
)
def test_a_number_keeps_all_of_its_digits(text: str, read: object) -> None:
    assert read_cells("attributes.n", [text], type="number") == [read]


@pytest.mark.parametrize(
    ("text", "read"),
    [("1,5", 1.5), ("1.5", "!TYPE"), ("1,5,0", "!TYPE"), ("1.000,5", "!TYPE")],
)
def test_a_decimal_comma_is_declared_and_then_the_only_one(
    text: str, read: object
) -> None:
    found = read_cells("attributes.n", [text], type="number", decimal=",")

    assert found == [read]


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**10))
    .filter(lambda number: abs(number) < 10**10)
    .map(str)
)
def test_numbers_of_fifteen_digits_survive_a_double(text: str) -> None:
    (number,) = read_cells("attributes.n", [text], type="number")

    assert Decimal(repr(number)) == Decimal(text)


@given(st.text(alphabet="0123456789.,+-eE ", max_size=25))
@example("-0.0")
def test_a_number_is_right_or_blocked(text: str) -> None:
    (number,) = read_cells("attributes.n", [text], type="number")

    if isinstance(number, float):
        assert math.isclose(number, Decimal(text.strip()), rel_tol=1e-15)
        assert Decimal(f"{number:.15g}") == Decimal(text.strip())


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.none() | st.text(alphabet="0019.-e ", max_size=9), max_size=6))
@example(["1", "-0.5", "999999999.999999", "0", None])
@example(["1", "1e3", " 2 ", "", "x", "00", "-0"])
def test_a_number_does_not_depend_on_its_neighbours(cells: list[str | None]) -> None:
    together = read_cells("attributes.n", cells, type="number")
    alone = [read_cells("attributes.n", [c], type="number", decimal=".") for c in cells]
    by_comma = [c and c.replace(".", ",") for c in cells]

    assert [[number] for number in together] == alone
    assert together == read_cells("attributes.n", by_comma, type="number", decimal=",")


# -- JSON --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{ "a" : [ 1 , 2.50 ] }', '{"a":[1,2.50]}'),
        ('{"a":1e400,"b":0.10,"c":12345678901234567890}',) * 2,
        ('"a  b \\" c"', '"a  b \\" c"'),
        ("\t[\n1 ]\r\n", "[1]"),
        ("12", "12"),
        ("true", "true"),
        ('{"a":null}', '{"a":null}'),
        ("null", "!TYPE"),
        ('""', "!TYPE"),
        ('{"a":1,"a":2}', "!TYPE"),
        ('{"x":{"a":1,"a":1}}', "!TYPE"),
        ("NaN", "!TYPE"),
        ("[Infinity]", "!TYPE"),
        ("{'a':1}", "!TYPE"),
        ("{", "!TYPE"),
        ("text", "!TYPE"),
        ('"\\ud800"', "!TYPE"),
        ('"\\u0000"', "!TYPE"),
        ("[" * 100_000, "!TYPE"),
        ("1" * 5_000, "!TYPE"),
        ("", None),
    ],
)
def test_json_stays_what_it_is_without_blanks(text: str, read: str | None) -> None:
    assert read_cells("attributes.j", [text], type="json") == [read]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON, st.sampled_from([None, 1, "\t"]))
def test_json_means_the_same_as_before(value: object, indent: int | str | None) -> None:
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return
    (read,) = read_cells("attributes.j", [text], type="json")

    is_plain_text = isinstance(value, str)
    if value in (None, "") or (is_plain_text and "\0" in str(value)):
        assert read == "!TYPE"
    else:
        assert json.loads(read) == value
        assert len(read) <= len(text)


# -- tags --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "split", "read"),
    [
        ("a|b", "|", ["a", "b"]),
        (f" a |{NBSP}b\t", "|", ["a", "b"]),
        ("a||b|", "|", ["a", "b"]),
        ("b|a|b", "|", ["b", "a"]),
        ("a, b", ", ", ["a", "b"]),
        ("|", "|", None),
        ("", "|", None),
        ('["a","b"]', "|", ['["a","b"]']),
        ("one tag", None, ["one tag"]),
        ('["a", " b ", "", "a"]', None, ["a", "b"]),
        ('["a\\u00e9"]', None, ["aé"]),
        ("[]", None, None),
        ("", None, None),
        ("[1]", None, "!TYPE"),
        ('["a", null]', None, "!TYPE"),
        ("[vip]", None, "!TYPE"),
        ('["\\ud800"]', None, "!TYPE"),
        ("[" * 100_000, None, "!TYPE"),
        ("a|b\0c", "|", "!TEXT"),
        ("a|\ufe0f", "|", "!TEXT"),
        ("a|x\ufe0f", "|", ["a", "x\ufe0f"]),
        (f"a|{EM_SPACE}b", "|", ["a", f"{EM_SPACE}b"]),
    ],
)
def test_tags_are_split_or_an_array_or_one(
    text: str, split: str | None, read: object
) -> None:
    assert read_cells("tags", [text], split=split) == [read]


def test_tags_may_be_translated() -> None:
    values = {"n": "new", "v": "vip", "w": "vip"}

    def translated(*cells: str | None) -> list[Any]:
        return read_cells("tags", [*cells], split="|", values=values)

    assert translated("n|v", "v|w", "", "n|x", None) == [
        ["new", "vip"],
        ["vip"],
        None,
        "!VALUE",
        None,
    ]
    assert read_cells("tags", ["[1]", '["n"]'], values=values) == ["!TYPE", ["new"]]


def test_tags_keep_their_blanks_when_told_so() -> None:
    read = read_cells("tags", [" a | b||", " "], split="|", trim=False)

    assert read == [[" a ", " b"], [" "]]


def test_an_attribute_list_keeps_what_is_repeated() -> None:
    read = read_cells("attributes.l", ["b|a|b", "|", ""], split="|")

    assert read == [["b", "a", "b"], None, None]
    assert read_cells(
        "attributes.l", ["x|y|x", "x|z"], split="|", values={"x": "A", "y": "A"}
    ) == [["A", "A", "A"], "!VALUE"]


# -- text --------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["firstName", "city", "avatarUrl", "attributes.x"])
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Zoë", "Zoë"),
        (f" \t\n\r\v\f{NBSP}Zoë{NBSP} ", "Zoë"),
        ("a  b", "a  b"),
        (f"{EM_SPACE}Zoë{EM_SPACE}", f"{EM_SPACE}Zoë{EM_SPACE}"),
        ("\u200bZoë\ufeff", "\u200bZoë\ufeff"),
        ("a\nb", "a\nb"),
        ("NULL", "NULL"),
        ("Zoe\u0308", "Zoe\u0308"),
        ("𝄞", "𝄞"),
        ("a\0b", "!TEXT"),
        ("\0", "!TEXT"),
        ("\ufe00\ufe0f", "!TEXT"),
        (" \ufe0f ", "!TEXT"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\ufe0f\nx", "\ufe0f\nx"),
        ("\ufe0f\n", "!TEXT"),
        ("", None),
        (f" {NBSP}", None),
        (None, None),
    ],
)
def test_text_changes_only_at_its_ends(
    field: str, text: str | None, read: str | None
) -> None:
    assert read_cells(field, [text]) == [read]


def test_trimming_can_be_turned_off() -> None:
    cells: list[str | None] = [" a ", " ", ""]

    assert read_cells("firstName", cells, trim=False) == [" a ", " ", None]


@given(st.lists(st.none() | st.text(), max_size=5))
def test_no_text_is_changed_but_trimmed(cells: list[str | None]) -> None:
    for cell, read in zip(cells, read_cells("attributes.x", cells), strict=True):
        trimmed = (cell or "").strip(" \t\n\r\v\f\xa0")
        is_forbidden = "\0" in trimmed or (
            trimmed and not trimmed.strip("".join(map(chr, range(0xFE00, 0xFE10))))
        )
        assert read == ("!TEXT" if is_forbidden else trimmed or None)
