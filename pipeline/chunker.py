"""
Encoded rows become batches: within both limits, in order, nothing lost.

Rows are cut by count and by cumulative bytes; only whole bodies are touched by Python.
The same rows, limits and numbering give the same batches on any machine.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import DEFAULT_BATCH_BYTES, MAX_BATCH_ROWS
from pipeline.errors import InvariantError
from pipeline.records import ROW_KEY, Batch, Encoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.splitting import ByteTarget

BRACKETS_BYTES = 2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """
    What fits into one request.

    Attributes:
        max_bytes: Of the whole body: brackets and commas included.
    """

    max_rows: int = MAX_BATCH_ROWS
    max_bytes: int = DEFAULT_BATCH_BYTES

    @property
    def max_row_bytes(self) -> int:
        """The longest single row that can be sent at all."""
        return self.max_bytes - BRACKETS_BYTES


def pack(
    encoded: Iterable[Encoded],
    limits: BatchLimits,
    *,
    first_no: int = 1,
    target: ByteTarget | None = None,
) -> Iterator[Batch]:
    """
    Cut a stream of encoded rows into batches.

    Full batches leave as soon as they are full; the tail of one frame joins the head
    of the next, so only the last batch of a lane is short. A batch never spans lanes.

    Args:
        target: Asked before each frame for a size that may have been lowered; a row
            above it that is within the limits goes alone.

    Raises:
        InvariantError: A single row is over the limit; such rows are blocked before.

    Cost: holds one frame and one body; SHA-256 of every body.
    """
    numbers = count(first_no)

    def cut(rows: Encoded, *, is_last: bool) -> tuple[Iterable[Batch], Encoded | None]:
        n_bytes = limits.max_bytes if target is None else target.n_bytes
        return _cut(rows, limits, (n_bytes, numbers), is_last=is_last)

    tail: Encoded | None = None
    for part in encoded:
        if tail is not None and tail.lane != part.lane:
            yield from cut(tail, is_last=True)[0]
            tail = None
        joined = (
            part
            if tail is None
            else Encoded(pl.concat([tail.frame, part.frame]), part.lane)
        )
        batches, tail = cut(joined, is_last=False)
        yield from batches
    if tail is not None:
        yield from cut(tail, is_last=True)[0]


def _cut(
    encoded: Encoded,
    limits: BatchLimits,
    aim: tuple[int, Iterator[int]],
    *,
    is_last: bool,
) -> tuple[Iterable[Batch], Encoded | None]:
    """
    Return the full batches of *encoded* (all, when it is the last) and the rest.

    Args:
        aim: How large a body should be, and the numbers of batches.
    """
    target_bytes, numbers = aim
    # Where each row ends in the text of all rows, its comma counted.
    ends = (encoded.frame["n_bytes"].cast(pl.Int64) + 1).cum_sum().to_list()
    cuts = [0]
    while cuts[-1] < len(ends):
        first = cuts[-1]
        began = ends[first - 1] if first else 0
        # n rows with their commas and brackets take ends + 1 bytes.
        reach = bisect_right(ends, began + min(target_bytes, limits.max_bytes) - 1)
        last = min(first + limits.max_rows, max(reach, first + 1))
        if ends[first] - began + 1 > limits.max_bytes:
            row_no = encoded.frame["row_no"][first]
            raise InvariantError(
                f"row {row_no} takes {ends[first] - began - 1} bytes, more than a "
                f"request may have ({limits.max_bytes}), and was not blocked"
            )
        if last == len(ends) and last - first < limits.max_rows and not is_last:
            break
        cuts.append(last)
    spans = list(pairwise(cuts))
    rest = Encoded(encoded.frame.slice(cuts[-1]), encoded.lane)
    return _bodies(encoded, ends, spans, numbers), rest if rest.frame.height else None


def _bodies(
    encoded: Encoded,
    ends: list[int],
    spans: list[tuple[int, int]],
    numbers: Iterator[int],
) -> Iterator[Batch]:
    if not spans:
        return
    whole = encoded.frame["json"].head(spans[-1][1])
    # As one binary cell: a str would be decoded, and encoded again.
    text = memoryview(whole.str.join(",").cast(pl.Binary).item())
    keys = encoded.frame.select(ROW_KEY)
    for first, last in spans:
        began = ends[first - 1] if first else 0
        body = b"".join((b"[", text[began : ends[last - 1] - 1], b"]"))
        yield Batch(
            batch_no=next(numbers),
            lane=encoded.lane,
            rows=keys.slice(first, last - first),
            body=body,
            digest=hashlib.sha256(body).hexdigest(),
        )
