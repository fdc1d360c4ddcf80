"""Batches are cut byte for byte, and the search for refused rows is bounded."""

import hashlib
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvariantError, LimitError
from pipeline.records import Batch
from pipeline.splitting import ByteTarget, PartMaker, Search, pieces


def batch_of(n_rows: int) -> Batch:
    rows = pl.DataFrame(
        {"source_no": [0] * n_rows, "row_no": list(range(1, n_rows + 1))},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    body = json.dumps([{"n": n} for n in range(1, n_rows + 1)]).encode()
    return Batch(7, 2, rows, body, "digest")


def row_nos(part: Batch) -> list[int]:
    assert [row["n"] for row in json.loads(part.body)] == part.rows["row_no"].to_list()
    assert part.digest == hashlib.sha256(part.body).hexdigest()
    assert (part.lane, part.parent_no) == (2, 7)
    return part.rows["row_no"].to_list()


def test_parts_are_batches_of_their_own() -> None:
    maker = PartMaker(next_no=100)
    first, second = maker.halves(batch_of(5))
    (rest,) = maker.without(batch_of(5), (0, 3))

    assert (row_nos(first), row_nos(second)) == ([1, 2], [3, 4, 5])
    assert row_nos(rest) == [2, 3, 5]
    assert [part.batch_no for part in (first, second, rest)] == [100, 101, 102]
    assert maker.without(batch_of(2), (0, 1)) == []


def test_too_big_lowers_the_target_once_for_each_size() -> None:
    target = ByteTarget(950_000)
    target.lower(500_000)
    assert target.n_bytes == 400_000
    target.lower(950_000)  # made before
    target.lower(400_001)
    assert target.n_bytes == 400_000
    target.lower(900)

    assert target.n_bytes == 1000


def test_the_search_is_bounded_for_a_batch_and_for_the_run() -> None:
    search = Search(n_extra=999)

    assert search.may_go_on(149)
    assert not search.may_go_on(150)
    search.n_extra += 1
    assert not search.may_go_on(0)


@pytest.mark.parametrize(
    ("n_bad", "n_good", "is_systematic"),
    [(10, 9, True), (10, 10, False), (0, 0, False), (7, 0, True)],
)
def test_five_batches_that_are_mostly_bad_look_systematic(
    n_bad: int, n_good: int, *, is_systematic: bool
) -> None:
    search = Search()
    found = [search.finish(n_bad, n_good) for _ in range(7)]

    assert [error is not None for error in found] == [
        n == 4 and is_systematic for n in range(7)
    ]
    assert isinstance(found[4], LimitError) == is_systematic


def test_pieces_keep_every_byte_of_a_row() -> None:
    rows = ['{"a":1.0e5}', '{"b": "é\\u0000]},["}', "{}", '{"n":' + "9" * 5000 + "}"]
    body = f"[ {rows[0]} ,{rows[1]}, {rows[2]}\n,{rows[3]}]".encode()
    first, second = pieces(body, [(0, 3), (1, 2)])

    assert first == ((0, 3), f"[{rows[0]},{rows[3]}]".encode())
    assert second == ((1, 2), f"[{rows[1]},{rows[2]}]".encode())


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text() | st.floats() | st.integers()),
        min_size=1,
        max_size=12,
    )
)
def test_pieces_of_any_body_put_together_are_the_body(rows: list[object]) -> None:
    body = json.dumps(rows, ensure_ascii=True).encode()
    found = pieces(body, [(n,) for n in range(len(rows))])

    joined = [json.dumps(json.loads(piece)[0]) for _, piece in found]
    assert joined == [json.dumps(row) for row in rows]


@pytest.mark.parametrize(
    ("body", "groups"), [(b"[{}]", [(1,)]), (b"{", [(0,)]), (b"[{}", [(0,)])]
)
def test_a_body_unlike_its_batch_is_a_defect(
    body: bytes, groups: list[tuple[int, ...]]
) -> None:
    with pytest.raises(InvariantError):
        pieces(body, groups)
