"""Digests are those of the standard library, and equal exactly for equal values."""

import hashlib
import hmac
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delta.digests import (
    FIELD_PREFIX,
    KEY_COLUMNS,
    KIND,
    N_BUCKETS,
    NAMING,
    accepted_digests,
    bucket_of,
    digest_of,
    digests_of,
    digests_of_texts,
    field_columns,
    field_of,
    folded_digests,
    key_id,
    named_by,
)
from pipeline.encoder import encode

KEY = "5e" * 32
IDENTIFIERS = ("email", "customId", "phone")


def clean(rows: list[dict[str, Any]], **dtypes: Any) -> pl.DataFrame:
    """Clean rows as the transform gives them, text unless told otherwise."""
    names = list(dict.fromkeys([*IDENTIFIERS, *(name for row in rows for name in row)]))
    schema = {name: dtypes.get(name, pl.String()) for name in names}
    keys = pl.DataFrame(
        {"source_no": [0] * len(rows), "row_no": range(1, len(rows) + 1)},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    return keys.hstack(pl.DataFrame(rows, schema=schema))


def digests(rows: list[dict[str, Any]], **dtypes: Any) -> pl.DataFrame:
    return digests_of(clean(rows, **dtypes), IDENTIFIERS, KEY)


def test_a_person_is_the_hmac_of_the_strongest_identifier() -> None:
    found = digests(
        [
            {"customId": "C1", "email": "a@example.com", "phone": "+48600000000"},
            {"email": "a@example.com", "phone": "+48600000000"},
            {"phone": "+48600000000"},
        ]
    )

    told = ("customId\x1fC1", "email\x1fa@example.com", "phone\x1f+48600000000")
    for row, text in zip(found.iter_rows(named=True), told, strict=True):
        by_hand = hmac.new(KEY.encode(), text.encode(), hashlib.sha256).digest()
        name = b"".join(row[part].to_bytes(8) for part in KEY_COLUMNS)
        assert name == by_hand[:16]
        assert NAMING[row[KIND]] == text.partition("\x1f")[0]


def test_another_key_gives_other_digests_everywhere() -> None:
    rows = clean([{"customId": "C1", "city": "Opole"}])
    one = digests_of(rows, IDENTIFIERS, KEY).row(0, named=True)
    other = digests_of(rows, IDENTIFIERS, KEY[::-1]).row(0, named=True)

    given_ = [n for n, value in one.items() if value is not None and n != KIND]
    assert len(given_) == 4
    assert all(one[name] != other[name] for name in given_)
    assert key_id(KEY) != key_id(KEY[::-1])


def test_a_cell_that_is_not_given_has_no_digest() -> None:
    found = digests([{"customId": "C1", "city": None}])

    assert found["d:city"].to_list() == [None]


def test_equal_texts_of_two_fields_or_kinds_differ() -> None:
    found = digests(
        [{"customId": "5", "city": "5", "attributes.n": 5, "attributes.j": "5"}],
        **{"attributes.n": pl.Int64()},
    )
    raw = digests_of(
        clean([{"customId": "5", "attributes.j": "5"}]),
        IDENTIFIERS,
        KEY,
        raw=frozenset({"attributes.j"}),
    )

    row = found.row(0, named=True)
    values = [row[name] for name in field_columns(row) if row[name] is not None]
    assert len({*values, raw["d:attributes.j"].item()}) == 5


def test_what_a_row_withdraws_or_erases_is_known_by_its_digest() -> None:
    rows = clean(
        [
            {"customId": "C1", "agreements.email": answer}
            for answer in (True, False, None)
        ],
        **{"agreements.email": pl.Boolean()},
    )
    erased = pl.DataFrame({"agreements.email": [False, False, True]})
    found = digests_of(rows, IDENTIFIERS, KEY, erased=erased)["d:agreements.email"]

    name = "agreements.email"
    assert found.to_list() == [
        digest_of(KEY, name, answer) for answer in (True, False, None)
    ]


def test_rows_of_one_person_have_the_digests_of_their_last_values() -> None:
    rows = [
        {"email": "a@example.com", "city": "Opole"},
        {"customId": "C1", "email": "a@example.com"},
    ]
    held = digests(rows)
    folded = held.select(folded_digests(held.columns))
    whole = digests([{"customId": "C1", "email": "a@example.com", "city": "Opole"}])

    assert folded.sort("key_hi").equals(whole.select(folded.columns))
    assert folded_digests(["json"]) == []


def test_persons_are_spread_over_all_buckets() -> None:
    found = digests([{"customId": f"C{n}"} for n in range(2_000)])

    buckets = found.select(bucket_of())["bucket"]
    assert set(buckets) == set(range(N_BUCKETS))


VALUES = {
    "city": st.none() | st.text(max_size=3),
    "attributes.n": st.none() | st.integers(-3, 3),
    "attributes.x": st.none() | st.sampled_from([0.5, 1.0, 1e20]),
    "agreements.email": st.none() | st.booleans(),
    "tags": st.none() | st.lists(st.sampled_from(["a", "b", 'c"']), max_size=2),
}
DTYPES = {
    "attributes.n": pl.Int64(),
    "attributes.x": pl.Float64(),
    "agreements.email": pl.Boolean(),
    "tags": pl.List(pl.String()),
}


@given(st.lists(st.fixed_dictionaries(VALUES), min_size=2, max_size=8))
def test_digests_are_equal_exactly_where_the_bodies_are(
    rows: list[dict[str, Any]],
) -> None:
    frame = clean([{"customId": "C1", **row} for row in rows], **DTYPES)
    bodies = encode(frame).frame["json"].to_list()
    found = digests_of(frame, IDENTIFIERS, KEY).rows()

    for n, body in enumerate(bodies):
        for m, other in enumerate(bodies):
            assert (body == other) == (found[n] == found[m])


def test_an_accepted_number_is_one_as_text_and_among_fractions() -> None:
    rows = clean(
        [{"customId": "C1", "a": "5", "b": 5, "c": 5.0, "d": "x", "e": True}],
        b=pl.Int64(),
        c=pl.Float64(),
        e=pl.Boolean(),
    )
    found = digests_of(rows, IDENTIFIERS, KEY)
    told = accepted_digests(
        {"a": [5], "b": [5], "c": [5], "d": ["x"], "e": [True]}, KEY
    )

    assert all(found[name][0] in digests for name, digests in told.items())


def test_the_name_of_a_column_is_that_of_its_field() -> None:
    assert field_of(f"{FIELD_PREFIX}attributes.a") == "attributes.a"
    assert field_columns(["row", "d:city", "json"]) == ["d:city"]


def test_an_identifier_alone_names_the_person_that_a_row_does() -> None:
    rows = digests([{"email": "a@example.com", "phone": "1"}, {"phone": "2"}])
    emails = pl.Series("anything", ["a@example.com", None])

    named = named_by("email", emails, KEY)
    texts = digests_of_texts("email", emails, KEY)

    assert named.rows()[0] == rows.select(KEY_COLUMNS).rows()[0]
    assert named.rows()[1] == (None, None)
    assert texts.to_list() == rows["d:email"].to_list()
