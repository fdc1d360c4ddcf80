"""Partitions: every row in one, no batch in two, none without anything to send."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distributed.partitions import (
    MOST_BATCHES,
    MOST_BYTES,
    Partition,
    cut_into_partitions,
    rows_a_partition,
)
from pipeline.errors import InvariantError
from pipeline.records import FOLDED_LANE, MAIN_LANE, Encoded
from pipeline.resuming import Part, ResumePlan, Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows(numbers: Sequence[int], lane: int = MAIN_LANE, n_bytes: int = 20) -> Encoded:
    frame = pl.DataFrame(
        {
            "source_no": [0] * len(numbers),
            "row_no": list(numbers),
            "json": [f'{{"n":{n}}}' for n in numbers],
            "n_bytes": [n_bytes] * len(numbers),
        },
        schema={
            "source_no": pl.UInt32,
            "row_no": pl.UInt64,
            "json": pl.String,
            "n_bytes": pl.UInt32,
        },
    )
    return Encoded(frame, lane)


def stretch(batch_no: int, first: int, last: int, *, is_proven: bool) -> Stretch:
    parts = () if is_proven else (Part(batch_no, None, "digest"),)
    return Stretch(
        batch_no, MAIN_LANE, first, last, last - first + 1, "digest", parts=parts
    )


def cut(
    encoded: list[Encoded], n_rows: int, resumed: ResumePlan | None = None
) -> list[tuple[Partition, list[int]]]:
    return [
        (partition, [n for frame in frames for n in frame["row_no"].to_list()])
        for partition, frames in cut_into_partitions(encoded, resumed, n_rows)
    ]


@given(
    sizes=st.lists(st.integers(0, 12), max_size=8),
    n_folded=st.integers(0, 9),
    n_rows=st.integers(1, 15),
)
def test_every_row_is_in_one_partition_in_its_order(
    sizes: list[int], n_folded: int, n_rows: int
) -> None:
    encoded, at = [], 1
    for size in sizes:
        encoded.append(rows(range(at, at + size)))
        at += size
    encoded.append(rows(range(1, n_folded + 1), FOLDED_LANE))
    found = cut(encoded, n_rows)

    assert [n for p, held in found if p.lane == MAIN_LANE for n in held] == list(
        range(1, at)
    )
    assert sum(p.n_rows for p, _ in found if p.lane == FOLDED_LANE) == n_folded
    assert [p.number for p, _ in found] == list(range(1, len(found) + 1))
    for partition, held in found:
        assert len(held) == partition.n_rows <= n_rows
        assert (partition.first, partition.last) == (held[0], held[-1])
    firsts = [p.first_no for p, _ in found]
    assert firsts == [
        1 + sum(p.n_rows for p, _ in found[:n]) for n in range(len(found))
    ]
    assert len({p.first_child_no for p, _ in found}) == len(found)


@given(
    cuts=st.sets(st.integers(1, 60), max_size=12),
    frame_rows=st.integers(1, 25),
    n_rows=st.integers(1, 20),
)
def test_a_recorded_batch_is_never_cut_and_what_is_proven_stays_at_home(
    cuts: set[int], frame_rows: int, n_rows: int
) -> None:
    edges = [0, *sorted(cuts), 60]
    stretches = [
        stretch(n, first + 1, last, is_proven=n % 2 == 0)
        for n, (first, last) in enumerate(pairwise(edges), 1)
        if last > first and n % 3
    ]
    plan = ResumePlan({MAIN_LANE: tuple(stretches)}, next_no=100)
    encoded = [
        rows(range(at, min(at + frame_rows, 61))) for at in range(1, 61, frame_rows)
    ]
    found = cut(encoded, n_rows, plan)

    sent = {n for _, held in found for n in held}
    for each in stretches:
        numbers = set(range(each.first, each.last + 1))
        holders = [p for p, held in found if numbers & set(held)]
        assert len(holders) == (1 if numbers & sent else 0)
        assert all(each.batch_no in p.planned for p in holders)
        if each.parts:
            assert numbers <= sent
    recorded = {n for s in stretches for n in range(s.first, s.last + 1)}
    assert set(range(1, 61)) - recorded <= sent


def test_new_numbers_begin_behind_all_that_are_in_use() -> None:
    plan = ResumePlan({}, next_no=7, next_child_no=1_500_000_000)
    (first, _), (second, _) = cut([rows(range(1, 5))], 2, plan)

    assert (first.first_no, second.first_no) == (7, 9)
    assert first.first_child_no == 1_500_000_000 < second.first_child_no


def test_many_bytes_end_a_partition_too() -> None:
    found = cut([rows(range(1, 4), n_bytes=MOST_BYTES - 1)], 1000)

    assert [p.n_rows for p, _ in found] == [1, 1, 1]


def test_rows_that_do_not_come_out_again_are_told() -> None:
    lanes = {MAIN_LANE: (stretch(1, 90, 99, is_proven=False),)}
    with pytest.raises(InvariantError, match="1 recorded batches cannot be made again"):
        cut([rows(range(1, 5))], 10, ResumePlan(lanes))

    assert cut([rows(range(1, 5))], 10, ResumePlan(lanes, is_replanned=True))


@pytest.mark.parametrize(
    ("n_rows", "n_workers", "wanted"),
    [
        (0, 2, 1_000),
        (8_000, 2, 1_000),
        (8_001, 2, 2_000),
        (1_000_000, 2, 125_000),
        (1_000_000_000, 2, MOST_BATCHES * 1_000),
        (5_000, 0, 2_000),
    ],
)
def test_a_partition_has_whole_batches_and_each_worker_gets_several(
    n_rows: int, n_workers: int, wanted: int
) -> None:
    assert rows_a_partition(n_rows, 1_000, n_workers) == wanted
