"""
How a refused batch is cut, how much searching is allowed, and what is too big.

Nothing is encoded anew when a body is cut: a number keeps its spelling. Measured with
1000 rows and nobody named: 2 bad rows take 37 requests, 10 take 138, 100 take 731; so
the search has bounds, and what it does not reach stays pending.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import InvariantError, LimitError
from pipeline.records import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXTRA_A_BATCH: Final = 150
MAX_EXTRA_A_RUN: Final = 1000
SYSTEMATIC_BATCHES: Final = 5
SYSTEMATIC_SHARE: Final = 0.5
TOO_BIG_SHARE: Final = 0.8
LEAST_TARGET_BYTES: Final = 1000

# Numbers are left as text: only their ends matter, and a long one must not fail.
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str)
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(slots=True)
class ByteTarget:
    """
    How large a body may be from now on; lowered when the service says too big.

    One for a run: who makes batches reads `n_bytes` before each frame, from any thread;
    who sends them lowers it. A row above it that is still below the limit of the
    contract goes alone.

    Attributes:
        n_bytes: Brackets included.
    """

    n_bytes: int

    def lower(self, refused_bytes: int) -> None:
        """
        Learn that a body of *refused_bytes* was too big.

        A body above the target was made before the target was lowered, and tells
        nothing new.
        """
        if refused_bytes <= self.n_bytes:
            lower = int(TOO_BIG_SHARE * refused_bytes)
            self.n_bytes = max(LEAST_TARGET_BYTES, lower)


@dataclass(slots=True)
class Search:
    """
    The bounds of a run's search for refused rows.

    Attributes:
        n_extra: Requests that the search has made.
        n_batches: Planned batches whose search is over.
        n_bad: Rows of these batches that the service refused.
        n_good: And those that it accepted.
    """

    n_extra: int = 0
    n_batches: int = 0
    n_bad: int = 0
    n_good: int = 0

    def may_go_on(self, n_extra_of_batch: int) -> bool:
        """Return whether one more request may be spent on a batch."""
        return n_extra_of_batch < MAX_EXTRA_A_BATCH and self.n_extra < MAX_EXTRA_A_RUN

    def finish(self, n_bad: int, n_good: int) -> LimitError | None:
        """
        Count a planned batch that had refused rows, once its search is over.

        Returns:
            An error when it was one of the first few and most of their rows were
            refused: then no row is at fault, but the mapping or the workspace.
        """
        self.n_batches += 1
        self.n_bad += n_bad
        self.n_good += n_good
        if self.n_batches != SYSTEMATIC_BATCHES:
            return None
        n_decided = self.n_bad + self.n_good
        if self.n_bad <= SYSTEMATIC_SHARE * n_decided:
            return None
        return LimitError(
            f"the service refused {self.n_bad} of {n_decided} rows in the first "
            f"{self.n_batches} batches it refused anything of: that looks systematic, "
            "so the run stopped; compare the mapping and the settings of the workspace "
            "with the rejected rows, then begin anew."
        )


@dataclass(slots=True)
class PartMaker:
    """
    Cuts batches into parts that are batches themselves.

    Attributes:
        next_no: Number of the next part; all numbers of a run are distinct.
    """

    next_no: int

    def without(self, batch: Batch, named: tuple[int, ...]) -> list[Batch]:
        """Return what is left of *batch* without the rows at these positions."""
        left = tuple(sorted(set(range(batch.n_rows)) - set(named)))
        return self._parts(batch, [left] if left else [])

    def halves(self, batch: Batch) -> list[Batch]:
        """Return both halves of a batch of at least two rows."""
        middle = batch.n_rows // 2
        everyone = tuple(range(batch.n_rows))
        return self._parts(batch, [everyone[:middle], everyone[middle:]])

    def _parts(self, batch: Batch, groups: Sequence[tuple[int, ...]]) -> list[Batch]:
        parts = []
        for positions, body in pieces(batch.body, groups):
            part = Batch(
                batch_no=self.next_no,
                lane=batch.lane,
                rows=batch.rows[list(positions)],
                body=body,
                digest=hashlib.sha256(body).hexdigest(),
                parent_no=batch.batch_no,
            )
            self.next_no += 1
            parts.append(part)
        return parts


def pieces(
    body: bytes, groups: Sequence[tuple[int, ...]]
) -> list[tuple[tuple[int, ...], bytes]]:
    """
    Cut a body into bodies of the rows at the given positions, byte for byte.

    Raises:
        InvariantError: *body* is not a JSON array, or has no such row.
    """
    rows = _elements(body)
    if any(n >= len(rows) for group in groups for n in group):
        raise InvariantError(
            f"a body holds {len(rows)} rows, fewer than its batch; please report this"
        )
    return [
        (group, b"[" + b",".join(rows[n] for n in group) + b"]") for group in groups
    ]


def _elements(body: bytes) -> list[bytes]:
    text = body.decode()
    found: list[bytes] = []
    at = 1
    try:
        while True:
            at = _past_blank(text, at)
            end = _DECODER.raw_decode(text, at)[1]
            found.append(text[at:end].encode())
            at = _past_blank(text, end)
            if text[at] == "]":
                return found
            at += 1
    except (ValueError, IndexError):
        raise InvariantError(
            f"a body of {len(body)} bytes is not a JSON array; please report this"
        ) from None


def _past_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
