"""A CSV file: its header, and its records as slices."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl

from pipeline.errors import SourceUnusableError
from pipeline.sources.csv_blocks import BlockParser
from pipeline.sources.csv_cutter import Cutter
from pipeline.sources.csv_dialect import (
    CsvDialect,
    check_columns,
    check_delimiter,
    find_delimiter,
)
from pipeline.sources.csv_doubt import DoubtWatch
from pipeline.sources.csv_records import cells_of, walk
from pipeline.sources.slicing import cut_slices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from pipeline.records import Fingerprint, Slice
    from pipeline.sources.csv_records import Block
    from pipeline.sources.slicing import Parsed
    from pipeline.sources.text import TextFile

_SAMPLE_BYTES = 1 << 20
# Blocks in the works beside the one given out. polars works without the interpreter's
# lock, so two make use of two cores; more would only cost memory.
_N_AHEAD = 2


class CsvFile:
    """
    One CSV file whose header has been read.

    Attributes:
        columns: Names as they stand in the header.
        dtypes: Every column is String.
    """

    def __init__(self, text: TextFile, delimiter: str | None) -> None:
        """
        Read the header.

        Args:
            delimiter: Found by consistency when it is None.

        Raises:
            SettingsError: The delimiter cannot be used.
            SourceError: The file is missing, empty or not a CSV file with a header.
        """
        check_delimiter(delimiter)
        self.path = text.path
        self._text = text
        self._sound: frozenset[tuple[int, int]] = frozenset()
        sample, is_whole = text.head(_SAMPLE_BYTES)
        if is_whole and not sample.endswith(b"\n"):
            sample += b"\n"
        _refuse_carriage_returns(sample, self.path)
        delimiter = delimiter or find_delimiter(sample, self.path)
        header = _header(sample, delimiter, self.path)
        self._n_header_bytes = len(header)
        self._n_header_lines = header.count(b"\n")
        self.columns = _columns(header, delimiter, self.path)
        self.dtypes: dict[str, pl.DataType] = dict.fromkeys(self.columns, pl.String())
        self.dialect = CsvDialect(
            delimiter=delimiter,
            encoding=text.encoding,
            line_end="\r\n" if header.endswith(b"\r\n") else "\n",
            bom=text.bom,
            compression=text.compression,
        )

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Of the bytes of the last complete pass."""
        return self._text.fingerprint

    def slices(self, source_no: int) -> Iterator[Slice]:
        """
        Give the records in file order.

        Raises:
            SourceError: The file cannot be read to its end, see `csv_records`,
                `csv_doubt`, `text` and `streams`. What was given before is sound.
        """
        limits = self._text.limits
        parser = BlockParser(
            self.columns, self.dialect.delimiter, self.path, limits.block_bytes
        )
        watch = DoubtWatch(self.dialect.delimiter, self.path)
        row_no = 1
        sound: set[tuple[int, int]] = set()
        with ThreadPoolExecutor(_N_AHEAD) as pool:
            for block, parsed in self._ahead(pool, parser):
                if parsed.rows is None:
                    sound.add((block.offset, len(block.data)))
                watch.follow(block.data[: parsed.n_bytes], parsed.doubts)
                yield from cut_slices(parsed, source_no, row_no, limits.slice_rows)
                row_no += parsed.n_rows
        self._sound = frozenset(sound)

    def _ahead(
        self, pool: Executor, parser: BlockParser
    ) -> Iterator[tuple[Block, Parsed]]:
        """
        Give the blocks parsed, in order, while the next ones are in the works.

        A block proven sound in an earlier pass is not proven again: `TextFile` gives
        the same bytes or stops.
        """
        body = _without_beginning(self._text.blocks(), self._n_header_bytes)
        cutter = Cutter(body, self._n_header_lines + 1, self._text.limits, self.path)
        pending: deque[tuple[Block, Future[Parsed]]] = deque()
        n_ahead = _N_AHEAD
        while True:
            while len(pending) <= n_ahead and (block := cutter.next()):
                is_proven = (block.offset, len(block.data)) in self._sound
                future = pool.submit(parser.parse, block, is_proven=is_proven)
                pending.append((block, future))
            if not pending:
                break
            block, future = pending.popleft()
            parsed = future.result()
            n_ahead = _N_AHEAD
            if parsed.n_bytes < len(block.data):
                n_ahead = 0  # here the cuts cannot be relied on
                unread = block.data[parsed.n_bytes :]
                cutter.take_back(unread, (later for later, _ in pending))
                pending.clear()
            yield block, parsed
        cutter.finish()


def _header(sample: bytes, delimiter: str, path: Path) -> bytes:
    """Return the first record with its line end."""
    span = next(walk(sample, delimiter), None)
    if span is None:
        raise SourceUnusableError(f"{path} is empty. The first line names the columns.")
    if span.end is None or span.fault is not None:
        raise SourceUnusableError(
            f"{path}, line 1: the header does not end, or has a quote inside a cell. "
            "Repair the header."
        )
    return sample[: span.end + 1]


def _columns(header: bytes, delimiter: str, path: Path) -> tuple[str, ...]:
    bare = header.removesuffix(b"\n").removesuffix(b"\r")
    if not bare:
        raise SourceUnusableError(
            f"{path} has no header: its first line is empty. "
            "The first line names the columns."
        )
    columns = tuple(cells_of(bare, delimiter))
    check_columns(columns, f"{path}, line 1")
    return columns


def _refuse_carriage_returns(sample: bytes, path: Path) -> None:
    line, _, more = sample.partition(b"\n")
    outside = b"".join(line.removesuffix(b"\r").split(b'"')[::2])
    if b"\r" not in outside:
        return
    if more:
        raise SourceUnusableError(
            f"{path}, line 1: there is a carriage return inside the header. "
            "Repair the header."
        )
    raise SourceUnusableError(
        f"{path} ends its lines with carriage returns alone, as old Macintosh programs "
        "did. Convert it to line feeds, for example: tr '\\r' '\\n' < old.csv > new.csv"
    )


def _without_beginning(blocks: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    for block in blocks:
        skipped = min(n_bytes, len(block))
        n_bytes -= skipped
        if skipped < len(block):
            yield block[skipped:]
