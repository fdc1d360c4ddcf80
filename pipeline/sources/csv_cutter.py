"""
Text into blocks of whole records, quickly: by counting quotes.

A sound record ends at a line feed before which the number of its quotes is even. A
damaged record can spoil the count, so a block may end inside a record; then the rest of
it is taken back and cut anew. So the cuts never change what is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import SourceError
from pipeline.sources.csv_records import Block, too_long

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pipeline.sources.streams import ReadLimits


class Cutter:
    """
    Cuts a text into blocks of about `limits.block_bytes`.

    A missing line feed at the very end is added.
    """

    def __init__(
        self, text: Iterator[bytes], first_line_no: int, limits: ReadLimits, path: Path
    ) -> None:
        self._text = _pieces(text, limits.block_bytes)
        self._limits = limits
        self._path = path
        self._rest = b""
        self._half_bytes = 0
        self._offset = 0
        self._line_no = first_line_no
        self._has_more = True
        self._failure: SourceError | None = None

    def next(self) -> Block | None:
        """
        Return the next block, or None at the end of what can be read.

        A failure to read is kept for `finish`, as if nothing were read ahead.
        """
        while True:
            # Half a record becomes whole only with more than was there before.
            is_all = not (self._has_more or self._failure)
            least = 0 if is_all else self._half_bytes
            full = len(self._rest) >= self._half_bytes + self._limits.block_bytes
            if full or not self._has_more:
                end = self._boundary()
                if end > least:
                    return self._cut(end)
            if not self._has_more:
                return None
            if full and len(self._rest) > self._half_bytes + self._limits.record_bytes:
                self._fail(too_long(self._line_no, self._path))
            else:
                self._read()

    def take_back(self, unread: bytes, blocks: Iterable[Block]) -> None:
        """Put half a record and the blocks that were cut behind it back in front."""
        back = b"".join((unread, *(block.data for block in blocks)))
        self._offset -= len(back)
        self._line_no -= back.count(b"\n")
        self._rest = back + self._rest
        self._half_bytes = len(unread)

    def finish(self) -> None:
        """
        Say at the end why it is the end.

        Raises:
            SourceError: The text cannot be read any further, or a line has no end.
        """
        if self._failure:
            raise self._failure

    def _boundary(self) -> int:
        """
        Return where to cut: behind an even number of quotes, or behind any line.

        The latter is needed when a stray quote has spoilt the count.
        """
        window = self._half_bytes + 2 * self._limits.block_bytes
        return (
            _last_boundary(self._rest[:window])
            or _last_boundary(self._rest)
            or self._rest.rfind(b"\n") + 1
        )

    def _cut(self, end: int) -> Block:
        data, self._rest = self._rest[:end], self._rest[end:]
        is_last = not self._has_more and not self._rest and not self._failure
        is_long = self._half_bytes > self._limits.record_bytes
        block = Block(data, self._offset, self._line_no, is_last or is_long)
        self._half_bytes = 0
        self._offset += end
        self._line_no += data.count(b"\n")
        return block

    def _read(self) -> None:
        try:
            piece = next(self._text, b"")
        except SourceError as error:
            self._fail(error)
            return
        self._has_more = bool(piece)
        self._rest += piece
        if not piece and self._rest and not self._rest.endswith(b"\n"):
            self._rest += b"\n"

    def _fail(self, error: SourceError) -> None:
        self._failure = error
        self._has_more = False


def _last_boundary(data: bytes) -> int:
    end = data.rfind(b"\n") + 1
    odd = data.count(b'"', 0, end) & 1
    while odd and end:
        quote = data.rfind(b'"', 0, end)
        line = data.rfind(b"\n", 0, quote) + 1
        odd ^= data.count(b'"', line, end) & 1
        end = line
    return end


def _pieces(text: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    for block in text:
        if len(block) <= 2 * n_bytes:
            yield block
            continue
        for start in range(0, len(block), n_bytes):
            yield block[start : start + n_bytes]
