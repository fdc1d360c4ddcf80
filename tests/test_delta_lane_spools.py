"""Rows of a plan on their way to its file: every one, and in its place."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delta.canary import Canary
from pipeline.delta.lane_spools import lane_by_lane, spooled_by_lane
from pipeline.delta.plan_files import PLANNED_SCHEMA
from pipeline.delta.selecting import WITHDRAWAL_LANE
from pipeline.records import MAIN_LANE


def planned(lane: int, rows: Sequence[int]) -> pl.DataFrame:
    told = {"lane": lane, "source_no": 0, "json": "{}", "n_bytes": 2}
    rest = {"key_hi": 0, "key_lo": 0, "d:email": 1}
    schema = {**PLANNED_SCHEMA, "d:email": pl.UInt64()}
    frames = [{**told, "row_no": row, **rest} for row in rows]
    return pl.DataFrame(frames, schema=schema)


def given_back(
    frames: Sequence[pl.DataFrame], first: pl.DataFrame | None = None
) -> list[tuple[int, int]]:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        canary = Canary(pl.Series([], dtype=pl.UInt64))
        spools = spooled_by_lane(iter(frames), canary, Path(folder), stack)
        back = list(lane_by_lane(spools, first))
    return [pair for one in back for pair in one.select("lane", "row_no").rows()]


@given(
    rows=st.sets(st.integers(1, 200), min_size=1),
    folded=st.sets(st.integers(1, 200)),
    size=st.integers(1, 50),
)
def test_folded_rows_that_withdraw_come_between_the_others(
    rows: set[int], folded: set[int], size: int
) -> None:
    own, late = sorted(rows - folded), sorted(rows & folded)
    parts = [
        planned(WITHDRAWAL_LANE, some[at : at + size])
        for some in (own, late[::2], late[1::2])
        for at in range(0, len(some), size)
    ]

    assert given_back(parts) == [(WITHDRAWAL_LANE, row) for row in sorted(rows)]


def test_lanes_come_one_after_the_other_and_the_canary_before_them() -> None:
    parts = [
        planned(MAIN_LANE, [1, 4]),
        planned(WITHDRAWAL_LANE, [2]),
        planned(MAIN_LANE, [6]),
        planned(MAIN_LANE + 1, [3, 5]),
    ]
    first = planned(0, [2, 6])

    assert given_back(parts, first) == [
        (0, 2),
        (0, 6),
        (MAIN_LANE, 1),
        (MAIN_LANE, 4),
        (MAIN_LANE + 1, 3),
        (MAIN_LANE + 1, 5),
    ]
