"""
What one worker sends at a time: consecutive rows of a lane, cut from all that go out.

A profile has one row by then, so it is in one partition, and one worker has it. What
was recorded as one batch is never cut: whoever has the first row of it has the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.errors import InvariantError
from pipeline.identity import packed_row
from pipeline.journal_tables import FIRST_CHILD_NO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.records import Encoded
    from pipeline.resuming import ResumePlan, Stretch

# A worker that waits for its neighbour at the end waits for a fourth of its share.
PARTITIONS_A_WORKER: Final = 4
MOST_BATCHES: Final = 500
MOST_BYTES: Final = 256_000_000
# More parts than the rows of a partition can be cut into, again and again.
PARTS_A_PARTITION: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Partition:
    """
    Consecutive rows of a lane.

    Attributes:
        number: From 1, in the order of the rows.
        first: The first row, packed as by `identity.packed_row`; *last* likewise.
        n_rows: To be sent, or proven already.
        first_no: For its first new batch: no other partition has such numbers.
        first_child_no: For the first new part of a batch, likewise.
        planned: Numbers of the batches in it that were recorded before.
    """

    number: int
    lane: int
    first: int
    last: int
    n_rows: int
    first_no: int
    first_child_no: int
    planned: tuple[int, ...] = ()


NOTHING_RECORDED: Final[Mapping[int, tuple[Stretch, ...]]] = {}


def rows_a_partition(n_rows: int, rows_a_batch: int, n_workers: int) -> int:
    """Return how many rows a partition should have: whole batches, and some of them."""
    n_batches = -(-n_rows // rows_a_batch)
    wanted = -(-n_batches // (PARTITIONS_A_WORKER * max(1, n_workers)))
    return rows_a_batch * max(1, min(wanted, MOST_BATCHES))


def cut_into_partitions(
    encoded: Iterable[Encoded], resumed: ResumePlan | None, n_rows: int
) -> Iterator[tuple[Partition, list[pl.DataFrame]]]:
    """
    Cut everything that goes out into partitions of *n_rows*, and give their frames.

    Partitions in which every row is proven are left out.

    Args:
        encoded: As `Outgoing.encoded` gives it.
        resumed: What was recorded before, if the run goes on.

    Raises:
        InvariantError: Rows of a recorded batch are not among them.

    Cost: memory of one partition.
    """
    lanes = NOTHING_RECORDED if resumed is None else resumed.lanes
    next_no = 1 if resumed is None else resumed.next_no
    child_no = FIRST_CHILD_NO if resumed is None else resumed.next_child_no
    number = n_planned = 0
    for lane, frames in _pieces(encoded, lanes, n_rows):
        rows = [_packed(frames[0])[0], _packed(frames[-1])[-1]]
        stretches = [
            s for s in lanes.get(lane, ()) if rows[0] <= s.first and s.last <= rows[1]
        ]
        n_found = sum(frame.height for frame in frames)
        n_planned += len(stretches)
        n_recorded = sum(stretch.n_rows for stretch in stretches)
        if n_recorded == n_found and not any(s.parts for s in stretches):
            continue
        number += 1
        yield (
            Partition(
                number,
                lane,
                first=rows[0],
                last=rows[1],
                n_rows=n_found,
                first_no=next_no,
                first_child_no=child_no,
                planned=tuple(stretch.batch_no for stretch in stretches),
            ),
            frames,
        )
        next_no += n_found  # a batch has one row at least
        child_no += PARTS_A_PARTITION
    n_missing = sum(map(len, lanes.values())) - n_planned
    if n_missing and not (resumed is None or resumed.is_replanned):
        raise InvariantError(
            f"{n_missing} recorded batches cannot be made again: rows of them do not "
            "come out any more, though the source is the same. Nothing more is sent. "
            "Add --replan to make new batches of what is not proven"
        )


def _pieces(
    encoded: Iterable[Encoded],
    lanes: Mapping[int, tuple[Stretch, ...]],
    n_rows: int,
) -> Iterator[tuple[int, list[pl.DataFrame]]]:
    """Give lane and frames of one partition after the other."""
    held: list[pl.DataFrame] = []
    lane = -1
    for part in encoded:
        if part.lane != lane and held:
            yield lane, held
            held = []
        lane = part.lane
        rest = part.frame
        while rest.height:
            n_held = sum(frame.height for frame in held)
            n_bytes = sum(int(frame["n_bytes"].sum()) for frame in held)
            n_fit = _n_fit(rest, n_rows - n_held, MOST_BYTES - n_bytes)
            at = _cut_at(rest, n_fit, lanes.get(lane, ()), is_first=not held)
            if at:
                held.append(rest.head(at))
            if at < rest.height:
                yield lane, held
                held = []
            rest = rest.slice(at)
    if held:
        yield lane, held


def _n_fit(frame: pl.DataFrame, n_rows: int, n_bytes: int) -> int:
    """Return how many rows of a frame are within both bounds."""
    ends = frame["n_bytes"].cast(pl.Int64).cum_sum()
    return max(0, min(n_rows, frame.height, int(ends.search_sorted(n_bytes, "right"))))


def _cut_at(
    frame: pl.DataFrame, n_fit: int, stretches: tuple[Stretch, ...], *, is_first: bool
) -> int:
    """Return where to cut, so that no batch is cut and no partition is empty."""
    at = max(n_fit, 1) if is_first else n_fit
    if at >= frame.height or not stretches:
        return min(at, frame.height)
    rows = _packed(frame)
    row = rows[at]  # the first one that would be left behind
    for stretch in stretches:
        if stretch.first < row <= stretch.last:
            return int(rows.search_sorted(stretch.last, "right"))
    return at


def _packed(frame: pl.DataFrame) -> pl.Series:
    return frame.select(packed_row()).to_series()
