"""The rows of a plan on their way to its file: kept on disk by their lane."""

from __future__ import annotations

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


def spooled_by_lane(
    frames: Iterator[pl.DataFrame], canary: Canary, scratch: Path, stack: ExitStack
) -> dict[int, SliceStore]:
    """Keep frames on disk by their lane, while the canary looks at them."""
    stores: dict[int, SliceStore] = {}
    for frame in frames:
        canary.look(frame)
        lane = int(frame["lane"][0])
        if lane not in stores:
            store = SliceStore(scratch / f"lane-{lane}", max_bytes=_ANY_SIZE)
            stores[lane] = stack.enter_context(store)
        stores[lane].add(frame)
    return stores


def lane_by_lane(
    stores: dict[int, SliceStore], first: pl.DataFrame | None
) -> Iterator[pl.DataFrame]:
    """
    Give frames in the order of their lanes, and of their rows in each.

    Args:
        first: Rows of the canary; they leave the lanes that they were in.

    Cost: the rows that withdraw a consent are sorted in memory.
    """
    gone = pl.Series("row", [], pl.UInt64)
    if first is not None:
        yield first
        gone = first.select(packed_row())["row"]
    for lane, store in sorted(stores.items()):
        left = (f.filter(~packed_row().is_in(gone.implode())) for f in store.frames())
        if lane == WITHDRAWAL_LANE:  # folded rows came last, and belong between
            yield pl.concat(left).sort(packed_row())
        else:
            yield from left
