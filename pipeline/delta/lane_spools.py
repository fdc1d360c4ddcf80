"""The rows of a plan on their way to its file: kept on disk by their lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.selecting import WITHDRAWAL_LANE
from pipeline.identity import packed_row
from pipeline.spill import SliceStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from pipeline.delta.canary import Canary

_ANY_SIZE: Final = 2**62


@dataclass(slots=True)
class LaneSpool:
    """
    The rows of one lane, on disk.

    Attributes:
        store: In the order in which they came.
        late: Rows that came last and belong between those of *store*: folded ones.
        last: The highest row in *store*, as `identity.packed_row` has it.
    """

    store: SliceStore
    late: list[pl.DataFrame] = field(default_factory=list)
    last: int = -1

    def add(self, frame: pl.DataFrame, *, is_ordered: bool) -> None:
        """
        Keep rows.

        Args:
            is_ordered: Whether rows have to come back in the order of the source.
        """
        rows = frame.select(packed_row())["row"]
        if is_ordered and int(rows[0]) < self.last:
            self.late.append(frame)
        else:
            self.store.add(frame)
            self.last = int(rows[-1])

    def frames(self) -> Iterator[pl.DataFrame]:
        """
        Give the rows back.

        Cost: memory of a frame, and of the folded rows of the lane.
        """
        if not self.late:
            yield from self.store.frames()
            return
        late = pl.concat(self.late).sort(packed_row())
        for frame in self.store.frames():
            last = frame.select(packed_row())["row"][-1]
            n_due = late.select((packed_row() <= last).sum()).item()
            due, late = late.head(n_due), late.slice(n_due)
            yield pl.concat([frame, due]).sort(packed_row()) if n_due else frame
        if late.height:
            yield late


def spooled_by_lane(
    frames: Iterator[pl.DataFrame], canary: Canary, scratch: Path, stack: ExitStack
) -> dict[int, LaneSpool]:
    """
    Keep frames on disk by their lane, while the canary looks at them.

    Args:
        frames: Each of one lane, in the order of its rows; those of folded rows last.
    """
    spools: dict[int, LaneSpool] = {}
    for frame in frames:
        canary.look(frame)
        lane = int(frame["lane"][0])
        if lane not in spools:
            store = SliceStore(scratch / f"lane-{lane}", max_bytes=_ANY_SIZE)
            spools[lane] = LaneSpool(stack.enter_context(store))
        spools[lane].add(frame, is_ordered=lane == WITHDRAWAL_LANE)
    return spools


def lane_by_lane(
    spools: dict[int, LaneSpool], first: pl.DataFrame | None
) -> Iterator[pl.DataFrame]:
    """
    Give frames in the order of their lanes, and of their rows in each.

    Args:
        first: Rows of the canary; they leave the lanes that they were in.
    """
    gone = pl.Series("row", [], pl.UInt64)
    if first is not None:
        yield first
        gone = first.select(packed_row())["row"]
    for _, spool in sorted(spools.items()):
        for frame in spool.frames():
            yield frame.filter(~packed_row().is_in(gone.implode()))
