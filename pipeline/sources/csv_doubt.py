"""
Whether a record with text behind a closing quote has really ended at its line feed.

`"a "x` and a line feed: either the quote before `x` closed the cell, and the record
ends here; or it should have been doubled, and the cell goes on in the next lines, which
then are no records. The next quote that stands at the edge of a cell tells:

- right behind a delimiter or line feed, it opens a cell, so the one before was closed;
- right before one, it closes a cell, so that cell was open: the lines in between may be
  a fragment of it, and the file is refused;
- two quotes there, or four, are an empty cell or doubled quotes: they tell nothing;
- three are both, and the file is refused; so it is where a single one stands alone
  between two delimiters.

No such quote up to the end of the file: a cell that was open would never be closed.

This is certain as long as a quote that should have been doubled does not itself stand
at the edge of a cell. Beyond that nothing can be: `"a","b"` may be one cell `a","b`,
and every sound record a fragment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.errors import SourceUnusableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    A record that may not have ended.

    Attributes:
        offset: Behind its line feed, from the start of its block.
        line_no: Where the text behind the quote stands.
    """

    offset: int
    line_no: int


class DoubtWatch:
    """Follows the bytes of one file in order, a block at a time."""

    def __init__(self, delimiter: str, path: Path) -> None:
        self._edge = _edge(delimiter)
        self._ends = delimiter.encode() + b"\r\n"
        self._path = path
        self._open_line_no: int | None = None

    def follow(self, data: bytes, doubts: Iterable[Doubt]) -> None:
        """
        Look at the next records of the file.

        Args:
            data: Whole records, with their line feeds.
            doubts: Of these records, in order.

        Raises:
            SourceUnusableError: One of the records did not end where it seemed to.

        Cost: nothing as long as there is no doubt.
        """
        before = [] if self._open_line_no is None else [Doubt(0, self._open_line_no)]
        self._open_line_no = None
        for doubt in (*before, *doubts):
            if not self._is_settled(data, doubt):
                self._open_line_no = doubt.line_no

    def _is_settled(self, data: bytes, doubt: Doubt) -> bool:
        """Return whether the doubt is over; it is not where no quote tells anything."""
        for run in self._edge.finditer(data, doubt.offset):
            opens = run.start() == 0 or data[run.start() - 1] in self._ends
            n_quotes = run.end() - run.start()
            closes = data[run.end()] in self._ends
            if opens and n_quotes == 1 and not closes:
                return True
            if not opens or n_quotes % 2:
                raise SourceUnusableError(
                    f"{self._path}, line {doubt.line_no}: text stands behind a closing "
                    "quote, and the next quotes do not tell whether the cell goes on: "
                    "the end of the record is not certain. Put the whole cell in "
                    "quotes and double the quotes inside it."
                )
        return False


@lru_cache(maxsize=8)
def _edge(delimiter: str) -> re.Pattern[bytes]:
    """Return the pattern of all quotes in a row that touch the edge of a cell."""
    mark = re.escape(delimiter.encode())
    return re.compile(rb'(?:\A|(?<=[\n%b]))"++|(?<!")"++(?=[\r\n%b])' % (mark, mark))
