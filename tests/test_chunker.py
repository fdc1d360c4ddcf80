"""Batches: both limits, order, nothing lost, the same on every run."""

import hashlib
import json
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chunker import BatchLimits, pack
from pipeline.errors import InvariantError
from pipeline.records import Encoded
from pipeline.splitting import ByteTarget


def encoded(texts: list[str], first: int = 1, lane: int = 2) -> Encoded:
    return Encoded(
        pl.DataFrame(
            {
                "source_no": [0] * len(texts),
                "row_no": range(first, first + len(texts)),
                "json": texts,
                "n_bytes": [len(text.encode()) for text in texts],
            },
            schema={
                "source_no": pl.UInt32,
                "row_no": pl.UInt64,
                "json": pl.String,
                "n_bytes": pl.UInt32,
            },
        ),
        lane,
    )


ROWS = st.lists(
    st.text(alphabet='aż€𝄞"', max_size=30).map(
        lambda s: json.dumps({"k": s}, ensure_ascii=False)
    ),
    max_size=60,
)


@given(
    rows=ROWS,
    part=st.integers(1, 20),
    max_rows=st.integers(1, 12),
    max_bytes=st.integers(200, 400),
)
def test_nothing_is_lost_and_both_limits_hold(
    rows: list[str], part: int, max_rows: int, max_bytes: int
) -> None:
    parts = [encoded(rows[i : i + part], i + 1) for i in range(0, len(rows), part)]
    limits = BatchLimits(max_rows, max_bytes)

    batches = list(pack(parts, limits))

    read = [item for batch in batches for item in json.loads(batch.body)]
    assert read == [json.loads(row) for row in rows]
    assert [n for b in batches for n in b.rows["row_no"]] == list(
        range(1, len(rows) + 1)
    )
    assert all(0 < batch.n_rows <= max_rows for batch in batches)
    assert all(len(batch.body) <= max_bytes for batch in batches)
    assert [b.batch_no for b in batches] == list(range(1, len(batches) + 1))
    assert all(b.digest == hashlib.sha256(b.body).hexdigest() for b in batches)


@given(rows=ROWS, part=st.integers(1, 20))
def test_the_cut_does_not_depend_on_how_rows_arrive(rows: list[str], part: int) -> None:
    limits = BatchLimits(7, 250)
    parts = [encoded(rows[i : i + part], i + 1) for i in range(0, len(rows), part)]

    in_parts = [batch.digest for batch in pack(parts, limits)]
    at_once = [batch.digest for batch in pack([encoded(rows)], limits)]

    assert in_parts == at_once


@pytest.mark.parametrize(("spare", "n_batches"), [(-1, 2), (0, 1), (1, 1)])
def test_the_byte_limit_is_exact(spare: int, n_batches: int) -> None:
    rows = ['{"k":"żółć"}', '{"k":"\\""}']
    exact = len(f"[{','.join(rows)}]".encode())

    batches = list(pack([encoded(rows)], BatchLimits(1000, exact + spare)))

    assert len(batches) == n_batches


@pytest.mark.parametrize(("n_rows", "n_batches"), [(999, 1), (1000, 1), (1001, 2)])
def test_the_row_limit_is_exact(n_rows: int, n_batches: int) -> None:
    batches = list(pack([encoded(["{}"] * n_rows)], BatchLimits()))

    assert len(batches) == n_batches


def test_a_batch_never_spans_lanes() -> None:
    lanes = [encoded(["{}"] * 3, 1, 2), encoded(["{}"] * 3, 4, 3)]

    batches = list(pack(lanes, BatchLimits(), first_no=5))

    assert [(b.batch_no, b.lane, b.n_rows) for b in batches] == [(5, 2, 3), (6, 3, 3)]


def test_a_single_row_over_the_limit_is_our_own_defect() -> None:
    longest = BatchLimits(10, 300).max_row_bytes
    for n_bytes in (longest + 1, 300):
        with pytest.raises(InvariantError, match=f"row 1 takes {n_bytes} bytes"):
            list(pack([encoded(["x" * n_bytes])], BatchLimits(10, 300)))

    assert [len(b.body) for b in pack([encoded(["x" * longest])], BatchLimits(10, 300))]


def test_batches_leave_as_soon_as_they_are_full() -> None:
    seen = 0

    def source() -> object:
        nonlocal seen
        for i in range(4):
            seen = i
            yield encoded(["{}"] * 10, 1 + 10 * i)

    first = next(pack(source(), BatchLimits(10, 1000)))  # type: ignore[arg-type]

    assert first.n_rows == 10
    assert seen == 0


def test_a_lowered_target_holds_for_the_next_frames_and_stops_no_row() -> None:
    target = ByteTarget(1_000)
    long, short = "x" * 500, "y" * 90

    def frames() -> Iterator[Encoded]:
        yield encoded([short] * 20)
        target.n_bytes = 200
        yield encoded([long, short, short, short], first=21)

    batches = list(pack(frames(), BatchLimits(1_000, 1_000), target=target))

    sizes = [len(batch.body) for batch in batches]
    assert sizes[0] > 900
    assert all(
        size <= 200 or batch.n_rows == 1
        for size, batch in zip(sizes[-3:], batches[-3:], strict=True)
    )
    assert max(sizes[-3:]) == 502
    assert [row for b in batches for row in b.rows["row_no"]] == list(range(1, 25))
