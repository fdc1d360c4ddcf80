"""The sample: the same rows for everybody, every shape in it, flat memory."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Encoded
from pipeline.sent_rows import ambiguous_phones, phones, shaped
from pipeline.verify.drawing import SPARE, Draw, waves_of

NO_PHONES = pl.Series("phone", [], pl.String)
TYPES = {"source_no": pl.UInt32, "row_no": pl.UInt64, "json": pl.String}


def frame(rows: Sequence[dict[str, Any]], first: int = 1) -> pl.DataFrame:
    texts = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows]
    numbered = [(0, n, text) for n, text in enumerate(texts, first)]
    return pl.DataFrame(numbered, schema=TYPES, orient="row")


def people(n_rows: int) -> pl.DataFrame:
    return frame(
        [
            {"customId": f"C{n}"} | ({} if n % 5 else {"email": f"p{n}@example.com"})
            for n in range(n_rows)
        ]
    )


def batched(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.lit(7, dtype=pl.UInt64).alias("batch_no"))


def drawn(draw: Draw, rows: pl.DataFrame) -> list[int]:
    batches = batched(rows).select("source_no", "row_no", "batch_no").lazy()
    return [row.row_no for row in draw.wave(batches).rows]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 399), max_size=5), st.integers(0, 5))
def test_how_rows_come_in_slices_changes_no_sample(cuts: list[int], seed: int) -> None:
    rows = people(400)
    whole, pieces = Draw(20, seed, NO_PHONES), Draw(20, seed, NO_PHONES)
    whole.add(rows)
    borders = [0, *sorted(cuts), rows.height]
    slices = [Encoded(rows[begin:end]) for begin, end in pairwise(borders)]

    assert list(pieces.watched(slices)) == slices
    assert drawn(pieces, rows) == drawn(whole, rows)
    assert len(drawn(whole, rows)) == 20


def test_others_take_the_place_of_rows_that_were_refused() -> None:
    rows = people(400)
    draw = Draw(20, 1, NO_PHONES)
    draw.add(rows)
    first = drawn(draw, rows)
    refused = pl.Series(first[:5], dtype=pl.UInt64)
    left = rows.filter(~pl.col("row_no").is_in(refused.implode()))
    (wave,) = waves_of(lambda: [batched(left)], pl.Series("row", []), 20, 1)

    assert set(drawn(draw, left)) >= set(first[5:])
    assert drawn(draw, left) == [row.row_no for row in wave.rows]


def test_sizes_are_those_of_the_shapes_that_went_by() -> None:
    rows = people(400)
    draw = Draw(20, 1, NO_PHONES)
    draw.add(rows)
    wave = draw.wave(batched(rows).select("source_no", "row_no", "batch_no").lazy())

    assert wave.sizes == {("customId",): 320, ("customId", "email"): 80}
    assert sum(len(row.shape) > 1 for row in wave.rows) == 10
    assert {row.batch_no for row in wave.rows} == {7}


def test_no_more_is_held_than_twice_the_sample_of_each_shape() -> None:
    draw = Draw(10, 1, NO_PHONES)
    for n in range(20):
        draw.add(people(500).with_columns(pl.col("row_no") + 500 * n))

    assert draw.n_held == 2 * SPARE * 10


def test_nothing_went_by() -> None:
    assert Draw(10, 1, NO_PHONES).wave().rows == []


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"email": "a@b.pl", "agreements": {"email": True}}, "email"),
        ({"customId": "1", "agreements": {"email": True}}, "customId"),
        ({"customId": "1", "attributes": {"email": "a@b.pl"}}, "customId"),
        ({"attributes": {"phone": "1"}, "phone": "+48600100200"}, "phone"),
        ({"customId": '"email":"', "attributes": {"x": "y"}}, "customId"),
        ({"clientId": 5, "firstName": "Ewa"}, "clientId"),
        ({"firstName": "Ewa"}, ""),
        (
            {"uuid": "u", "phone": "p", "email": "e", "customId": "c"},
            "customId+email+uuid+phone",
        ),
    ],
)
def test_only_members_of_the_row_itself_are_identifiers(
    row: dict[str, Any], shape: str
) -> None:
    assert shaped(frame([row]))["shape"].to_list() == [shape]
    assert phones(frame([row])).to_list() == [row.get("phone")]


def test_rows_with_the_phone_of_a_row_that_has_nothing_else_are_left_out() -> None:
    rows = frame([
        {"customId": "1", "phone": "+48600100200"}, {"phone": "+48600100200"},
        {"customId": "3", "phone": "+48600100201"}, {"customId": "4"},
    ])  # fmt: skip
    alone = pl.Series("row", [2], dtype=pl.UInt64)
    ambiguous = ambiguous_phones([rows], alone)
    draw = Draw(10, 1, ambiguous)
    draw.add(batched(rows))

    assert ambiguous.to_list() == ["+48600100200"]
    assert [row.row_no for row in draw.wave().rows] == [3, 4]
    assert draw.wave().n_ambiguous == 2
