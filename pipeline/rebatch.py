"""
The batches of a resumed run, made from the same stream of encoded rows as the first.

What is proven falls out, what was recorded comes back byte for byte under its number,
and rows between that were never recorded are cut into new batches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from pipeline.chunker import BatchLimits, pack
from pipeline.errors import InvariantError, SourceChangedError
from pipeline.identity import packed_row
from pipeline.records import ROWS_A_FILE, Encoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.errors import PipelineError
    from pipeline.records import Batch
    from pipeline.resuming import ResumePlan, Stretch
    from pipeline.splitting import ByteTarget

_NO_LIMIT: Final = 2**62


class _Place(NamedTuple):
    """In a lane: before its n-th planned batch, or in it."""

    lane: int
    n: int
    is_planned: bool


def rebuild(
    encoded: Iterable[Encoded],
    plan: ResumePlan,
    limits: BatchLimits,
    *,
    target: ByteTarget | None = None,
) -> Iterator[Batch]:
    """
    Give all batches that a run still has to send, in the order of their rows.

    Args:
        encoded: Every row of the run in its lane, as when it began: proven ones too,
            ascending by `source_no`, `row_no` inside a lane.
        plan: Of the run.
        limits: For new batches; recorded ones are as they were.
        target: For new batches, as `pack` takes it.

    Raises:
        SourceChangedError: A batch comes out different, and the source is another.
        InvariantError: A batch comes out different from an equal source: the bodies
            are made in another way now; or rows come out of order.

    Cost: as `pack`, holding one planned batch besides; a recorded batch is hashed only
    when something of it is sent again.
    """
    next_no = plan.next_no
    n_seen = dict.fromkeys(plan.lanes, 0)
    for place, group in groupby(_pieces(encoded, plan), key=lambda piece: piece[0]):
        _check_none_skipped(plan, place, n_seen)
        pieces = (piece for _, piece in group)
        if not place.is_planned:
            for batch in pack(pieces, limits, first_no=next_no, target=target):
                next_no = batch.batch_no + 1
                yield batch
            continue
        n_seen[place.lane] += 1
        stretch = plan.lanes[place.lane][place.n]
        if stretch.parts:
            frames = [piece.frame for piece in pieces]
            whole = Encoded(pl.concat(frames), place.lane)
            yield from _again(whole, stretch, plan, limits)
        else:
            n_rows = sum(piece.frame.height for piece in pieces)
            if n_rows != stretch.n_rows and not plan.is_replanned:
                raise _different(plan, stretch, f"{n_rows} rows")
    for lane, stretches in plan.lanes.items():
        _check_none_skipped(
            plan, _Place(lane, len(stretches), is_planned=False), n_seen
        )


def _pieces(
    encoded: Iterable[Encoded], plan: ResumePlan
) -> Iterator[tuple[_Place, Encoded]]:
    """Cut frames at the borders of planned batches."""
    borders = {
        lane: ([s.first for s in stretches], [s.last for s in stretches])
        for lane, stretches in plan.lanes.items()
    }
    highest: dict[int, int] = {}
    for part in encoded:
        if part.frame.is_empty():
            continue
        rows = part.frame.select(packed_row()).to_series()
        if not rows.is_sorted() or rows[0] <= highest.get(part.lane, -1):
            raise InvariantError(
                f"rows of lane {part.lane} come out of order; please report this"
            )
        highest[part.lane] = rows[-1]
        firsts, lasts = borders.get(part.lane, ([], []))
        low, high = bisect_left(lasts, rows[0]), bisect_right(firsts, rows[-1])
        begins = rows.search_sorted(_series(firsts[low:high]), side="left")
        ends = rows.search_sorted(_series(lasts[low:high]), side="right")
        at = 0
        for n, (begin, end) in enumerate(zip(begins, ends, strict=True), low):
            yield from _piece(part, at, begin, _Place(part.lane, n, is_planned=False))
            yield from _piece(part, begin, end, _Place(part.lane, n, is_planned=True))
            at = end
        yield from _piece(
            part, at, rows.len(), _Place(part.lane, high, is_planned=False)
        )


def _piece(
    part: Encoded, begin: int, end: int, place: _Place
) -> Iterator[tuple[_Place, Encoded]]:
    if end > begin:
        yield place, Encoded(part.frame.slice(begin, end - begin), part.lane)


def _series(numbers: list[int]) -> pl.Series:
    return pl.Series(numbers, dtype=pl.UInt64)


def _check_none_skipped(
    plan: ResumePlan, place: _Place, n_seen: dict[int, int]
) -> None:
    n = n_seen.get(place.lane, 0)
    if n < place.n and not plan.is_replanned:
        raise _different(plan, plan.lanes[place.lane][n], "no row")


def _again(
    whole: Encoded, stretch: Stretch, plan: ResumePlan, limits: BatchLimits
) -> Iterator[Batch]:
    """Give what of a planned batch is to be sent, after proving it is the same one."""
    if not plan.is_replanned:
        planned = _body(whole, stretch.batch_no)
        if (planned.n_rows, planned.digest) != (stretch.n_rows, stretch.digest):
            raise _different(plan, stretch, f"{planned.n_rows} rows, {planned.digest}")
        if stretch.parts[0].batch_no == stretch.batch_no:
            yield planned
            return
    row = packed_row()
    others = stretch.proven.union(*(part.rows or () for part in stretch.parts))
    for part in stretch.parts:
        belongs = (
            ~row.is_in(_series(sorted(others)).implode())
            if part.rows is None
            else row.is_in(_series(sorted(part.rows)).implode())
        )
        chosen = Encoded(whole.frame.filter(belongs), whole.lane)
        if part.digest is None:
            made = pack([chosen], limits, first_no=part.batch_no)
        else:
            made = iter([_body(chosen, part.batch_no)])
        for batch in made:
            if part.digest not in (None, batch.digest):
                raise _different(plan, stretch, f"part {part.batch_no}: {batch.digest}")
            yield replace(batch, parent_no=part.parent_no)


def _body(encoded: Encoded, batch_no: int) -> Batch:
    """Return all rows as one batch, whatever today's limits are."""
    all_of_it = BatchLimits(max_rows=encoded.frame.height, max_bytes=_NO_LIMIT)
    return next(iter(pack([encoded], all_of_it, first_no=batch_no)))


def _different(plan: ResumePlan, stretch: Stretch, found: str) -> PipelineError:
    source_no, first = divmod(stretch.first, ROWS_A_FILE)
    what = (
        f"batch {stretch.batch_no} (file {source_no + 1}, from row {first}, "
        f"{stretch.n_rows} rows) cannot be made again as it was sent ({found})"
    )
    if not plan.is_same_source:
        return SourceChangedError(
            f"{what}: the source has changed. Nothing more is sent. Bring the source "
            "back as it was, or import the new one with --fresh"
        )
    return InvariantError(
        f"{what}, though the source is the same. It was made with "
        f"{_told(plan.then)}; this is {_told(plan.now)}. Nothing more is sent. Use "
        "those versions, or add --replan to make new batches of what is not proven"
    )


def _told(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
