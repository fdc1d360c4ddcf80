"""A page is read exactly, whatever is in it, fast or not."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.errors import ContractError
from pipeline.export.pages import PageReader
from pipeline.export.plain import FIXED, frame_of_profiles, read_exactly

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('":.{},\\e0 é'),
    max_size=8,
) | st.sampled_from(["true", "5", "5.0", ":null", "null", "", "a:true", "x.0,"])
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([5.0, 0.5, 1e300, 2.0**53, -0.0, 1e16])
)
SCALARS = TEXTS | NUMBERS | st.booleans()
VALUES = st.recursive(
    SCALARS | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=4,
)
PROFILES = st.fixed_dictionaries(
    {"id": st.integers(1, 2**63 - 1) | st.integers(1, 9)},
    optional={
        "email": TEXTS | st.none(),
        "firstname": TEXTS,
        "sex": st.sampled_from(["UNDEFINED", "MALE", None]),
        "zipCode": SCALARS,
        "tags": st.lists(TEXTS | st.none(), max_size=3) | st.none() | TEXTS,
        "created": TEXTS | NUMBERS,
        "agreements": st.dictionaries(
            st.sampled_from(["email", "sms", "webpush", "odd"]), st.booleans()
        ),
        "attributes": st.dictionaries(st.sampled_from(["a", "b", "c.d"]), VALUES)
        | st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS)
        | st.dictionaries(st.sampled_from(["a", "b"]), st.booleans() | TEXTS),
    },
)
COMPACT = {"ensure_ascii": False, "separators": (",", ":")}


def body_of(profiles: list[dict[str, Any]], *, is_bare: bool) -> bytes:
    wrapped = {"customers": profiles, "all": 7, "limit": 9, "offset": 0, "matching": 5}
    return json.dumps(profiles if is_bare else wrapped, **COMPACT).encode()  # type: ignore[arg-type]


def same(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    """Compare cells; what is JSON text by its value, type and all."""
    fixed = list(FIXED)
    assert_frame_equal(found.select(fixed), wanted.select(fixed))
    assert set(found.columns) == set(wanted.columns)
    for name in set(found.columns) - set(fixed):
        ours = [None if c is None else json.loads(c) for c in found[name]]
        theirs = [None if c is None else json.loads(c) for c in wanted[name]]
        assert [(repr(a), type(a)) for a in ours] == [
            (repr(b), type(b)) for b in theirs
        ]


@given(
    pages=st.lists(st.lists(PROFILES, max_size=4), min_size=1, max_size=3),
    is_bare=st.booleans(),
)
@example(pages=[[{"id": 1, "zipCode": 2**53}], [{"id": 2}]], is_bare=True)
@example(pages=[[{"id": 1, "zipCode": 5}], [{"id": 2, "zipCode": 2**53}]], is_bare=True)
@example(pages=[[{"id": 1, "zipCode": 5}], [{"id": 2, "zipCode": 1e-7}]], is_bare=True)
@example(
    pages=[[{"id": n, "attributes": {"n": 2**53 + n}}] for n in range(2)], is_bare=False
)
def test_every_page_is_read_as_python_reads_it(
    *, pages: list[list[dict[str, Any]]], is_bare: bool
) -> None:
    reader = PageReader()
    for profiles in pages:
        body = body_of(profiles, is_bare=is_bare)

        page = reader.read(body)

        same(page.frame, read_exactly(body).frame)
        assert page.frame["clientId"].to_list() == [one["id"] for one in profiles]
        assert (page.n_all, page.matching) == ((None, None) if is_bare else (7, 5))


PLAIN = {"id": 1, "email": "a@b.pl", "attributes": {"n": 5, "t": "x", "b": True}}


@pytest.mark.parametrize(
    ("other", "is_fast"),
    [
        ({"n": 6, "t": "y", "b": False}, True),
        ({"n": 6.5, "t": "y", "b": False}, True),
        ({"late": "new"}, True),
        ({"t": "a.0"}, True),
        ({"t": 'with a "quote"'}, False),
        ({"n": "6"}, False),
        ({"t": 6}, False),
        ({"n": True}, False),
        ({"b": 1}, False),
        ({"n": 6.0}, False),
        ({"n": {"deep": 1}}, False),
        ({"n": [1]}, False),
        ({"t": "says :true"}, True),
    ],
    ids=str,
)
def test_only_a_page_that_adds_up_is_read_fast(
    *, other: dict[str, Any], is_fast: bool
) -> None:
    reader = PageReader()
    reader.read(body_of([PLAIN], is_bare=False))
    body = body_of([PLAIN, {"id": 2, "attributes": other}], is_bare=False)

    page = reader.read(body)

    assert reader.n_exact == (not is_fast)
    same(page.frame, read_exactly(body).frame)


def test_names_of_both_services_become_native() -> None:
    frame = frame_of_profiles(
        [
            {
                "id": 7,
                "custom_identify": "C",
                "firstname": "Ada",
                "birthdate": "2000-01-01",
                "sex": "UNDEFINED",
                "tags": [],
                "agreements": {"webpush": True, "sms": "true"},
                "attributes": {"deep": {"a": None}},
            }
        ]
    )
    [row] = frame.rows(named=True)

    given = {name: value for name, value in row.items() if value is not None}
    assert given == {
        "clientId": 7,
        "customId": "C",
        "firstName": "Ada",
        "birthDate": "2000-01-01",
        "sex": "NOT_SPECIFIED",
        "agreements.webPush": True,
        "agreements.sms": True,
        "attributes.deep": '{"a":null}',
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'[{"id":NaN}]', "not JSON"),
        (b'[{"id":1,"email":"\\ud800"}]', "not JSON"),
        (b"{}", "neither"),
        (b"5", "neither"),
        (b'{"customers":null}', "neither"),
        (b'{"customers":{"id":1}}', "neither"),
        (b"[1]", "neither"),
        (b'[{"email":"a@b.pl"}]', "neither"),
        (b'[{"id":"1"}]', "neither"),
        (b'[{"id":1.0}]', "neither"),
        (b'[{"id":true}]', "neither"),
        (b'[{"id":1},null]', "neither"),
        (b'[{"id":9223372036854775808}]', "neither"),
    ],
    ids=repr,
)
def test_what_is_no_list_is_refused(body: bytes, words: str) -> None:
    reader = PageReader()
    reader.read(body_of([PLAIN], is_bare=True))

    with pytest.raises(ContractError, match=words):
        reader.read(body)


@pytest.mark.parametrize("told", ['"5"', "-1", "true", "2.5", "null", "[1]"])
def test_a_total_that_is_no_count_is_unknown(told: str) -> None:
    body = f'{{"customers":[],"all":{told}}}'.encode()

    assert PageReader().read(body).n_all is None
